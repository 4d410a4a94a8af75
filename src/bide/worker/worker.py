"""One worker: a loop, its listeners, the sweep, and the way to a stop."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from email.utils import formatdate
from typing import Final, final

from bide.config import Config
from bide.gateway.asgi import Application, AsgiGateway
from bide.gateway.lifespan import Lifespan
from bide.observe.journal import Journal, Record
from bide.observe.snapshot import Snapshot, snapshot
from bide.policy.admission import HIGH
from bide.terms import DRAINING, KEEP_ALIVE_OFF, Clock
from bide.transport import sockets
from bide.transport.listeners import Listener
from bide.wire import Receiver, Wire
from bide.worker.door import Door
from bide.worker.gauge import Bounds, Gauge, advertised
from bide.worker.reception import Reception
from bide.worker.register import Register
from bide.worker.rules import CloseRules
from bide.worker.session import Session
from bide.worker.settings import JITTER, durations, is_attentive, limits, tick
from bide.worker.shared import Shared

_log = logging.getLogger("bide")

# How often a drain looks whether it is done, seconds.
_LOOK: Final = 0.02

# Passes of the event loop within which an aborted connection is reported lost; two are needed.
_PASSES: Final = 10

# After the drain deadline: what was cut gets this long to reach the client, seconds.
_LAST_FLUSH: Final = 1.0


@final
class Worker:
    """Serves one application on one event loop."""

    def __init__(self, config: Config, app: Application, sockets: Sequence[socket.socket] | None = None) -> None:
        """`sockets`: bound sockets to listen on, instead of those that the configuration names. They are closed at the end.

        Raises ConfigError for a rule in `close_for` that is none.
        """
        self._config = config
        self._app = app
        self._sockets = sockets
        self._lifespan = Lifespan(app, config.lifespan)
        self._listeners: list[Listener] = []
        self._shared: Shared
        self._gateway: AsgiGateway
        self._reception = Reception(config.health_path, CloseRules(config.close_for), config.timeout_idle_least)
        self._journal: Journal | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._tick = tick(config)
        self._gauge: Gauge
        self._bounds: Bounds
        self._attentive = is_attentive(config)
        self._hurried: asyncio.Event

    @property
    def urls(self) -> list[str]:
        """Where clients connect to."""
        return [listener.url for listener in self._listeners]

    @property
    def shared(self) -> Shared:
        """What the connections share: counters and register among it."""
        return self._shared

    def snapshot(self) -> Snapshot:
        """Return the counters and gauges of this moment."""
        shared = self._shared
        states = Counter(session.state for session in shared.register)
        return snapshot(shared.counters, states, self._gauge.pressure, self._gauge.allowance, shared.door.paused)

    async def start(self) -> None:
        """Bind, start the application, then accept. Raises ListenError or LifespanError, and then nothing is left open."""
        loop = asyncio.get_running_loop()
        self._hurried = asyncio.Event()
        ours = self._sockets is None and self._config.fd is None
        self._listeners = [
            Listener(loop, sock, self._config.backlog, self._accept, self._room, ours=ours) for sock in self._open()
        ]
        try:
            await self._lifespan.startup()
            self._share(loop)
            for listener in self._listeners:
                await listener.accept()
        except BaseException:
            for listener in self._listeners:
                listener.close()
            await self._stop_application(0.0)
            raise
        self._sweep()

    async def stop(self) -> None:
        """Drain, within the configured time, then end what is left, stop the application and return."""
        config = self._config
        deadline = time.monotonic() + config.drain_timeout
        self._announce()
        await self._hurried_within(config.drain_delay)
        self._drain()
        await self._finish_listening(deadline - time.monotonic())
        self._drain()  # those who came last, too
        await self._until_empty(deadline - time.monotonic())
        await self._cut()
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self._cancel_applications()
        await self._stop_application(deadline + _LAST_FLUSH)
        if self._journal is not None:
            self._journal.flush()

    def hurry(self) -> None:
        """Stop waiting: whatever is unfinished ends now."""
        self._hurried.set()

    # -- Connections ----------------------------------------------------------------------------------------------------

    def _accept(self, wire: Wire) -> Receiver:
        return Session(self._shared, wire)

    def _room(self) -> int:
        return self._shared.door.room

    def _sweep(self) -> None:
        """Look at every clock, and at what is getting short."""
        shared = self._shared
        self._sweeper = shared.loop.call_later(self._tick, self._sweep)
        now = time.monotonic()
        shared.stamp.set(f"Date: {formatdate(usegmt=True)}\r\n".encode())
        allowance = self._gauge.look(now, self._tick)
        shared.reception.pressed = self._gauge.pressure > HIGH
        shared.attentive = self._attentive or shared.reception.pressed
        if self._config.advertise_keep_alive:
            shared.stamp.advertise(advertised(allowance))
        if self._gauge.descriptor >= self._bounds.descriptors:  # the application may have taken them
            shared.door.make_room(self._gauge.descriptor)
        shared.register.sweep(now, 0.0 if shared.standing & DRAINING else self._gauge.idle_timeout - allowance)

    # -- Stopping -------------------------------------------------------------------------------------------------------

    def _announce(self) -> None:
        """Announce close on every response from now on."""
        self._shared.standing |= DRAINING
        for session in self._shared.register:
            session.announce()

    def _drain(self) -> None:
        """Let idle connections send one more request, and not wait for it for long."""
        shared = self._shared
        config = self._config
        idle = shared.durations.by_clock[Clock.IDLE] = min(shared.durations.by_clock[Clock.IDLE], config.drain_idle)
        now = time.monotonic()
        for session in shared.register:
            session.drain(now + idle * random.uniform(1 - JITTER, 1))

    async def _finish_listening(self, seconds: float) -> None:
        """Accept what the kernel has queued, within that time, and until `hurry`; then listen no more."""
        door = self._shared.door
        door.last_call()
        finishing = asyncio.gather(*(listener.finish() for listener in self._listeners))
        hurried = asyncio.ensure_future(self._hurried.wait())
        await asyncio.wait((finishing, hurried), timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED)
        door.close()
        for unfinished in (finishing, hurried):
            unfinished.cancel()
        await asyncio.gather(finishing, hurried, return_exceptions=True)
        for listener in self._listeners:
            listener.close()

    async def _until_empty(self, seconds: float) -> None:
        """Wait until no connection is left and no application runs, or the time is over."""
        deadline = time.monotonic() + seconds
        while (len(self._shared.register) or self._gateway.running) and time.monotonic() < deadline:
            if await self._hurried_within(min(_LOOK, max(0.0, deadline - time.monotonic()))):
                return

    async def _hurried_within(self, seconds: float) -> bool:
        """Wait that long, or until `hurry`; return whether it was called."""
        if seconds > 0 and not self._hurried.is_set():
            try:
                await asyncio.wait_for(self._hurried.wait(), seconds)
            except TimeoutError:
                return False
        return self._hurried.is_set()

    async def _cut(self) -> None:
        """End every connection that is left, and give what was written a moment to leave."""
        left = list(self._shared.register)
        for session in left:
            session.stop()
        if left:
            _log.warning("%d connections were cut: they were not done by the drain timeout", len(left))
            deadline = time.monotonic() + _LAST_FLUSH
            while len(self._shared.register) and time.monotonic() < deadline and not self._hurried.is_set():
                await asyncio.sleep(_LOOK)
        for session in self._shared.register:
            session.stop()
        for _ in range(_PASSES):  # aborted: the loop reports each in its next passes
            if not len(self._shared.register):
                break
            await asyncio.sleep(0)

    async def _stop_application(self, deadline: float) -> None:
        """Tell the application to clean up, and wait for that until the deadline, or until `hurry`."""
        cleaning = asyncio.ensure_future(self._lifespan.shutdown())
        hurried = asyncio.ensure_future(self._hurried.wait())
        await asyncio.wait(
            (cleaning, hurried),
            timeout=max(_LAST_FLUSH, deadline - time.monotonic()),
            return_when=asyncio.FIRST_COMPLETED,
        )
        hurried.cancel()
        if not cleaning.done():
            _log.error("the application was not done cleaning up in its lifespan: it is cancelled")
            cleaning.cancel()
            self._lifespan.cancel()

    async def _cancel_applications(self) -> None:
        """Cancel the applications that still run, and wait for them as long as for the last octets."""
        tasks = [cycle.task for cycle in self._gateway.running if cycle.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_LAST_FLUSH)

    # -- Starting -------------------------------------------------------------------------------------------------------

    def _open(self) -> Sequence[socket.socket]:
        if self._sockets is not None:
            return self._sockets
        config = self._config
        if config.fd is not None:
            return [sockets.inherited(config.fd)]
        if config.uds is not None:
            return [sockets.unix(config.uds)]
        return sockets.tcp(config.host, config.port)

    def _share(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make what the connections share."""
        config = self._config
        self._gateway = AsgiGateway(self._app, loop, config.root_path, self._lifespan.state)
        register = Register()
        bounds = self._bounds = Bounds(config)
        door = Door(
            loop,
            register,
            self._reception.peers,
            limit=bounds.connections,
            descriptors=bounds.descriptors,
            overflow=config.limit_overflow,
            per_peer=config.limit_connections_per_peer,
        )
        door.listeners = self._listeners
        self._gauge = Gauge(config, bounds, register)
        self._shared = Shared(
            loop,
            self._gateway,
            limits(config),
            durations(config),
            self._record(loop),
            self._reception,
            door,
            register,
            0 if config.keep_alive else KEEP_ALIVE_OFF,
        )

    def _record(self, loop: asyncio.AbstractEventLoop) -> Record | None:
        if not self._config.access_log:
            return None
        self._journal = Journal(sys.stdout, loop.call_soon)
        return self._journal.json if self._config.log_format == "json" else self._journal.plain

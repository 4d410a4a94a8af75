"""One worker: a loop, its listeners, the sweep, and the way to a stop."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import sys
import time
from collections.abc import Sequence
from email.utils import formatdate
from typing import Final, final

from bide.config import Config
from bide.gateway.asgi import Application, AsgiGateway
from bide.gateway.lifespan import Lifespan
from bide.http1.limits import Limits
from bide.observe.journal import Journal, Record
from bide.policy.clocks import FOREVER
from bide.terms import DRAINING, Clock
from bide.transport import listeners
from bide.transport.listeners import Listener
from bide.wire import Receiver, Wire
from bide.worker.session import Session
from bide.worker.shared import Durations, Shared

_log = logging.getLogger("bide")

# Time between sweeps, seconds: half a second keeps 20,000 connections below one percent of a core. Shorter clocks get more.
_SWEEP: Final = 0.5
_SHORTEST_SWEEP: Final = 0.02
_SWEEPS_PER_CLOCK: Final = 8

# Ages and idle ends are spread, so that connections that began together do not end together (gRPC A9: 10 percent).
_JITTER: Final = 0.1

# How often a drain looks whether it is done, seconds.
_LOOK: Final = 0.02

# After the drain deadline: what was cut gets this long to reach the client, seconds.
_LAST_FLUSH: Final = 1.0


@final
class Worker:
    """Serves one application on one event loop."""

    def __init__(self, config: Config, app: Application, sockets: Sequence[socket.socket] | None = None) -> None:
        """`sockets`: bound sockets to listen on, instead of those that the configuration names. They are closed at the end."""
        self._config = config
        self._app = app
        self._sockets = sockets
        self._lifespan = Lifespan(app, config.lifespan)
        self._listeners: list[Listener] = []
        self._shared: Shared
        self._gateway: AsgiGateway
        self._journal: Journal | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._tick = _tick(config)
        self._hurried: asyncio.Event

    @property
    def urls(self) -> list[str]:
        """Where clients connect to."""
        return [listener.url for listener in self._listeners]

    @property
    def shared(self) -> Shared:
        """What the connections share: counters and register among it."""
        return self._shared

    async def start(self) -> None:
        """Start the application, then listen. Raises LifespanError or ListenError, and then nothing is left open."""
        loop = asyncio.get_running_loop()
        self._hurried = asyncio.Event()
        sockets = self._open()
        try:
            await self._lifespan.startup()
        except BaseException:
            for sock in sockets:
                sock.close()
            raise
        self._gateway = AsgiGateway(self._app, loop, self._config.root_path, self._lifespan.state)
        self._shared = Shared(loop, self._gateway, _limits(self._config), _durations(self._config), self._record(loop))
        self._listeners = [Listener(loop, sock, self._config.backlog, self._accept) for sock in sockets]
        self._sweep()
        for listener in self._listeners:
            await listener.accept()

    async def stop(self) -> None:
        """Drain, within the configured time, then end what is left, stop the application and return."""
        config = self._config
        deadline = time.monotonic() + config.drain_timeout
        await self._hurried_within(config.drain_delay)
        for listener in self._listeners:
            listener.close()
        self._drain()
        await self._until_empty(deadline - time.monotonic())
        await self._cut()
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self._cancel_applications()
        await self._lifespan.shutdown()
        if self._journal is not None:
            self._journal.flush()

    def hurry(self) -> None:
        """Stop waiting: whatever is unfinished ends now."""
        self._hurried.set()

    # -- Connections ----------------------------------------------------------------------------------------------------

    def _accept(self, wire: Wire) -> Receiver:
        return Session(self._shared, wire)

    def _sweep(self) -> None:
        now = time.monotonic()
        self._shared.stamp.date = f"Date: {formatdate(usegmt=True)}\r\n".encode()
        self._shared.register.sweep(now)
        self._sweeper = self._shared.loop.call_later(self._tick, self._sweep)

    # -- Stopping -------------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Announce close on every response from now on, and let idle connections send one more request."""
        shared = self._shared
        config = self._config
        shared.standing |= DRAINING
        idle = shared.durations.by_clock[Clock.IDLE] = min(shared.durations.by_clock[Clock.IDLE], config.drain_idle)
        now = time.monotonic()
        for session in shared.register:
            session.drain(now + idle * random.uniform(1 - _JITTER, 1))

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
        while len(self._shared.register):  # aborted: the loop reports each in its next passes
            await asyncio.sleep(0)

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
            return [listeners.inherited(config.fd)]
        if config.uds is not None:
            return [listeners.unix(config.uds)]
        return listeners.tcp(config.host, config.port)

    def _record(self, loop: asyncio.AbstractEventLoop) -> Record | None:
        if not self._config.access_log:
            return None
        self._journal = Journal(sys.stdout, loop.call_soon)
        return self._journal.json if self._config.log_format == "json" else self._journal.plain


def _limits(config: Config) -> Limits:
    return Limits(
        head=config.limit_head,
        target=config.limit_target,
        fields=config.limit_fields,
        chunk_line=config.limit_chunk_line,
        trailer=config.limit_trailer,
        discard=config.limit_discard,
        buffer=config.limit_buffer,
        requests=config.limit_requests,
    )


def _durations(config: Config) -> Durations:
    def age() -> float:
        return config.limit_age * random.uniform(1 - _JITTER, 1 + _JITTER) if config.limit_age else FOREVER

    return Durations(
        {
            Clock.FIRST_OCTET: config.timeout_first_octet,
            Clock.HEAD: config.timeout_head,
            Clock.BODY: config.timeout_body,
            Clock.SEND: config.timeout_send,
            Clock.IDLE: config.timeout_idle,
            Clock.DISCARD: config.timeout_discard,
            Clock.LINGER: config.timeout_linger,
        },
        linger_total=config.timeout_linger_total,
        body_rate=config.body_rate,
        send_rate=config.send_rate,
        grace=config.rate_grace,
        age=age,
    )


def _tick(config: Config) -> float:
    """Return the time between sweeps: a fraction of the shortest clock, within bounds."""
    shortest = min(_durations(config).by_clock.values())
    return min(_SWEEP, max(_SHORTEST_SWEEP, shortest / _SWEEPS_PER_CLOCK))

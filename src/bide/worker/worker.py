"""One worker: it starts an application and its listeners, and looks at the clocks until it is told to stop."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from email.utils import formatdate
from typing import final

from bide.config import Config
from bide.gateway.asgi import EAGER, Application, AsgiGateway
from bide.gateway.lifespan import Lifespan
from bide.observe.access_log import AccessLog, JsonAccessLog, TextAccessLog
from bide.observe.snapshot import Snapshot, snapshot
from bide.policy.admission import HIGH
from bide.session.context import SessionContext
from bide.session.reception import Reception
from bide.session.rules import CloseRules
from bide.session.session import Session
from bide.terms import DRAIN, KEEP_ALIVE_OFF
from bide.transport import sockets
from bide.transport.coalescer import WriteCoalescer
from bide.transport.listeners import Listener
from bide.wire import Receiver, Wire
from bide.worker.admission import Admission
from bide.worker.drain import Drain, stop_application
from bide.worker.pressure import Bounds, PressureMonitor, advertised
from bide.worker.register import Register
from bide.worker.settings import durations, is_attentive, limits, tick


@final
class Worker:
    """Serves one application on one event loop. What is asked of it before it has started raises RuntimeError."""

    def __init__(self, config: Config, app: Application, sockets: Sequence[socket.socket] | None = None) -> None:
        """`sockets`: bound sockets to listen on, instead of those that the configuration names. They are closed at the end.

        Raises ConfigError for a rule in `close_for` that is none.
        """
        self._config = config
        self._app = app
        self._sockets = sockets
        self._lifespan = Lifespan(app, config.lifespan)
        self._listeners: list[Listener] = []
        self._started = False
        self._shared: SessionContext
        self._gateway: AsgiGateway
        self._reception = Reception(config.health_path, CloseRules(config.close_for), config.timeout_idle_least)
        self._access_log: AccessLog | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._tick = tick(config)
        self._gauge: PressureMonitor
        self._bounds: Bounds
        self._attentive = is_attentive(config)
        self._forced: asyncio.Event

    @property
    def urls(self) -> list[str]:
        """Where clients connect to; behind the stop, where they did."""
        self._require_start()
        return [listener.url for listener in self._listeners]

    @property
    def shared(self) -> SessionContext:
        """What the connections share: counters and register among it."""
        self._require_start()
        return self._shared

    def snapshot(self) -> Snapshot:
        """Return the counters and gauges of this moment."""
        shared = self.shared
        states = Counter(session.state for session in shared.register)
        requests = sum(session.requests for session in shared.register)
        gauge = self._gauge
        return snapshot(shared.counters, states, requests, gauge.pressure, gauge.allowance, shared.door.paused)

    async def start(self) -> None:
        """Bind, start the application, then accept. Raises ListenError or LifespanError, and then nothing is left open."""
        loop = asyncio.get_running_loop()
        self._forced = asyncio.Event()
        ours = self._sockets is None and self._config.fd is None
        # Where tasks do not start eagerly, answers are made in a pass of their own, one right after the other: to hold them back gains
        # nothing.
        coalescer = WriteCoalescer(loop) if EAGER else None
        self._listeners = [
            Listener(loop, sock, self._config.backlog, self._accept, self._room, ours=ours, coalescer=coalescer)
            for sock in self._open()
        ]
        try:
            await self._lifespan.startup()
            self._share(loop)
            self._started = True
            for listener in self._listeners:
                await listener.accept()
        except BaseException:
            self._started = False
            for listener in self._listeners:
                listener.close()
            await stop_application(self._lifespan, self._forced, 0.0)
            raise
        self._sweep()

    async def stop(self) -> None:
        """Drain, within the configured time, then end what is left, stop the application and return."""
        drain = Drain(self._config, self._shared, self._listeners, self._gateway, self._lifespan, self._forced)
        await drain.connections()
        if self._sweeper is not None:
            self._sweeper.cancel()
        await drain.application()
        if self._access_log is not None:
            self._access_log.flush()

    def force_stop(self) -> None:
        """Stop waiting: whatever is unfinished ends now."""
        self._forced.set()

    def _require_start(self) -> None:
        if not self._started:
            raise RuntimeError("the server has not started")

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
        shared.common_fields.set(f"Date: {formatdate(usegmt=True)}\r\n".encode())
        allowance = self._gauge.look(now, self._tick)
        shared.reception.pressed = self._gauge.pressure > HIGH
        shared.attentive = self._attentive or shared.reception.pressed
        if self._config.advertise_keep_alive:
            shared.common_fields.advertise(advertised(allowance))
        if self._gauge.descriptor >= self._bounds.descriptors:  # the application may have taken them
            shared.door.make_room(self._gauge.descriptor)
        # Until the next sweep: what is read meanwhile may have waited as long as this one.
        shared.unread_since = now - self._gauge.lag if self._gauge.lag > self._tick else now + self._tick
        shared.register.sweep(now, 0.0 if shared.standing & DRAIN else self._gauge.idle_timeout - allowance)

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
        door = Admission(
            loop,
            register,
            self._reception.peers,
            limit=bounds.connections,
            descriptors=bounds.descriptors,
            overflow=config.limit_overflow,
            per_peer=config.limit_connections_per_peer,
        )
        door.listeners = self._listeners
        self._gauge = PressureMonitor(config, bounds, register)
        self._shared = SessionContext(
            loop,
            self._gateway,
            limits(config),
            durations(config),
            self._open_journal(loop),
            self._reception,
            door,
            register,
            0 if config.keep_alive else KEEP_ALIVE_OFF,
        )

    def _open_journal(self, loop: asyncio.AbstractEventLoop) -> AccessLog | None:
        if self._config.access_log and sys.stdout is not None:
            kind = JsonAccessLog if self._config.log_format == "json" else TextAccessLog
            self._access_log = kind(sys.stdout, loop.call_soon)
        return self._access_log

"""Serves one application on one event loop, from start to stop."""

from __future__ import annotations

import asyncio
import functools
import itertools
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from email.utils import formatdate
from typing import final

from bide.errors import ApplicationError, LifespanError, ListenError
from bide.exchange import Gateway
from bide.gateway.application import AnyApplication, Interface
from bide.gateway.asgi import AsgiGateway
from bide.gateway.builtin import BuiltinGateway
from bide.gateway.lifespan import Lifespan
from bide.gateway.redirect import RedirectGateway
from bide.gateway.threads import Threads
from bide.gateway.wsgi import WsgiGateway
from bide.observe.access_log import AccessLog, JsonAccessLog, TextAccessLog
from bide.observe.counters import Counters
from bide.observe.log_files import LogFile, Stream
from bide.observe.snapshot import NO_THREADS, ConnectionFigures, Snapshot, ThreadFigures, snapshot
from bide.policy.admission import HIGH
from bide.session.clients import ClientFacts
from bide.session.context import SessionContext
from bide.terms import DRAIN
from bide.transport import sockets
from bide.transport.listeners import Listener
from bide.transport.poller import Poller
from bide.wire import Receiver, Wire
from bide.worker.admission import Admission
from bide.worker.arrivals import Arrivals
from bide.worker.cleanup import stop_application
from bide.worker.drain import Drain
from bide.worker.manager import Manager
from bide.worker.pressure import PressureMonitor
from bide.worker.register import Register
from bide.worker.settings import Draining, WorkerSettings
from bide.worker.share import Share


@final
class Worker:
    """Serves one application on one event loop. Before the start, its properties raise
    RuntimeError.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        app: AnyApplication,
        sockets: Sequence[socket.socket] | None = None,
        *,
        interface: Interface = "asgi",
        share: Share | None = None,
    ) -> None:
        """Keep the settings and the application.

        sockets: bound sockets to listen on, instead of addresses from the settings. The stop closes
            them.
        interface: the interface that the application speaks. Only ASGI has a lifespan.
        share: what it has in common with the other workers of a supervisor; None without one.

        Raises ApplicationError if a lifespan is demanded of a WSGI application.
        """
        if interface == "wsgi" and settings.lifespan == "on":
            raise ApplicationError(
                "--lifespan must be auto or off for a WSGI application, got on; only ASGI has a lifespan"
            )
        self._settings = settings
        self._share = share
        self._app = app
        self._interface = interface
        self._sockets = sockets
        self._lifespan = Lifespan(app, settings.lifespan if interface == "asgi" else "off")
        self._listeners: list[Listener] = []
        self._poller: Poller | None = None
        self._started = False
        self._context: SessionContext
        self._gateway: Gateway
        self._threads: Threads | None = None
        self._arrivals: Arrivals
        self._register: Register
        self._admission: Admission
        self._pressure: PressureMonitor
        self._access_log: AccessLog | None = None
        self._log_file: LogFile | None = None  # of the access log
        self._sweeper: asyncio.TimerHandle | None = None
        self._forced = asyncio.Event()

    @property
    def urls(self) -> list[str]:
        """URLs that clients connect to. They stay readable after a stop."""
        self._require_start()
        return [listener.url for listener in self._listeners]

    @property
    def context(self) -> SessionContext:
        """The state that all sessions share."""
        self._require_start()
        return self._context

    @property
    def register(self) -> Register:
        """The open connections."""
        self._require_start()
        return self._register

    @property
    def admission(self) -> Admission:
        """The part that admits connections."""
        self._require_start()
        return self._admission

    def snapshot(self) -> Snapshot:
        """Return the counters and gauges of this moment."""
        context = self.context
        states = Counter(connection.state for connection in self._register)
        requests = sum(connection.requests for connection in self._register)
        return snapshot(
            context.counters,
            states,
            requests,
            self._pressure.pressure,
            context.idle.held,
            self._admission.is_paused,
            NO_THREADS if self._threads is None else ThreadFigures(*self._threads.figures()),
        )

    def connections(self, limit: int) -> list[ConnectionFigures]:
        """Return what is known of the open connections, `limit` of them at most."""
        now = time.monotonic()
        return [
            {
                "peer": connection.host,
                "state": connection.state.value,
                "requests": connection.requests,
                "seconds": round(max(0.0, now - connection.waiting_since), 3),
            }
            for connection in itertools.islice(self.register, limit)
        ]

    async def start(self) -> None:
        """Bind, start the application, then accept.

        Raises ListenError or LifespanError, or OSError for the file of the access log; nothing is
        then left open. If the start is cancelled,
        the application may still complete its startup and clean up, as `stop_application`
        describes.
        """
        loop = asyncio.get_running_loop()
        path = self._settings.access_log_file
        if path is not None:
            self._log_file = LogFile(path)
        try:
            await self._start(loop)
        except BaseException:
            self._close_log_file()
            raise

    async def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        listening = self._settings.listening
        opened = sockets.opened(listening) if self._sockets is None else self._sockets
        redirecting = self._open_redirecting(opened)
        poller = self._poller = Poller(loop)
        self._listeners = [
            Listener(
                loop,
                sock,
                listening.backlog,
                poller,
                ours=self._is_ours(sock),
                shared=self._share is not None,
                is_heavy=None if self._share is None else self._share.is_heavy,
                scheme="http" if self._settings.certificates is None else "https",
            )
            for sock in opened
        ]
        self._listeners += [
            Listener(loop, sock, listening.backlog, poller, ours=True, accept=self._accept_plain)
            for sock in redirecting
        ]
        try:
            await self._lifespan.startup()
            self._furnish(loop, poller)
            self._started = True
            for listener in self._listeners:
                listener.accept()
        except BaseException as error:
            self._started = False
            for listener in self._listeners:
                listener.close()
            poller.close()
            seconds = 0.0 if isinstance(error, LifespanError) else self._settings.draining.timeout
            await stop_application(self._lifespan, self._forced, seconds)
            raise
        self._sweep()

    async def stop(self, draining: Draining | None = None, *, is_last: bool = True) -> None:
        """Drain within the drain timeout, close the connections that are left, stop the
        application.

        draining: how long the steps take, instead of the settings.
        is_last: whether no other worker goes on to accept from its sockets.
        """
        if self._share is not None:
            self._share.leave()
        drain = Drain(
            draining or self._settings.draining,
            self._context,
            self._register,
            self._admission,
            self._listeners,
            self._gateway,
            functools.partial(stop_application, self._lifespan, self._forced),
            self._forced,
            is_last=is_last,
        )
        await drain.connections()
        if self._sweeper is not None:
            self._sweeper.cancel()
        await drain.application()
        if self._poller is not None:
            self._poller.close()
        if self._access_log is not None:
            self._access_log.flush()
        self._close_log_file()

    def expect_stop(self) -> None:
        """Announce close on connections accepted from now on. May be called in a signal handler.

        The event loop may have been blocked, and may accept connections before it sees the signal.
        """
        if self._started:
            self._context.add_facts(DRAIN)

    def force_stop(self) -> None:
        """End the drain at once, and close unfinished connections."""
        self._forced.set()

    def _require_start(self) -> None:
        if not self._started:
            raise RuntimeError("the server has not started")

    # -- Connections -------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Measure the resources, and check every clock."""
        context = self._context
        pressure = self._pressure
        tick = self._settings.tick
        self._sweeper = context.loop.call_later(tick, self._sweep)
        now = time.monotonic()
        context.common_fields.set(f"Date: {formatdate(usegmt=True)}\r\n".encode())
        measured = pressure.measure(now, tick)
        context.idle.pressure_measured(measured)
        context.clients.pressure_measured(measured > HIGH)
        if self._settings.advertises_keep_alive:
            context.common_fields.advertise(context.idle.advertised)
        if pressure.is_short_of_descriptors:  # the application may have taken them
            self._admission.make_room(pressure.descriptor)
        # Holds until the next sweep: octets read before it may have waited since this sweep was
        # due.
        context.loop_looked_at(now - pressure.lag if pressure.lag > tick else now + tick)
        self._register.sweep(now, context.idle.cut)
        if self._threads is not None:
            self._threads.watch()
        if self._share is not None:
            context.clients.surplus_measured(0 if context.facts & DRAIN else self._share.swept(now))

    # -- Starting ----------------------------------------------------------------------------------

    def _is_ours(self, sock: socket.socket) -> bool:
        """Return whether no other server listens on a socket."""
        if self._share is not None:
            return sock in self._share.ours
        return self._sockets is None and self._settings.listening.fd is None

    def _open_redirecting(self, opened: Sequence[socket.socket]) -> Sequence[socket.socket]:
        """Return the sockets of `redirect_http`.

        opened: the other sockets, which an error closes.
        """
        if self._share is not None:
            return self._share.redirecting
        port = self._settings.redirect_http
        if port is None:
            return ()
        try:
            return sockets.tcp(self._settings.listening.host, port)
        except ListenError:
            sockets.close(opened)
            raise

    def _accept_plain(self, wire: Wire) -> Receiver:
        return self._arrivals.accepted_plain(wire)

    def _furnish(self, loop: asyncio.AbstractEventLoop, poller: Poller) -> None:
        """Make the parts that the sessions need."""
        settings = self._settings
        limits = settings.resource_limits()
        register = self._register = Register()
        clients = ClientFacts(settings.rules)
        self._admission = Admission(
            loop,
            register,
            clients.peers,
            self._listeners,
            limit=limits.connections,
            descriptors=limits.descriptors,
            overflow=settings.overflow,
            per_peer=settings.per_peer,
            share=self._share,
        )
        counters = Counters()
        manager = Manager(register, self._admission, counters, clients.peers, poller.wake)
        self._pressure = PressureMonitor(limits, register, self._share)
        self._gateway = self._application_gateway(loop)
        if settings.redirect_http is not None:
            self._gateway = RedirectGateway(self._gateway, self._listeners[0].port)
        if settings.health_path or settings.overflow or settings.per_peer:
            self._gateway = BuiltinGateway(self._gateway, settings.health_path, settings.retry_after)
        self._context = SessionContext(
            loop,
            self._gateway,
            manager,
            limits=settings.limits,
            durations=settings.durations,
            idle=settings.idle_timeout(),
            draw_limits=settings.draw_limits,
            clients=clients,
            counters=counters,
            access_log=self._open_access_log(loop),
            websocket_limits=settings.websocket_limits,
            forwarding=settings.forwarding,
            hsts=settings.hsts,
            facts=settings.facts,
        )
        self._arrivals = arrivals = Arrivals(
            self._context, manager, poller, settings.certificates, settings.introductions
        )
        poller.serve(arrivals.accepted, arrivals.woken)

    def _application_gateway(self, loop: asyncio.AbstractEventLoop) -> Gateway:
        settings = self._settings
        if self._interface == "asgi":
            return AsgiGateway(
                self._app,
                loop,
                settings.root_path,
                self._lifespan.state,
                websockets=settings.websockets,
                deflates=settings.deflates,
            )
        if settings.threads:
            self._threads = Threads(loop, settings.threads)
        return WsgiGateway(
            self._app,
            loop,
            settings.root_path,
            threads=self._threads,
            limit_body=settings.limit_body_spooled,
            has_processes=self._share is not None,
        )

    def _open_access_log(self, loop: asyncio.AbstractEventLoop) -> AccessLog | None:
        file = self._log_file
        stream: Stream | None = sys.stdout if file is None else file
        if self._settings.log_format is not None and stream is not None:
            kind = JsonAccessLog if self._settings.log_format == "json" else TextAccessLog
            number = 0 if self._share is None else self._share.number
            may_mix = number > 0 and (file is None or file.is_pipe)
            self._access_log = kind(stream, loop.call_soon, number, may_mix=may_mix)
        return self._access_log

    def _close_log_file(self) -> None:
        if self._log_file is not None:
            self._log_file.close()
            self._log_file = None

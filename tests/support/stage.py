"""One worker's sessions, played by a test: a wire, a gateway and a manager that do what the test says, and a clock that it sets."""

import asyncio
import os
from collections.abc import Callable
from typing import Any, Final

from bide import Config
from bide.exchange import Exchange, Gateway
from bide.managed import ConnectionManager, ManagedConnection
from bide.observe.counters import Counters
from bide.session.clients import ClientFacts
from bide.session.context import SessionContext
from bide.session.rules import CloseRules
from bide.session.session import Session
from bide.terms import Address, Clock, CloseReason, Security, State
from bide.wire import FILE_ENDED, Receiver, Wire
from bide.worker.settings import WorkerSettings
from tests.support.builds import require_interpreted
from tests.support.client import request

require_interpreted()

GET: Final = request("/")
POST: Final = request("/", method="POST", body=b"body")
HALF: Final = b"GET / HTTP/1.1\r\nHost:"

#: Far apart, so that a deadline tells its clock.
SECONDS: Final = {
    Clock.HANDSHAKE: 500.0,
    Clock.FIRST_OCTET: 1000.0,
    Clock.HEAD: 2000.0,
    Clock.BODY: 3000.0,
    Clock.SEND: 4000.0,
    Clock.IDLE: 5000.0,
    Clock.DISCARD: 6000.0,
    Clock.LINGER: 7000.0,
    Clock.TUNNEL: 8000.0,
    Clock.WS_PING: 9000.0,
    Clock.WS_PONG: 10000.0,
    Clock.WS_CLOSE: 11000.0,
}
NAMED_OTHERWISE: Final = {Clock.WS_PING: "ws_ping_interval", Clock.WS_PONG: "ws_ping_timeout"}
LINGER_TOTAL: Final = 70000.0


class StubWire(Wire):
    """Takes the orders, and is what a test says it is.

    orders: those that end something, those that pause or resume reading, and probes, in order.
    written: every octet that was written.
    held: octets of it that the peer has not taken.
    waiting: whether octets have arrived that were not reported yet.
    is_broken: whether the kernel knows that the peer is gone.
    half_closes: whether the sending side can be shut alone.
    may_rest: whether it can be given up.
    shakes_hands: whether a handshake comes first.
    is_deferring: whether other connections are to be read first.
    space: octets of files that the kernel takes.
    resting: what stands for it since it was; None before.
    """

    def __init__(self) -> None:
        self.orders: list[str] = []
        self.written = b""
        self.held = 0
        self.space = 1 << 30
        self.waiting = False
        self.is_broken = False
        self.half_closes = True
        self.may_rest = True
        self.is_deferring = False
        self.shakes_hands = False
        self.resting: Receiver | None = None
        self.tls: Security | None = None

    @property
    def is_ready(self) -> bool:
        return not self.shakes_hands

    @property
    def scheme(self) -> str:
        return "http"

    @property
    def can_half_close(self) -> bool:
        return self.half_closes

    def defers(self) -> bool:
        return self.is_deferring

    def write(self, data: bytes) -> None:
        self.written += data

    def write_pieces(self, pieces: list[bytes]) -> None:
        self.written += b"".join(pieces)

    def send_file(self, first: bytes, file: int, offset: int, count: int) -> int:
        self.written += first
        sent = os.pread(file, min(count, self.space), offset)
        self.written += sent
        self.space -= len(sent)
        return len(sent) or (FILE_ENDED if self.space else 0)

    def pause_reading(self) -> None:
        self.orders.append("pause")

    def resume_reading(self) -> None:
        self.orders.append("resume")

    def half_close(self, last: bytes) -> None:
        self.written += last
        self.orders.append("half_close")

    def half_close_if_quiet(self) -> bool:
        if self.waiting or self.held:
            return False
        self.orders.append("half_close")
        return True

    def release(self) -> None:
        self.orders.append("release")

    def abort(self) -> None:
        self.orders.append("abort")

    def rest(self, receiver: Receiver) -> bool:
        if self.may_rest:
            self.resting = receiver
        return self.may_rest

    def unsent(self) -> int:
        return self.held

    def octets_waiting(self) -> bool:
        return self.waiting

    def peer_gone(self) -> bool:
        return self.is_broken

    def probe_peer(self) -> None:
        self.orders.append("probe")

    def descriptor(self) -> int:
        return 3

    def security(self) -> Security | None:
        return self.tls

    def peer(self) -> Address | None:
        return ("192.0.2.1", 4000)

    def local(self) -> Address | None:
        return ("192.0.2.2", 80)


Act = Callable[[Exchange], None]


def hello(exchange: Exchange) -> None:
    exchange.respond(200, [(b"content-length", b"6")], False)
    exchange.send(b"hello\n", False)
    exchange.finished()


def think(exchange: Exchange) -> None:
    pass


def fail(exchange: Exchange) -> None:
    raise RuntimeError("a bug of ours")


class StubGateway(Gateway):
    """Does with each exchange what a test says.

    act: what it does.
    exchanges: all that were started.
    orders: "cancel" and "drain", in order.
    unfinished: what `running` returns.
    """

    def __init__(self) -> None:
        self.act: Act = hello
        self.exchanges: list[Exchange] = []
        self.orders: list[str] = []
        self.unfinished = 0

    def start(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        self.act(exchange)

    @property
    def running(self) -> int:
        return self.unfinished

    def cancel(self) -> None:
        self.orders.append("cancel")

    def drain(self) -> None:
        self.orders.append("drain")


class StubManager(ConnectionManager):
    """Keeps what it is told.

    stalled: connections whose output the peer does not take.
    unread: connections from which nothing is read.
    ends: the reasons given, in order.
    requests: those that closed connections have served.
    stand_ins: idle connections and what stands for them from then on, in order.
    waker: what `wake` calls.
    """

    def __init__(self) -> None:
        self.stand_ins: list[tuple[ManagedConnection, ManagedConnection]] = []
        self.waker: Callable[[ManagedConnection, int], ManagedConnection] | None = None
        self.stalled: set[ManagedConnection] = set()
        self.unread: set[ManagedConnection] = set()
        self.ends: list[CloseReason] = []
        self.introductions: list[ManagedConnection] = []
        self.requests = 0

    def introduced(self, connection: ManagedConnection) -> None:
        self.introductions.append(connection)

    def output_stalled(self, connection: ManagedConnection) -> None:
        self.stalled.add(connection)

    def output_resumed(self, connection: ManagedConnection) -> None:
        self.stalled.remove(connection)

    def reading_stopped(self, connection: ManagedConnection) -> None:
        self.unread.add(connection)

    def reading_resumed(self, connection: ManagedConnection) -> None:
        self.unread.remove(connection)

    def replaced(self, old: ManagedConnection, new: ManagedConnection) -> None:
        self.stand_ins.append((old, new))

    def wake(self, parked: ManagedConnection, descriptor: int) -> ManagedConnection:
        assert self.waker is not None
        return self.waker(parked, descriptor)

    def closed(self, connection: ManagedConnection, reason: CloseReason, served: int) -> None:
        self.ends.append(reason)
        self.requests += served


class Stage:
    """Stands for a worker whose loop need not run: a test says what happens, and when.

    now: what the clock of the sessions shows, seconds.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        clocks = {NAMED_OTHERWISE.get(clock, f"timeout_{clock.value}"): seconds for clock, seconds in SECONDS.items()}
        settings = WorkerSettings(Config(**(clocks | {"timeout_linger_total": LINGER_TOTAL} | options)))
        self.now = 1_000_000.0
        self.gateway = StubGateway()
        self.manager = StubManager()
        self.context = SessionContext(
            loop,
            self.gateway,
            self.manager,
            limits=settings.limits,
            durations=settings.durations,
            idle=settings.idle_timeout(),
            draw_limits=settings.draw_limits,
            clients=ClientFacts(CloseRules(())),
            counters=Counters(),
            access_log=None,
            websocket_limits=settings.websocket_limits,
            clock=lambda: self.now,
        )
        self.context.common_fields.set(b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n")

    def seconds_left(self, session: Session) -> float:
        """Return the seconds until the deadline."""
        return session.deadline - self.now

    def run_out(self, session: Session) -> None:
        """Let the running clock expire."""
        self.now = session.deadline
        session.deadline_reached(self.now)

    def connect(self) -> tuple[Session, StubWire]:
        wire = StubWire()
        return Session(self.context, wire), wire

    def idle(self, served: int = 1) -> tuple[Session, StubWire]:
        """Return an idle connection that has served `served` requests, and its wire, which has forgotten what was written."""
        session, wire = self.connect()
        for _ in range(served):
            session.octets_received(GET)
        assert session.state is State.IDLE
        wire.written = b""
        return session, wire

    def begun(self, octets: bytes = GET) -> tuple[Session, StubWire, Exchange]:
        """Return a connection whose request is with the application."""
        self.gateway.act = think
        session, wire = self.connect()
        session.octets_received(octets)
        self.gateway.act = hello
        return session, wire, self.gateway.exchanges[-1]

    @property
    def ends(self) -> list[CloseReason]:
        return self.manager.ends

"""What stands for an idle connection: what it knows, and what wakes it."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from bide.managed import ManagedConnection
from bide.session.parked import ParkedSession
from bide.session.session import Session
from bide.terms import Clock, CloseReason, State
from tests.support.server import logged
from tests.support.stage import GET, SECONDS, Stage, StubWire

DESCRIPTOR = 3


class Scene(Stage):
    """A stage on which a connection is parked, and woken as a worker would.

    wire: the wire of the connection that was woken last.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.manager.waker = self._wake
        self.woken: list[Session] = []
        self.wire = StubWire()

    def _wake(self, parked: ManagedConnection, descriptor: int) -> ManagedConnection:
        assert isinstance(parked, ParkedSession)
        assert descriptor == DESCRIPTOR
        session = Session(self.context, self.wire, parked)
        self.woken.append(session)
        return session

    def parked(self, served: int = 1) -> ParkedSession:
        session, _ = self.idle(served)
        session.park()
        ((_, parked),) = self.manager.stand_ins
        assert isinstance(parked, ParkedSession)
        return parked


@pytest.fixture
def scene(loop: asyncio.AbstractEventLoop) -> Iterator[Scene]:
    return Scene(loop)  # type: ignore[return-value]


def test_parked_connection_knows_what_it_was(scene: Scene) -> None:
    session, wire = scene.idle(served=3)
    began = scene.now
    scene.now += 1.0
    session.park()
    ((_, parked),) = scene.manager.stand_ins
    assert isinstance(parked, ParkedSession)
    assert (parked.state, parked.requests, parked.waiting_since) == (State.IDLE, 3, began)
    assert parked.deadline == began + SECONDS[Clock.IDLE]
    assert (parked.peer, parked.local, parked.host) == (wire.peer(), wire.local(), "192.0.2.1")
    assert not parked.is_unfinished
    assert parked.may_be_shed(scene.now, 1.0)


@pytest.mark.parametrize("peer", [None, ("/run/client.sock", None), ("192.0.2.7", 1), ("::1", 0)])
def test_address_of_the_peer_stays(scene: Scene, peer: tuple[str, int | None] | None) -> None:
    parked = ParkedSession(scene.context, DESCRIPTOR, peer, None, "http", 1, 0.0, 1.0, None)
    assert parked.peer == peer
    assert parked.host == (peer[0] if peer else "")


def test_woken_connection_goes_on_as_if_it_had_not_been_parked(scene: Scene) -> None:
    parked = scene.parked(served=2)
    scene.now += 60.0
    session = Session(scene.context, scene.wire, parked)
    assert (session.state, session.requests, session.peer) == (State.IDLE, 2, parked.peer)
    assert session.deadline == parked.deadline
    session.octets_received(GET)
    assert scene.wire.written.endswith(b"hello\n")
    assert session.requests == 3
    gaps = [index for index, count in enumerate(scene.context.counters.gaps) if count]
    assert gaps == [0, (60_000).bit_length()]


def test_limits_of_a_connection_outlive_its_parking(loop: asyncio.AbstractEventLoop) -> None:
    stage = Scene(loop)
    stage.context.draw_limits = lambda: (1_000.0, 3.0)
    parked = stage.parked(served=2)
    session = Session(stage.context, stage.wire, parked)
    session.octets_received(GET)
    assert b"Connection: close" in stage.wire.written
    session.lost()
    assert stage.ends == [CloseReason.REQUEST_LIMIT]


def test_clock_that_expires_wakes_and_ends_it(scene: Scene) -> None:
    parked = scene.parked()
    parked.deadline_reached(parked.deadline - 1.0)
    assert scene.woken == []
    scene.now = parked.deadline
    parked.deadline_reached(scene.now)
    assert scene.wire.orders == ["half_close"]
    (session,) = scene.woken
    assert session.state is State.LINGER


def test_pressure_makes_the_clock_expire_earlier(scene: Scene) -> None:
    parked = scene.parked()
    scene.context.idle.pressure_measured(1.0)
    scene.now = parked.deadline - scene.context.idle.cut
    parked.deadline_reached(scene.now)
    assert len(scene.woken) == 1


def test_wait_is_shortened_and_never_lengthened(scene: Scene) -> None:
    parked = scene.parked()
    parked.shorten_wait(2.0)
    assert parked.deadline == scene.now + 2.0
    parked.shorten_wait(3.0)
    assert parked.deadline == scene.now + 2.0
    assert scene.woken == []


ORDERS: dict[str, tuple[Callable[[ParkedSession], object], list[str], State]] = {
    "shed": (lambda parked: parked.shed(), ["half_close", "release"], State.CLOSING),
    "stop": (lambda parked: parked.stop(), ["half_close"], State.CLOSING),
}


@pytest.mark.parametrize("order", ORDERS)
def test_order_to_end_wakes_it(scene: Scene, order: str) -> None:
    act, orders, state = ORDERS[order]
    act(scene.parked())
    assert scene.wire.orders == orders
    assert scene.woken[0].state is state


def test_refused_connection_ends_after_its_next_response(scene: Scene) -> None:
    scene.parked().refuse()
    (session,) = scene.woken
    session.octets_received(GET)
    assert b"Connection: close" in scene.wire.written


def test_error_in_bide_ends_it(scene: Scene) -> None:
    with logged() as log:
        scene.parked().fail_internal()
        log.expect("bide failed")
    assert scene.wire.orders == ["abort"]


QUIET: dict[str, Callable[[ParkedSession], object]] = {
    "watch_output": lambda parked: parked.watch_output(0.0),
    "watch_peer": lambda parked: parked.watch_peer(0.0),
    "announce_drain": lambda parked: parked.announce_drain(),
    "end_stream": lambda parked: parked.end_stream(),
    "octets_received": lambda parked: parked.octets_received(b"x"),
    "ready": lambda parked: parked.ready(),
    "introduced": lambda parked: parked.introduced(),
    "rejected": lambda parked: parked.rejected(CloseReason.TLS_REJECTED, "", False),
    "go_on": lambda parked: parked.go_on(),
    "eof_received": lambda parked: parked.eof_received(),
    "write_paused": lambda parked: parked.write_paused(),
    "write_resumed": lambda parked: parked.write_resumed(),
    "flushed": lambda parked: parked.flushed(),
    "lost": lambda parked: parked.lost(),
}


@pytest.mark.parametrize("fact", QUIET)
def test_what_does_not_concern_an_idle_connection_does_not_wake_it(scene: Scene, fact: str) -> None:
    parked = scene.parked()
    before = parked.deadline
    QUIET[fact](parked)
    assert scene.woken == []
    assert parked.deadline == before

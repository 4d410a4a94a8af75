"""The contract of workers: a session takes every order in every state, and tells its end once."""

from collections.abc import Callable, Iterator
from typing import Final

import pytest

from bide.managed import ConnectionManager, ManagedConnection
from bide.session.session import Session
from bide.terms import State
from bide.worker.manager import Manager
from tests.support.carrier import StubTunnel
from tests.support.client import request
from tests.support.loops import JumpingLoop
from tests.support.managed import StubConnection
from tests.support.server import logged
from tests.support.stage import GET, HALF, POST, Stage, StubManager, StubWire

#: Loop time in seconds after every deadline of a clock that runs.
LONG_AFTER: Final = 1e12

#: Age in seconds below which an unused connection is not shed.
NEWCOMER: Final = 1.0


@pytest.fixture
def stage() -> Iterator[Stage]:
    loop = JumpingLoop()
    yield Stage(loop)
    loop.close()


def received(stage: Stage, octets: bytes) -> Session:
    """Return a connection on which `octets` came."""
    session, _ = stage.connect()
    session.octets_received(octets)
    return session


def lingering(stage: Stage) -> Session:
    session = received(stage, request("/", "Connection: close"))
    session.flushed()
    return session


def tunnelled(stage: Stage) -> Session:
    session, _, exchange = stage.begun(request("/", "Connection: upgrade", "Upgrade: echo"))
    exchange.upgrade(b"echo", [], StubTunnel())
    return session


def shaking_hands(stage: Stage) -> Session:
    wire = StubWire()
    wire.shakes_hands = True
    return Session(stage.context, wire)


#: How a connection comes into each state in which it is open.
STATES: Final[dict[State, Callable[[Stage], Session]]] = {
    State.HANDSHAKE: shaking_hands,
    State.NEW: lambda stage: stage.connect()[0],
    State.HEAD: lambda stage: received(stage, HALF),
    State.EXCHANGE: lambda stage: stage.begun()[0],
    State.DISCARD: lambda stage: received(stage, POST[:-4]),
    State.IDLE: lambda stage: received(stage, GET),
    State.TUNNEL: tunnelled,
    State.CLOSING: lambda stage: received(stage, request("/", "Connection: close")),
    State.LINGER: lingering,
}


ORDERS: Final[dict[str, Callable[[ManagedConnection], object]]] = {
    "deadline_reached": lambda connection: connection.deadline_reached(min(connection.deadline, LONG_AFTER)),
    "watch_output": lambda connection: connection.watch_output(connection.waiting_since),
    "watch_peer": lambda connection: connection.watch_peer(connection.waiting_since),
    "shed": lambda connection: (
        connection.may_be_shed(connection.waiting_since + NEWCOMER, NEWCOMER) and connection.shed()
    ),
    "refuse": lambda connection: connection.refuse(),
    "announce_drain": lambda connection: connection.announce_drain(),
    "drain_tunnel": lambda connection: connection.drain_tunnel(),
    "end_stream": lambda connection: connection.end_stream(),
    "shorten_wait": lambda connection: connection.shorten_wait(1.0),
    "stop": lambda connection: connection.stop(),
    "fail_internal": lambda connection: connection.fail_internal(),
}

QUESTIONS: Final = ["host", "is_unfinished", "may_be_shed", "requests", "state", "waiting_since"]


def test_tables_have_every_state_order_and_question() -> None:
    assert set(STATES) == set(State) - {State.CLOSED}
    facts = {
        "eof_received",
        "flushed",
        "go_on",
        "introduced",
        "lost",
        "octets_received",
        "ready",
        "rejected",
        "write_paused",
        "write_resumed",
    }
    assert {*ORDERS, *QUESTIONS, *facts} == ManagedConnection.__abstractmethods__


@pytest.mark.parametrize("state", STATES)
def test_session_says_in_which_state_it_is(stage: Stage, state: State) -> None:
    session = STATES[state](stage)
    assert session.state is state
    assert session.host == "192.0.2.1"
    assert session.requests == (0 if state in {State.HANDSHAKE, State.NEW, State.HEAD} else 1)
    assert session.is_unfinished == (state not in {State.NEW, State.IDLE, State.LINGER})
    assert session.may_be_shed(stage.now + NEWCOMER, NEWCOMER) == (
        state in {State.HANDSHAKE, State.NEW, State.IDLE, State.LINGER}
    )


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("state", STATES)
def test_order_in_any_state_raises_nothing_and_the_end_is_told_once(stage: Stage, state: State, order: str) -> None:
    session = STATES[state](stage)
    with logged():
        ORDERS[order](session)
        assert stage.ends == []
        session.lost()
    assert len(stage.ends) == 1
    assert session.state is State.CLOSED


@pytest.mark.parametrize("kind", [Session, StubConnection])
def test_connection_of_each_kind_has_every_method(kind: type[ManagedConnection]) -> None:
    assert issubclass(kind, ManagedConnection)
    assert kind.__abstractmethods__ == frozenset()


@pytest.mark.parametrize("kind", [Manager, StubManager])
def test_manager_of_each_kind_has_every_method(kind: type[ConnectionManager]) -> None:
    assert issubclass(kind, ConnectionManager)
    assert ConnectionManager.__abstractmethods__
    assert kind.__abstractmethods__ == frozenset()

"""Passes on what connections tell to the others of a worker, which are stand-ins where they do more than keep it."""

from typing import cast

import pytest

from bide.managed import ManagedConnection
from bide.observe.counters import Counters
from bide.session.peers import Peers
from bide.terms import CloseReason
from bide.worker.admission import Admission
from bide.worker.manager import Manager
from bide.worker.register import Register
from tests.support.managed import StubConnection

DESCRIPTOR = 17
#: Ended connections from which a peer's habit is known.
ENOUGH = 4


class StubAdmission:
    """Keeps what it is told, with the number of connections in the register at that moment."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self.told: list[tuple[str, int, int]] = []

    def admit(self, connection: ManagedConnection, descriptor: int) -> None:
        self.told.append(("admit", descriptor, len(self._register)))

    def closed(self, connection: ManagedConnection) -> None:
        self.told.append(("closed", -1, len(self._register)))


class Scene:
    def __init__(self) -> None:
        self.register = Register()
        self.admission = StubAdmission(self.register)
        self.counters = Counters()
        self.peers = Peers()
        self.woken: list[int] = []
        self.manager = Manager(
            self.register, cast(Admission, self.admission), self.counters, self.peers, self.woken.append
        )


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_connection_opened_is_registered_counted_and_then_judged(scene: Scene) -> None:
    connection = StubConnection()
    scene.manager.opened(connection, DESCRIPTOR)
    assert list(scene.register) == [connection]
    assert scene.counters.opened == 1
    assert scene.admission.told == [("admit", DESCRIPTOR, 1)]


def test_connection_closed_is_struck_out_counted_and_its_place_free(scene: Scene) -> None:
    first, second = StubConnection(), StubConnection()
    scene.manager.opened(first, DESCRIPTOR)
    scene.manager.opened(second, DESCRIPTOR)
    scene.manager.closed(first, CloseReason.IDLE_TIMEOUT, 7)
    assert list(scene.register) == [second]
    assert scene.counters.closed[CloseReason.IDLE_TIMEOUT] == 1
    assert scene.counters.requests == 7
    assert scene.admission.told[-1] == ("closed", -1, 1), "its place is free when admission hears of it"


def test_connections_closed_after_one_request_each_tell_of_their_peer(scene: Scene) -> None:
    for _ in range(ENOUGH):
        connection = StubConnection(host="192.0.2.9")
        scene.manager.opened(connection, DESCRIPTOR)
        assert not scene.peers.rarely_reuse("192.0.2.9")
        scene.manager.closed(connection, CloseReason.CLIENT_CLOSE_OPTION, 1)
    assert scene.peers.rarely_reuse("192.0.2.9")


def test_connection_whose_output_stalls_is_watched_until_it_resumes(scene: Scene) -> None:
    connection = StubConnection()
    scene.manager.output_stalled(connection)
    assert scene.register.stalled == {connection}
    assert scene.register.unread == set()
    scene.manager.output_resumed(connection)
    assert scene.register.stalled == set()


def test_connection_that_is_not_read_is_watched_until_it_is(scene: Scene) -> None:
    connection = StubConnection()
    scene.manager.reading_stopped(connection)
    assert scene.register.unread == {connection}
    assert scene.register.stalled == set()
    scene.manager.reading_resumed(connection)
    assert scene.register.unread == set()


def test_news_that_something_goes_on_may_come_without_a_stop(scene: Scene) -> None:
    scene.manager.output_resumed(StubConnection())
    scene.manager.reading_resumed(StubConnection())
    assert (scene.register.stalled, scene.register.unread) == (set(), set())


def test_connection_parked_is_stood_for_until_it_is_woken(scene: Scene) -> None:
    first, idle, last = StubConnection(), StubConnection(), StubConnection()
    for connection in (first, idle, last):
        scene.manager.opened(connection, DESCRIPTOR)
    parked, woken = StubConnection(), StubConnection()
    scene.manager.replaced(idle, parked)
    assert list(scene.register) == [first, parked, last]

    def wake(descriptor: int) -> None:
        scene.register.replace(parked, woken)
        scene.woken.append(descriptor)

    manager = Manager(scene.register, cast(Admission, scene.admission), scene.counters, scene.peers, wake)
    assert manager.wake(parked, DESCRIPTOR) is woken
    assert scene.woken == [DESCRIPTOR]
    assert list(scene.register) == [first, woken, last]
    assert scene.counters.opened == 3

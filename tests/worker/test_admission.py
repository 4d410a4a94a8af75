"""Who is admitted, who makes room, and when accepting pauses: connections and listeners are stand-ins, time is the loop's."""

import logging
from collections.abc import Iterator
from typing import Final, cast

import pytest

from bide.policy.admission import shed_batch
from bide.session.peers import Peers
from bide.terms import State
from bide.worker import admission
from bide.worker.admission import Admission
from bide.worker.register import Register
from bide.worker.share import Share
from tests.support.listeners import StubListener, as_listeners
from tests.support.loops import JumpingLoop
from tests.support.managed import StubConnection
from tests.support.server import Log, logged

LIMIT: Final = 8
#: The highest descriptor to use; those of connections are below it, unless a test says otherwise.
DESCRIPTORS: Final = 100
LOW: Final = 10

#: Seconds between looks for room while accepting is paused.
LOOK_EVERY: Final = 0.05
#: Age in seconds below which an unused connection is not shed.
NEWCOMER: Final = 1.0
#: The largest share of time that looks may take.
LOOK_SHARE: Final = 0.02


class StubShare:
    """What a worker has in common with others, which hold `count` connections.

    told: how many this worker said to hold, each time.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.told: list[int] = []

    def held(self, connections: int) -> None:
        self.told.append(connections)

    def others(self) -> int:
        return self.count


class Scene:
    """Admission of a worker that serves up to LIMIT connections.

    listener: its only one.
    lowest: the lowest free descriptor.
    look_takes: seconds that pass from one question for the time to the next.
    asked: how often admission has asked for the time; each look asks.
    """

    def __init__(
        self,
        loop: JumpingLoop,
        monkeypatch: pytest.MonkeyPatch,
        *,
        overflow: int = 0,
        per_peer: int = 0,
        others: int | None = None,
    ) -> None:
        self.loop = loop
        self.register = Register()
        self.peers = Peers()
        self.listener = StubListener()
        self.lowest = LOW
        self.look_takes = 0.0
        self.asked = 0
        self.share = StubShare(others or 0)
        self.admission = Admission(
            loop,
            self.register,
            self.peers,
            as_listeners(self.listener),
            limit=LIMIT,
            descriptors=DESCRIPTORS,
            overflow=overflow,
            per_peer=per_peer,
            share=None if others is None else cast(Share, self.share),
            clock=self._clock,
        )
        monkeypatch.setattr(admission, "lowest_descriptor", lambda: self.lowest)

    @property
    def free(self) -> int:
        """Connections that still have room, less those beyond the limit."""
        return self.admission._free_slots()

    def _clock(self) -> float:
        self.asked += 1
        return self.loop.time() + self.asked * self.look_takes

    def is_paused(self) -> bool:
        return self.admission.is_paused

    def open(self, connection: StubConnection, descriptor: int = LOW) -> StubConnection:
        """Accept a connection."""
        self.register.add(connection)
        self.admission.admit(connection, descriptor)
        return connection

    def close(self, connection: StubConnection) -> None:
        """Have the wire of a connection be no more."""
        self.register.remove(connection)
        self.admission.closed(connection)

    def fill(self, count: int = LIMIT - 1, *, idle: bool = False) -> list[StubConnection]:
        """Accept `count` connections: all but one that the limit allows, and none that may be shed."""
        return [self.open(StubConnection(idle=idle, since=float(number))) for number in range(count)]


@pytest.fixture
def scene(loop: JumpingLoop, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(loop, monkeypatch)


@pytest.fixture
def log() -> Iterator[Log]:
    with logged() as log:
        yield log


def shed(connections: list[StubConnection]) -> list[int]:
    """Return the places of those that were shed."""
    return [place for place, connection in enumerate(connections) if "shed" in connection.calls]


# -- Below the limit --------------------------------------------------------------------------------------------------------


def test_connections_below_the_limit_are_let_be(scene: Scene) -> None:
    connections = scene.fill(idle=True)
    assert [connection.calls for connection in connections] == [[]] * len(connections)
    assert not scene.is_paused()
    assert scene.listener.orders == []


def test_connection_that_takes_the_last_place_sheds_the_longest_idle(scene: Scene) -> None:
    connections = [scene.open(StubConnection(since=since)) for since in (5.0, 3.0, 4.0, 9.0, 8.0, 7.0, 6.0)]
    assert shed(connections) == []
    scene.open(StubConnection(idle=False))
    assert shed(connections) == [1]
    assert not scene.is_paused()


def test_connections_that_linger_are_shed_first_then_those_that_rarely_reuse(scene: Scene) -> None:
    for _ in range(4):
        scene.peers.learn("once", 1)
    keeper = StubConnection(since=1.0, host="keeper")
    once = StubConnection(since=3.0, host="once")
    lingering = StubConnection(since=9.0, host="keeper", state=State.LINGER)
    for connection in (keeper, once, lingering):
        scene.open(connection)
    order = []
    for _ in range(3):
        scene.admission.make_room(LOW)
        order += [c for c in (keeper, once, lingering) if "shed" in c.calls and c not in order]
    assert order == [lingering, once, keeper]


def test_connections_are_shed_a_batch_at_a_time(loop: JumpingLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(loop, monkeypatch)
    idle = 40
    scene.admission._limit = idle + 1
    connections = scene.fill(idle, idle=True)
    scene.open(StubConnection(idle=False))
    assert shed(connections) == list(range(shed_batch(idle)))


def test_connections_to_shed_are_asked_with_the_age_of_newcomers(scene: Scene) -> None:
    connections = scene.fill(idle=True)
    scene.open(StubConnection(idle=False))
    assert [connection.asked for connection in connections] == [[(scene.loop.time(), NEWCOMER)]] * len(connections)


def test_place_of_a_shed_connection_is_free_before_it_is_closed(scene: Scene) -> None:
    """Until then it is counted among those that leave; after that it is not counted twice."""
    connections = scene.fill(idle=True)
    scene.open(StubConnection(idle=False))
    assert len(scene.register) == LIMIT
    assert scene.free == 1
    scene.close(connections[0])
    assert scene.free == 1


def test_connection_whose_octets_arrived_meanwhile_stays_and_the_next_goes(scene: Scene) -> None:
    connections = [scene.open(StubConnection(since=float(number), sheds=number > 1)) for number in range(LIMIT - 1)]
    scene.open(StubConnection(idle=False))
    assert [connection.is_shed for connection in connections] == [False, False, True] + [False] * (LIMIT - 4)
    assert not scene.is_paused()


def test_connection_whose_octets_arrived_meanwhile_is_not_taken_for_shed(scene: Scene) -> None:
    connections = [scene.open(StubConnection(sheds=False)) for _ in range(LIMIT - 1)]
    scene.open(StubConnection(idle=False))
    assert shed(connections) == list(range(LIMIT - 1)), "each was asked"
    assert scene.free == 0
    assert scene.is_paused()


# -- The limit of one peer --------------------------------------------------------------------------------------------------

PER_PEER: Final = 2


@pytest.fixture
def shared(loop: JumpingLoop, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Return the scene of a worker that admits two connections of one address."""
    return Scene(loop, monkeypatch, per_peer=PER_PEER)


def test_connections_of_one_peer_up_to_its_limit_are_let_be(shared: Scene) -> None:
    connections = [shared.open(StubConnection(host=host)) for host in ("a", "a", "b", "b")]
    assert [connection.calls for connection in connections] == [[]] * 4


def test_connection_beyond_the_limit_of_its_peer_sheds_its_longest_idle_one(shared: Scene) -> None:
    other = shared.open(StubConnection(host="b", since=1.0))
    own = [shared.open(StubConnection(host="a", since=since)) for since in (3.0, 2.0)]
    newest = shared.open(StubConnection(host="a", idle=False))
    assert [connection.calls for connection in (other, *own, newest)] == [[], [], ["shed"], []]


def test_connection_beyond_the_limit_of_its_busy_peer_is_refused(shared: Scene) -> None:
    own = [shared.open(StubConnection(host="a", idle=False)) for _ in range(PER_PEER)]
    idle_of_another = shared.open(StubConnection(host="b"))
    newest = shared.open(StubConnection(host="a", idle=False))
    assert newest.calls == ["refuse"]
    assert [connection.calls for connection in (*own, idle_of_another)] == [[], [], []]


def test_connection_after_another_of_its_peer_has_closed_is_let_be(shared: Scene) -> None:
    first, second = (shared.open(StubConnection(host="a", idle=False)) for _ in range(PER_PEER))
    shared.close(first)
    assert shared.open(StubConnection(host="a", idle=False)).calls == []
    assert shared.open(StubConnection(host="a", idle=False)).calls == ["refuse"]
    shared.close(second)


def test_connections_of_a_peer_that_has_left_are_counted_from_zero(shared: Scene) -> None:
    for connection in [shared.open(StubConnection(host="a", idle=False)) for _ in range(PER_PEER)]:
        shared.close(connection)
    assert shared.admission._of_peer == {}, "the memory is bounded by what is open"
    assert shared.open(StubConnection(host="a", idle=False)).calls == []


def test_connections_without_an_address_have_no_limit_of_a_peer(shared: Scene) -> None:
    connections = [shared.open(StubConnection(host="", idle=False)) for _ in range(PER_PEER + 1)]
    assert [connection.calls for connection in connections] == [[]] * (PER_PEER + 1)
    shared.close(connections[0])


# -- Overflow ---------------------------------------------------------------------------------------------------------------

OVERFLOW: Final = 2


@pytest.fixture
def overflowing(loop: JumpingLoop, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Return the scene of a worker that refuses two connections beyond its limit, all of whose places are taken."""
    scene = Scene(loop, monkeypatch, overflow=OVERFLOW)
    scene.fill(LIMIT)
    return scene


def test_connection_beyond_the_limit_is_refused_if_it_may_overflow(overflowing: Scene) -> None:
    assert not overflowing.is_paused()
    connection = overflowing.open(StubConnection(idle=False))
    assert connection.calls == ["refuse"]
    assert not overflowing.is_paused()


def test_connection_that_takes_the_last_place_is_not_refused(
    loop: JumpingLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(loop, monkeypatch, overflow=OVERFLOW)
    connections = scene.fill(LIMIT)
    assert [connection.calls for connection in connections] == [[]] * LIMIT


def test_connection_that_takes_the_last_of_the_overflow_pauses(overflowing: Scene) -> None:
    connections = [overflowing.open(StubConnection(idle=False)) for _ in range(OVERFLOW)]
    assert [connection.calls for connection in connections] == [["refuse"]] * OVERFLOW
    assert overflowing.is_paused()
    assert overflowing.free == -OVERFLOW


# -- Pausing ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def busy(scene: Scene) -> list[StubConnection]:
    """Return connections that take every place, and of which none may be shed: accepting is paused."""
    connections = scene.fill(LIMIT)
    assert scene.listener.orders == ["pause"]
    scene.listener.orders.clear()
    return connections


def test_accepting_without_room_pauses_and_says_why_once(scene: Scene, log: Log) -> None:
    connections = scene.fill(LIMIT)
    assert scene.is_paused()
    assert scene.listener.orders == ["pause"]
    scene.close(connections[0])
    scene.open(connections[0])
    assert scene.listener.orders == ["pause", "accept", "pause"]
    assert log.messages(logging.WARNING) == [
        "accepting paused: 8 busy connections, limit 8 (--limit-connections); new connections wait in the listen backlog"
    ]


def test_accepting_without_descriptors_pauses_and_says_why(scene: Scene, log: Log) -> None:
    scene.open(StubConnection(idle=False), DESCRIPTORS - 1)
    assert not scene.is_paused()
    scene.open(StubConnection(idle=False), DESCRIPTORS)
    assert scene.is_paused()
    (message,) = log.messages(logging.WARNING)
    assert message.startswith("accepting paused: 2 busy connections, limit 100 (ulimit -n, less a reserve); ")


def test_accepting_without_descriptors_goes_on_if_some_will_soon_be_free(scene: Scene) -> None:
    idle = scene.open(StubConnection())
    scene.open(StubConnection(idle=False), DESCRIPTORS)
    assert idle.calls == ["shed"]
    assert not scene.is_paused()


def test_accepting_paused_twice_is_paused_once(scene: Scene, busy: list[StubConnection]) -> None:
    scene.admission.make_room(LOW)
    assert scene.listener.orders == []


def test_accepting_paused_resumes_when_a_connection_closes(scene: Scene, busy: list[StubConnection]) -> None:
    scene.close(busy[0])
    assert not scene.is_paused()
    assert scene.listener.orders == ["accept"]
    scene.close(busy[1])
    assert scene.listener.orders == ["accept"]


def test_accepting_paused_stays_so_while_descriptors_are_short(scene: Scene, busy: list[StubConnection]) -> None:
    scene.lowest = DESCRIPTORS
    scene.close(busy[0])
    assert scene.is_paused()
    scene.loop.run_for(LOOK_EVERY)
    assert scene.is_paused()
    scene.lowest = DESCRIPTORS - 1
    scene.loop.run_for(LOOK_EVERY)
    assert not scene.is_paused()
    assert scene.listener.orders == ["accept"]


def test_accepting_paused_looks_for_room_at_each_interval(scene: Scene, busy: list[StubConnection]) -> None:
    busy[0].is_idle = True
    scene.listener.has_waiting = True
    scene.loop.run_for(LOOK_EVERY * 0.9)
    assert busy[0].calls == []
    scene.loop.run_for(LOOK_EVERY * 0.2)
    assert busy[0].calls == ["shed"]
    assert not scene.is_paused()


def test_accepting_paused_sheds_nothing_while_no_connection_waits(scene: Scene, busy: list[StubConnection]) -> None:
    busy[0].is_idle = True
    scene.loop.run_for(LOOK_EVERY * 3)
    assert busy[0].calls == []
    assert scene.is_paused()


def test_accepting_paused_sheds_no_more_while_some_leave(scene: Scene, busy: list[StubConnection]) -> None:
    """Descriptors are short: those of the connections that were shed are not free until they are closed."""
    scene.lowest = DESCRIPTORS
    scene.listener.has_waiting = True
    busy[0].is_idle = busy[1].is_idle = True
    scene.loop.run_for(LOOK_EVERY * 5)
    assert shed(busy) == [0]
    assert scene.is_paused()


def test_look_that_takes_long_makes_the_next_one_late(scene: Scene, busy: list[StubConnection]) -> None:
    """Looks take a bounded share of the time, however many connections there are."""
    scene.look_takes = 0.1
    scene.loop.run_for(LOOK_EVERY * 1.1)
    scene.look_takes = 0.0
    busy[0].is_idle = True
    scene.listener.has_waiting = True
    scene.loop.run_for(0.1 / LOOK_SHARE - LOOK_EVERY)
    assert busy[0].calls == []
    scene.loop.run_for(LOOK_EVERY)
    assert busy[0].calls == ["shed"]


def test_accepting_resumed_looks_no_more(scene: Scene, busy: list[StubConnection]) -> None:
    scene.close(busy[0])
    scene.listener.has_waiting = True
    asked = scene.asked
    scene.loop.run_for(LOOK_EVERY * 3)
    assert scene.asked == asked
    assert scene.listener.orders == ["accept"]


# -- The end ----------------------------------------------------------------------------------------------------------------


def test_backlog_is_accepted_beyond_the_limit(scene: Scene) -> None:
    idle = scene.fill(idle=True)
    scene.admission.accept_backlog()
    connections = [scene.open(StubConnection(idle=False)) for _ in range(LIMIT)]
    assert [connection.calls for connection in connections] == [[]] * LIMIT
    assert shed(idle) == []
    assert not scene.is_paused()


def test_backlog_is_accepted_though_it_may_overflow(overflowing: Scene) -> None:
    overflowing.admission.accept_backlog()
    connections = [overflowing.open(StubConnection(idle=False)) for _ in range(OVERFLOW + 1)]
    assert [connection.calls for connection in connections] == [[]] * (OVERFLOW + 1)
    assert not overflowing.is_paused()


def test_backlog_pauses_and_resumes_by_descriptors_alone(scene: Scene) -> None:
    connections = scene.fill(LIMIT - 1)
    scene.admission.accept_backlog()
    scene.lowest = DESCRIPTORS
    connections += [scene.open(StubConnection(idle=False), DESCRIPTORS - 1) for _ in range(3)]
    assert not scene.is_paused()
    scene.open(StubConnection(idle=False), DESCRIPTORS)
    assert scene.is_paused()
    scene.lowest = LOW
    scene.close(connections[0])
    assert not scene.is_paused()
    assert scene.free < 0


def test_backlog_ends_a_pause_so_that_the_next_one_can_begin(scene: Scene, busy: list[StubConnection]) -> None:
    """The listeners accept again by themselves. Without descriptors they are to stop, or the event loop drops connections."""
    scene.admission.accept_backlog()
    assert not scene.is_paused()
    scene.open(StubConnection(idle=False), DESCRIPTORS - 1)
    assert scene.listener.orders == []
    scene.open(StubConnection(idle=False), DESCRIPTORS)
    assert scene.is_paused()
    assert scene.listener.orders == ["pause"]


def test_backlog_that_ends_a_pause_ends_its_looks(scene: Scene, busy: list[StubConnection]) -> None:
    scene.admission.accept_backlog()
    asked = scene.asked
    scene.loop.run_for(LOOK_EVERY * 3)
    assert scene.asked == asked


def test_backlog_paused_without_descriptors_goes_on_once_there_is_one(scene: Scene) -> None:
    scene.admission.accept_backlog()
    scene.lowest = DESCRIPTORS
    scene.open(StubConnection(idle=False), DESCRIPTORS)
    scene.loop.run_for(LOOK_EVERY * 1.1)
    assert scene.is_paused()
    scene.lowest -= 1
    scene.loop.run_for(LOOK_EVERY)
    assert not scene.is_paused()
    assert scene.listener.orders == ["pause", "accept"]


def test_admission_that_is_closed_looks_no_more(scene: Scene, busy: list[StubConnection]) -> None:
    scene.admission.close()
    assert not scene.is_paused()
    scene.listener.has_waiting = True
    busy[0].is_idle = True
    asked = scene.asked
    scene.loop.run_for(LOOK_EVERY * 3)
    scene.close(busy[1])
    assert scene.asked == asked
    assert busy[0].calls == []
    assert scene.listener.orders == []


def test_admission_may_be_closed_unpaused_and_twice(scene: Scene) -> None:
    scene.admission.close()
    scene.admission.close()
    assert not scene.is_paused()


# -- Beside other workers -----------------------------------------------------------------------------------------------------


def test_other_workers_are_told_of_each_connection(loop: JumpingLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(loop, monkeypatch, others=0)
    first = scene.open(StubConnection())
    scene.open(StubConnection())
    assert scene.listener.orders == []
    scene.register.remove(first)
    scene.admission.closed(first)
    assert scene.share.told == [1, 2, 1]
    assert scene.listener.orders == ["fewer_held"], "it may be this worker's turn to accept"


def test_connections_of_other_workers_take_room(loop: JumpingLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(loop, monkeypatch, others=LIMIT - 2)
    scene.open(StubConnection(idle=False))
    assert (scene.free, scene.is_paused()) == (1, False)
    scene.open(StubConnection(idle=False))
    assert (scene.free, scene.is_paused()) == (0, True)
    scene.share.count -= 1
    loop.run_for(1.0)
    assert not scene.is_paused()

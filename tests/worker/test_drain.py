"""The way to a stop, step by step: connections, listeners, gateway and lifespan are stand-ins, and time is that of a loop that jumps."""

import asyncio
import functools
import logging
from collections.abc import Iterator
from typing import Final, cast

import pytest

from bide.terms import DRAIN, State
from bide.worker.admission import Admission
from bide.worker.cleanup import stop_application
from bide.worker.drain import Drain
from bide.worker.register import Register
from bide.worker.settings import JITTER, Draining
from tests.support.lifespans import StubLifespan
from tests.support.listeners import StubListener, as_listeners
from tests.support.loops import JumpingLoop
from tests.support.managed import StubConnection
from tests.support.server import Log, logged
from tests.support.stage import Stage, StubGateway

DELAY: Final = 3.0
IDLE: Final = 2.0
TIMEOUT: Final = 10.0

#: Seconds within which the drain notices that nothing is left.
LOOK: Final = 0.02
#: Seconds that written octets and cancelled applications get after the deadline.
LAST: Final = 1.0

#: What is done, and after how many seconds.
Journal = list[tuple[float, str]]


class Connection(StubConnection):
    """Writes the orders that it gets into the journal of its scene.

    ends_after: seconds from an order to end until it is closed; None if it stays.
    """

    def __init__(self, scene: "Scene", name: str, *, state: State, ends_after: float | None) -> None:
        super().__init__(state=state)
        self._scene = scene
        self._name = name
        self._ends_after = ends_after

    def _called(self, order: str) -> None:
        super()._called(order)
        self._scene.note(f"{self._name}: {order}")
        if order == "stop" and self._ends_after is not None:
            self._scene.close_after(self._ends_after, self)

    def shorten_wait(self, seconds: float) -> None:
        super().shorten_wait(seconds)
        self._called("shorten_wait")


class Listener(StubListener):
    """Writes the orders that it gets into the journal of its scene."""

    def __init__(self, scene: "Scene", backlog_seconds: float) -> None:
        super().__init__(backlog_seconds=backlog_seconds)
        self._scene = scene

    async def finish(self) -> None:
        self._scene.note("listener: finish")
        await super().finish()

    def close(self) -> None:
        super().close()
        self._scene.note("listener: close")


class StubAdmission:
    """Writes the orders that it gets into the journal of its scene."""

    def __init__(self, scene: "Scene") -> None:
        self._scene = scene

    def accept_backlog(self) -> None:
        self._scene.note("admission: accept_backlog")

    def close(self) -> None:
        self._scene.note("admission: close")


class Gateway(StubGateway):
    """Writes the orders that it gets into the journal of its scene."""

    def __init__(self, scene: "Scene") -> None:
        super().__init__()
        self._scene = scene

    def drain(self) -> None:
        super().drain()
        self._scene.note("gateway: drain")

    def cancel(self) -> None:
        super().cancel()
        self._scene.note("gateway: cancel")


class Scene:
    """A worker that is to stop.

    journal: what was done to its parts, and when, in seconds since the start, to the millisecond.
    """

    def __init__(
        self,
        loop: JumpingLoop,
        *,
        delay: float = 0.0,
        idle: float = IDLE,
        streams: float = 10 * TIMEOUT,
        tunnels: float = 10 * TIMEOUT,
        timeout: float = TIMEOUT,
        backlog_seconds: float = 0.0,
        timeout_idle: float = 75.0,
        is_last: bool = True,
    ) -> None:
        self.loop = loop
        self.journal: Journal = []
        self.context = Stage(loop, timeout_idle=timeout_idle).context
        self.register = Register()
        self.listener = Listener(self, backlog_seconds)
        self.gateway = Gateway(self)
        self.lifespan = StubLifespan(loop)
        self.forced = asyncio.Event()
        self.drain = Drain(
            Draining(delay, idle, streams, tunnels, timeout),
            self.context,
            self.register,
            cast(Admission, StubAdmission(self)),
            as_listeners(self.listener),
            self.gateway,
            functools.partial(stop_application, self.lifespan.as_lifespan, self.forced),
            self.forced,
            is_last=is_last,
        )

    def note(self, event: str) -> None:
        self.journal.append((round(self.loop.elapsed, 3), event))

    def open(
        self, name: str = "connection", *, state: State = State.IDLE, ends_after: float | None = None
    ) -> Connection:
        """Accept a connection."""
        connection = Connection(self, name, state=state, ends_after=ends_after)
        self.register.add(connection)
        return connection

    def close_after(self, seconds: float, connection: Connection) -> None:
        """Have the wire of a connection be no more after `seconds`; 0 for in two passes of the event loop, as after an abort."""

        def close() -> None:
            if connection in list(self.register):
                self.register.remove(connection)

        if seconds:
            self.loop.call_later(seconds, close)
        else:
            self.loop.call_soon(self.loop.call_soon, close)

    def force_after(self, seconds: float) -> None:
        """Have a second signal come after `seconds`."""
        self.loop.call_later(seconds, self.forced.set)

    def stop_connections(self) -> float:
        """Run the connections' part of the drain; return the seconds that it took, to the millisecond."""
        before = self.loop.time()
        self.loop.run_until_complete(self.drain.connections())
        return round(self.loop.time() - before, 3)

    def stop_application(self) -> float:
        """Run the application's part of the drain; return the seconds that it took, to the millisecond."""
        before = self.loop.time()
        self.loop.run_until_complete(self.drain.application())
        return round(self.loop.time() - before, 3)

    def times(self, event: str) -> list[float]:
        """Return when `event` came."""
        return [seconds for seconds, other in self.journal if other == event]


@pytest.fixture
def log() -> Iterator[Log]:
    with logged() as log:
        yield log


# -- The order of the steps -------------------------------------------------------------------------------------------------


def test_drain_takes_its_steps_in_order(loop: JumpingLoop) -> None:
    scene = Scene(loop, delay=DELAY, backlog_seconds=1.0)
    scene.open(state=State.EXCHANGE)
    scene.stop_connections()
    announced, rest = scene.journal[:2], scene.journal[2:]
    assert set(announced) == {(0.0, "gateway: drain"), (0.0, "connection: announce_drain")}
    assert rest == [
        (DELAY, "connection: shorten_wait"),
        (DELAY, "admission: accept_backlog"),
        (DELAY, "listener: finish"),
        (DELAY + 1.0, "admission: close"),
        (DELAY + 1.0, "listener: close"),
        (DELAY + 1.0, "connection: shorten_wait"),
        (TIMEOUT, "connection: stop"),
        (TIMEOUT + LAST, "connection: stop"),
    ]


def test_drain_beside_other_workers_leaves_the_backlog_to_them_at_once(loop: JumpingLoop) -> None:
    scene = Scene(loop, delay=DELAY, is_last=False)
    scene.open(state=State.EXCHANGE, ends_after=0.5)
    scene.stop_connections()
    assert [step for step in scene.journal if step[1].startswith(("admission", "listener"))] == [
        (0.0, "admission: close"),
        (0.0, "listener: close"),
    ]


def test_drain_is_a_fact_of_every_connection_from_the_first_moment(loop: JumpingLoop) -> None:
    """Those accepted during the delay hear of it by the fact alone."""
    scene = Scene(loop, delay=DELAY)
    early = scene.open("early", ends_after=0.0)
    facts = []
    loop.call_later(DELAY / 2, lambda: facts.append(scene.context.facts))
    loop.call_later(DELAY / 2, lambda: scene.open("late", ends_after=0.0))
    scene.stop_connections()
    assert facts == [DRAIN]
    assert early.calls[0] == "announce_drain"
    assert scene.times("late: announce_drain") == []
    assert scene.times("late: shorten_wait")[0] == DELAY


def test_drain_without_a_delay_goes_on_at_once(loop: JumpingLoop) -> None:
    scene = Scene(loop)
    assert scene.stop_connections() == 0.0
    assert [event for _, event in scene.journal] == [
        "gateway: drain",
        "admission: accept_backlog",
        "listener: finish",
        "admission: close",
        "listener: close",
    ]


def test_deadline_of_a_drain_counts_from_when_it_was_made(loop: JumpingLoop) -> None:
    scene = Scene(loop)
    scene.open(state=State.EXCHANGE, ends_after=0.0)
    loop.run_for(TIMEOUT - 1.0)
    assert scene.stop_connections() == pytest.approx(1.0, abs=2 * LOOK)


# -- Idle connections -------------------------------------------------------------------------------------------------------


def test_idle_connections_wait_for_the_time_of_the_drain_spread_a_little(loop: JumpingLoop) -> None:
    scene = Scene(loop)
    connections = [scene.open(str(number), ends_after=0.0) for number in range(100)]
    scene.stop_connections()
    waits = [connection.wait for connection in connections]
    assert min(waits) >= IDLE * (1 - JITTER)
    assert max(waits) <= IDLE
    assert max(waits) - min(waits) > IDLE * JITTER / 2
    assert scene.context.idle.longest == IDLE, "connections that become idle later wait as long"


def test_idle_connections_wait_no_longer_than_without_a_drain(loop: JumpingLoop) -> None:
    scene = Scene(loop, timeout_idle=1.0)
    connection = scene.open(ends_after=0.0)
    scene.stop_connections()
    assert 1.0 * (1 - JITTER) <= connection.wait <= 1.0


def test_connection_from_the_backlog_has_its_wait_shortened_too(loop: JumpingLoop) -> None:
    scene = Scene(loop, backlog_seconds=1.0)
    loop.call_later(0.5, lambda: scene.open("queued", ends_after=0.0))
    scene.stop_connections()
    assert scene.times("queued: shorten_wait") == [1.0]


# -- The end of the waiting -------------------------------------------------------------------------------------------------


def test_drain_ends_as_soon_as_the_last_connection_has_closed(loop: JumpingLoop, log: Log) -> None:
    scene = Scene(loop)
    scene.close_after(5.0, scene.open("first"))
    scene.close_after(7.0, scene.open("second"))
    assert scene.stop_connections() == pytest.approx(7.0, abs=2 * LOOK)
    assert [event for _, event in scene.journal if "stop" in event] == []
    assert log.messages(logging.WARNING) == []


def test_drain_waits_for_applications_whose_connections_have_closed(loop: JumpingLoop) -> None:
    scene = Scene(loop)
    scene.gateway.unfinished = 2

    def one_ends() -> None:
        scene.gateway.unfinished -= 1

    loop.call_later(4.0, one_ends)
    loop.call_later(6.0, one_ends)
    assert scene.stop_connections() == pytest.approx(6.0, abs=2 * LOOK)


def test_drain_waits_for_applications_no_longer_than_its_timeout(loop: JumpingLoop) -> None:
    scene = Scene(loop)
    scene.gateway.unfinished = 1
    assert scene.stop_connections() == pytest.approx(TIMEOUT, abs=2 * LOOK)


def test_backlog_that_takes_too_long_is_given_up_at_the_deadline(loop: JumpingLoop) -> None:
    scene = Scene(loop, backlog_seconds=10 * TIMEOUT)
    assert scene.stop_connections() == pytest.approx(TIMEOUT, abs=2 * LOOK)
    assert not scene.listener.finished
    assert scene.times("listener: close") == [TIMEOUT]
    loop.run_for(10 * TIMEOUT)
    assert not scene.listener.finished, "nothing of it goes on"


def test_stop_of_listening_is_in_the_log(loop: JumpingLoop, log: Log) -> None:
    scene = Scene(loop)
    scene.close_after(1.0, scene.open())
    scene.stop_connections()
    assert "stopped listening: 1 open connections" in log.messages(logging.INFO)


def test_listener_that_fails_to_finish_leaves_the_others_their_time(loop: JumpingLoop) -> None:
    scene = Scene(loop, backlog_seconds=1.0)

    async def fail() -> None:
        raise OSError("a bug of ours")

    failing = Listener(scene, 0.0)
    failing.finish = fail  # type: ignore[method-assign]
    scene.drain._listeners = as_listeners(failing, scene.listener)
    scene.stop_connections()
    assert scene.listener.finished
    assert scene.times("listener: close") == [1.0, 1.0]


# -- Event streams ----------------------------------------------------------------------------------------------------------

STREAMS: Final = 4.0
#: Seconds between looks whether event streams have begun that are to end.
STREAMS_EVERY: Final = 0.5


def test_event_streams_are_ended_after_their_time_and_those_that_begin_later(loop: JumpingLoop) -> None:
    scene = Scene(loop, streams=STREAMS)
    early = scene.open("early", state=State.EXCHANGE)
    scene.close_after(STREAMS + STREAMS_EVERY * 1.5, early)
    loop.call_later(STREAMS + STREAMS_EVERY / 2, lambda: scene.open("late", state=State.EXCHANGE, ends_after=0.0))
    scene.stop_connections()
    assert scene.times("early: end_stream") == [STREAMS, STREAMS + STREAMS_EVERY]
    assert scene.times("late: end_stream")[:2] == [STREAMS + STREAMS_EVERY, STREAMS + 2 * STREAMS_EVERY]


def test_event_streams_are_let_be_from_the_cut_on(loop: JumpingLoop) -> None:
    scene = Scene(loop, streams=STREAMS)
    scene.open(state=State.EXCHANGE)
    scene.stop_connections()
    loop.run_for(10 * STREAMS_EVERY)
    assert max(scene.times("connection: end_stream")) <= TIMEOUT < scene.loop.elapsed


def test_event_streams_have_their_time_from_the_announcement_on(loop: JumpingLoop) -> None:
    """Neither the delay nor the backlog takes from it, nor adds to it."""
    scene = Scene(loop, delay=DELAY, backlog_seconds=2.0, streams=STREAMS)
    scene.open(state=State.EXCHANGE, ends_after=0.0)
    scene.stop_connections()
    assert scene.times("connection: end_stream")[0] == STREAMS


# -- The cut ----------------------------------------------------------------------------------------------------------------


def test_connections_left_at_the_deadline_are_cut_and_counted(loop: JumpingLoop, log: Log) -> None:
    scene = Scene(loop)
    for name, state in (("busy", State.EXCHANGE), ("other", State.EXCHANGE), ("idle", State.IDLE)):
        scene.open(name, state=state, ends_after=0.0)
    assert scene.stop_connections() == pytest.approx(TIMEOUT, abs=2 * LOOK)
    assert [scene.times(f"{name}: stop") for name in ("busy", "other", "idle")] == [[TIMEOUT]] * 3
    assert log.messages(logging.WARNING) == ["2 unfinished connections closed at the drain timeout"]


def test_connections_left_at_the_deadline_with_nothing_unfinished_are_no_warning(loop: JumpingLoop, log: Log) -> None:
    scene = Scene(loop)
    scene.open(ends_after=0.0)
    scene.stop_connections()
    assert log.messages(logging.WARNING) == []


def test_octets_of_a_connection_that_was_cut_have_a_moment_to_leave(loop: JumpingLoop) -> None:
    scene = Scene(loop)
    scene.open(state=State.EXCHANGE, ends_after=LAST / 2)
    assert scene.stop_connections() == pytest.approx(TIMEOUT + LAST / 2, abs=2 * LOOK)
    assert scene.times("connection: stop") == [TIMEOUT], "it ended in time"


def test_connection_that_does_not_end_after_the_cut_is_stopped_again(loop: JumpingLoop) -> None:
    """The second time it is aborted, which the event loop reports in its next passes."""
    scene = Scene(loop)
    connection = scene.open(state=State.EXCHANGE)
    loop.call_later(TIMEOUT + LAST / 2, setattr, connection, "_ends_after", 0.0)
    assert scene.stop_connections() == pytest.approx(TIMEOUT + LAST, abs=2 * LOOK)
    assert len(scene.times("connection: stop")) == 2
    assert len(scene.register) == 0


# -- A second signal --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("forced_after", "step"),
    [(0.0, "delay"), (DELAY / 2, "delay"), (DELAY + 0.5, "backlog"), (DELAY + 5.0, "connections")],
)
def test_second_signal_skips_every_wait_from_then_on(
    loop: JumpingLoop, log: Log, forced_after: float, step: str
) -> None:
    scene = Scene(loop, delay=DELAY, backlog_seconds=1.0)
    scene.open(state=State.EXCHANGE)
    scene.force_after(forced_after)
    assert scene.stop_connections() == pytest.approx(forced_after, abs=2 * LOOK), f"it comes within that of {step}"
    assert log.messages(logging.WARNING) == ["1 unfinished connections closed at the second signal"]
    assert scene.times("listener: close") != []
    assert scene.listener.finished == (step == "connections")


def test_second_signal_before_the_first_step_skips_all_waits(loop: JumpingLoop) -> None:
    scene = Scene(loop, delay=DELAY, backlog_seconds=1.0)
    scene.open(state=State.EXCHANGE, ends_after=0.0)
    scene.forced.set()
    assert scene.stop_connections() == 0.0
    assert scene.context.facts == DRAIN
    assert scene.journal[-1] == (0.0, "connection: stop")
    assert len(scene.register) == 0


def test_second_signal_after_the_cut_ends_the_wait_for_the_last_octets(loop: JumpingLoop) -> None:
    scene = Scene(loop)
    scene.open(state=State.EXCHANGE)
    scene.force_after(TIMEOUT + LAST / 2)
    assert scene.stop_connections() == pytest.approx(TIMEOUT + LAST / 2, abs=2 * LOOK)


# -- The application --------------------------------------------------------------------------------------------------------


def test_applications_that_still_run_are_cancelled_before_the_clean_up(loop: JumpingLoop) -> None:
    scene = Scene(loop)
    scene.gateway.unfinished = 1
    seen = []

    def ends() -> None:
        seen.append(list(scene.lifespan.calls))
        scene.gateway.unfinished = 0

    loop.call_later(LAST / 2, ends)
    assert scene.stop_application() == pytest.approx(LAST / 2, abs=2 * LOOK)
    assert scene.times("gateway: cancel") == [0.0]
    assert seen == [[]]
    assert scene.lifespan.calls == ["shutdown", "clean"]


def test_applications_that_do_not_end_are_waited_for_a_moment(loop: JumpingLoop) -> None:
    scene = Scene(loop)
    scene.gateway.unfinished = 1
    assert scene.stop_application() == pytest.approx(LAST, abs=2 * LOOK)
    assert scene.lifespan.calls == ["shutdown", "clean"]

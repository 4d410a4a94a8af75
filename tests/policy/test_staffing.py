"""Which workers are started, drained and ended: a row for each rule, then thousands of invented histories.

A history has crashes, stuck loops, bad and good reloads, changed numbers, signals from outside and a
stop, at random. Laws that must hold at every step are in `World.obey`. `HISTORIES=10000` tries more.
"""

from __future__ import annotations

import heapq
import os
import random
from collections.abc import Callable
from itertools import count, product
from typing import cast

import pytest

from bide.policy.staffing import (
    FOREVER,
    TRANSITIONS,
    Bounds,
    Fleet,
    Order,
    Worker,
    due,
    is_alive,
    is_settled,
    judged,
    obeyed,
    plan,
    reloaded,
    resized,
    slept,
    step,
    stopped,
    told,
)
from bide.terms import Cause, WorkerInput, WorkerOrder, WorkerState

HISTORIES = int(os.environ.get("HISTORIES", "1000"))

# One line per state: the inputs that it takes, and where they lead.
EXPECTED = """
starting  ready>ready  failed>ending  beat>starting  drains>draining  late>ending  retire>ending  hangup>lost  exit>gone
ready     beat>ready  drains>draining  late>ending  retire>draining  hangup>lost  exit>gone
draining  ready>draining  failed>draining  beat>draining  drains>draining  late>killed  retire>draining  hangup>draining  exit>gone
ending    ready>ending  failed>ending  beat>ending  drains>ending  late>killed  hangup>ending  exit>gone
lost      late>draining  exit>gone
killed    ready>killed  failed>killed  beat>killed  drains>killed  hangup>killed  exit>gone
gone
"""
TABLE: dict[tuple[WorkerState, WorkerInput], WorkerState] = {
    (WorkerState(line.split()[0]), WorkerInput(happened)): WorkerState(following)
    for line in EXPECTED.strip().splitlines()
    for happened, following in (pair.split(">") for pair in line.split()[1:])
}

START_S, BLOCKED_S, DRAIN_S = 20.0, 9.0, 8.0
BOUNDS = Bounds(START_S, BLOCKED_S, DRAIN_S)
GRACE_S = 4.0  # after a drain's own time
END_S = 2.0
EXIT_S = 1.0
PROOF_S = 1.0
STEADY_S = 5.0
DELAYS_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)

STARTING, READY, DRAINING, ENDING, LOST, KILLED = list(WorkerState)[:-1]
START, DRAIN, HURRY, STACKS, TERMINATE, ABORT, KILL, GIVE_UP = WorkerOrder

NOW = 100.0


@pytest.mark.parametrize(
    ("state", "happened"),
    list(product(WorkerState, WorkerInput)),
    ids=lambda word: cast("WorkerState | WorkerInput", word).value,
)
def test_step_of_each_state_and_input_follows_the_table(state: WorkerState, happened: WorkerInput) -> None:
    following = TABLE.get((state, happened))
    if following is None:
        with pytest.raises(AssertionError, match=f"{happened.name} cannot happen in {state.name}"):
            step(state, happened)
    else:
        assert step(state, happened) is following


def test_table_has_a_row_for_each_state() -> None:
    assert set(TRANSITIONS) == set(WorkerState)


# -- Rules ------------------------------------------------------------------------------------------------------------------


def ready(number: int, generation: int = 1, age: float = 50.0, **rest: float | Cause | None) -> Worker:
    """A worker that has been ready for `age` seconds, and has just beaten."""
    since = NOW - age
    plain = Worker(number, generation, since, NOW + BLOCKED_S, READY, NOW + BLOCKED_S / 3, since)
    return plain._replace(**rest)  # type: ignore[arg-type]


def starting(number: int, generation: int = 1, age: float = 0.1) -> Worker:
    return Worker(number, generation, NOW - age, NOW - age + START_S)


def in_state(number: int, state: WorkerState, seconds: float, generation: int = 1) -> Worker:
    """A worker whose state lasts for `seconds` more."""
    return Worker(number, generation, NOW - 50, NOW + seconds, state)


def fleet(*workers: Worker, **rest: object) -> Fleet:
    """A fleet that has served for a while, and wants two workers."""
    plain = Fleet(BOUNDS, wanted=2, processors=4, good=1, workers=workers)
    return plain._replace(**rest)  # type: ignore[arg-type]


def drain(number: int, cause: Cause, seconds: float = DRAIN_S, *, is_last: bool = False) -> Order:
    return Order(DRAIN, number, cause, seconds, is_last)


NEW_CODE = {"generation": 2, "newest": 2}

ROWS: dict[str, tuple[Fleet, list[Order]]] = {
    "nothing is to do": (fleet(ready(1), ready(2)), []),
    "first start": (fleet(good=0), [Order(START, 1), Order(START, 2)]),
    "first start on one processor": (fleet(good=0, processors=1), [Order(START, 1)]),
    "one is missing": (fleet(ready(2)), [Order(START, 1)]),
    "one is missing and its place is still taken": (fleet(in_state(1, DRAINING, 5), ready(2)), [Order(START, 3)]),
    "one is missing and starts": (fleet(ready(1), starting(2)), []),
    "one is missing and may not start yet": (fleet(ready(1), not_before=NOW + 0.1), []),
    "one is missing and may start again": (fleet(ready(1), not_before=NOW), [Order(START, 2)]),
    "start takes too long": (
        fleet(ready(1), starting(2, age=START_S)),
        [Order(TERMINATE, 2)],
    ),
    "loop is stuck for a third of its time": (fleet(ready(1), ready(2, stacks_at=NOW)), [Order(STACKS, 2)]),
    "loop is stuck": (fleet(ready(1), ready(2, until=NOW)), [Order(ABORT, 2)]),
    "drain takes too long": (fleet(ready(1), ready(2), in_state(3, DRAINING, 0)), [Order(KILL, 3)]),
    "end takes too long": (fleet(ready(1), ready(2), in_state(3, ENDING, 0)), [Order(KILL, 3)]),
    "lost one does not end": (fleet(ready(1), ready(2), in_state(3, LOST, 0)), [Order(TERMINATE, 3)]),
    "lost one is replaced before it ends": (fleet(ready(1), in_state(2, LOST, 0.5)), [Order(START, 3)]),
    "killed one is waited for": (fleet(ready(1), ready(2), in_state(3, KILLED, FOREVER)), []),
    "reload begins": (fleet(ready(1), ready(2), **NEW_CODE), [Order(START, 3)]),
    "reload replaces one in four": (
        fleet(*(ready(number) for number in range(1, 9)), wanted=8, **NEW_CODE),
        [Order(START, 9), Order(START, 10)],
    ),
    "reload waits for proof": (fleet(ready(1), ready(2), ready(3, 2, age=0.9), **NEW_CODE), []),
    "reload has proof": (
        fleet(ready(1, age=60), ready(2, age=70), ready(3, 2, age=PROOF_S), **NEW_CODE),
        [drain(2, Cause.RELOAD)],
    ),
    "reload goes on": (
        fleet(ready(1), in_state(2, DRAINING, 5), ready(3, 2, age=PROOF_S), **NEW_CODE),
        [Order(START, 4)],
    ),
    "reload to fewer workers": (
        fleet(ready(1, age=60), ready(2), ready(3, age=70), wanted=2, **NEW_CODE),
        [drain(3, Cause.RELOAD)],
    ),
    "start for an earlier generation is ended": (
        fleet(ready(1), ready(2), starting(3, 2), generation=3, newest=3),
        [Order(TERMINATE, 3), Order(START, 4)],
    ),
    "failed reload leaves one of its workers": (
        fleet(ready(1), ready(2), ready(3, 2, age=0.5), newest=2),
        [drain(3, Cause.RELOAD)],
    ),
    "one is due": (fleet(ready(1, due=Cause.AGE), ready(2)), [Order(START, 3)]),
    "all are due": (fleet(ready(1, due=Cause.AGE), ready(2, due=Cause.AGE)), [Order(START, 3)]),
    "one is due and replaced": (
        fleet(ready(1, due=Cause.AGE), ready(2), ready(3, age=0.1)),
        [drain(1, Cause.AGE)],
    ),
    "one more is wanted": (fleet(ready(1), ready(2), wanted=3), [Order(START, 3)]),
    "one less is wanted": (fleet(ready(1), ready(2, age=40), wanted=1), [drain(2, Cause.SURPLUS)]),
    "none was ever ready and one failed": (
        fleet(starting(2), good=0, strikes=1),
        [Order(GIVE_UP, 0)],
    ),
    "development ends all old ones at once": (
        fleet(ready(1), wanted=1, has_gap=True, **NEW_CODE),
        [drain(1, Cause.RELOAD), Order(START, 2)],
    ),
    "development starts again after the next change only": (
        fleet(wanted=1, has_gap=True, good=0, strikes=1, not_before=FOREVER),
        [],
    ),
    "stop": (
        fleet(ready(1), starting(2), in_state(3, DRAINING, 5), in_state(4, ENDING, 1), stop_at=NOW + 3),
        [drain(1, Cause.STOP, 3.0, is_last=True), Order(TERMINATE, 2)],
    ),
    "stop with one that is late": (
        fleet(ready(1, until=NOW), in_state(2, LOST, 0.5), stop_at=NOW + 3),
        [Order(ABORT, 1)],
    ),
    "stop is hurried": (
        fleet(in_state(1, DRAINING, 5), in_state(2, DRAINING, END_S), stop_at=NOW + 3, is_hurried=True),
        [Order(HURRY, 1)],
    ),
    "stop after its deadline": (fleet(ready(1), stop_at=NOW - 1), [drain(1, Cause.STOP, 0.0, is_last=True)]),
}


@pytest.mark.parametrize(("before", "orders"), ROWS.values(), ids=ROWS)
def test_plan_follows_each_rule(before: Fleet, orders: list[Order]) -> None:
    found, _ = plan(before, NOW)
    assert found == orders


@pytest.mark.parametrize(
    ("before", "instant"),
    [
        (fleet(), FOREVER),
        (fleet(not_before=NOW + 7), NOW + 7),
        (fleet(ready(1), ready(2)), NOW + BLOCKED_S / 3),
        (fleet(ready(1, stacks_at=FOREVER)), NOW + BLOCKED_S),
        (fleet(ready(1, 2, age=0.25), **NEW_CODE), NOW + 0.75),
        (fleet(in_state(1, DRAINING, 0.5)), NOW + 0.5),
        (fleet(in_state(1, KILLED, FOREVER)), FOREVER),
    ],
)
def test_next_look_is_the_earliest_instant_that_changes_the_plan(before: Fleet, instant: float) -> None:
    assert plan(before, NOW)[1] == instant


# -- Facts and orders change the fleet ------------------------------------------------------------------------------------------


def test_worker_that_is_ready_has_the_clock_of_its_beats() -> None:
    after = told(fleet(starting(1)), 1, WorkerInput.READY, NOW)
    assert after.worker(1)[2:8] == (NOW - 0.1, NOW + BLOCKED_S, READY, NOW + BLOCKED_S / 3, NOW, FOREVER)
    later = told(obeyed(after, Order(STACKS, 1), NOW + 3), 1, WorkerInput.BEAT, NOW + 4).worker(1)
    assert (later.until, later.stacks_at, later.ready_at) == (NOW + 4 + BLOCKED_S, NOW + 4 + BLOCKED_S / 3, NOW)


def test_stacks_are_printed_once_for_each_stall() -> None:
    after = obeyed(fleet(ready(1, stacks_at=NOW), ready(2)), Order(STACKS, 1), NOW)
    assert plan(after, NOW)[0] == []


@pytest.mark.parametrize(
    ("before", "order", "state", "seconds"),
    [
        (ready(1), drain(1, Cause.RELOAD, 3.0), DRAINING, 3.0 + GRACE_S),
        (in_state(1, DRAINING, 9), Order(HURRY, 1), DRAINING, END_S),
        (in_state(1, DRAINING, 1), Order(HURRY, 1), DRAINING, 1),
        (starting(1), Order(TERMINATE, 1), ENDING, END_S),
        (starting(1, age=START_S), Order(TERMINATE, 1), ENDING, END_S),
        (in_state(1, LOST, 0), Order(TERMINATE, 1), DRAINING, DRAIN_S + GRACE_S),
        (ready(1, until=NOW), Order(ABORT, 1), ENDING, END_S),
        (in_state(1, ENDING, 0), Order(KILL, 1), KILLED, FOREVER),
    ],
)
def test_order_brings_a_state_and_its_clock(before: Worker, order: Order, state: WorkerState, seconds: float) -> None:
    after = obeyed(fleet(before), order, NOW).worker(1)
    assert (after.state, after.until) == (state, NOW + seconds)


@pytest.mark.parametrize(
    ("before", "event", "state", "seconds"),
    [
        (ready(1), WorkerInput.DRAINS, DRAINING, DRAIN_S + GRACE_S),
        (ready(1), WorkerInput.HANGUP, LOST, EXIT_S),
        (starting(1), WorkerInput.HANGUP, LOST, EXIT_S),
        (starting(1), WorkerInput.FAILED, ENDING, END_S),
        (in_state(1, DRAINING, 3), WorkerInput.BEAT, DRAINING, 3),
        (in_state(1, ENDING, 1), WorkerInput.READY, ENDING, 1),
    ],
)
def test_fact_brings_a_state_and_its_clock(
    before: Worker, event: WorkerInput, state: WorkerState, seconds: float
) -> None:
    after = told(fleet(before), 1, event, NOW).worker(1)
    assert (after.state, after.until) == (state, NOW + seconds)


def test_worker_lost_during_a_stop_has_the_time_of_the_stop() -> None:
    after = obeyed(fleet(in_state(1, LOST, 0), stop_at=NOW + 1), Order(TERMINATE, 1), NOW)
    assert after.worker(1).until == NOW + 1 + GRACE_S


def test_worker_that_is_gone_frees_its_place() -> None:
    after = told(fleet(ready(1), ready(2)), 1, WorkerInput.EXIT, NOW)
    assert [worker.number for worker in after.workers] == [2]
    assert after.count(READY) == 1
    with pytest.raises(KeyError):
        after.worker(1)


@pytest.mark.parametrize(
    ("worker", "events", "strikes"),
    [
        (starting(1), [WorkerInput.EXIT], 1),
        (starting(1), [WorkerInput.FAILED, WorkerInput.EXIT], 1),
        (starting(1), [WorkerInput.HANGUP, WorkerInput.EXIT], 1),
        (ready(1, age=4.9), [WorkerInput.EXIT], 1),
        (ready(1, age=4.9), [WorkerInput.HANGUP, WorkerInput.EXIT], 1),
        (ready(1, age=STEADY_S), [WorkerInput.EXIT], 0),
        (ready(1, age=STEADY_S), [WorkerInput.HANGUP, WorkerInput.EXIT], 0),
        (ready(1, age=1), [WorkerInput.DRAINS, WorkerInput.EXIT], 0),
        (starting(1), [WorkerInput.DRAINS, WorkerInput.EXIT], 0),
        (in_state(1, ENDING, 1), [WorkerInput.EXIT], 0),
        (starting(1, 7), [WorkerInput.EXIT], 0),  # of a generation that is given up
    ],
)
def test_early_end_is_a_strike(worker: Worker, events: list[WorkerInput], strikes: int) -> None:
    after = fleet(worker, newest=7)
    for event in events:
        after = told(after, 1, event, NOW)
    assert after.strikes == strikes


def test_early_end_during_a_stop_is_no_strike() -> None:
    assert told(fleet(starting(1), stop_at=NOW), 1, WorkerInput.EXIT, NOW).strikes == 0


def test_start_that_takes_too_long_is_a_strike() -> None:
    assert obeyed(fleet(starting(1, age=START_S)), Order(TERMINATE, 1), NOW).strikes == 1


@pytest.mark.parametrize("strikes", range(10))
def test_strikes_delay_the_next_start(strikes: int) -> None:
    after = told(fleet(starting(1), strikes=strikes), 1, WorkerInput.EXIT, NOW)
    assert after.not_before == NOW + DELAYS_S[min(strikes, 6)]


def test_steady_worker_that_started_after_the_last_strike_clears_them() -> None:
    struck = {"strikes": 3, "struck_at": NOW - 10}
    assert judged(fleet(ready(1, age=STEADY_S), **struck), NOW).strikes == 0
    assert judged(fleet(ready(1, age=4.9), **struck), NOW).strikes == 3
    assert judged(fleet(ready(1, age=11), **struck), NOW).strikes == 3


def test_first_ready_worker_makes_the_first_generation_good() -> None:
    after = told(fleet(starting(1), good=0), 1, WorkerInput.READY, NOW)
    assert after.good == 1
    after = told(after, 1, WorkerInput.EXIT, NOW)
    assert Order(GIVE_UP, 0) not in plan(after, NOW)[0]


def test_worker_of_a_later_generation_makes_it_good_once_it_was_ready_for_a_while() -> None:
    after = told(fleet(ready(1), starting(3, 2), **NEW_CODE), 3, WorkerInput.READY, NOW)
    assert judged(after, NOW + 0.9).good == 1
    assert judged(after, NOW + PROOF_S).good == 2
    assert told(after, 3, WorkerInput.EXIT, NOW + PROOF_S).generation == 2


@pytest.mark.parametrize("worker", [starting(3, 2), ready(3, 2, age=0.9)])
def test_early_end_without_proof_brings_the_generation_before_back(worker: Worker) -> None:
    after = told(fleet(ready(1), ready(2), worker, **NEW_CODE), 3, WorkerInput.EXIT, NOW)
    assert (after.generation, after.newest, after.strikes) == (1, 2, 0)
    assert plan(after, NOW)[0] == []
    assert reloaded(after, NOW, 2, BOUNDS).generation == 3


def test_early_end_in_development_waits_for_the_next_change() -> None:
    after = told(fleet(starting(3, 2), has_gap=True, **NEW_CODE), 3, WorkerInput.EXIT, NOW)
    assert (after.generation, after.not_before) == (2, FOREVER)
    assert reloaded(after, NOW, 1, BOUNDS).not_before == NOW


def test_reload_takes_numbers_anew_and_forgets_failures() -> None:
    after = reloaded(fleet(ready(1), strikes=5, not_before=NOW + 15), NOW, 4, Bounds(1, 2, 3))
    assert after == fleet(ready(1), wanted=4, bounds=Bounds(1, 2, 3), not_before=NOW, struck_at=NOW, **NEW_CODE)


def test_number_of_workers_stays_positive() -> None:
    assert resized(fleet(), 1).wanted == 3
    assert resized(resized(fleet(), -1), -1).wanted == 1


def test_second_stop_hurries() -> None:
    once = stopped(fleet(), NOW)
    assert (once.stop_at, once.is_hurried) == (NOW + DRAIN_S, False)
    again = stopped(once, NOW + 1)
    assert (again.stop_at, again.is_hurried) == (NOW + DRAIN_S, True)


def test_giving_up_stops() -> None:
    assert obeyed(fleet(good=0, strikes=1), Order(GIVE_UP, 0), NOW).is_stopping


def test_worker_is_due_for_its_first_cause() -> None:
    after = due(due(fleet(ready(1)), 1, Cause.AGE), 1, Cause.MEMORY)
    assert after.worker(1).due is Cause.AGE
    assert due(fleet(starting(1)), 1, Cause.AGE).worker(1).due is None


def test_time_that_the_supervisor_slept_counts_on_no_clock() -> None:
    after = slept(fleet(ready(1)), 60.0).worker(1)
    assert (after.until, after.stacks_at) == (NOW + BLOCKED_S + 60, NOW + BLOCKED_S / 3 + 60)


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (fleet(ready(1), ready(2)), True),
        (fleet(ready(1), ready(2), in_state(3, DRAINING, 1)), True),
        (fleet(ready(1), starting(2)), False),
        (fleet(ready(1), ready(2, due=Cause.AGE)), False),
        (fleet(ready(1), ready(2), **NEW_CODE), False),
        (fleet(ready(1), ready(2), ready(3)), False),
    ],
)
def test_fleet_is_settled_once_as_many_are_ready_as_are_wanted(before: Fleet, expected: bool) -> None:
    assert is_settled(before) is expected


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (fleet(ready(1)), True),
        (fleet(ready(1, stacks_at=FOREVER), ready(2)), True),
        (fleet(ready(1, stacks_at=FOREVER), ready(2, stacks_at=NOW)), False),
        (fleet(ready(1, stacks_at=FOREVER), bounds=Bounds(1, FOREVER, 1)), True),  # beats are not asked for
        (fleet(starting(1)), True),
        (fleet(in_state(1, DRAINING, 1)), True),
        (fleet(in_state(1, DRAINING, 0)), False),
        (fleet(in_state(1, KILLED, FOREVER)), False),
        (fleet(not_before=NOW + 1), True),
        (fleet(), False),
    ],
)
def test_fleet_is_alive_unless_all_are_stuck(before: Fleet, expected: bool) -> None:
    assert is_alive(before, NOW) is expected


# -- Histories ----------------------------------------------------------------------------------------------------------------

GOOD, FAILS, CRASHES, NEVER_READY, ENDS_WHEN_READY = range(5)
HISTORY_S = 60.0
QUIET_S = 80.0  # enough for every clock and delay in turn
BEAT_EVERY_S = 2.5
MOST_PASSES = 4


class Process:
    """An invented worker process."""

    def __init__(self, number: int, quality: int) -> None:
        self.number = number
        self.quality = quality
        self.is_alive = True
        self.is_stuck = False
        self.has_channel = True


class World:
    """Invents processes that obey, or do not, and holds every plan to the laws."""

    def __init__(self, seed: int, wanted: int, processors: int, quality: int = GOOD) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.quality = quality  # of the code on disk
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.order = count()
        self.processes: dict[int, Process] = {}
        self.starts: list[float] = []
        self.gave_up = False
        self.was_ready = False
        self.look_at = 0.0
        self.fleet = Fleet(BOUNDS, wanted, processors)
        self.obey()

    def at(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self.events, (self.now + seconds, next(self.order), event))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while True:
            following = min(self.events[0][0] if self.events else FOREVER, self.look_at)
            if following > end:
                break
            assert following >= self.now
            self.now = following
            if self.events and self.events[0][0] <= self.now:
                heapq.heappop(self.events)[2]()
            self.obey()
        self.now = end

    # -- The supervisor -----------------------------------------------------------------------------------------------------

    def tell(self, process: Process, event: WorkerInput) -> None:
        if self.processes.get(process.number) is process:
            self.fleet = told(self.fleet, process.number, event, self.now)

    def obey(self) -> None:
        """Carry out the orders until none is left. The laws are here."""
        for _ in range(MOST_PASSES):
            before = self.fleet
            orders, self.look_at = plan(before, self.now)
            if not orders:
                break
            numbers = [order.number for order in orders]
            assert len(numbers) == len(set(numbers)), "one order for each worker"
            self.check(before, orders)
            for order in orders:
                self.carry_out(order)
                self.fleet = obeyed(self.fleet, order, self.now)
        else:
            raise AssertionError("orders bring further orders without end")
        assert self.look_at > self.now

    def check(self, before: Fleet, orders: list[Order]) -> None:
        """Check the orders against the laws."""
        if before.is_stopping:
            assert not [order for order in orders if order.kind is START]
            return
        drained = {order.number for order in orders if order.kind is DRAIN}
        starts = sum(order.kind is START for order in orders)
        left = [worker for worker in before.workers if worker.state is READY and worker.number not in drained]
        good = judged(before, self.now).good
        if drained:
            assert len(left) >= before.wanted, "a drain leaves fewer than are wanted"
        if any(before.worker(number).generation <= good for number in drained):
            proven = [worker for worker in left if worker.generation <= good]
            assert len(proven) >= before.wanted, "a worker is given up for one that has not proved itself"
        if starts:
            # Workers that start for another generation are being ended.
            begun = [worker for worker in before.workers if worker.state is STARTING]
            begun = [worker for worker in begun if worker.generation == before.generation]
            assert len(begun) + starts <= before.processors
            assert len(left) + len(begun) + starts <= before.wanted + max(1, before.wanted // 4)
            assert self.now >= before.not_before
        if any(order.kind is GIVE_UP for order in orders):
            assert not self.was_ready
            self.gave_up = True

    def carry_out(self, order: Order) -> None:
        if order.kind is START:
            assert order.number not in self.processes, "its place is taken"
            self.start(order.number)
        elif order.kind is not GIVE_UP:
            process = self.processes[order.number]
            if order.kind is KILL:
                self.at(0.01, lambda: self.end(process))
            elif order.kind is ABORT:
                self.at(self.random.choice([0.1, 0.1, FOREVER]), lambda: self.end(process))
            elif not process.is_stuck and order.kind is not STACKS:
                longest = order.seconds + 3.0 if order.kind is DRAIN else 3.0
                self.at(self.random.choice([0.1, longest / 2, FOREVER]), lambda: self.end(process))

    # -- The processes ------------------------------------------------------------------------------------------------------

    def start(self, number: int) -> None:
        process = self.processes[number] = Process(number, self.quality)
        self.starts.append(self.now)
        took = self.random.uniform(0.1, 3.0)
        if process.quality in (GOOD, ENDS_WHEN_READY):
            self.at(took, lambda: self.is_ready(process))
        elif process.quality == FAILS:
            self.at(took, lambda: self.fail(process))
            self.at(took + 0.1, lambda: self.end(process))
        elif process.quality == CRASHES:
            self.at(took, lambda: self.end(process))

    def fail(self, process: Process) -> None:
        if process.is_alive and process.has_channel:
            self.tell(process, WorkerInput.FAILED)

    def is_ready(self, process: Process) -> None:
        if process.is_alive and not process.is_stuck and process.has_channel:
            self.was_ready |= self.fleet.worker(process.number).state is STARTING
            self.tell(process, WorkerInput.READY)
            self.at(BEAT_EVERY_S, lambda: self.beat(process))
            if process.quality == ENDS_WHEN_READY:
                self.at(self.random.uniform(0.0, 0.9), lambda: self.end(process))

    def beat(self, process: Process) -> None:
        if process.is_alive and not process.is_stuck and process.has_channel:
            self.tell(process, WorkerInput.BEAT)
            self.at(BEAT_EVERY_S, lambda: self.beat(process))

    def end(self, process: Process) -> None:
        """Let a process end: its channel closes first, or both are seen at once."""
        if not process.is_alive:
            return
        process.is_alive = False
        if process.has_channel and self.random.random() < 0.5:
            self.hang_up(process)
            self.at(0.01, lambda: self.bury(process))
        else:
            self.bury(process)

    def hang_up(self, process: Process) -> None:
        if process.has_channel:
            process.has_channel = False
            self.tell(process, WorkerInput.HANGUP)

    def bury(self, process: Process) -> None:
        self.tell(process, WorkerInput.EXIT)
        del self.processes[process.number]

    # -- What may happen at any time ------------------------------------------------------------------------------------------

    def pick(self) -> Process:
        return self.random.choice([*self.processes.values(), Process(0, GOOD)])

    def crash(self) -> None:
        process = self.pick()
        if process.number:
            self.end(process)

    def stick(self) -> None:
        self.pick().is_stuck = True

    def close_channel(self) -> None:
        """An application closes descriptors that are not its own."""
        process = self.pick()
        if process.number and process.is_alive:
            self.hang_up(process)

    def terminate(self) -> None:
        process = self.pick()
        if process.number and process.is_alive and not process.is_stuck and process.has_channel:
            self.tell(process, WorkerInput.DRAINS)
            self.at(self.random.uniform(0.0, DRAIN_S), lambda: self.end(process))

    def deploy(self) -> None:
        """Change the code on disk, and reload."""
        self.quality = self.random.choice([GOOD, GOOD, FAILS, CRASHES, NEVER_READY, ENDS_WHEN_READY])
        self.fleet = reloaded(self.fleet, self.now, self.random.randint(1, 6), BOUNDS)

    def resize(self) -> None:
        self.fleet = resized(self.fleet, self.random.choice([-1, 1]))

    def recycle(self) -> None:
        process = self.pick()
        if process.number:
            self.fleet = due(self.fleet, process.number, self.random.choice([Cause.AGE, Cause.MEMORY]))

    def sleep(self) -> None:
        """Stop the supervisor for a while; what happens meanwhile is seen later."""
        seconds = self.random.uniform(1.0, 30.0)
        self.now += seconds
        self.events = [(at + seconds, place, event) for at, place, event in self.events]
        self.fleet = slept(self.fleet, seconds)

    def anything(self) -> None:
        self.random.choice(
            [
                self.crash,
                self.crash,
                self.stick,
                self.close_channel,
                self.terminate,
                self.deploy,
                self.resize,
                self.recycle,
                self.sleep,
            ]
        )()


@pytest.mark.parametrize("part", range(10))
def test_histories_keep_the_laws(part: int) -> None:
    gave_up = 0
    for seed in range(part * HISTORIES // 10, (part + 1) * HISTORIES // 10):
        chance = random.Random(-seed)
        quality = chance.choice([FAILS, CRASHES, ENDS_WHEN_READY, *[GOOD] * 9])
        world = World(seed, chance.randint(1, 6), chance.randint(1, 4), quality)
        for _ in range(chance.randint(0, 12)):
            world.run(chance.expovariate(12 / HISTORY_S))
            if not world.fleet.is_stopping:
                world.anything()
                world.obey()
        world.quality = GOOD
        world.run(QUIET_S)
        if world.gave_up:
            gave_up += 1
        else:
            fresh = [worker for worker in world.fleet.workers if worker.generation == world.fleet.generation]
            assert len(fresh) == len(world.fleet.workers) == world.fleet.wanted, f"seed {seed} did not settle"
            assert world.fleet.count(READY) == world.fleet.wanted
            world.fleet = stopped(world.fleet, world.now)
            world.obey()
            if chance.random() < 0.5:
                world.run(0.5)
                world.fleet = stopped(world.fleet, world.now)
                world.obey()
                world.run(END_S + 0.1)
            else:
                world.run(DRAIN_S + GRACE_S + 0.1)
        assert world.fleet.workers == (), f"seed {seed}: a worker outlives the stop"
        assert not world.processes
    assert gave_up < HISTORIES / 10


def most_starts_in_a_minute(world: World) -> int:
    return max(sum(start <= later < start + 60 for later in world.starts) for start in world.starts)


def test_crash_loop_is_bounded() -> None:
    """Four workers end a second after they are ready, for ten minutes."""
    world = World(1, 4, 4, ENDS_WHEN_READY)
    world.run(600)
    assert most_starts_in_a_minute(world) <= 30
    assert len(world.starts) <= 4 * 60


def test_one_that_cannot_start_beside_others_is_tried_within_bounds_and_at_last_started() -> None:
    world = World(2, 4, 4)
    world.run(10)
    world.starts.clear()
    world.quality = FAILS
    world.crash()
    world.run(60)
    assert world.fleet.count(READY) == 3
    assert len(world.starts) <= 12
    world.quality = GOOD
    world.run(DELAYS_S[-1] + 4)
    assert world.fleet.count(READY) == 4

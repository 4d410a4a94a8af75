"""What is held back, and for how long, on a clock of the test."""

from collections.abc import Callable

import pytest

from bide.transport.held import HeldOutput
from bide.transport.polled import PolledWire
from tests.support.stage import StubWire

#: The longest time for which output is held, seconds, and the most wires that hold some.
MAX_HOLD = 2e-3
#: The longest time that quick answers take to make, seconds.
QUICK = 2.5e-4
MOST_HELD = 64


class StubPolled(StubWire, PolledWire):
    """Says in a list that all share what it is told.

    fails: whether sending fails, by an error in bide.
    """

    def __init__(self, name: str, told: list[str]) -> None:
        super().__init__()
        self.name = name
        self.told = told
        self.fails = False

    def readable(self) -> None:
        raise NotImplementedError

    def writable(self) -> None:
        raise NotImplementedError

    def send_held(self) -> None:
        self.told.append(self.name)
        if self.fails:
            raise RuntimeError("a bug of ours")

    def report_lost(self) -> None:
        raise NotImplementedError

    def report_failure(self) -> None:
        self.told.append(f"{self.name} fails")


class Stage:
    """Held output on a clock of the test.

    told: the names of the wires that sent, in order.
    scheduled: how often a call at the end of the pass was asked for.
    """

    def __init__(self) -> None:
        self.now = 100.0
        self.told: list[str] = []
        self.scheduled = 0
        self.output = HeldOutput(self._schedule, lambda: self.now)

    def _schedule(self) -> None:
        self.scheduled += 1

    def wires(self, count: int) -> list[StubPolled]:
        return [StubPolled(str(number), self.told) for number in range(count)]

    def holds(self, *wires: StubPolled, after: float = 0.0) -> list[bool]:
        """Return for each whether it is to hold back what it writes, `after` seconds after the one before."""
        found = []
        for wire in wires:
            self.now += after
            found.append(self.output.holds(wire))
        return found


@pytest.fixture
def stage() -> Stage:
    return Stage()


# -- Outside a pass ---------------------------------------------------------------------------------------------------------


def test_wire_that_writes_alone_holds_nothing(stage: Stage) -> None:
    (one,) = stage.wires(1)
    assert stage.holds(one, one, one) == [False] * 3
    assert stage.scheduled == 0


def test_wires_that_write_seldom_hold_nothing(stage: Stage) -> None:
    one, other = stage.wires(2)
    assert stage.holds(one, other, one, after=2 * MAX_HOLD) == [False] * 3


def test_wires_that_follow_another_hold_until_the_pass_is_over(stage: Stage) -> None:
    assert stage.holds(*stage.wires(3), after=MAX_HOLD / 10) == [False, True, True]
    assert stage.told == []
    assert stage.scheduled
    stage.output.send()
    assert stage.told == ["1", "2"]
    stage.output.send()
    assert stage.told == ["1", "2"]


def test_wire_that_has_held_for_long_holds_no_longer(stage: Stage) -> None:
    wires = stage.wires(16)
    assert stage.holds(*wires, after=MAX_HOLD * 0.11) == [False] + [True] * 15
    assert stage.told == [str(number) for number in range(1, 11)], "the first of them held for ten steps"
    stage.output.send()
    assert stage.told == [str(number) for number in range(1, 16)]


def test_wires_that_write_slowly_one_after_another_hold_nothing(stage: Stage) -> None:
    """One slow answer among quick ones changes nothing."""
    stage.holds(*stage.wires(20), after=QUICK / 2)
    assert stage.holds(*stage.wires(1), after=QUICK * 2) == [True]
    wires = stage.wires(20)
    assert stage.holds(*wires, after=QUICK * 2)[-10:] == [False] * 10
    assert stage.told[-1] != wires[-1].name, "it writes by itself"
    assert stage.holds(*stage.wires(20), after=QUICK / 2)[-1]


def test_wires_that_hold_are_bounded(stage: Stage) -> None:
    stage.holds(*stage.wires(MOST_HELD + 2))
    assert stage.told == [f"{number}" for number in range(1, MOST_HELD + 1)]


def test_wire_that_is_closed_is_not_kept(stage: Stage) -> None:
    one, other = stage.wires(2)
    stage.holds(one)
    stage.output.forget(other)
    assert stage.output._last is one
    stage.output.forget(one)
    assert stage.output._last is None


# -- Within a pass ----------------------------------------------------------------------------------------------------------


def test_wire_alone_in_a_pass_holds_nothing(stage: Stage) -> None:
    stage.output.pass_begins(is_batch=False)
    assert stage.holds(*stage.wires(1)) == [False]


def several(output: HeldOutput) -> None:
    output.pass_begins(is_batch=False)
    output.expect_several()


@pytest.mark.parametrize("begin", [lambda output: output.pass_begins(is_batch=True), several])
def test_wires_of_one_pass_hold(stage: Stage, begin: Callable[[HeldOutput], None]) -> None:
    begin(stage.output)
    assert stage.holds(*stage.wires(3), after=MAX_HOLD / 10) == [True] * 3
    stage.output.pass_ends()
    stage.output.send()
    assert stage.told == ["0", "1", "2"]


def test_output_is_overdue_once_it_was_held_for_long(stage: Stage) -> None:
    stage.output.pass_begins(is_batch=True)
    stage.holds(*stage.wires(2))
    stage.output.send_overdue()
    assert stage.told == []
    stage.now += 2 * MAX_HOLD
    stage.output.send_overdue()
    assert stage.told == ["0", "1"]


@pytest.mark.parametrize(("seconds", "is_slow"), [(QUICK * 0.9, False), (QUICK * 1.1, True)])
def test_wires_of_a_pass_hold_unless_answers_take_long(stage: Stage, seconds: float, is_slow: bool) -> None:
    for _ in range(10):
        stage.output.pass_begins(is_batch=True)
        stage.now += 8 * seconds
        stage.output.made(8)
        stage.output.pass_ends()
        stage.now += 1000.0  # at rest, which takes no answer any time
    assert stage.output.is_slow == is_slow
    stage.output.pass_begins(is_batch=True)
    assert stage.holds(*stage.wires(2)) == [not is_slow] * 2


def test_one_answer_that_blocks_for_long_is_soon_forgotten(stage: Stage) -> None:
    for seconds, is_slow in ((60.0, True), (QUICK / 2, False)):
        stage.output.pass_begins(is_batch=True)
        stage.now += 8 * seconds
        stage.output.made(8)
        assert stage.output.is_slow == is_slow


def test_error_of_one_wire_leaves_the_others_sent(stage: Stage) -> None:
    stage.output.pass_begins(is_batch=True)
    wires = stage.wires(3)
    wires[1].fails = True
    stage.holds(*wires)
    stage.output.send()
    assert stage.told == ["0", "1", "1 fails", "2"]

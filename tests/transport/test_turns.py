"""Turns: so many in each pass of the event loop, in the order of asking."""

import functools
from collections.abc import Callable

from bide.transport.turns import MAX_STEPS, MAX_WITHOUT, Turns


class Loop:
    """Calls what was scheduled when a test says that the next pass begins."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []
        self.is_crowded = False
        self.turns = Turns(self.calls.append, lambda: self.is_crowded)
        self.done: list[int] = []

    def ask(self, *names: int) -> list[bool]:
        return [self.turns.take(functools.partial(self.done.append, name)) for name in names]

    def begin_pass(self) -> None:
        calls = list(self.calls)
        self.calls.clear()
        assert len(calls) <= 1
        for call in calls:
            call()


def test_turns_of_one_pass_are_bounded() -> None:
    loop = Loop()
    assert loop.ask(*range(MAX_STEPS + 2)) == [True] * MAX_STEPS + [False] * 2
    assert loop.done == []


def test_waiting_ones_get_their_turns_in_order() -> None:
    loop = Loop()
    loop.ask(*range(3 * MAX_STEPS + 1))
    waiting = list(range(MAX_STEPS, 3 * MAX_STEPS + 1))
    loop.begin_pass()
    assert loop.done == waiting[:MAX_STEPS]
    assert loop.ask(100) == [False], "this pass has no turn left"
    loop.begin_pass()
    assert loop.done == waiting[: 2 * MAX_STEPS]
    loop.begin_pass()
    assert loop.done == [*waiting, 100]
    assert loop.ask(101) == [True]


def test_turns_are_as_many_in_each_pass() -> None:
    loop = Loop()
    for _ in range(3):
        assert loop.ask(*range(MAX_STEPS)) == [True] * MAX_STEPS
        loop.begin_pass()
    loop.begin_pass()
    assert loop.calls == [], "without handshakes nothing is scheduled"


def test_turn_asked_for_within_a_turn_waits() -> None:
    loop = Loop()
    loop.ask(*range(MAX_STEPS))
    loop.turns.take(lambda: loop.done.extend(loop.ask(*range(MAX_STEPS))))
    loop.begin_pass()
    assert loop.done == [True] * (MAX_STEPS - 1) + [False]
    loop.begin_pass()
    assert loop.done[MAX_STEPS:] == [MAX_STEPS - 1]


def test_crowded_passes_have_no_turns_for_a_while() -> None:
    """Those that only read get through them first; those that shake hands are not forgotten."""
    loop = Loop()
    loop.ask(*range(2 * MAX_STEPS))
    loop.is_crowded = True
    for _ in range(MAX_WITHOUT):
        loop.begin_pass()
        assert loop.ask(100) == [False]
        assert loop.done == []
    loop.begin_pass()
    assert loop.done == list(range(MAX_STEPS, 2 * MAX_STEPS))
    loop.is_crowded = False
    loop.begin_pass()
    assert loop.done[MAX_STEPS:] == [100] * MAX_WITHOUT


def test_crowded_pass_has_turns_if_none_waits() -> None:
    loop = Loop()
    loop.is_crowded = True
    for _ in range(3):
        assert loop.ask(*range(MAX_STEPS)) == [True] * MAX_STEPS
        loop.begin_pass()

"""Checks each rule for scarce resources: more pressure never means more patience."""

import pytest
from hypothesis import given, strategies as st

from bide.policy.admission import (
    HIGH,
    LOW,
    idle_allowance,
    is_refused,
    must_pause,
    needs_room,
    pressure,
    shed_batch,
)

shares = st.floats(min_value=0, max_value=10, allow_nan=False)
# More often than not where the allowance changes.
pressures = st.one_of(shares, st.floats(min_value=LOW, max_value=HIGH))
seconds = st.floats(min_value=0.001, max_value=100_000, allow_nan=False)
counts = st.integers(min_value=0, max_value=10_000_000)

#: By which part of the timeout rounding may change what is left of it.
ROUNDING = 1e-12


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        ([], 0.0),
        ([(0, 0)], 0.0),  # a limit of 0 means no limit
        ([(1_000_000, 0)], 0.0),
        ([(0, 100)], 0.0),
        ([(50, 100)], 0.5),
        ([(100, 100)], 1.0),
        ([(150, 100)], 1.5),  # more than there is: connections above the limit, a loop that is very late
        ([(10, 100), (90, 100), (20, 100)], 0.9),  # the scarcest counts
        ([(10, 100), (900, 0), (0.05, 0.1)], 0.5),
    ],
)
def test_pressure_is_the_largest_share(used: list[tuple[float, float]], expected: float) -> None:
    assert pressure(*used) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("pressed", "configured", "least", "expected"),
    [
        (0.0, 75, 5, 75),  # as configured
        (0.5, 75, 5, 75),
        (LOW, 75, 5, 75),
        (0.75, 75, 5, 57.5),  # linearly down
        (0.8, 75, 5, 40),
        (0.85, 75, 5, 22.5),
        (HIGH, 75, 5, 5),
        (0.95, 75, 5, 5),  # the least, however bad it is
        (1.0, 75, 5, 5),
        (1000.0, 75, 5, 5),
        (1.0, 3, 5, 3),  # the least is not more than what is configured
        (0.8, 3, 5, 3),
        (0.8, 5, 5, 5),
    ],
)
def test_idle_allowance_falls_between_low_and_high(
    pressed: float, configured: float, least: float, expected: float
) -> None:
    assert idle_allowance(pressed, configured, least) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("idle", "expected"),
    [(0, 0), (1, 1), (7, 1), (8, 1), (15, 1), (16, 2), (80, 10), (256, 32), (257, 32), (20_000, 32)],
)
def test_shed_batch_is_an_eighth_within_bounds(idle: int, expected: int) -> None:
    assert shed_batch(idle) == expected


@given(st.lists(st.tuples(shares, shares)), st.tuples(shares, shares))
def test_pressure_with_one_resource_more_is_never_less(
    used: list[tuple[float, float]], more: tuple[float, float]
) -> None:
    assert pressure(*used, more) >= pressure(*used) >= 0


@given(pressures, pressures, seconds, seconds)
def test_idle_allowance_at_more_pressure_is_never_longer(
    one: float, other: float, configured: float, least: float
) -> None:
    low, high = sorted((one, other))
    assert idle_allowance(high, configured, least) <= idle_allowance(low, configured, least) + ROUNDING * configured


@given(pressures, seconds, seconds)
def test_idle_allowance_stays_within_its_bounds(pressed: float, configured: float, least: float) -> None:
    allowance = idle_allowance(pressed, configured, least)
    assert min(configured, least) - ROUNDING * configured <= allowance <= configured


@given(pressures, seconds, seconds, seconds)
def test_idle_allowance_of_a_longer_timeout_is_never_shorter(
    pressed: float, configured: float, more: float, least: float
) -> None:
    shorter = idle_allowance(pressed, configured, least)
    assert idle_allowance(pressed, configured + more, least) >= shorter - ROUNDING * (configured + more)


@given(counts, counts)
def test_shed_batch_of_many_is_some_and_never_all(one: int, other: int) -> None:
    few, many = sorted((one, other))
    assert shed_batch(few) <= shed_batch(many)
    assert (shed_batch(many) == 0) == (many == 0)
    assert shed_batch(many) <= min(32, max(1, many / 8))


@pytest.mark.parametrize(
    ("free", "overflow", "expected"),
    [(1, 5, False), (0, 5, False), (-1, 5, True), (-1, 0, False), (-9, 0, False)],
)
def test_connection_beyond_the_limit_is_refused_if_the_user_allows_it(free: int, overflow: int, expected: bool) -> None:
    assert is_refused(free, overflow) is expected


@pytest.mark.parametrize(
    ("free", "has_descriptors", "expected"), [(1, True, False), (0, True, True), (-1, True, True), (1, False, True)]
)
def test_room_is_needed_without_slots_or_descriptors(free: int, has_descriptors: bool, expected: bool) -> None:
    assert needs_room(free, has_descriptors) is expected


@pytest.mark.parametrize(
    ("free", "overflow", "has_descriptors", "is_leaving", "expected"),
    [
        (1, 0, True, False, False),
        (1, 0, False, True, False),  # those that were shed give their descriptors back
        (1, 0, False, False, True),
        (0, 0, True, False, True),
        (0, 2, True, False, False),  # the next two are refused
        (-2, 2, True, False, True),
        (0, 2, False, True, True),
    ],
)
def test_accepting_pauses_if_shedding_has_freed_nothing(
    free: int, overflow: int, has_descriptors: bool, is_leaving: bool, expected: bool
) -> None:
    assert must_pause(free, overflow, has_descriptors, is_leaving) is expected

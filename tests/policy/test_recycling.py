"""When a worker is due for replacement."""

import pytest
from hypothesis import given, strategies as st

from bide.policy.recycling import JITTER, WorkerLimits, cause
from bide.terms import Cause

NONE = WorkerLimits()
ALL = WorkerLimits(100, 60.0, 1000)


@pytest.mark.parametrize(
    ("limits", "requests", "age", "memory", "memory_before", "expected"),
    [
        (NONE, 10**9, 1e9, 10**12, 10**12, None),
        (ALL, 99, 59.9, 1000, 1000, None),
        (ALL, 100, 0.0, 0, 0, Cause.REQUESTS),
        (ALL, 0, 60.0, 0, 0, Cause.AGE),
        (ALL, 0, 0.0, 1001, 1001, Cause.MEMORY),
        (ALL, 0, 0.0, 5000, 1000, None),  # for a moment
        (ALL, 0, 0.0, 1000, 5000, None),
        (ALL, 100, 60.0, 1001, 1001, Cause.REQUESTS),
        (WorkerLimits(requests=5), 4, 1e9, 10**12, 10**12, None),
        (WorkerLimits(age=5.0), 10**9, 4.9, 10**12, 10**12, None),
        (WorkerLimits(memory=5), 10**9, 1e9, 5, 5, None),
    ],
)
def test_worker_is_due_at_its_first_limit(
    limits: WorkerLimits, requests: int, age: float, memory: int, memory_before: int, expected: Cause | None
) -> None:
    assert cause(limits, requests, age, memory, memory_before) is expected


@pytest.mark.parametrize(("chance", "factor"), [(0.0, 1 - JITTER), (0.5, 1.0), (1.0, 1 + JITTER)])
def test_limits_are_spread(chance: float, factor: float) -> None:
    assert ALL.spread(chance) == pytest.approx((100 * factor, 60 * factor, 1000))


@given(st.floats(min_value=0, max_value=1))
def test_no_limit_stays_none(chance: float) -> None:
    assert NONE.spread(chance) == NONE

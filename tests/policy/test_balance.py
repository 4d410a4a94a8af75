"""Which workers wait before they accept, and which give connections up."""

import math

import pytest
from hypothesis import given, strategies as st

from bide.policy.balance import is_heavy, surplus

counts = st.lists(st.integers(min_value=0, max_value=100_000), min_size=1, max_size=16)


@pytest.mark.parametrize(
    ("mine", "least", "mean", "expected"),
    [
        (0, 0, 0.0, False),
        (1, 0, 0.5, False),
        (2, 0, 1.0, True),
        (17, 16, 16.5, False),
        (18, 16, 16.5, True),
        (33, 31, 31.9, True),
        (34, 32, 32.0, False),  # from here on a thirty-second part more is even
        (35, 32, 32.0, True),
    ],
)
def test_worker_is_heavy_beyond_the_tolerance(mine: int, least: int, mean: float, expected: bool) -> None:
    assert is_heavy(mine, least, mean) is expected


@pytest.mark.parametrize(
    ("mine", "least", "mean", "expected"),
    [
        (0, 0, 0.0, 0),
        (16, 16, 16.0, 0),
        (17, 16, 16.25, 0),
        (22, 0, 16.0, 6),
        (22, 0, 16.25, 5),
        (2, 0, 0.5, 1),
        (2, 1, 0.5, 0),  # moving it would change nothing
        (17, 12, 16.0, 0),  # within a twentieth
        (18, 12, 16.0, 2),
    ],
)
def test_surplus_is_what_is_above_the_mean(mine: int, least: int, mean: float, expected: int) -> None:
    assert surplus(mine, least, mean) == expected


@given(counts)
def test_least_loaded_worker_is_never_heavy_and_gives_nothing_up(held: list[int]) -> None:
    mean = sum(held) / len(held)
    assert not is_heavy(min(held), min(held), mean)
    assert surplus(min(held), min(held), mean) == 0


@given(counts)
def test_surplus_of_all_leaves_nobody_below_the_mean(held: list[int]) -> None:
    mean = sum(held) / len(held)
    given_up = [surplus(mine, min(held), mean) for mine in held]
    for mine, count in zip(held, given_up, strict=True):
        assert count >= 0
        assert not count or mine - count == math.ceil(mean)
    assert sum(given_up) <= sum(max(0, mine - mean) for mine in held)

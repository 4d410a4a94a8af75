"""The figures of several processes as one: nothing falls, and opened = closed + open."""

from __future__ import annotations

from typing import Any

from hypothesis import given, strategies as st

from bide.observe.counters import Counters
from bide.observe.metrics import METRICS
from bide.observe.snapshot import snapshot
from bide.observe.totals import GAUGES, Totals
from bide.terms import CloseReason, State


def figures(opened: int, drained: int, *, pressure: float = 0.1, idle: float = 75.0, paused: bool = False) -> Any:
    """The figures of a worker that has opened some connections, of which some were drained."""
    counters = Counters()
    counters.opened = opened
    for _ in range(drained):
        counters.ended(CloseReason.DRAIN, 3)
    return snapshot(counters, {State.IDLE: opened - drained}, 2 * (opened - drained), pressure, idle, paused)


def is_balanced(total: dict[str, Any]) -> bool:
    return bool(total["opened"] == sum(total["closed"].values()) + sum(total.get("states", {}).values()))


def test_every_gauge_but_the_states_has_a_way_to_be_combined() -> None:
    assert set(GAUGES) == {metric.name for metric in METRICS if metric.kind == "gauge"} - {"states"}


def test_figures_of_running_workers_are_added() -> None:
    total = Totals().of([figures(5, 2, pressure=0.2), figures(3, 3, pressure=0.7, idle=20.0, paused=True)])
    assert total["opened"] == 8
    assert total["requests"] == 5 * 3 + 3 * 2
    assert total["closed"]["drain"] == 5
    assert total["states"]["idle"] == 3
    assert total["requests_per_connection"] == {4: 5}
    assert (total["pressure"], total["effective_idle_timeout"], total["accepting"]) == (0.7, 20.0, True)
    assert is_balanced(total)


def test_worker_that_has_ended_stays_counted_and_its_connections_have_a_reason() -> None:
    totals = Totals()
    totals.ended(figures(5, 2))
    totals.ended({})  # it never served
    total = totals.of([figures(1, 0), {}])
    assert total["opened"] == 6
    assert total["closed"]["worker_lost"] == 3
    assert total["closed"]["drain"] == 2
    assert total["pressure"] == 0.1
    assert is_balanced(total)


def test_totals_go_on_from_those_of_a_program_before() -> None:
    totals = Totals()
    totals.ended(figures(5, 2))
    assert Totals(totals.kept()).of([figures(1, 0)]) == totals.of([figures(1, 0)])


def test_without_workers_there_are_counters_only() -> None:
    totals = Totals()
    assert totals.of([]) == {}
    totals.ended(figures(1, 1))
    assert totals.of([])["opened"] == 1
    assert is_balanced(totals.of([]))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 9), st.booleans())))
def test_no_counter_ever_falls_in_any_order_of_beats_and_ends(
    history: list[tuple[int, int, int, bool]],
) -> None:
    totals = Totals()
    running: dict[int, tuple[int, int]] = {}
    before: dict[str, Any] = {}
    for worker, opened, drained, ends in history:
        known = running.get(worker, (0, 0))
        now = (known[0] + opened, min(known[1] + drained, known[0] + opened))
        running[worker] = now
        if ends:
            totals.ended(figures(*running.pop(worker)))
        total = totals.of(figures(*counts) for counts in running.values())
        assert is_balanced(total)
        for name in ("opened", "requests_per_connection", "closed"):
            old, new = before.get(name, 0), total[name]
            if isinstance(new, dict):
                for key, count in (old or {}).items():
                    assert new[key] >= count
            else:
                assert new >= old
        before = total

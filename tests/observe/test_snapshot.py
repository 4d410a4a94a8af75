"""The metrics of one moment, as plain values."""

import json

import pytest

from bide.observe.counters import Counters
from bide.observe.snapshot import Snapshot, snapshot
from bide.terms import CloseReason, State


def shown(
    counters: Counters | None = None, *, states: dict[State, int] | None = None, paused: bool = False
) -> Snapshot:
    return snapshot(counters or Counters(), states or {}, 0, 0.0, 75.0, paused)


def test_snapshot_of_nothing_has_every_reason_and_state_at_zero() -> None:
    snap = shown()
    assert snap["closed"] == {reason.value: 0 for reason in CloseReason}
    assert snap["states"] == {state.value: 0 for state in State}
    assert snap["requests_per_connection"] == snap["idle_gaps_ms"] == {}


def test_snapshot_has_each_figure_in_its_place() -> None:
    counters = Counters()
    counters.opened = 20
    counters.ended(CloseReason.SHED, 7)
    counters.race_lost = 3
    snap = snapshot(counters, {State.IDLE: 2, State.HEAD: 1}, 5, 0.25, 30.0, paused=False)
    assert (snap["opened"], snap["race_lost"]) == (20, 3)
    assert snap["requests"] == 7 + 5, "of ended and of open connections"
    assert snap["closed"]["shed"] == 1
    assert sum(snap["closed"].values()) == 1
    assert (snap["states"]["idle"], snap["states"]["head"]) == (2, 1)
    assert sum(snap["states"].values()) == 3
    assert (snap["pressure"], snap["effective_idle_timeout"]) == (0.25, 30.0)


@pytest.mark.parametrize("paused", [True, False])
def test_snapshot_says_whether_connections_are_accepted(paused: bool) -> None:
    assert shown(paused=paused)["accepting"] is not paused


def test_snapshot_shows_histograms_by_upper_bound_without_empty_buckets() -> None:
    counters = Counters()
    for served in (0, 1, 5, 5):
        counters.ended(CloseReason.DRAIN, served)
    counters.gap(0.003)
    snap = shown(counters)
    assert snap["requests_per_connection"] == {1: 1, 2: 1, 8: 2}
    assert snap["idle_gaps_ms"] == {4: 1}


def test_snapshot_is_not_changed_by_what_is_counted_later() -> None:
    counters = Counters()
    before = shown(counters)
    text = json.dumps(before)
    counters.opened = 1
    counters.ended(CloseReason.DRAIN, 5)
    counters.gap(1.0)
    assert json.dumps(before) == text

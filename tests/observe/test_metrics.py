"""The table of metrics and the snapshot agree."""

import re

import pytest

from bide.observe.counters import Counters
from bide.observe.metrics import METRICS, Metric
from bide.observe.snapshot import Snapshot, snapshot
from bide.terms import CloseReason


def shown(counters: Counters) -> dict[str, object]:
    return dict(snapshot(counters, {}, 0, 0.0, 75.0, paused=False))


def of_kind(*kinds: str) -> list[str]:
    return [metric.name for metric in METRICS if metric.kind in kinds]


def test_table_has_every_key_of_the_snapshot_in_order() -> None:
    assert [metric.name for metric in METRICS] == list(shown(Counters()))
    assert [metric.name for metric in METRICS] == list(Snapshot.__annotations__)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_metric_has_name_unit_and_sentence(metric: Metric) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", metric.name)
    assert re.fullmatch(r"[a-z][a-z ]*", metric.unit)
    assert re.fullmatch(r"[A-Z].*[^.]\.", metric.help)


def test_events_raise_counters_and_histograms_but_no_gauge() -> None:
    counters = Counters()
    before = shown(counters)
    counters.opened = 1
    counters.gap(1.0)
    counters.lost_race()
    counters.websocket_ended(1000, 2, 3)
    counters.ended(CloseReason.IDLE_TIMEOUT, 1)
    after = shown(counters)
    assert [name for name in before if before[name] != after[name]] == of_kind("counter", "histogram")


def test_histograms_are_counts_by_upper_bound() -> None:
    counters = Counters()
    counters.ended(CloseReason.IDLE_TIMEOUT, 5)
    counters.gap(0.005)
    after = shown(counters)
    assert {name: after[name] for name in of_kind("histogram")} == {
        "requests_per_connection": {8: 1},
        "idle_gaps_ms": {8: 1},
    }

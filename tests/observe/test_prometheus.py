"""Metrics as Prometheus reads them."""

import json

from bide.observe.counters import Counters
from bide.observe.metrics import METRICS
from bide.observe.prometheus import text_of
from bide.observe.snapshot import snapshot
from bide.terms import CloseReason, State


def text(counters: Counters) -> list[str]:
    figures = snapshot(counters, {State.IDLE: 2}, 0, 0.25, 75.0, paused=False)
    return text_of(json.loads(json.dumps(figures))).splitlines()


def test_metric_has_help_type_and_value() -> None:
    counters = Counters()
    counters.opened = 7
    lines = text(counters)
    assert lines[:3] == [
        "# HELP bide_opened_total Connections accepted.",
        "# TYPE bide_opened_total counter",
        "bide_opened_total 7",
    ]
    assert len([line for line in lines if line.startswith("# TYPE ")]) == len(METRICS)
    assert "bide_pressure 0.25" in lines
    assert "bide_accepting 1" in lines
    assert 'bide_states{state="idle"} 2' in lines


def test_counters_by_reason_and_code_have_labels() -> None:
    counters = Counters()
    counters.ended(CloseReason.IDLE_TIMEOUT, 3)
    counters.websocket_ended(1000, 1, 1)
    lines = text(counters)
    assert 'bide_closed_total{reason="idle_timeout"} 1' in lines
    assert 'bide_closed_total{reason="drain"} 0' in lines
    assert 'bide_websockets_total{code="1000"} 1' in lines


def test_buckets_of_a_histogram_add_up() -> None:
    counters = Counters()
    for served in (0, 1, 2, 3, 9):
        counters.ended(CloseReason.DRAIN, served)
    counters.gap(0.0)
    counters.gap(0.0105)
    lines = text(counters)
    assert [line for line in lines if line.startswith("bide_requests_per_connection")] == [
        'bide_requests_per_connection_bucket{le="0"} 1',
        'bide_requests_per_connection_bucket{le="1"} 2',
        'bide_requests_per_connection_bucket{le="3"} 4',
        'bide_requests_per_connection_bucket{le="15"} 5',
        'bide_requests_per_connection_bucket{le="+Inf"} 5',
        "bide_requests_per_connection_count 5",
    ]
    assert [line for line in lines if line.startswith("bide_idle_gaps_ms_bucket")] == [
        'bide_idle_gaps_ms_bucket{le="1"} 1',
        'bide_idle_gaps_ms_bucket{le="16"} 2',
        'bide_idle_gaps_ms_bucket{le="+Inf"} 2',
    ]


def test_figures_that_are_missing_are_left_out() -> None:
    assert text_of({"requests": 1, "mood": 2}).splitlines()[2:] == ["bide_requests_total 1"]

"""Counts connections, requests and gaps."""

import logging

from bide.observe.counters import Counters
from bide.observe.snapshot import snapshot
from bide.terms import CloseReason
from tests.support.server import logged


def test_ends_are_counted_by_reason() -> None:
    counters = Counters()
    counters.opened = 3
    counters.ended(CloseReason.IDLE_TIMEOUT, 5)
    counters.ended(CloseReason.IDLE_TIMEOUT, 0)
    counters.ended(CloseReason.CLIENT_RESET, 1)
    assert counters.requests == 6
    assert sum(counters.closed.values()) == counters.opened
    assert counters.closed[CloseReason.IDLE_TIMEOUT] == 2
    assert set(counters.closed) == set(CloseReason), "every reason is shown, counted or not"


def test_histograms_count_requests_and_gaps_by_powers_of_two() -> None:
    counters = Counters()
    for served in (0, 1, 2, 3, 4, 1000, 1 << 60):
        counters.ended(CloseReason.DRAIN, served)
    for seconds in (0.0, 0.0005, 0.001, 1.0, 10.0**12):
        counters.gap(seconds)
    shown = snapshot(counters, {}, 0, 0.0, 75.0, paused=False)
    assert sum(shown["requests_per_connection"].values()) == 7
    assert shown["requests_per_connection"][1] == 1, "those that served none"
    assert shown["requests_per_connection"][2] == 1, "those that served one"
    assert shown["requests_per_connection"][4] == 2, "two and three"
    assert shown["requests_per_connection"][1024] == 1
    assert sum(shown["idle_gaps_ms"].values()) == 5
    assert shown["idle_gaps_ms"][1] == 2


def test_lost_races_are_counted_and_warned_of_once() -> None:
    counters = Counters()
    with logged() as log:
        for _ in range(100):
            counters.lost_race()
    assert counters.race_lost == 100
    (message,) = log.messages(logging.WARNING)
    assert "--timeout-idle" in message

"""Durations keep what they are given, each under its own name."""

from bide.session.durations import Durations
from bide.terms import Clock


def test_durations_keep_each_value_under_its_name() -> None:
    by_clock = {Clock.HEAD: 1.0, Clock.SEND: 2.0}
    durations = Durations(by_clock, half_closed=3.0, linger_total=4.0, body_rate=5.0, send_rate=6.0, grace=7.0)
    assert durations.by_clock == by_clock
    assert (durations.half_closed, durations.linger_total) == (3.0, 4.0)
    assert (durations.body_rate, durations.send_rate, durations.grace) == (5.0, 6.0, 7.0)

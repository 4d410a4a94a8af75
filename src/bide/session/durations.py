"""Holds the durations of the clocks.

Durations are in seconds, rates in octets per second. `bide.config` describes each.
"""

from __future__ import annotations

from typing import final

from bide.terms import Clock


@final
class Durations:
    """Holds the configured durations.

    by_clock: duration of each clock except IDLE, which `bide.session.idle.IdleTimeout` holds.
    half_closed: time from a client's EOF until the client counts as gone.
    linger_total: the longest time for which octets are dropped after the end.
    body_rate, send_rate: minimum rates; 0 for no minimum.
    grace: time before a minimum rate is enforced.
    """

    __slots__ = ("body_rate", "by_clock", "grace", "half_closed", "linger_total", "send_rate")

    def __init__(
        self,
        by_clock: dict[Clock, float],
        *,
        half_closed: float,
        linger_total: float,
        body_rate: float,
        send_rate: float,
        grace: float,
    ) -> None:
        self.by_clock = by_clock
        self.half_closed = half_closed
        self.linger_total = linger_total
        self.body_rate = body_rate
        self.send_rate = send_rate
        self.grace = grace

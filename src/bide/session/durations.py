"""How long the clocks run, in seconds; rates in octets per second."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from bide.terms import Clock


@final
class Durations:
    """See the module. `bide.config` describes each.

    idle: that of the idle clock, at hand: it is read twice for each request.
    half_closed: from a client's EOF until it is taken for gone.
    retirement: draws the age and the number of requests, jitter included, at which a new connection is to retire; None for never.
    """

    __slots__ = ("body_rate", "by_clock", "grace", "half_closed", "idle", "linger_total", "retirement", "send_rate")

    def __init__(
        self,
        by_clock: dict[Clock, float],
        *,
        half_closed: float,
        linger_total: float,
        body_rate: float,
        send_rate: float,
        grace: float,
        retirement: Callable[[], tuple[float, float] | None],
    ) -> None:
        self.by_clock = by_clock
        self.idle = by_clock[Clock.IDLE]
        self.half_closed = half_closed
        self.linger_total = linger_total
        self.body_rate = body_rate
        self.send_rate = send_rate
        self.grace = grace
        self.retirement = retirement

    def shorten_idle(self, seconds: float) -> None:
        """Let the idle clock run no longer than that."""
        self.idle = self.by_clock[Clock.IDLE] = min(self.idle, seconds)

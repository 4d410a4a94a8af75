"""Counts connections by the reason of their end. Reasons counted and connections closed are the same number, always."""

from __future__ import annotations

from typing import final

from bide.terms import CloseReason


@final
class Counters:
    """opened, requests: totals. closed: connections ended, by reason. race_lost: idle connections that were closed just as the
    client sent a request on them; a load balancer would have shown each as a 502.
    """

    __slots__ = ("closed", "opened", "race_lost", "requests")

    def __init__(self) -> None:
        self.opened = 0
        self.requests = 0
        self.race_lost = 0
        self.closed: dict[CloseReason, int] = dict.fromkeys(CloseReason, 0)

    def ended(self, reason: CloseReason, served: int) -> None:
        """Count the end of a connection that served `served` requests."""
        self.closed[reason] += 1
        self.requests += served

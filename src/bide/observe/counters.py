"""Counts connections by the reason of their end. Reasons counted and connections closed are the same number, always."""

from __future__ import annotations

import logging
import time
from typing import Final, final

from bide.terms import CloseReason

_log = logging.getLogger("bide")

# Histograms count by powers of two: bucket n holds values from 2**(n-1) up to 2**n, exclusive; bucket 0 holds zero.
# Requests per connection are counted as they are, gaps between requests in milliseconds.
_BUCKETS: Final = 40

# The warning about lost races comes at most that often, seconds.
_WARN_EVERY: Final = 60.0


@final
class Counters:
    """opened: connections in all. closed: those that have ended, by reason. requests: what these carried. served: how many carried
    so many. gaps: requests by the milliseconds that their connection was idle before.

    race_lost: idle connections that were closed just as the client sent a request; a load balancer shows each as a 502.
    """

    __slots__ = ("_warned", "closed", "gaps", "opened", "race_lost", "requests", "served")

    def __init__(self) -> None:
        self.opened = 0
        self.requests = 0
        self.race_lost = 0
        self.closed: dict[CloseReason, int] = dict.fromkeys(CloseReason, 0)
        self.served = [0] * _BUCKETS
        self.gaps = [0] * _BUCKETS
        self._warned = -_WARN_EVERY

    def ended(self, reason: CloseReason, served: int) -> None:
        """Count the end of a connection that served `served` requests."""
        self.closed[reason] += 1
        self.requests += served
        self.served[min(served.bit_length(), _BUCKETS - 1)] += 1

    def gap(self, seconds: float) -> None:
        """Count a request that came after its connection was idle for so long."""
        if seconds < 0.001:  # as on every busy connection
            self.gaps[0] += 1
        else:
            self.gaps[min(int(seconds * 1000.0).bit_length(), _BUCKETS - 1)] += 1

    def lost_race(self) -> None:
        """Count a request that crossed the close of its idle connection, and name the remedy, now and then."""
        self.race_lost += 1
        now = time.monotonic()
        if now - self._warned >= _WARN_EVERY:
            self._warned = now
            _log.warning(
                "a request arrived just as its idle connection was closed (%d so far): the client keeps connections longer "
                "than this server; set --timeout-idle above the client's own idle timeout, or use --advertise-keep-alive",
                self.race_lost,
            )

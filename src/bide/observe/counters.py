"""Counts connections by the reason of their end.

The counts of reasons always add up to the number of connections that have ended.
"""

from __future__ import annotations

import logging
import time
from typing import Final, final

from bide.terms import CloseReason

_log = logging.getLogger("bide")

# Buckets of a histogram, by powers of two: bucket 0 holds zero, bucket n holds values from 2**(n-1)
# up to 2**n, exclusive.
_BUCKETS: Final = 40

# Least time between two warnings of lost races.
_WARN_EVERY_S: Final = 60.0


@final
class Counters:
    """Counts what happens to the connections of a worker.

    opened: connections accepted.
    closed: ended connections, by reason.
    requests: requests on ended connections.
    served: histogram of the requests on each ended connection.
    gaps: histogram of the milliseconds that a connection was idle before each request.
    websockets: ended WebSockets, by close code.
    messages_received, messages_sent: messages on ended WebSockets.
    race_lost: requests that arrived just as their idle connection was closed. A load balancer
        reports each as a 502.
    """

    __slots__ = (
        "_warned_at",
        "closed",
        "gaps",
        "messages_received",
        "messages_sent",
        "opened",
        "race_lost",
        "requests",
        "served",
        "websockets",
    )

    def __init__(self) -> None:
        self.opened = 0
        self.requests = 0
        self.race_lost = 0
        self.messages_received = 0
        self.messages_sent = 0
        self.websockets: dict[int, int] = {}
        self.closed: dict[CloseReason, int] = dict.fromkeys(CloseReason, 0)
        self.served = [0] * _BUCKETS
        self.gaps = [0] * _BUCKETS
        self._warned_at = -_WARN_EVERY_S

    def ended(self, reason: CloseReason, served: int) -> None:
        """Count the end of a connection that served `served` requests."""
        self.closed[reason] += 1
        self.requests += served
        self.served[min(served.bit_length(), _BUCKETS - 1)] += 1

    def gap(self, seconds: float) -> None:
        """Count a request on a connection that was idle for `seconds` before."""
        if seconds < 0.001:  # usual on a busy connection, and fast
            self.gaps[0] += 1
        else:
            self.gaps[min(int(seconds * 1000.0).bit_length(), _BUCKETS - 1)] += 1

    def websocket_ended(self, code: int, received: int, sent: int) -> None:
        """Count the end of a WebSocket with its close code and its numbers of messages."""
        self.websockets[code] = self.websockets.get(code, 0) + 1
        self.messages_received += received
        self.messages_sent += sent

    def lost_race(self) -> None:
        """Count a request that crossed the close of its idle connection.

        At most once a minute, a warning names the remedy.
        """
        self.race_lost += 1
        now = time.monotonic()
        if now - self._warned_at >= _WARN_EVERY_S:
            self._warned_at = now
            _log.warning(
                "a request arrived just as its idle connection was closed (%d so far): the client keeps connections "
                "longer than this server; set --timeout-idle above the client's own idle timeout, or use "
                "--advertise-keep-alive",
                self.race_lost,
            )

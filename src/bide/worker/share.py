"""Compares a worker process with the others of its supervisor."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from typing import Final, final

from bide.page import Page
from bide.policy.balance import is_heavy, surplus

# Seconds between two times at which connections are given up: clients that were told to leave need
# a moment to connect anew.
_REBALANCE_EVERY_S: Final = 1.0


@final
class Share:
    """Holds what a worker has in common with others.

    ours: the listening sockets that no other server listens on.
    redirecting: sockets for plain HTTP, which is redirected to https.
    """

    __slots__ = (
        "_clock",
        "_held",
        "_may_rebalance",
        "_page",
        "_rebalanced_at",
        "_shares_limit",
        "_told",
        "ours",
        "redirecting",
    )

    def __init__(
        self,
        ours: Sequence[socket.socket],
        swept: Callable[[float], None],
        page: Page,
        *,
        redirecting: Sequence[socket.socket] = (),
        shares_limit: bool = False,
        may_rebalance: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the page.

        swept: called in each sweep with the time in seconds.
        shares_limit: whether the limit on connections is that of all workers.
        may_rebalance: whether connections are given up to workers that hold fewer.
        """
        self.ours = ours
        self.redirecting = redirecting
        self._told = swept
        self._page = page
        self._shares_limit = shares_limit
        self._may_rebalance = may_rebalance
        self._clock = clock
        self._held = 0
        self._rebalanced_at = 0.0

    @property
    def number(self) -> int:
        """Number of this worker, from 1."""
        return self._page.number

    def held(self, connections: int) -> None:
        """Take the number of connections that this worker holds."""
        self._held = connections
        self._page.hold(connections)

    def others(self) -> int:
        """Return the number of connections of other workers that count for the limit."""
        return self._page.others() if self._shares_limit else 0

    def is_heavy(self) -> bool:
        """Return whether to let other workers accept first."""
        least, mean = self._page.load(self._held, self._clock())
        return is_heavy(self._held, least, mean)

    def swept(self, now: float) -> int:
        """Take the news of a sweep; return how many connections to give up until the next one."""
        self._page.sweep(now)
        self._told(now)
        if not self._may_rebalance or now - self._rebalanced_at < _REBALANCE_EVERY_S or not self._page.is_settled():
            return 0
        least, mean = self._page.load(self._held, now)
        count = surplus(self._held, least, mean)
        if count:
            self._rebalanced_at = now
        return count

    def leave(self) -> None:
        """Have no other worker wait for this one."""
        self._page.leave()

"""Hands out protocol objects, and decides which idle connections are parked: nearly all."""

from __future__ import annotations

from typing import Final, final

from bide.http1.connection import Connection
from bide.http1.limits import Limits
from bide.http1.response import CommonFields
from bide.session.carrier import Carrier

# Idle connections that are not parked, and objects kept for others: about the number of connections
# that are active in one pass of the event loop.
_MAX_RECENT: Final = 256
_MAX_FREE: Final = 256


@final
class ConnectionPool:
    """Hands protocol objects out and takes them back.

    free: the objects that nobody has.
    nobody: an object for sessions that are over.
    """

    __slots__ = ("_common_fields", "_limits", "_oldest", "_recent", "free", "nobody")

    def __init__(self, limits: Limits, common_fields: CommonFields) -> None:
        self._limits = limits
        self._common_fields = common_fields
        self.free: list[Connection] = []
        self.nobody = self.take(0, 1)
        self._recent: list[Carrier | None] = [None] * _MAX_RECENT  # a ring
        self._oldest = 0  # its place in the ring

    def take(self, facts: int, served: int) -> Connection:
        """Return a protocol object for a connection.

        facts: fact bits that hold for it.
        served: number of requests that it has served.
        """
        free = self.free
        connection = free.pop() if free else Connection(self._limits, self._common_fields)
        connection.reset(facts, served)
        return connection

    def put(self, connection: Connection) -> None:
        """Take back the protocol object of a connection that is parked."""
        if len(self.free) < _MAX_FREE:
            self.free.append(connection)

    def became_idle(self, session: Carrier) -> int:
        """Have an idle connection parked once 256 others have become idle.

        Those that are active again and again are seldom parked. A connection is told to park at
        most once for each call. Return the place where it is remembered, for `forget`.
        """
        place = self._oldest
        oldest = self._recent[place]
        self._recent[place] = session
        self._oldest = (place + 1) % _MAX_RECENT
        if oldest is not None:
            oldest.park()
        return place

    def forget(self, place: int) -> None:
        """Forget a connection that is lost."""
        self._recent[place] = None

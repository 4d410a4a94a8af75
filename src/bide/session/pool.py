"""Keeps a free list of protocol objects.

A parked connection needs no protocol object, and nearly all connections are parked.
"""

from __future__ import annotations

from typing import Final, final

from bide.http1.connection import Connection
from bide.http1.limits import Limits
from bide.http1.response import CommonFields

# Objects kept: about the number of connections that are active in one pass of the event loop.
_MAX_FREE: Final = 256


@final
class ConnectionPool:
    """Hands protocol objects out and takes them back.

    free: number of protocol objects kept.
    """

    __slots__ = ("_common_fields", "_first", "_limits", "free")

    def __init__(self, limits: Limits, common_fields: CommonFields) -> None:
        self._limits = limits
        self._common_fields = common_fields
        self._first: Connection | None = None
        self.free = 0

    def take(self, facts: int, served: int) -> Connection:
        """Return a protocol object for a connection.

        facts: fact bits that hold for it.
        served: number of requests that it has served.
        """
        connection = self._first
        if connection is None:
            connection = Connection(self._limits, self._common_fields)
        else:
            self._first = connection.next_free
            self.free -= 1
        connection.reset(facts, served)
        return connection

    def put(self, connection: Connection) -> None:
        """Take back the protocol object of a connection that is parked."""
        if self.free < _MAX_FREE:
            connection.next_free = self._first
            self._first = connection
            self.free += 1

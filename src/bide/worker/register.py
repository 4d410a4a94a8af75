"""Keeps every open connection of a worker, so that a sweep reaches each clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import final

from bide.managed import ManagedConnection


@final
class Register:
    """Holds the open connections of a worker.

    stalled: connections whose output the peer does not take. Each sweep measures its progress.
    unread: connections from which nothing is read, so that no reset is reported. Each sweep checks
        that the peer is there.
    """

    __slots__ = ("_connections", "stalled", "unread")

    def __init__(self) -> None:
        self._connections: list[ManagedConnection] = []
        self.stalled: set[ManagedConnection] = set()
        self.unread: set[ManagedConnection] = set()

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[ManagedConnection]:
        """Return an iterator over a copy: connections may come and go meanwhile."""
        return iter(self._connections[:])

    def add(self, connection: ManagedConnection) -> None:
        """Enter an accepted connection."""
        connection.place = len(self._connections)
        self._connections.append(connection)

    def remove(self, connection: ManagedConnection) -> None:
        """Remove a connection that is closed."""
        last = self._connections.pop()
        if last is not connection:  # it takes the place that becomes free
            last.place = connection.place
            self._connections[last.place] = last
        self.stalled.discard(connection)
        self.unread.discard(connection)

    def replace(self, old: ManagedConnection, new: ManagedConnection) -> None:
        """Let `new` stand for the same connection as `old` until now."""
        new.place = old.place
        self._connections[old.place] = new

    def at(self, place: int) -> ManagedConnection:
        """Return the connection of a place."""
        return self._connections[place]

    def sweep(self, now: float, cut: float) -> None:
        """Report to every connection whose clock may have expired.

        now: loop time in seconds.
        cut: seconds before its deadline at which a clock can expire.
        """
        for connection in list(self.unread):
            guarded(connection, connection.watch_peer, now)
        for connection in list(self.stalled):
            guarded(connection, connection.watch_output, now)
        horizon = now + cut
        for connection in [connection for connection in self._connections if connection.deadline <= horizon]:
            guarded(connection, connection.deadline_reached, now)


def guarded(connection: ManagedConnection, look: Callable[[float], None], now: float) -> None:
    """Call `look`; an exception from it, an error in bide, ends only this connection."""
    try:
        look(now)
    except Exception:
        connection.fail_internal()

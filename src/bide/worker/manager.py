"""Passes facts of connections on to the parts of the worker that need them."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from bide.managed import ConnectionManager, ManagedConnection
from bide.observe.counters import Counters
from bide.session.peers import Peers
from bide.terms import CloseReason
from bide.worker.admission import Admission
from bide.worker.register import Register


@final
class Manager(ConnectionManager):
    """Passes on that a connection was opened or closed, as the only place."""

    __slots__ = ("_admission", "_counters", "_peers", "_register", "_wake")

    def __init__(
        self,
        register: Register,
        admission: Admission,
        counters: Counters,
        peers: Peers,
        wake: Callable[[int], object],
    ) -> None:
        """`wake`: has a wire and a session made for a descriptor at rest."""
        self._register = register
        self._admission = admission
        self._counters = counters
        self._peers = peers
        self._wake = wake

    def opened(self, connection: ManagedConnection, descriptor: int) -> None:
        """Enter an accepted connection. descriptor: number of its socket."""
        self._register.add(connection)
        self._counters.opened += 1
        self._admission.admit(connection, descriptor)

    def introduced(self, connection: ManagedConnection) -> None:
        self._admission.introduced(connection)

    def output_stalled(self, connection: ManagedConnection) -> None:
        self._register.stalled.add(connection)

    def output_resumed(self, connection: ManagedConnection) -> None:
        self._register.stalled.discard(connection)

    def reading_stopped(self, connection: ManagedConnection) -> None:
        self._register.unread.add(connection)

    def reading_resumed(self, connection: ManagedConnection) -> None:
        self._register.unread.discard(connection)

    def replaced(self, old: ManagedConnection, new: ManagedConnection) -> None:
        self._register.replace(old, new)

    def wake(self, parked: ManagedConnection, descriptor: int) -> ManagedConnection:
        self._wake(descriptor)
        return self._register.at(parked.place)

    def closed(self, connection: ManagedConnection, reason: CloseReason, served: int) -> None:
        self._register.remove(connection)
        self._counters.ended(reason, served)
        self._peers.learn(connection.host, served)
        self._admission.closed(connection)

"""The contract between a connection and its worker: orders and questions down, facts up.

A worker knows nothing of HTTP, and a connection knows no other connection. (Base classes, not protocols, and one line of
heirs, not several: compiled, calls through them cost a tenth of calls by name.)
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from bide.terms import CloseReason, State
from bide.wire import Receiver


class ManagedConnection(Receiver):
    """Takes the orders of a worker. None of them raises, but for `deadline_reached`, `watch_output` and `watch_peer`.

    deadline: loop time in seconds at which the running clock can expire at the latest; infinity if none runs.
    """

    __slots__ = ("deadline",)

    deadline: float

    # -- Questions ------------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def state(self) -> State:
        """The state of the connection."""

    @property
    @abstractmethod
    def requests(self) -> int:
        """Requests begun on this connection."""

    @property
    @abstractmethod
    def host(self) -> str:
        """The peer's address without its port; "" if it has none."""

    @property
    @abstractmethod
    def waiting_since(self) -> float:
        """Loop time at which the running clock was started: of an idle or new connection, since when it waits."""

    @property
    @abstractmethod
    def is_unfinished(self) -> bool:
        """Whether part of a request or of a response is outstanding."""

    @abstractmethod
    def may_be_shed(self, now: float, newcomer: float) -> bool:
        """Whether the connection owes nothing, and is not new by less than `newcomer` seconds; or only lingers."""

    # -- Orders ---------------------------------------------------------------------------------------------------------

    @abstractmethod
    def deadline_reached(self, now: float) -> None:
        """Act on the running clock, if it has expired at `now`."""

    @abstractmethod
    def watch_output(self, now: float) -> None:
        """Look how far the output that the peer had not taken has come."""

    @abstractmethod
    def watch_peer(self, now: float) -> None:
        """Look whether a peer from which nothing is read is still there."""

    @abstractmethod
    def shed(self) -> bool:
        """End the connection to make room, unless octets have arrived meanwhile; return whether it was done."""

    @abstractmethod
    def refuse(self) -> None:
        """Have what the client asks answered 503, and end: there is no room for this connection."""

    @abstractmethod
    def announce_drain(self) -> None:
        """Announce close on every response from now on."""

    @abstractmethod
    def end_stream(self) -> None:
        """Have an event stream ended by its application: its client will reconnect by itself, elsewhere."""

    @abstractmethod
    def shorten_wait(self, seconds: float) -> None:
        """Wait at most `seconds` for another request."""

    @abstractmethod
    def stop(self) -> None:
        """End now, finished or not."""

    @abstractmethod
    def fail_internal(self) -> None:
        """Log the exception that is being handled, a fault of bide's, and end this connection only."""


class ConnectionManager(ABC):
    """Hears what the connections of one worker tell."""

    __slots__ = ()

    @abstractmethod
    def output_stalled(self, connection: ManagedConnection) -> None:
        """The peer does not take what was written: `watch_output` is to be called in each sweep."""

    @abstractmethod
    def output_resumed(self, connection: ManagedConnection) -> None:
        """That is over."""

    @abstractmethod
    def reading_stopped(self, connection: ManagedConnection) -> None:
        """Nothing is read, so that no reset would be reported: `watch_peer` is to be called in each sweep."""

    @abstractmethod
    def reading_resumed(self, connection: ManagedConnection) -> None:
        """That is over."""

    @abstractmethod
    def closed(self, connection: ManagedConnection, reason: CloseReason, served: int) -> None:
        """The connection is closed, after `served` requests. Comes last, and exactly once."""

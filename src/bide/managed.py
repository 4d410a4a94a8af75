"""The contract between a connection and its worker: orders and questions down, facts up.

A worker knows nothing of HTTP; a connection knows no other connection. The contract is base classes
in one line of inheritance, not protocols: compiled, calls through them cost a tenth of calls by
name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from bide.terms import CloseReason, State
from bide.wire import Receiver


class ManagedConnection(Receiver):
    """Takes the orders of a worker. Only `deadline_reached`, `watch_output` and `watch_peer` may
    raise.

    deadline: loop time in seconds at which the running clock can expire at the latest; infinity if
        none runs.
    place: where the worker's register has it.
    """

    __slots__ = ("deadline", "place")

    deadline: float
    place: int

    # -- Questions ---------------------------------------------------------------------------------

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
        """The peer's address without its port; "" if it has none, or none was told yet."""

    @property
    @abstractmethod
    def waiting_since(self) -> float:
        """Loop time in seconds at which the running clock was started.

        An idle or new connection has waited since then.
        """

    @property
    @abstractmethod
    def is_unfinished(self) -> bool:
        """Whether part of a request or of a response is outstanding."""

    @abstractmethod
    def may_be_shed(self, now: float, newcomer: float) -> bool:
        """Return whether the worker may close the connection to make room.

        It may if the connection owes nothing and has served a request, or is `newcomer` seconds
        old. It also may if the connection only lingers, or its handshake takes `newcomer` seconds.
        """

    # -- Orders ------------------------------------------------------------------------------------

    @abstractmethod
    def deadline_reached(self, now: float) -> None:
        """Act on the running clock, if it has expired at `now`."""

    @abstractmethod
    def watch_output(self, now: float) -> None:
        """Measure how much of the outstanding output the peer has taken."""

    @abstractmethod
    def watch_peer(self, now: float) -> None:
        """Check that the peer is still there, while nothing is read from it."""

    @abstractmethod
    def shed(self) -> bool:
        """End the connection to make room, unless octets have arrived; return whether it ended."""

    @abstractmethod
    def refuse(self) -> None:
        """Answer the client's request with 503, then end: there is no room for this connection."""

    @abstractmethod
    def announce_drain(self) -> None:
        """Announce close on every response from now on."""

    @abstractmethod
    def drain_tunnel(self) -> None:
        """Have a tunnel close by the rules of its protocol: its client connects anew, elsewhere."""

    @abstractmethod
    def end_stream(self) -> None:
        """Have the application end an event stream: its client reconnects by itself, elsewhere."""

    @abstractmethod
    def shorten_wait(self, seconds: float) -> None:
        """Wait at most `seconds` for another request."""

    @abstractmethod
    def stop(self) -> None:
        """End now, finished or not."""


class ConnectionManager(ABC):
    """Takes the facts that the connections of one worker report."""

    __slots__ = ()

    @abstractmethod
    def introduced(self, connection: ManagedConnection) -> None:
        """Take the news that a PROXY header has told the peer of a connection that was opened."""

    @abstractmethod
    def output_stalled(self, connection: ManagedConnection) -> None:
        """Take the news that the peer does not take the output: each sweep calls `watch_output`."""

    @abstractmethod
    def output_resumed(self, connection: ManagedConnection) -> None:
        """Take the news that the output is no longer watched."""

    @abstractmethod
    def reading_stopped(self, connection: ManagedConnection) -> None:
        """Take the news that nothing is read, so that no reset is reported.

        Each sweep calls `watch_peer`.
        """

    @abstractmethod
    def reading_resumed(self, connection: ManagedConnection) -> None:
        """Take the news that octets are read again."""

    @abstractmethod
    def replaced(self, old: ManagedConnection, new: ManagedConnection) -> None:
        """Take the news that `new` stands for the same connection as `old` until now."""

    @abstractmethod
    def wake(self, parked: ManagedConnection, descriptor: int) -> ManagedConnection:
        """Return a connection that stands for a parked one from now on.

        descriptor: number of its socket.
        """

    @abstractmethod
    def closed(self, connection: ManagedConnection, reason: CloseReason, served: int) -> None:
        """Take the news that the connection is closed after `served` requests.

        This call comes last, and exactly once.
        """

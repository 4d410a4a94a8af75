"""The contract between an exchange and the connection that carries it."""

from __future__ import annotations

from abc import abstractmethod

from bide.exchange import Tunnel
from bide.managed import ManagedConnection
from bide.terms import Address, CloseReason, Security


class Carrier(ManagedConnection):
    """Carries one exchange at a time.

    peer, local: the addresses of the two ends; None if a socket has no name.
    scheme: scheme of URIs that lead to the connection, such as "http".
    is_reading: whether octets are read from the wire.
    is_write_paused: whether the wire asked to wait before more is written.
    is_gathering: whether content has left in this pass of the event loop. Content that follows may
        wait until the next pass.
    is_serving: whether the request is being handed over; output is written after that.
    """

    __slots__ = ("is_gathering", "is_reading", "is_serving", "is_write_paused", "local", "peer", "scheme")

    peer: Address | None
    local: Address | None
    scheme: str
    is_reading: bool
    is_write_paused: bool
    is_gathering: bool
    is_serving: bool

    @abstractmethod
    def security(self) -> Security | None:
        """Return what the TLS of the connection is like; None if it speaks none."""

    @abstractmethod
    def settle(self) -> None:
        """Bring wire and clock in line with the protocol: called after every fact."""

    @abstractmethod
    def answered(self) -> None:
        """Take the news that octets of the response are ready; the response may be complete."""

    @abstractmethod
    def release_head(self) -> None:
        """Write a held head without its content, since the pass of the event loop is over."""

    @abstractmethod
    def send_file(self, file: int, offset: int, count: int) -> int:
        """Send what is to be written, then octets of a file, as `bide.wire.Wire.send_file` does."""

    @abstractmethod
    def switched(self, tunnel: Tunnel, received: bytes) -> None:
        """Take the news that 101 is ready to be written.

        From now on `tunnel` takes the octets, `received` first.
        """

    @abstractmethod
    def tunnel_written(self, data: bytes) -> None:
        """Send octets through the tunnel."""

    @abstractmethod
    def tunnel_reading(self, is_wanted: bool) -> None:
        """Take the news whether octets from the tunnel are wanted at present."""

    @abstractmethod
    def tunnel_closed(self, reason: CloseReason) -> None:
        """Close the tunnel, for `reason`."""

    @abstractmethod
    def park(self) -> None:
        """Have the connection parked, if it is idle and holds nothing."""

    @abstractmethod
    def content_left(self) -> None:
        """Take the news that content was written, and more of it follows."""

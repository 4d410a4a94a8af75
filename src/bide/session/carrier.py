"""The contract between an exchange and the connection that carries it: what the exchange reports, and what it asks."""

from __future__ import annotations

from abc import abstractmethod

from bide.exchange import Tunnel
from bide.managed import ManagedConnection
from bide.terms import Address


class Carrier(ManagedConnection):
    """Carries one exchange at a time.

    peer, local: the addresses of the two ends; None if a socket has no name.
    scheme: "http".
    is_reading: whether octets are read from the wire.
    is_write_paused: whether the wire asked to wait before more is written.
    is_gathering: whether content has left in this pass of the event loop; what follows may wait for more until the next.
    is_serving: whether the request is just being handed over: what is answered meanwhile is written after that.
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
    def settle(self) -> None:
        """Bring wire and clock in line with the protocol: called after every fact."""

    @abstractmethod
    def answered(self) -> None:
        """Octets of the response are ready to be written; it may be complete."""

    @abstractmethod
    def release_head(self) -> None:
        """Write a head that is held without waiting for content any longer: the pass of the event loop is over."""

    @abstractmethod
    def switched(self, tunnel: Tunnel, received: bytes) -> None:
        """101 is ready to be written, and `tunnel` takes the octets from now on, `received` first."""

    @abstractmethod
    def tunnel_written(self, data: bytes) -> None:
        """Octets are to be sent through the tunnel."""

    @abstractmethod
    def tunnel_reading(self, is_wanted: bool) -> None:
        """Octets from the tunnel are wanted, or not for now."""

    @abstractmethod
    def tunnel_closed(self) -> None:
        """The tunnel is to be closed."""

    @abstractmethod
    def content_left(self) -> None:
        """Content was written, and more of it follows."""

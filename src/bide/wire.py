"""The contract between the worker and a transport: orders down, facts up. A transport knows nothing of HTTP."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, final

from bide.terms import Address


class Receiver(ABC):
    """Hears the facts of one wire."""

    __slots__ = ()

    @abstractmethod
    def octets_received(self, data: bytes) -> None:
        """Octets came from the peer."""

    @abstractmethod
    def eof_received(self) -> None:
        """The peer sends no more."""

    @abstractmethod
    def write_paused(self) -> None:
        """More is written than the peer takes; wait for `write_resumed` before writing on."""

    @abstractmethod
    def write_resumed(self) -> None:
        """The peer takes octets again."""

    @abstractmethod
    def flushed(self) -> None:
        """After `half_close`: everything written is handed to the kernel, and the sending side shut."""

    @abstractmethod
    def lost(self) -> None:
        """The wire is no more. Comes last, and exactly once."""


class Wire(ABC):
    """Takes the orders. None of them raises, in whatever state the wire is."""

    __slots__ = ()

    @property
    @abstractmethod
    def scheme(self) -> str:
        """The scheme of URIs that lead here: "http"."""

    @property
    @abstractmethod
    def can_half_close(self) -> bool:
        """Whether the sending side can be shut while octets are still read: without it nothing can linger."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send octets, in order, after those written before."""

    @abstractmethod
    def write_pieces(self, pieces: list[bytes]) -> None:
        """The same of several pieces."""

    @abstractmethod
    def pause_reading(self) -> None:
        """Report no octets until `resume_reading`."""

    @abstractmethod
    def resume_reading(self) -> None:
        """Report octets again."""

    @abstractmethod
    def half_close(self, last: bytes) -> None:
        """Send `last`, flush, shut the sending side, go on reading, and report `flushed`."""

    @abstractmethod
    def half_close_if_quiet(self) -> bool:
        """Shut the sending side unless octets have arrived or are unsent; return whether it was done.

        Looking and shutting follow each other at once: what arrives between them is all that an idle close can lose.
        """

    @abstractmethod
    def release(self) -> None:
        """Flush, then close with FIN, and report `lost`."""

    @abstractmethod
    def abort(self) -> None:
        """Drop what is unsent, close with RST, and report `lost`."""

    @abstractmethod
    def unsent(self) -> int:
        """Octets written that the peer has not acknowledged, or, where that cannot be known, that the kernel has not taken."""

    @abstractmethod
    def octets_waiting(self) -> bool:
        """Whether octets have arrived that were not reported yet."""

    @abstractmethod
    def peer_gone(self) -> bool:
        """Whether the kernel knows that the peer is gone for good, reported or not."""

    @abstractmethod
    def probe_peer(self) -> None:
        """Have the kernel find out by itself whether the peer is still there, so that `broken` can tell."""

    @abstractmethod
    def descriptor(self) -> int:
        """The number of the socket's file descriptor; -1 where there is none."""

    @abstractmethod
    def peer(self) -> Address | None:
        """The address of the peer, or None where it has none."""

    @abstractmethod
    def local(self) -> Address | None:
        """The address that the peer connected to."""


@final
class ClosedWire(Wire):
    """What takes the place of a wire that is no more, so that the two who knew each other through it are soon forgotten."""

    __slots__ = ()

    @property
    def scheme(self) -> str:
        return "http"

    @property
    def can_half_close(self) -> bool:
        return True

    def write(self, data: bytes) -> None:
        pass

    def write_pieces(self, pieces: list[bytes]) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def half_close(self, last: bytes) -> None:
        pass

    def half_close_if_quiet(self) -> bool:
        return False

    def release(self) -> None:
        pass

    def abort(self) -> None:
        pass

    def unsent(self) -> int:
        return 0

    def octets_waiting(self) -> bool:
        return False

    def peer_gone(self) -> bool:
        return True

    def probe_peer(self) -> None:
        pass

    def descriptor(self) -> int:
        return -1

    def peer(self) -> Address | None:
        return None

    def local(self) -> Address | None:
        return None


CLOSED_WIRE: Final = ClosedWire()

#: Called once for each wire made; returns who hears its facts.
Accept = Callable[[Wire], Receiver]

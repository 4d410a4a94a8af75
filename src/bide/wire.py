"""The contract between the worker and a transport: orders down, facts up.

A transport knows nothing of HTTP.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, final

from bide.terms import Address, CloseReason, Security


class Receiver(ABC):
    """Takes the facts of one wire."""

    __slots__ = ()

    @abstractmethod
    def ready(self) -> None:
        """Take the news that the wire is ready (`Wire.is_ready`)."""

    @abstractmethod
    def introduced(self) -> None:
        """Take the news that a PROXY header has told peer, local address and scheme of the wire."""

    @abstractmethod
    def rejected(self, reason: CloseReason, detail: str, is_plain: bool) -> None:
        """Take the news that what came is no PROXY header, or not valid TLS.

        An alert of TLS is sent. From now on the wire sends octets as they are.

        reason: PROXY_HEADER_REJECTED or TLS_REJECTED.
        detail: what was wrong, for the log.
        is_plain: whether HTTP came without TLS.
        """

    @abstractmethod
    def octets_received(self, data: bytes) -> None:
        """Take octets that came from the peer."""

    @abstractmethod
    def go_on(self) -> None:
        """Do what was deferred (`Wire.defers`)."""

    @abstractmethod
    def eof_received(self) -> None:
        """Take the news that the peer sends no more."""

    @abstractmethod
    def write_paused(self) -> None:
        """Take the news that more is written than the peer takes.

        Nothing should be written before `write_resumed`.
        """

    @abstractmethod
    def write_resumed(self) -> None:
        """Take the news that the peer takes octets again."""

    @abstractmethod
    def flushed(self) -> None:
        """Take the news that `half_close` is done.

        The kernel has all octets that were written, and the sending side is shut.
        """

    @abstractmethod
    def lost(self) -> None:
        """Take the news that the wire is closed. This call comes last, and exactly once."""

    @abstractmethod
    def fail_internal(self) -> None:
        """Log the exception that is being handled, an error in bide; end this connection only."""


#: What `Wire.send_file` returns if the file has nothing left to send.
FILE_ENDED: Final = -1


class Wire(ABC):
    """Takes orders. No order raises, whatever the state of the wire."""

    __slots__ = ()

    @property
    @abstractmethod
    def is_ready(self) -> bool:
        """Whether octets can be exchanged. If not, `ready` or `rejected` will be reported."""

    @property
    @abstractmethod
    def scheme(self) -> str:
        """The scheme of URIs that lead here, such as "http"."""

    @property
    @abstractmethod
    def can_half_close(self) -> bool:
        """Whether the sending side can be shut while octets are read, as lingering requires."""

    @abstractmethod
    def defers(self) -> bool:
        """Return whether the receiver is to leave the application for `go_on`.

        That call follows once the octets of all connections that are ready have been read: reading
        and serving by turns costs more, since each displaces the other's code from the caches.
        """

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send octets, in order, after earlier octets."""

    @abstractmethod
    def write_pieces(self, pieces: list[bytes]) -> None:
        """Send the octets of several pieces, as `write` does."""

    @abstractmethod
    def send_file(self, first: bytes, file: int, offset: int, count: int) -> int:
        """Send `first`, then up to `count` octets of a file, from `offset` on; return their number.

        It may be less than `count`, so that others have their turn. It is 0 if no octets can be
        sent now, and FILE_ENDED if the file has none. May be called unless writing is paused.

        file: descriptor of the file.
        """

    @abstractmethod
    def pause_reading(self) -> None:
        """Report no octets until `resume_reading`."""

    @abstractmethod
    def resume_reading(self) -> None:
        """Report octets again."""

    @abstractmethod
    def half_close(self, last: bytes) -> None:
        """Send `last`, flush, shut the sending side and report `flushed`. Reading goes on."""

    @abstractmethod
    def half_close_if_quiet(self) -> bool:
        """Shut the sending side unless octets have arrived or are unsent; return whether it was
        shut.

        The shutdown follows the check at once. An idle close can lose only octets that arrive
        between the two.
        """

    @abstractmethod
    def release(self) -> None:
        """Flush, then close with FIN, and report `lost`."""

    @abstractmethod
    def abort(self) -> None:
        """Drop unsent octets, close with RST, and report `lost`."""

    @abstractmethod
    def rest(self, receiver: Receiver) -> bool:
        """Give this object up, and keep the connection open; return whether that was possible.

        It is if nothing is unsent and the peer may send. Once the peer does, the transport has a
        new wire made, and asks who of that takes the place of `receiver`.
        """

    @abstractmethod
    def unsent(self) -> int:
        """Return the number of octets written that the peer has not acknowledged.

        If the kernel does not report that number, return the octets that the kernel has not taken.
        """

    @abstractmethod
    def octets_waiting(self) -> bool:
        """Return whether octets have arrived that were not reported yet."""

    @abstractmethod
    def peer_gone(self) -> bool:
        """Return whether the kernel knows that the peer is gone for good, reported or not."""

    @abstractmethod
    def probe_peer(self) -> None:
        """Have the kernel probe whether the peer is still there, so that `peer_gone` can tell."""

    @abstractmethod
    def descriptor(self) -> int:
        """Return the number of the socket's file descriptor; -1 if there is no descriptor."""

    @abstractmethod
    def security(self) -> Security | None:
        """Return what the TLS of this wire is like, once it is ready; None if it speaks none."""

    @abstractmethod
    def peer(self) -> Address | None:
        """Return the address of the peer; None if it has no address, or a PROXY header will tell
        it.
        """

    @abstractmethod
    def local(self) -> Address | None:
        """Return the address that the peer connected to; None if it has no address."""


@final
class ClosedWire(Wire):
    """Replaces a lost wire by a null object, which breaks the reference cycle with its session."""

    __slots__ = ()

    @property
    def is_ready(self) -> bool:
        return True

    @property
    def scheme(self) -> str:
        return "http"

    @property
    def can_half_close(self) -> bool:
        return True

    def defers(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        pass

    def write_pieces(self, pieces: list[bytes]) -> None:
        pass

    def send_file(self, first: bytes, file: int, offset: int, count: int) -> int:
        return 0

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

    def rest(self, receiver: Receiver) -> bool:
        return False

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

    def security(self) -> Security | None:
        return None

    def peer(self) -> Address | None:
        return None

    def local(self) -> Address | None:
        return None


CLOSED_WIRE: Final = ClosedWire()

#: Called once for each wire made; returns the receiver of its facts.
Accept = Callable[[Wire], Receiver]

"""The contract between a gateway and the worker: one request and its response.

A gateway sees exchanges and nothing below them: no connection, no socket, no clock. (Base classes, not protocols: compiled,
calls through a base class cost a tenth of calls by name.)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Generator, Iterable
from typing import Final, final

from bide.message import Request
from bide.terms import Address

# All that `await` asks of what it waits for is to be exhausted; this is, for ever and for everybody.
_EXHAUSTED: Final[Generator[None, None, None]] = iter(())  # type: ignore[assignment]


@final
class Done:
    """An awaitable that is done: what a `send` that need not wait returns. It costs nothing to make.

    It has a coroutine's methods, so that `asyncio.create_task(send(...))` works as `await send(...)` does.
    """

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        return _EXHAUSTED

    def send(self, _value: None) -> None:
        raise StopIteration

    def throw(self, *error: BaseException) -> None:
        raise error[0]

    def close(self) -> None:
        pass


DONE: Final = Done()


class TunnelEnd(ABC):
    """The server's end of a tunnel: takes orders, and raises nothing."""

    __slots__ = ()

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send octets to the client."""

    @abstractmethod
    def pause_reading(self) -> None:
        """Report no octets until `resume_reading`."""

    @abstractmethod
    def resume_reading(self) -> None:
        """Report octets again."""

    @abstractmethod
    def close(self) -> None:
        """Flush, then end the connection."""


class Tunnel(ABC):
    """Takes the octets of a connection that has left HTTP."""

    __slots__ = ()

    @abstractmethod
    def opened(self, end: TunnelEnd) -> None:
        """101 is written. Comes first."""

    @abstractmethod
    def octets_received(self, data: bytes) -> None:
        """Octets came from the client."""

    @abstractmethod
    def eof_received(self) -> None:
        """The client sends no more: what is written now is flushed, then the connection ends."""

    @abstractmethod
    def write_paused(self) -> None:
        """The client does not take what was written: wait for `write_resumed` before writing on."""

    @abstractmethod
    def write_resumed(self) -> None:
        """The client takes octets again."""

    @abstractmethod
    def drain(self) -> None:
        """The server is stopping: close soon. What is open at the drain timeout is cut."""

    @abstractmethod
    def closed(self) -> None:
        """The tunnel is no more. Comes last, and exactly once."""


class Exchange(ABC):
    """One request and its response. Calls that HTTP does not allow raise `bide.errors.Misuse`, a RuntimeError.

    Attributes to read:

    request: the request's head.
    peer, local: the addresses of the connection that it came on; None where the socket has no name.
    scheme: "http".
    over: whether the response is complete or can no longer be.
    complete: whether the response is complete.
    client_left: whether the application is to be told that the client has left. The client has sent its EOF some time ago, the rest of
        its request's body can never be had, or it will reconnect by itself to an event stream that a stopping server ends. An answer can
        still be sent.
    """

    __slots__ = ("client_left", "complete", "local", "over", "peer", "request", "scheme")

    request: Request
    peer: Address | None
    local: Address | None
    scheme: str
    over: bool
    complete: bool
    client_left: bool

    @property
    @abstractmethod
    def is_refused(self) -> bool:
        """Whether there is no room for the client's connection: the server itself answers 503 (RFC 9110, 15.6.4)."""

    @property
    @abstractmethod
    def body_complete(self) -> bool:
        """Whether the whole request body has arrived."""

    @abstractmethod
    def take(self) -> bytes:
        """Return the request content that has arrived and was not taken yet; b"" where there is none."""

    @abstractmethod
    def changed(self) -> Awaitable[None]:
        """Wait until content arrives, the body completes, the client leaves, or the exchange is over."""

    @abstractmethod
    def disconnect_delivered(self) -> None:
        """Take the news that the application was told that the client has left."""

    @abstractmethod
    def inform(self, status: int, fields: Iterable[Iterable[bytes]]) -> None:
        """Send an interim response (RFC 9110, 15.2)."""

    @abstractmethod
    def respond(self, status: int, fields: Iterable[Iterable[bytes]], trailers: bool) -> None:
        """Begin the final response; its head leaves with the first content."""

    @abstractmethod
    def send(self, content: bytes, more: bool) -> Awaitable[None]:
        """Send content. The result is done when the client's side has taken enough for more.

        Raises DisconnectedError, at once or when awaited, if nobody takes it: the client is gone, or the response has no content and
        is complete (`complete` is then true).
        """

    @abstractmethod
    def send_trailers(self, fields: Iterable[Iterable[bytes]], more: bool) -> None:
        """Send trailer fields; `more`: others follow."""

    @abstractmethod
    def upgrade(self, protocol: bytes, fields: Iterable[Iterable[bytes]], tunnel: Tunnel) -> None:
        """Switch to `protocol`, which must be among those of `request.upgrade` (RFC 9110, 7.8).

        101 is written with `fields`, the exchange is complete, and `tunnel` takes the octets from then on.
        """

    @abstractmethod
    def finished(self) -> None:
        """Say that the application has ended: an incomplete response is then a broken one, or, once the client has left,
        one that nobody wants.
        """


class Gateway(ABC):
    """Brings exchanges to an application."""

    __slots__ = ()

    @abstractmethod
    def start(self, exchange: Exchange) -> None:
        """Begin to serve `exchange`. Returns soon; never raises."""

    @property
    @abstractmethod
    def running(self) -> int:
        """Exchanges whose application has not ended, complete or not."""

    @abstractmethod
    def cancel(self) -> None:
        """Cancel the applications that run; `running` tells how many have not ended yet."""

    @abstractmethod
    def drain(self) -> None:
        """Take the news that the server is stopping; exchanges begun are completed, and others may come."""

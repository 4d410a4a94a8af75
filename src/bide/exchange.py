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


class Exchange(ABC):
    """One request and its response. Calls that HTTP does not allow raise `bide.errors.Misuse`, a RuntimeError.

    Attributes to read:

    request: the request's head.
    peer, local: the addresses of the connection that it came on; None where the socket has no name.
    scheme: "http".
    over: whether the response is complete or can no longer be.
    complete: whether the response is complete.
    client_left: whether the client has sent its EOF and then waited so long that it is more likely gone than half-closed, or the rest of
        its request's body can never be had. An answer can still be sent.
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
    def inform(self, status: int, fields: Iterable[Iterable[bytes]]) -> None:
        """Send an interim response (RFC 9110, 15.2)."""

    @abstractmethod
    def respond(self, status: int, fields: Iterable[Iterable[bytes]], trailers: bool) -> None:
        """Begin the final response; its head leaves with the first content."""

    @abstractmethod
    def send(self, content: bytes, more: bool) -> Awaitable[None]:
        """Send content. The result is done when the client's side has taken enough for more.

        Raises DisconnectedError, at once or when awaited, where the client is gone.
        """

    @abstractmethod
    def send_trailers(self, fields: Iterable[Iterable[bytes]], more: bool) -> None:
        """Send trailer fields; `more`: others follow."""

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

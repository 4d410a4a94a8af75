"""The contract between a gateway and the worker: one request and its response.

A gateway sees exchanges and nothing below them: no connection, no socket, no clock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Iterable
from typing import Final, Protocol, final

from bide.message import Request
from bide.terms import Address


@final
class ConnectionInfo:
    """What an application may know of the connection: addresses (None where the socket has no name) and scheme."""

    __slots__ = ("local", "peer", "scheme")

    def __init__(self, peer: Address | None, local: Address | None, scheme: str) -> None:
        self.peer = peer
        self.local = local
        self.scheme = scheme


@final
class Done:
    """An awaitable that is done: what a `send` that need not wait returns. It costs nothing to make.

    It has a coroutine's methods, so that `asyncio.create_task(send(...))` works as `await send(...)` does.
    """

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        return iter(())  # type: ignore[return-value]  # all that `await` asks of it is to be exhausted

    def send(self, _value: None) -> None:
        raise StopIteration

    def throw(self, *error: BaseException) -> None:
        raise error[0]

    def close(self) -> None:
        pass


DONE: Final = Done()


class Exchange(Protocol):
    """One request and its response. Calls that HTTP does not allow raise `bide.errors.Misuse`, a RuntimeError."""

    @property
    def request(self) -> Request:
        """The request's head."""

    @property
    def info(self) -> ConnectionInfo:
        """The connection that it came on."""

    @property
    def over(self) -> bool:
        """Whether the response is complete or can no longer be."""

    @property
    def complete(self) -> bool:
        """Whether the response is complete."""

    @property
    def client_left(self) -> bool:
        """Whether the client has sent its EOF and then waited so long that it is more likely gone than half-closed.

        An answer can still be sent.
        """

    @property
    def body_complete(self) -> bool:
        """Whether the whole request body has arrived."""

    def take(self) -> bytes:
        """Return the request content that has arrived and was not taken yet; b"" where there is none."""

    def changed(self) -> Awaitable[None]:
        """Wait until content arrives, the body completes, the client leaves, or the exchange is over."""

    def inform(self, status: int, fields: Iterable[Iterable[bytes]]) -> None:
        """Send an interim response (RFC 9110, 15.2)."""

    def respond(self, status: int, fields: Iterable[Iterable[bytes]], trailers: bool) -> None:
        """Begin the final response; its head leaves with the first content."""

    def send(self, content: bytes, more: bool) -> Awaitable[None]:
        """Send content. The result is done when the client's side has taken enough for more.

        Raises DisconnectedError, at once or when awaited, where the client is gone.
        """

    def send_trailers(self, fields: Iterable[Iterable[bytes]], more: bool) -> None:
        """Send trailer fields; `more`: others follow."""

    def finished(self) -> None:
        """Say that the application has ended: an incomplete response is then a broken one, or, once the client has left,
        one that nobody wants.
        """


class Gateway(Protocol):
    """Brings exchanges to an application."""

    def start(self, exchange: Exchange) -> None:
        """Begin to serve `exchange`. Returns soon; never raises."""

"""Defines the contract between a gateway and a session: one request and its response.

A gateway sees exchanges and nothing below them: no connection, no socket, no clock. These are base
classes, not protocols: compiled, a call through a base class costs a tenth of a call by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Generator, Iterable
from typing import Final, final

from bide.message import Request
from bide.terms import Address, Clock, CloseReason, Security
from bide.websocket.handshake import Handshake

# `await` ends as soon as its iterator is exhausted. This one always is, so all awaits can share it.
_EXHAUSTED: Final[Generator[None, None, None]] = iter(())  # type: ignore[assignment]


@final
class Done:
    """Serves as the result of a `send` that need not wait. It costs nothing to make.

    It has a coroutine's methods, so that `asyncio.create_task(send(...))` works, too.
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
    """Takes the orders of a tunnel to its connection. None of them raises."""

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

    @abstractmethod
    def end(self, reason: CloseReason) -> None:
        """Flush, then end the connection, for a reason of the tunnel's protocol."""


class Tunnel(ABC):
    """Takes the octets of a connection that has left HTTP. None of its methods may raise."""

    __slots__ = ()

    @abstractmethod
    def opened(self, end: TunnelEnd) -> None:
        """Take `end`, after 101 was written. Comes first."""

    @abstractmethod
    def octets_received(self, data: bytes) -> None:
        """Take octets from the client."""

    @abstractmethod
    def eof_received(self) -> None:
        """Take the client's EOF. Octets written now are flushed, then the connection ends."""

    @abstractmethod
    def write_paused(self) -> None:
        """Stop writing until `write_resumed`, since the client does not take the output."""

    @abstractmethod
    def write_resumed(self) -> None:
        """Write again."""

    @abstractmethod
    def drain(self) -> None:
        """Close soon, since the server is stopping. At the drain timeout an open tunnel is cut."""

    @abstractmethod
    def closed(self) -> None:
        """Take the end of the connection. Comes last, and exactly once."""

    # A protocol that the session itself knows has clocks and reasons of its own.

    @property
    def clock(self) -> Clock | None:
        """The clock that runs while the client takes the output; None for no deadline."""
        return Clock.TUNNEL

    def expired(self) -> None:  # noqa: B027  # the TUNNEL clock ends the connection without it
        """Act on the expiry of `clock`, unless that is TUNNEL."""

    @property
    def loss(self) -> CloseReason:
        """Why the connection ends if it is reset now."""
        return CloseReason.CLIENT_EOF_TUNNEL


class WebSocket(Tunnel):
    """Carries messages in both directions (RFC 6455). It is made by `Exchange.accept`.

    Calls that RFC 6455 does not allow raise `bide.errors.Misuse`.

    Attributes to read:

    over: whether no more messages can be sent. Messages received before may still wait.
    code, reason: of the end, once `over`: those of the Close frame that the client sent, or those
        sent to it. 1005 if the frame had no code; 1006 if the connection ended without one.
    messages_received, messages_sent: numbers of messages.
    """

    __slots__ = ("code", "messages_received", "messages_sent", "over", "reason")

    messages_received: int
    messages_sent: int
    over: bool
    code: int
    reason: str

    @abstractmethod
    def take(self) -> str | bytes | None:
        """Return the next message; None if none waits."""

    @abstractmethod
    def changed(self) -> Awaitable[None]:
        """Wait until a message arrives, or the WebSocket is over."""

    @abstractmethod
    def send(self, message: str | bytes) -> Awaitable[None]:
        """Send a message. The result is done once the output buffer has space for more.

        Raises DisconnectedError, at once or when awaited, if the WebSocket is over.
        """

    @abstractmethod
    def close(self, code: int, reason: str) -> None:
        """Send a Close frame, after all messages sent before, and end.

        code: one that may be sent (7.4).
        reason: at most 123 octets in UTF-8.
        """

    @abstractmethod
    def finished(self, failed: bool) -> None:
        """Take the fact that the application has returned, or failed.

        A WebSocket that is not over is then closed, with 1000 or 1011.
        """


class Exchange(ABC):
    """Carries one request and its response.

    Calls that HTTP does not allow raise `bide.errors.Misuse`.

    Attributes to read:

    request: the request's head.
    client: address of the client, as far as it is known: of the connection's peer, unless a trusted
        front end tells of another (`bide.semantics.forwarded`). None if that socket has no name.
    local: address of this end of the connection; None if the socket has no name.
    scheme: "http" or "https", as the client used it.
    prefix: percent-encoded path under which a front end mounts the application, if it tells so;
        else b"".
    over: whether the response is complete, or can no longer become complete.
    complete: whether the response is complete.
    client_left: whether the application is told that the client has left. `timeout_half_closed` has
        passed since its EOF, the rest of the request's body cannot arrive any more, or a stopping
        server ends an event stream, whose client reconnects. An answer can still be sent.
    """

    __slots__ = ("client", "client_left", "complete", "local", "over", "prefix", "request", "scheme")

    request: Request
    client: Address | None
    local: Address | None
    scheme: str
    prefix: bytes
    over: bool
    complete: bool
    client_left: bool

    @property
    @abstractmethod
    def is_refused(self) -> bool:
        """Whether a limit refuses the connection: bide itself answers 503 (RFC 9110, 15.6.4)."""

    @property
    @abstractmethod
    def body_complete(self) -> bool:
        """Whether the whole request body has arrived."""

    @abstractmethod
    def security(self) -> Security | None:
        """Return what the TLS of the connection is like; None if it speaks none."""

    @abstractmethod
    def take(self) -> bytes:
        """Return the request content that arrived since the last call; b"" if none did."""

    @abstractmethod
    def changed(self) -> Awaitable[None]:
        """Wait until content arrives, the body or the exchange ends, or the client leaves."""

    @abstractmethod
    def disconnect_delivered(self) -> None:
        """Take the fact that the application was told that the client has left."""

    @abstractmethod
    def inform(self, status: int, fields: Iterable[Iterable[bytes]]) -> None:
        """Send an interim response (RFC 9110, 15.2)."""

    @abstractmethod
    def respond(self, status: int, fields: Iterable[Iterable[bytes]], trailers: bool) -> None:
        """Begin the final response; its head leaves with the first content."""

    @abstractmethod
    def send(self, content: bytes, more: bool) -> Awaitable[None]:
        """Send content. The result is done once the output buffer has space for more.

        content: octets of the response's content; b"" is allowed.
        more: whether more content follows.

        Raises DisconnectedError, at once or when awaited, if no client takes the content: it is
        gone, or the response has no content and is complete (`complete` is then true).
        """

    @abstractmethod
    def send_file(self, file: int, offset: int, count: int, more: bool) -> Awaitable[None]:
        """Send octets of a file as content. The result is done once they are sent.

        If nothing follows and no length was declared, `count` is. Octets beyond a declared length
        are not sent. Raises as `send`, and Misuse if the file has less.

        file: descriptor of the file, which stays open until the result is done.
        """

    @abstractmethod
    def send_trailers(self, fields: Iterable[Iterable[bytes]], more: bool) -> None:
        """Send trailer fields. more: whether further trailer fields follow."""

    @abstractmethod
    def upgrade(self, protocol: bytes, fields: Iterable[Iterable[bytes]], tunnel: Tunnel) -> None:
        """Switch to `protocol`, which must be among those of `request.upgrade` (RFC 9110, 7.8).

        101 is sent with `fields`, and the exchange is complete. From then on `tunnel` takes the
        octets.
        """

    @abstractmethod
    def accept(self, handshake: Handshake, subprotocol: str | None, fields: Iterable[Iterable[bytes]]) -> WebSocket:
        """Switch to the WebSocket protocol: 101 is sent, and the exchange is complete.

        handshake: as the request asked for it.
        subprotocol: one that the client offered; None for none.
        fields: more fields of the response.
        """

    @abstractmethod
    def finished(self) -> None:
        """Take the fact that the application has returned.

        An incomplete response is then cut: as broken, or, if `client_left`, as no longer wanted.
        """


class Gateway(ABC):
    """Passes exchanges to an application."""

    __slots__ = ()

    @abstractmethod
    def start(self, exchange: Exchange) -> None:
        """Begin to serve `exchange`. Returns soon, and never raises."""

    @property
    @abstractmethod
    def running(self) -> int:
        """Number of exchanges whose application has not returned, complete or not."""

    @abstractmethod
    def cancel(self) -> None:
        """Cancel the applications that run. `running` is the number that have not ended yet."""

    @abstractmethod
    def drain(self) -> None:
        """Prepare for the server's stop. Exchanges begun are completed, and others may start."""

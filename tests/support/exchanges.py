"""An exchange as a gateway sees it, played by a test: no connection, no socket, no clock."""

import asyncio
import os
from collections.abc import Awaitable, Iterable

from bide.errors import DisconnectedError, Misuse
from bide.exchange import DONE, Exchange, Tunnel, TunnelEnd, WebSocket
from bide.message import Request
from bide.terms import Security
from bide.websocket.handshake import Handshake
from tests.support.builds import require_interpreted

require_interpreted()


def request_of(
    method: str = "GET", target: bytes = b"/", fields: Iterable[tuple[bytes, bytes]] = (), *, minor: int = 1
) -> Request:
    """Return a request without a body."""
    path, _, query = target.partition(b"?")
    return Request(method, target, path, query, list(fields), minor, 0, 0, False)


class StubExchange(Exchange):
    """Keeps what an application answers.

    status, fields: of the final response; 0 before there is one.
    content: pieces that were sent.
    files: (offset, count) of pieces that were sent from a file.
    informed: interim responses.
    trailers: trailer fields that were sent.
    has_finished: whether the gateway said that the application has ended.
    incoming: request content that has arrived and was not taken.
    """

    def __init__(self, request: Request | None = None, *, is_refused: bool = False, body: bytes | None = b"") -> None:
        """`body`: the request body; None for one that has yet to arrive."""
        self.request = request or request_of()
        self.client = ("192.0.2.1", 4000)
        self.local = ("192.0.2.2", 80)
        self.scheme = "http"
        self.prefix = b""
        self.tls: Security | None = None
        self.over = False
        self.complete = False
        self.client_left = False
        self.status = 0
        self.fields: list[tuple[bytes, ...]] = []
        self.content: list[bytes] = []
        self.files: list[tuple[int, int]] = []
        self.informed: list[int] = []
        self.trailers: list[tuple[bytes, ...]] = []
        self.has_finished = False
        self.has_delivered_disconnect = False
        self.incoming = body or b""
        self._is_refused = is_refused
        self._body_complete = body is not None
        self._news = asyncio.Event()

    @property
    def is_refused(self) -> bool:
        return self._is_refused

    @property
    def body_complete(self) -> bool:
        return self._body_complete

    def security(self) -> Security | None:
        return self.tls

    def take(self) -> bytes:
        content, self.incoming = self.incoming, b""
        return content

    async def _wait(self) -> None:
        self._news.clear()
        await self._news.wait()

    def changed(self) -> Awaitable[None]:
        return self._wait()

    def disconnect_delivered(self) -> None:
        self.has_delivered_disconnect = True

    def inform(self, status: int, fields: Iterable[Iterable[bytes]]) -> None:
        self.informed.append(status)

    def respond(self, status: int, fields: Iterable[Iterable[bytes]], trailers: bool) -> None:
        self._require_open()
        self.status = status
        self.fields = [tuple(field) for field in fields]

    def send(self, content: bytes, more: bool) -> Awaitable[None]:
        self._require_open()
        self.content.append(content)
        if not more:
            self.complete = self.over = True
        return DONE

    def send_file(self, file: int, offset: int, count: int, more: bool) -> Awaitable[None]:
        content = os.pread(file, count, offset)
        if len(content) < count:
            raise Misuse("the file ended too soon")
        self.files.append((offset, count))
        return self.send(content, more)

    def send_trailers(self, fields: Iterable[Iterable[bytes]], more: bool) -> None:
        self.trailers += [tuple(field) for field in fields]

    def upgrade(self, protocol: bytes, fields: Iterable[Iterable[bytes]], tunnel: Tunnel) -> None:
        self._require_open()
        self.status = 101
        self.fields = [tuple(field) for field in fields]
        self.tunnel = tunnel
        self.complete = self.over = True

    def accept(self, handshake: Handshake, subprotocol: str | None, fields: Iterable[Iterable[bytes]]) -> WebSocket:
        self._require_open()
        self.status = 101
        self.fields = [tuple(field) for field in fields]
        self.subprotocol = subprotocol
        self.websocket = StubWebSocket()
        self.complete = self.over = True
        self._news.set()
        return self.websocket

    def finished(self) -> None:
        self.has_finished = True
        self.over = True

    # -- What a test does -----------------------------------------------------------------------------------------------

    def arrive(self, content: bytes, *, complete: bool) -> None:
        """Let content of the request arrive."""
        self.incoming += content
        self._body_complete = complete
        self._news.set()

    def leave(self) -> None:
        """Let the client send its EOF and wait too long."""
        self.client_left = True
        self._news.set()

    def lose(self) -> None:
        """Let the connection be lost."""
        self.over = True
        self._news.set()

    def _require_open(self) -> None:
        if self.over:
            raise DisconnectedError("the client is gone")


class StubWebSocket(WebSocket):
    """Keeps what an application sends, and gives it what a test lets arrive.

    sent: messages, in order.
    closed_with: code and reason; None before.
    finishes: what `finished` was called with.
    """

    def __init__(self) -> None:
        self.over = False
        self.code = 1006
        self.reason = ""
        self.messages_received = 0
        self.messages_sent = 0
        self.incoming: list[str | bytes] = []
        self.sent: list[str | bytes] = []
        self.closed_with: tuple[int, str] | None = None
        self.finishes: list[bool] = []
        self.is_stuck = False
        self._news = asyncio.Event()

    def take(self) -> str | bytes | None:
        return self.incoming.pop(0) if self.incoming else None

    async def _wait(self) -> None:
        self._news.clear()
        await self._news.wait()
        if self.over and self.is_stuck:
            raise DisconnectedError("the client is gone")

    def changed(self) -> Awaitable[None]:
        return self._wait()

    def send(self, message: str | bytes) -> Awaitable[None]:
        if self.over:
            raise DisconnectedError("the client is gone")
        self.sent.append(message)
        return self._wait() if self.is_stuck else DONE

    def close(self, code: int, reason: str) -> None:
        if self.closed_with is not None:
            raise Misuse("the WebSocket is closed already")
        self.closed_with = (code, reason)
        self.end(code, reason)

    def finished(self, failed: bool) -> None:
        self.finishes.append(failed)

    def opened(self, end: TunnelEnd) -> None:
        raise NotImplementedError

    def octets_received(self, data: bytes) -> None:
        raise NotImplementedError

    def eof_received(self) -> None:
        raise NotImplementedError

    def write_paused(self) -> None:
        raise NotImplementedError

    def write_resumed(self) -> None:
        raise NotImplementedError

    def drain(self) -> None:
        raise NotImplementedError

    def closed(self) -> None:
        raise NotImplementedError

    # -- What a test does -----------------------------------------------------------------------------------------------

    def arrive(self, *messages: str | bytes) -> None:
        """Let messages arrive."""
        self.incoming += messages
        self._news.set()

    def end(self, code: int, reason: str = "") -> None:
        """Let it be over."""
        self.over = True
        self.code = code
        self.reason = reason
        self._news.set()

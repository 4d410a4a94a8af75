"""An exchange as a gateway sees it, played by a test: no connection, no socket, no clock."""

import asyncio
from collections.abc import Awaitable, Iterable

from bide.errors import DisconnectedError
from bide.exchange import DONE, Exchange, Tunnel
from bide.message import Request
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
    informed: interim responses.
    trailers: trailer fields that were sent.
    has_finished: whether the gateway said that the application has ended.
    incoming: request content that has arrived and was not taken.
    """

    def __init__(self, request: Request | None = None, *, is_refused: bool = False, body: bytes | None = b"") -> None:
        """`body`: the request body; None for one that has yet to arrive."""
        self.request = request or request_of()
        self.peer = ("192.0.2.1", 4000)
        self.local = ("192.0.2.2", 80)
        self.scheme = "http"
        self.over = False
        self.complete = False
        self.client_left = False
        self.status = 0
        self.fields: list[tuple[bytes, ...]] = []
        self.content: list[bytes] = []
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

    def send_trailers(self, fields: Iterable[Iterable[bytes]], more: bool) -> None:
        self.trailers += [tuple(field) for field in fields]

    def upgrade(self, protocol: bytes, fields: Iterable[Iterable[bytes]], tunnel: Tunnel) -> None:
        self._require_open()
        self.status = 101
        self.fields = [tuple(field) for field in fields]
        self.tunnel = tunnel
        self.complete = self.over = True

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

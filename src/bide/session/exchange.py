"""One exchange as its connection's session serves it: what the gateway holds of the two."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Final, final

from bide.errors import DisconnectedError, Misuse
from bide.exchange import DONE, Exchange
from bide.http1.connection import Connection
from bide.message import Request
from bide.policy.clocks import FOREVER
from bide.session.exchange_coroutines import changed, flowing
from bide.session.progress import BodyProgress
from bide.terms import Clock

if TYPE_CHECKING:
    from bide.session.session import Session

#: What an application sends within one pass of the event loop, and what it answers to pipelined requests, leaves together, but no
#: more than so many octets: as many as event loops read at once. To the kernel, 16 writes of 16 KiB cost more than twice as much as one.
GATHERED: Final = 1 << 18

# Octets sent before others get their turn: about a millisecond's work.
_FAIR_OCTETS: Final = 1 << 20

_BODY: Final = Clock.BODY  # found slowly through its class, and at once by a name of the module


@final
class ServedExchange(Exchange):
    """See `bide.exchange.Exchange`. `connection` stands for the connection until the exchange is over, and not longer."""

    __slots__ = ("_awaiting", "_leaves", "_sent", "_waiters", "begun", "body", "connection", "session")

    def __init__(self, session: Session, connection: Connection, request: Request, begun: float) -> None:
        self.session = session
        self.connection = connection
        self._waiters: list[asyncio.Future[None]] | None = None
        self._sent = 0  # octets sent since others had their turn
        self._awaiting = 0  # calls that wait for more of the body
        self.body: BodyProgress | None = None  # of the request body, once the application has waited for it
        self.request = request
        self.peer = session.peer
        self.local = session.local
        self.scheme = "http"
        self.begun = begun
        self._leaves = FOREVER  # the instant at which a client that has sent its EOF is taken for gone
        self.client_left = False
        self.over = False
        self.complete = False

    @property
    def body_complete(self) -> bool:
        return self.connection.body_complete

    def take(self) -> bytes:
        if self.over:
            return b""
        content = self.connection.take_content()
        if not self.session.reading:
            self.session.settle()
        return content

    def changed(self) -> Awaitable[None]:
        return changed(self)

    def inform(self, status: int, fields: Iterable[Iterable[bytes]]) -> None:
        self.require_open()
        self.connection.inform(status, fields)
        self.session.settle()

    def respond(self, status: int, fields: Iterable[Iterable[bytes]], trailers: bool) -> None:
        if self.over:
            self.require_open()
        self.connection.respond(status, fields, trailers)

    def send(self, content: bytes, more: bool) -> Awaitable[None]:
        if self.over:
            self.require_open()
        session = self.session
        connection = self.connection
        connection.send(content, more)
        if more:
            self._sent += len(content)
            if session.gathers and connection.bulk_size + len(connection.output) < GATHERED:
                return DONE
        session.answered(self)
        if more:
            session.gather()
            if session.stuck or self._sent > _FAIR_OCTETS:
                self._sent = 0
                return flowing(self)
        return DONE

    def send_trailers(self, fields: Iterable[Iterable[bytes]], more: bool) -> None:
        self.require_open()
        self.connection.send_trailers(fields, more)
        self.session.answered(self)

    def finished(self) -> None:
        if not self.over:
            self.connection.fail(self.client_left)
            self.session.answered(self)

    # -- For the session ------------------------------------------------------------------------------------------------

    def content_came(self, octets: int) -> float:
        """Let the application look, and return the new deadline for the body."""
        if self.connection.body_failed:
            self.client_left = True
        self.wake()
        body = self.body
        if body is None:
            return FOREVER
        body.advance(monotonic(), octets, self.session.unread_since)
        return self.body_deadline()

    def body_deadline(self) -> float:
        """Return the instant by which more of the body must come."""
        durations = self.session.durations
        body = self.body
        assert body is not None
        return body.deadline(durations.by_clock[_BODY], durations.grace, durations.body_rate)

    def watch_client(self, now: float) -> None:
        """The client's EOF is in: wait a while for the response, then let the application know. It is not to wait for more of a body."""
        if self._leaves == FOREVER:
            self._leaves = now + self.session.durations.half_closed if self.body_complete else now
        if now >= self._leaves and not self.client_left:
            self.client_left = True
            self.wake()

    def wake(self) -> None:
        """Let everybody who waits look again."""
        waiters = self._waiters
        if waiters is not None:
            self._waiters = None
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    # -- Within ---------------------------------------------------------------------------------------------------------

    def await_body(self) -> None:
        """Start the body clock, which runs only while the application waits; 100 (Continue) is due now or never."""
        self._awaiting += 1
        if self._awaiting > 1:
            return
        session = self.session
        self.connection.want_content()
        now = monotonic()
        if self.body is None:
            self.body = BodyProgress(now)
        else:
            self.body.exclude(now - self.body.left_off)
        session.body_awaited = True
        session.settle()

    def await_body_no_more(self) -> None:
        """Stop the body clock, unless somebody else waits, too."""
        self._awaiting -= 1
        if self._awaiting or self.over:
            return
        session = self.session
        session.body_awaited = False
        if self.body is not None:
            self.body.left_off = monotonic()
        session.settle()

    def news(self) -> asyncio.Future[None]:
        """Return what is done when there is reason to look again."""
        waiter = self.session.new_waiter()
        if self._waiters is None:
            self._waiters = [waiter]
        else:
            self._waiters.append(waiter)
        return waiter

    def require_open(self) -> None:
        """Raise where nothing can be sent any more: Misuse after the whole response, DisconnectedError otherwise."""
        if self.complete:
            raise Misuse("the response is complete")
        if self.over:
            raise DisconnectedError("the client is gone")

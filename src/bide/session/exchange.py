"""Serves one exchange as the gateway's view of the connection that carries it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Final, final

from bide.errors import DisconnectedError, Misuse
from bide.exchange import DONE, Tunnel, WebSocket
from bide.http1.connection import Connection
from bide.http1.writer import COMPLETE, HELD
from bide.message import Request
from bide.policy.clocks import FOREVER
from bide.semantics.forwarded import Origin
from bide.session.carrier import Carrier
from bide.session.context import SessionContext
from bide.session.exchange_coroutines import changed, flowing, sending_file
from bide.session.heads import HeadHolder
from bide.session.progress import BodyProgress, Parting
from bide.session.waiters import Waiters, complete, joined
from bide.session.websocket import ServedWebSocket
from bide.terms import Clock, Security
from bide.websocket.handshake import Handshake, answer_fields
from bide.wire import FILE_ENDED

#: Octets gathered before they are written, within one pass of the event loop or of answers to
#: pipelined requests. Event loops read the same amount at once. 16 writes of 16 KiB cost more than
#: twice the time of one write.
MAX_GATHERED: Final = 1 << 18

# Octets sent before other tasks get their turn: about a millisecond's work.
_FAIR_OCTETS: Final = 1 << 20

# Calls of `send` that are not suspended after the client has left. A listener that receives the
# event cancels the stream within a few passes of the event loop.
_MAX_LET_GO_CALLS: Final = 8

_BODY: Final = Clock.BODY  # a name of the module is found faster


@final
class FileTransfer:
    """Holds what is left to send of a file.

    file: descriptor of the file.
    offset: octets before the next one.
    left: octets to send.
    more: whether further content follows.
    """

    __slots__ = ("file", "left", "more", "offset")

    def __init__(self, file: int, offset: int, left: int, more: bool) -> None:
        self.file = file
        self.offset = offset
        self.left = left
        self.more = more


@final
class ServedExchange(HeadHolder):
    """Serves one exchange of a session, as `bide.exchange.Exchange` describes.

    carrier: the session.
    connection: its protocol object; once the exchange is over, the session may use another.
    begun: loop time in seconds at which the head of the request was complete.
    body: progress of the request body; None until the application waits for it.
    """

    __slots__ = (
        "_context",
        "_parting",
        "_senders",
        "_sent",
        "_waiters",
        "begun",
        "body",
        "carrier",
        "connection",
    )

    def __init__(
        self, carrier: Carrier, context: SessionContext, connection: Connection, request: Request, begun: float
    ) -> None:
        self.carrier = carrier
        self.connection = connection
        self._context = context
        self._waiters: Waiters | None = None
        self._senders: Waiters | None = None
        self._sent = 0  # octets sent since other tasks had their turn
        self.body: BodyProgress | None = None
        self.request = request
        self.client = carrier.peer
        self.local = carrier.local
        self.scheme = carrier.scheme
        self.prefix = b""
        self.begun = begun
        self._parting: Parting | None = None  # few clients leave before the response is complete
        self.client_left = False
        self.over = False
        self.complete = False

    def origin_told(self, origin: Origin) -> None:
        """Take what a trusted front end tells of the client. Comes before the application."""
        self.client = origin.client
        self.scheme = origin.scheme
        self.prefix = origin.prefix
        if origin.host:
            self.request.host_forwarded(origin.host)

    @property
    def is_refused(self) -> bool:
        return self.connection.is_refused

    @property
    def body_complete(self) -> bool:
        return self.connection.body_complete

    def security(self) -> Security | None:
        return self.carrier.security()

    def take(self) -> bytes:
        if self.over:
            return b""
        content = self.connection.take_content()
        if not self.carrier.is_reading:
            self.carrier.settle()
        return content

    def changed(self) -> Awaitable[None]:
        return changed(self)

    def inform(self, status: int, fields: Iterable[Iterable[bytes]]) -> None:
        self.require_open()
        self.connection.inform(status, fields)
        self.carrier.settle()

    def respond(self, status: int, fields: Iterable[Iterable[bytes]], trailers: bool) -> None:
        if self.over:
            self.require_open()
        self.connection.respond(status, fields, trailers)
        hsts = self._context.hsts
        if hsts and self.scheme == "https":  # to other clients it must not be sent (RFC 6797, 7.2)
            self.connection.add_line(hsts)
        if not self.carrier.is_serving:  # as `hold_head`, inlined to save a call for each request
            heads = self._context.heads
            if not heads.given:
                heads.schedule()
            heads.given.append(self)

    def send(self, content: bytes, more: bool) -> Awaitable[None]:
        if self.over:
            self._require_listener(more)
        carrier = self.carrier
        connection = self.connection
        try:
            if connection.send(content, more):
                self._context.content_dropped(self.request, connection.status)
        except Misuse:
            if connection.progress == COMPLETE:  # the declared octets are sent
                carrier.answered()
            raise
        if not more:
            carrier.answered()
            return DONE
        if connection.progress == COMPLETE:  # with its head
            self._part().is_unheard = True
            carrier.answered()
            return DONE
        self._sent += len(content)
        if carrier.is_gathering and connection.bulk_size + len(connection.output) < MAX_GATHERED:
            return DONE
        carrier.answered()
        carrier.content_left()
        if (carrier.is_write_paused or self._sent > _FAIR_OCTETS) and not self.is_let_go():
            self._sent = 0
            return flowing(self)
        return DONE

    def send_file(self, file: int, offset: int, count: int, more: bool) -> Awaitable[None]:
        if self.over:
            self._require_listener(more)
        left = self.connection.begin_file(count, more)
        if not left:
            if self.connection.progress == COMPLETE:  # with its head
                self._part().is_unheard = more
                self.carrier.answered()
                return DONE
            return self.send(b"", more)  # nothing is left of the declared length
        transfer = FileTransfer(file, offset, left, more)
        return DONE if self.advance(transfer) else sending_file(self, transfer)

    def advance(self, transfer: FileTransfer) -> bool:
        """Send more of a file; return whether it is all sent, or others must have their turn.

        Raises Misuse if the file has ended, or content is missing.
        """
        connection = self.connection
        carrier = self.carrier
        while transfer.left:
            if carrier.is_write_paused or self._sent > _FAIR_OCTETS:
                self._sent = 0
                return False
            octets = carrier.send_file(transfer.file, transfer.offset, transfer.left)
            if octets == FILE_ENDED:
                raise Misuse(f"the file ended {transfer.left} octets too soon")
            if not octets:
                return False
            connection.file_sent(octets)
            transfer.offset += octets
            transfer.left -= octets
            self._sent += octets
        connection.end_file(transfer.more)
        carrier.answered()
        return True

    def send_trailers(self, fields: Iterable[Iterable[bytes]], more: bool) -> None:
        if self.over:
            if self.complete and self.request.method == "HEAD":
                return  # the response was complete with its head
            self.require_open()
        self.connection.send_trailers(fields, more)
        self.carrier.answered()

    def upgrade(self, protocol: bytes, fields: Iterable[Iterable[bytes]], tunnel: Tunnel) -> None:
        self.require_open()
        self.carrier.switched(tunnel, self.connection.switch(protocol, fields))

    def accept(self, handshake: Handshake, subprotocol: str | None, fields: Iterable[Iterable[bytes]]) -> WebSocket:
        self.require_open()
        answer = answer_fields(handshake, subprotocol, fields)
        received = self.connection.switch(b"websocket", answer)
        websocket = ServedWebSocket(self.carrier, self._context, handshake)
        self.carrier.switched(websocket, received)
        return websocket

    def disconnect_delivered(self) -> None:
        # The response may have refused the request early. A client that then breaks off the request
        # reads on (9.5), and gets the whole response.
        if not self.over and self.client_left and not self._is_drained() and not self.connection.body_failed:
            self.connection.client_left()

    def finished(self) -> None:
        if not self.over:
            if self._is_drained() and self.connection.is_event_stream:
                self.connection.finish_stream()
            else:
                self.connection.fail(self.client_left)
            self.carrier.answered()

    # -- Facts that the session reports ------------------------------------------------------------

    def content_came(self, octets: int) -> float:
        """Wake the application, since `octets` octets came; return the body's new deadline."""
        if self.connection.body_failed:
            self.client_left = True
        self.wake()
        body = self.body
        if body is None:
            return FOREVER
        body.advance(self._context.clock(), octets, self._context.unread_since)
        return self.body_deadline()

    def eof_watched(self, now: float) -> None:
        """Tell the application that the client is gone, a while after its EOF.

        If the body is incomplete, the client counts as gone at once.
        """
        parting = self._part()
        if parting.gone_at == FOREVER:
            parting.gone_at = now + self._context.durations.half_closed if self.body_complete else now
        if now >= parting.gone_at and not self.client_left:
            self.client_left = True
            self.wake()

    def hold_head(self) -> None:
        """Hold the head, at most until the pass of the event loop is over."""
        heads = self._context.heads
        if not heads.given:
            heads.schedule()
        heads.given.append(self)

    def release_head(self) -> None:
        if self.connection.progress == HELD:
            self.carrier.release_head()
            self._part().is_unheard = self.over  # a response without content is complete with its head

    def end_stream(self) -> None:
        """Let the application end an event stream, as if its client had left."""
        if not self.client_left and self.connection.is_event_stream:
            self._part().is_drained = True
            self.client_left = True
            self.wake()

    def ended(self) -> None:
        """Take the news that the response is complete, or never will be."""
        self.over = True
        self.complete = self.connection.progress == COMPLETE
        if (
            self._parting is not None and self._parting.is_drained
        ):  # its client reconnects elsewhere, so no further request is expected here
            self._context.loop.call_soon(self.carrier.shorten_wait, 0.0)
        if self._waiters is not None or self._senders is not None:
            self.wake()

    def _part(self) -> Parting:
        """Return what is kept of a client that leaves."""
        if self._parting is None:
            self._parting = Parting()
        return self._parting

    def _is_drained(self) -> bool:
        return self._parting is not None and self._parting.is_drained

    def wake(self) -> None:
        """Wake every waiting call. Calls of `send` come first; `is_let_go` says why."""
        senders, self._senders = self._senders, None
        complete(senders)
        waiters, self._waiters = self._waiters, None
        complete(waiters)

    # -- Waiting for the body ----------------------------------------------------------------------

    @property
    def is_body_awaited(self) -> bool:
        """Whether the application waits for request content that has not arrived.

        It may not have been woken yet since the last of it came.
        """
        return self.body is not None and self.body.waiting > 0 and not self.body_complete

    def body_deadline(self) -> float:
        """Return the loop time in seconds by which more of the body must come."""
        durations = self._context.durations
        body = self.body
        assert body is not None
        return body.deadline(durations.by_clock[_BODY], durations.grace, durations.body_rate)

    def await_body(self) -> None:
        """Start the body clock, which runs only while the application waits.

        100 (Continue) is due now or never.
        """
        body = self.body
        now = self._context.clock()
        if body is None:
            body = self.body = BodyProgress(now)
        body.waiting += 1
        if body.waiting == 1:
            self.connection.want_content()
            body.exclude(now - body.left_off)
            self.carrier.settle()

    def await_body_no_more(self) -> None:
        """Stop the body clock, unless another call waits, too."""
        body = self.body
        assert body is not None
        body.waiting -= 1
        if not (body.waiting or self.over):
            body.left_off = self._context.clock()
            self.carrier.settle()

    def news(self) -> asyncio.Future[None]:
        """Return a future that `wake` completes."""
        waiter = self._context.loop.create_future()
        self._waiters = joined(self._waiters, waiter)
        return waiter

    def is_let_go(self) -> bool:
        """Return whether the client has just left, so that `send` must not be suspended.

        A listener usually cancels the stream. The cancellation must find the application at an
        `await` of its own: within an `await` of the server's it leaves generators unclosed.

        An application that goes on sending is suspended as before.
        """
        if not self.client_left:
            return False
        parting = self._part()
        if parting.let_go == _MAX_LET_GO_CALLS:
            return False
        parting.let_go += 1
        return True

    def flow_news(self) -> asyncio.Future[None]:
        """Return a future that `wake` completes before the futures of `news`."""
        sender = self._context.loop.create_future()
        self._senders = joined(self._senders, sender)
        return sender

    def _require_listener(self, more: bool) -> None:
        """Raise, since the exchange is over.

        Content after a response that was complete with its head raises DisconnectedError.

        more: whether further content follows.
        """
        parting = self._parting
        if parting is not None and parting.is_unheard:
            parting.is_unheard = more
            raise DisconnectedError("the response is complete with its head: it has no content")
        self.require_open()

    def require_open(self) -> None:
        """Raise Misuse if the response is complete, DisconnectedError if the client is gone."""
        if self.complete:
            raise Misuse("the response is complete")
        if self.over:
            raise DisconnectedError("the client is gone")

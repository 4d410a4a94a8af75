"""Speaks HTTP/1.1 on one connection, without I/O: octets in, requests out; responses in, octets
out.

The caller reports facts (`receive`, `receive_eof`, `expire`, `lost` ...) and the application's
responses (`respond`, `send`, `fail` ...). Then it takes the octets to write (`take_output`) and
reads `state`.

Octets from a client never raise. Calls from an application raise Misuse if HTTP does not allow
them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, final

from bide.errors import Misuse, Rejected
from bide.http1.fields import members
from bide.http1.head import read_head
from bide.http1.lifetime import (
    CLOSED,
    CLOSING,
    DISCARD,
    EXCHANGE,
    HANDSHAKE,
    HEAD,
    IDLE,
    LINGER,
    NEW,
    TUNNEL,
    step,
    steps,
)
from bide.http1.limits import Limits
from bide.http1.reader import RequestReader
from bide.http1.response import (
    SAYS_CLOSE,
    SAYS_DATE,
    SAYS_EVENT_STREAM,
    STATUS_LINES,
    UNDECLARED,
    CommonFields,
    field_lines,
    trailer_lines,
)
from bide.http1.writer import (
    BODILESS,
    BY_CHUNKS,
    BY_CLOSE,
    BY_LENGTH,
    COMPLETE,
    CUT,
    HELD,
    NO_CONTENT,
    OWED,
    STARTED,
    TRAILERS,
    WRONG_TYPES,
    ResponseWriter,
)
from bide.message import CHUNKED, Request
from bide.policy.clocks import EXPIRIES
from bide.policy.closing import close_mode
from bide.policy.persistence import ENDS_UNANNOUNCED, persist
from bide.terms import (
    BODY_REJECTED,
    CLIENT_HALF_CLOSED,
    CLIENT_INCOMPLETE,
    CLIENT_KEEP_ALIVE,
    DRAIN,
    EXPECTATION_UNMET,
    REFUSED,
    REQUEST_UNREAD,
    RESPONSE_INCOMPLETE,
    Clock,
    CloseMode,
    CloseReason,
    Input,
    State,
)

# A name of the module is found faster than a member of an Enum through its class.
_READY: Final = Input.READY
_HANDSHAKE_REJECTED: Final = Input.HANDSHAKE_REJECTED
_FIRST_OCTET: Final = Input.FIRST_OCTET
_HEAD_REJECTED: Final = Input.HEAD_REJECTED
_BODY_COMPLETE: Final = Input.BODY_COMPLETE
_BODY_REJECTED: Final = Input.BODY_REJECTED
_UNREAD: Final = Input.UNREAD
_CLOSES: Final = Input.CLOSES
_PEER_EOF: Final = Input.PEER_EOF
_DEADLINE: Final = Input.DEADLINE
_SHED: Final = Input.SHED
_STOPPED: Final = Input.STOPPED
_HALF_CLOSED: Final = Input.HALF_CLOSED
_LOST: Final = Input.LOST

# Steps of every request, looked up once.
_BEGUN: Final = steps(Input.HEAD_COMPLETE)
_PERSISTED: Final = steps(Input.PERSISTS)
_SWITCHED: Final = Input.SWITCHED

# Reason of the end when the client closes or resets the connection, by its state. In EXCHANGE a
# response is owed.
_LEFT: Final[dict[State, CloseReason]] = {
    HANDSHAKE: CloseReason.CLIENT_EOF_UNUSED,
    NEW: CloseReason.CLIENT_EOF_UNUSED,
    HEAD: CloseReason.CLIENT_INCOMPLETE,
    DISCARD: CloseReason.CLIENT_INCOMPLETE,
    IDLE: CloseReason.CLIENT_EOF_IDLE,
    TUNNEL: CloseReason.CLIENT_EOF_TUNNEL,
}

_BODY_FAILED: Final = CLIENT_INCOMPLETE | BODY_REJECTED

_CRLF: Final = b"\r\n"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


@final
class Connection(ResponseWriter):
    """Keeps one connection's state. Other objects only read its attributes.

    state: the state of the connection.
    reason: why the connection ends; None before. The first reason wins.
    announced: why the current response said `Connection: close`; None if it did not.
    served: number of requests begun, including the current request.
    input_ended: whether the client has sent its EOF; it may still read.
    wants_pause: whether reading should pause, so that memory stays bounded.
    pipelined: whether the caller must call `next_request`, once an exchange is over and the
        connection persists.
    detail: error in rejected octets; "" if no octets were rejected.
    unserved: a request that was rejected for its body before the application saw it. The access log
        needs it.
    """

    __slots__ = (
        "_connection_facts",
        "_facts",
        "_is_abandoned",
        "_limits",
        "_looks_complete",
        "_reader",
        "_request",
        "announced",
        "detail",
        "input_ended",
        "pipelined",
        "reason",
        "served",
        "state",
        "unserved",
        "wants_pause",
    )

    def __init__(self, limits: Limits, common_fields: CommonFields, facts: int = 0) -> None:
        """Begin a new connection. facts: fact bits that hold for each of its exchanges."""
        super().__init__(common_fields)
        self._limits = limits
        self.reset(facts, 0)
        self.reason: CloseReason | None = None
        self.announced: CloseReason | None = None  # never reset, since the connection then ends
        self.detail = ""
        self.unserved: Request | None = None
        self._reader = RequestReader(limits)
        self._looks_complete = False  # whether a clean end would make an incomplete response look complete
        self.input_ended = False
        self.wants_pause = False
        self.pipelined = False
        # The current exchange.
        self._request: Request | None = None
        self._facts = 0
        self._is_abandoned = False  # whether the application was told that the client has left

    def reset(self, facts: int, served: int) -> None:
        """Reuse this object for a parked connection. Legal only while this object is parked itself.

        facts: fact bits that hold for every exchange of the connection.
        served: number of requests that the connection has served.
        """
        self.state: State = IDLE if served else NEW
        self.served = served
        self._connection_facts = facts

    # -- What the wire reports ---------------------------------------------------------------------

    def handshake_begins(self) -> None:
        """Take the news that a handshake precedes HTTP. Legal only for a new connection."""
        self.state = HANDSHAKE

    def ready(self) -> None:
        """Take the news that the handshake is complete; it may have taken too long."""
        if self.state is HANDSHAKE:
            self.state = step(self.state, _READY)

    def rejected(self, reason: CloseReason, detail: str, is_plain: bool) -> None:
        """Take the news that what came is no PROXY header, or not valid TLS.

        reason: PROXY_HEADER_REJECTED, or TLS_REJECTED, in the handshake or later.
        is_plain: whether it is HTTP without TLS, so that an answer without TLS is understood.
        """
        if self.state is CLOSING or self.state is LINGER or self.state is CLOSED:
            return
        self.detail = detail
        if self.state is HANDSHAKE:
            if is_plain:
                self._refuse(400, "this port speaks HTTPS only: use https://")
            self._end(_HANDSHAKE_REJECTED, reason)
        else:  # what follows cannot be encrypted
            self._drop_output()
            self._end(_STOPPED, reason)

    def receive(self, data: bytes) -> Request | None:
        """Take octets from the client.

        Return the request whose head they completed, which must be answered; None if there is no
        such request.
        """
        state = self.state
        if state is IDLE or state is NEW or state is HEAD:
            return self._read(data)
        if state is EXCHANGE:
            if self._reader.body_complete:
                self._reader.hold(data)
                self.wants_pause = self._reader.is_full()
            elif not self.body_failed:
                self._read_body(data)
        elif state is DISCARD:
            self._read_body(data)
            return self._discard()
        return None  # once the end is decided, no octets are processed (9.6)

    def receive_eof(self) -> None:
        """Take the news of the client's EOF: it sends nothing more, but may still read."""
        self.input_ended = True
        if self.state is not EXCHANGE:
            if not self._reader.has_unread:
                self._end_at_eof()
        elif not (self._reader.body_complete or self.body_failed):  # 8: the message is incomplete for good
            self._fail_body(_PEER_EOF, CLIENT_INCOMPLETE, 400, "request body cut short")

    def lost(self, is_unsent: bool = False) -> None:
        """Take the news that the wire is closed.

        is_unsent: whether the peer had not taken all octets.
        """
        reason = CloseReason.CLIENT_RESET
        if self.state is EXCHANGE:
            self._cut()
        elif not is_unsent and not (self.state is IDLE and self._reader.has_unread):
            reason = _LEFT.get(self.state, reason)
        self._end(_LOST, reason)
        self._reader.drop()

    # -- What the worker decides -------------------------------------------------------------------

    def add_facts(self, facts: int) -> None:
        """Take fact bits that hold from now on, for the current exchange too."""
        self._connection_facts |= facts
        self._facts |= facts

    def expire(self, clock: Clock) -> None:
        """Take the news that `clock` has expired. Writes 408 if possible (RFC 9110, 15.5.9)."""
        reason, status = EXPIRIES[clock]
        assert reason is not None
        if self.state is HEAD and status is not None:
            self._refuse(status, "the request head took too long", self._reader.partial or b"")
        if clock is Clock.IDLE or clock is Clock.FIRST_OCTET:  # a fact may have made it end sooner
            reason = persist(self._connection_facts & (REFUSED | DRAIN)) or reason
        self._give_up()
        if self.state is EXCHANGE:
            self._break_off(_DEADLINE, reason, status, "the request body took too long")
        else:
            self._end(_DEADLINE, reason)

    def shed(self) -> None:
        """End an idle or unused connection to make room."""
        self._end(_SHED, CloseReason.SHED)

    def stop(self) -> None:
        """End the connection now, finished or not."""
        self._give_up()
        if self.state is EXCHANGE:
            self._break_off(_STOPPED, CloseReason.DRAIN_DEADLINE, 503, "the server is stopping")
        else:
            busy = self.state is HEAD or self.state is DISCARD or self.state is TUNNEL
            self._end(_STOPPED, CloseReason.DRAIN_DEADLINE if busy else CloseReason.DRAIN)

    def fail_internal(self) -> None:
        """End the connection after an error in bide, since its state is then unknown."""
        if self.state is not CLOSED:
            self._drop_output()
            self._end(_STOPPED, CloseReason.INTERNAL_ERROR)

    def half_closed(self) -> None:
        """Take the news that everything is flushed and the sending side is shut."""
        self._end(_HALF_CLOSED, CloseReason.INTERNAL_ERROR)  # the reason was given before

    def close_mode(self, can_half_close: bool = True) -> CloseMode:
        """Return how to end this connection, which is closing.

        can_half_close: whether its wire can be half-closed.
        """
        assert self.state is CLOSING
        assert self.reason is not None
        return close_mode(
            self.reason,
            looks_complete=self._looks_complete,
            input_ended=self.input_ended,
            can_half_close=can_half_close,
        )

    # -- What the application does -----------------------------------------------------------------

    def want_content(self) -> None:
        """Take the news that the application waits for content that has not arrived.

        100 (Continue) is due now or never.
        """
        if self._facts & EXPECTATION_UNMET and self.progress <= HELD and self.state is EXCHANGE:
            self._facts &= ~EXPECTATION_UNMET
            self.output += _CONTINUE

    def take_content(self) -> bytes:
        """Return the request content that has arrived and was not taken yet."""
        reader = self._reader
        content = reader.take_content()
        if content:
            self.wants_pause = reader.is_full()
        return content

    def inform(self, status: int, fields: Iterable[Iterable[bytes]]) -> None:
        """Take an interim response, such as 103 (RFC 9110, 15.2). HTTP/1.0 clients get none."""
        if self.progress > HELD:
            raise Misuse("an interim response cannot follow the final one")
        try:
            if not 102 <= status <= 199:  # 100 and 101 concern the connection
                raise Misuse(f"{status!r} is not the status of an interim response")
            lines, length, _ = field_lines(STATUS_LINES[status], fields)
            if length != UNDECLARED:  # RFC 9110, 8.6
                raise Misuse("an interim response has no Content-Length")
        except WRONG_TYPES as error:
            raise Misuse(f"the status is not a number, or the fields are not pairs of bytes: {error}") from error
        if self._request is not None and self._request.minor:
            self.output += lines + _CRLF

    def switch(self, protocol: bytes, fields: Iterable[Iterable[bytes]]) -> bytes:
        """Write 101 (Switching Protocols) and leave HTTP (RFC 9110, 7.8).

        Return the octets that came after the request. Raises Misuse.

        protocol: a protocol that the request's Upgrade field names.
        fields: more fields of the response.
        """
        request = self._request
        if request is None or self.progress != OWED:
            raise Misuse("the response has already been started")
        if protocol.lower() not in members(request.upgrade):
            raise Misuse(f"the client did not ask for {protocol!r}")
        if not self._reader.body_complete:
            raise Misuse("the request has a body that has not arrived")
        try:
            lines, length, said = field_lines(STATUS_LINES[101], fields)
        except WRONG_TYPES as error:
            raise Misuse(f"the fields are not pairs of bytes: {error}") from error
        if length != UNDECLARED or said & SAYS_CLOSE:
            raise Misuse("a response that switches protocols has no Content-Length, and does not close")
        date = b"" if said & SAYS_DATE else self._common_fields.date
        self.output += b"%b%bUpgrade: %b\r\nConnection: upgrade\r\n\r\n" % (lines, date, protocol)
        self.status = 101
        self.sent = 0
        self.progress = COMPLETE
        self.state = step(self.state, _SWITCHED)
        self._request = None
        self.wants_pause = False
        return self._reader.take_unread()

    def tunnel_reading(self, is_wanted: bool) -> None:
        """Take the news whether octets from the tunnel are wanted at present."""
        if self.state is TUNNEL:
            self.wants_pause = not is_wanted

    def close_tunnel(self, reason: CloseReason) -> None:
        """Take the news that the tunnel is closed, for `reason`."""
        if reason is CloseReason.TUNNEL_CLOSED:  # such a tunnel does not say whether the drain made it close
            reason = persist(self._connection_facts & DRAIN) or reason
        self._end(_CLOSES, reason)

    def release_head(self) -> None:
        """Write a held head without its content."""
        if self.progress == HELD:
            self.send(b"", True)

    def client_left(self) -> None:
        """Take the news that the application was told that the client has left.

        The application then stops. A response that it ends in form would look complete, but may not
        be (8).
        """
        self._is_abandoned = True

    def send(self, content: bytes, more: bool) -> bool:
        """Take content of the response. A response that has no content is complete with its head.

        Return whether content was dropped that the status does not allow.

        Raises Misuse if the content breaks the framing that the head declared. Content that is too
        short is not written. Of content that is too long, the declared octets are written and
        complete the response.

        content: bytes.
        more: whether further content follows.
        """
        if self._is_abandoned and not more and self._may_be_short(content):
            self._break_off(_CLOSES, CloseReason.CLIENT_LEFT, None, "")
            return False
        excess = 0
        if self.progress == HELD:
            # The first content decides the framing, and thus whether the connection persists.
            request = self._request
            assert request is not None
            facts = self._facts | self._frame(request, content, more)
            if self._framing == BODILESS:
                more = False
            if self.input_ended or not self._reader.body_complete:
                facts |= self._facts_at_head(more)
            # A client that asks to switch may send on in the other protocol before it is refused.
            if request.upgrade and self._reader.has_unread:
                facts |= REQUEST_UNREAD
            line = self._common_fields.persists
            if facts:
                self._facts = facts
                self.announced = persist(facts)
                if self.announced is not None:
                    line = b"Connection: close\r\n"
                elif facts & CLIENT_KEEP_ALIVE and not request.minor and not line:
                    line = b"Connection: keep-alive\r\n"
            excess = self._write_head(line, content, more)
        elif self.progress == STARTED:
            excess = self._write_content(content, more)
        elif self.progress == OWED:
            raise Misuse("content before the head of the response")
        else:
            raise Misuse("content after the end of the response")
        if more and not excess:
            return False
        if self._trailers and self._framing != BODILESS and not excess:
            self.progress = TRAILERS
            return False
        self.progress = COMPLETE
        self._settle()
        if excess:
            raise Misuse(f"content is {excess} octets longer than its Content-Length: these were not sent")
        return self._framing == BODILESS and content != b"" and self.status in NO_CONTENT

    def begin_file(self, count: int, more: bool) -> int:
        """Take the news that a file follows as content, which does not pass through `output`.

        Return the number of its octets to send after `output`. If it is not 0, `file_sent` and
        `end_file` follow. Raises Misuse, as `send`.

        count: octets of the file. They are declared if no length was, and no more content or
            trailers follow (RFC 9110, 8.6).
        """
        if (
            self.progress == HELD
            and self._remaining == UNDECLARED
            and not (more or self._trailers)
            and self.status not in NO_CONTENT
        ):
            self._head += b"Content-Length: %d\r\n" % count
            self._remaining = count
        self.send(b"", count > 0 or more)
        if self.progress != STARTED or not count:
            return 0
        if self._framing == BY_LENGTH:
            return min(count, self._remaining)
        if self._framing == BY_CHUNKS:
            self.output += b"%x\r\n" % count
        return count

    def file_sent(self, octets: int) -> None:
        """Take the news that octets of the file were sent."""
        self.sent += octets
        if self._framing == BY_LENGTH:
            self._remaining -= octets

    def end_file(self, more: bool) -> None:
        """Take the news that the file was sent. Raises Misuse if content is missing.

        more: whether further content follows.
        """
        if self._framing == BY_CHUNKS:
            self.output += _CRLF
        if not more:
            self.send(b"", False)

    def send_trailers(self, fields: Iterable[Iterable[bytes]], more: bool) -> None:
        """Take trailer fields (7.1.2). Writes them if the response is chunked, else drops them."""
        if self.progress != TRAILERS:
            raise Misuse("trailers before the end of the content, or unannounced")
        if self._is_abandoned and not more and self._framing != BY_LENGTH:
            self._break_off(_CLOSES, CloseReason.CLIENT_LEFT, None, "")
            return
        try:
            lines = trailer_lines(fields)
        except WRONG_TYPES as error:
            raise Misuse(f"the fields are not pairs of bytes: {error}") from error
        if self._framing == BY_CHUNKS:
            self.output += lines if more else lines + _CRLF
        if not more:
            self.progress = COMPLETE
            self._settle()

    @property
    def is_event_stream(self) -> bool:
        """Whether an event stream is under way, so that its client reconnects without loss."""
        return self.progress == STARTED and self._said & SAYS_EVENT_STREAM != 0 and self._framing != BY_LENGTH

    def finish_stream(self) -> None:
        """End an event stream in form, after its application has ended it as told."""
        if self.is_event_stream:
            self._trailers = False
            self.send(b"", False)

    def fail(self, client_left: bool = False) -> None:
        """Take the news that the application ended before its response was complete.

        client_left: whether it was told that the client has left, so that this is no error.
        """
        if self.state is not EXCHANGE:
            return
        if client_left:
            self._break_off(_CLOSES, persist(self._facts & _BODY_FAILED) or CloseReason.CLIENT_LEFT, None, "")
        elif self.progress <= HELD:
            # After 500 the connection persists if the request is fully read: the next octets then
            # begin a request.
            if not self._reader.body_complete:
                self._facts |= REQUEST_UNREAD
            content = b"Internal Server Error\n"
            self.progress = OWED
            self.respond(
                500, [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(content))]
            )
            self.send(content, False)
        else:
            self._facts |= RESPONSE_INCOMPLETE
            self.announced = None  # a clean end was announced
            self._cut()
            self._settle()

    # -- What the caller reads ---------------------------------------------------------------------

    def next_request(self) -> Request | None:
        """Return the request that begins after the last one, if its whole head was received."""
        if self.state is not IDLE:
            return None
        if self._reader.has_unread:
            request = self._read(None)
            if request is not None:
                return request
        self.wants_pause = False  # the rest is the beginning of a head, which has limits of its own
        if self.input_ended:
            self._end_at_eof()
        return None

    @property
    def is_refused(self) -> bool:
        """Whether there is no room for this connection."""
        return self._connection_facts & REFUSED != 0

    @property
    def may_move(self) -> bool:
        """Whether the client would lose nothing by close, announced now.

        It was served before this request, so it keeps connections, and no octet of a next one has
        arrived.
        """
        return self.served > 1 and not self._reader.has_unread

    @property
    def may_park(self) -> bool:
        """Whether the connection is idle and holds nothing.

        The only state to keep is then `served`, besides the facts that hold for all connections.
        """
        return self.state is IDLE and self.is_quiet and self._reader.partial is None

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is owed to the client, and no part of a request has arrived.

        A CR that may begin an empty line is not part of a request.
        """
        return (
            (self.state is IDLE or self.state is NEW)
            and not self.output
            and self.bulk is None
            and not self._reader.has_unread
            and not self.input_ended
        )

    @property
    def body_complete(self) -> bool:
        """Whether the current request's body has arrived in full."""
        return self._reader.body_complete

    @property
    def body_failed(self) -> bool:
        """Whether the current request's body can never be complete; its response still can."""
        return self._facts & _BODY_FAILED != 0

    @property
    def has_content(self) -> bool:
        """Whether content waits to be taken."""
        return self._reader.content_size > 0

    # -- Reading -----------------------------------------------------------------------------------

    def _read(self, data: bytes | None) -> Request | None:
        """Begin the exchange of the request whose head is complete with `data`.

        None: with the unread octets.
        """
        reader = self._reader
        head: bytes | None = None
        try:
            head = reader.next_head() if data is None else reader.find_head(data)
            if head is None:
                if reader.is_in_head and self.state is not HEAD:
                    self.state = step(self.state, _FIRST_OCTET)
                return None
            request = read_head(head, self._limits)
        except Rejected as rejected:
            self.detail = rejected.detail
            self._refuse(rejected.status, rejected.detail, head or reader.partial or b"")
            self._end(_HEAD_REJECTED, CloseReason.HEAD_REJECTED)
            return None
        self.state = _BEGUN[self.state]
        self._request = request
        self.served += 1
        self._facts = request.facts | self._connection_facts
        self.progress = OWED
        self.wants_pause = reader.has_unread and reader.is_full()
        if request.length:
            return self._begin_body(request)
        return request

    def _begin_body(self, request: Request) -> Request | None:
        """Read the part of the body that has arrived; return the request, unless that ended it."""
        reader = self._reader
        reader.begin_body(request.length)
        if reader.has_unread:
            self._read_body(None)
        if self.input_ended and self.state is EXCHANGE and not reader.body_complete:
            self._fail_body(_PEER_EOF, CLIENT_INCOMPLETE, 400, "request body cut short")
        if self.state is EXCHANGE:
            return request
        self.unserved = request
        return None

    def _read_body(self, data: bytes | None) -> None:
        """Read octets of the request body. None: the unread octets."""
        self._facts &= ~EXPECTATION_UNMET  # the client did not wait for 100 (Continue)
        reader = self._reader
        try:
            if data is None:
                reader.read_body()
            else:
                reader.take_body(data)
        except Rejected as rejected:
            self.detail = rejected.detail
            if self.state is EXCHANGE:
                self._fail_body(_BODY_REJECTED, BODY_REJECTED, rejected.status, rejected.detail)
            else:
                self._end(_BODY_REJECTED, CloseReason.BODY_REJECTED)
            return
        if self.state is EXCHANGE:
            self.wants_pause = reader.is_full()

    def _discard(self) -> Request | None:
        """Go on after octets of an unread body came: to the next request, or to the end."""
        if self.state is not DISCARD:
            return None
        if self._reader.discarded > self._limits.discard:
            self._end(_CLOSES, CloseReason.REQUEST_UNREAD)
            return None
        if not self._reader.body_complete:
            return None
        self.state = step(self.state, _BODY_COMPLETE)
        return self.next_request()

    def _refuse(self, status: int, detail: str, head: bytes | bytearray = b"") -> None:
        """Write an error response of bide's own to the current request, or to a partial head."""
        to_head = head.startswith(b"HEAD ") if self._request is None else self._request.method == "HEAD"
        self._write_error(status, detail, to_head)

    def _end_at_eof(self) -> None:
        """End the connection at the client's EOF, unless a response is owed."""
        reason = _LEFT.get(self.state)
        if reason is not None:
            self._end(_PEER_EOF, reason)

    # -- Facts about a request that is incomplete, or is the last ----------------------------------
    # `persist` is called twice. At the head, `_facts_at_head` estimates whether the rest of the
    # request will be worth discarding. At the end, `_facts_at_end` sees how much of the rest has
    # come.

    def _facts_at_head(self, more: bool) -> int:
        """Return these facts when the head of the response is written. more: content follows."""
        facts = 0
        # An application that goes on sending may still read the body, unless it has refused the
        # request.
        if not self._reader.body_complete and (not more or self.status >= 400) and self._is_body_too_much():
            facts |= REQUEST_UNREAD
        if self.input_ended and not self._reader.has_unread:
            facts |= CLIENT_HALF_CLOSED
        return facts

    def _facts_at_end(self) -> int:
        """Return these facts when the response is complete."""
        facts = 0
        if not self._reader.body_complete and self._reader.body_left > self._limits.discard:
            facts |= REQUEST_UNREAD
        if self.input_ended and not self._reader.has_unread:
            facts |= CLIENT_HALF_CLOSED
        return facts

    def _is_body_too_much(self) -> bool:
        """Return whether the outstanding body is probably too long to discard.

        The length of a chunked body is unknown. It is taken as long if the status is an error, or
        much of it is held.
        """
        left = self._reader.body_left
        if left == CHUNKED:
            return self.status >= 400 or self.wants_pause
        return left > self._limits.discard

    # -- Ending ------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """End the exchange: persist, discard the rest of the request first, or close."""
        reader = self._reader
        facts = self._facts
        if self.input_ended or not reader.body_complete:
            facts |= self._facts_at_end()
        # An announced close is final. A policy of the server that was not announced waits for the
        # next response.
        reason = self.announced
        if reason is None and facts & ENDS_UNANNOUNCED:
            reason = persist(facts & ENDS_UNANNOUNCED)
        if reason is not None:
            self._end(_CLOSES, reason)
        elif reader.body_complete:
            self.state = _PERSISTED[self.state]
            self.pipelined = self.input_ended or reader.has_unread
        else:
            self.state = step(self.state, _UNREAD)
            reader.discard_body()
        self._request = None
        self._is_abandoned = False
        if reader.content_size:
            reader.discard_body()
        self.wants_pause = self.state is IDLE and self.pipelined and reader.is_full()

    def _cut(self) -> None:
        """Take the news that the response will not be completed."""
        if self.progress <= HELD:  # no part of it was written
            self.status = 0
            self.sent = 0
        self._looks_complete = self._framing == BY_CLOSE and self.progress == STARTED
        self.progress = CUT

    def _drop_output(self) -> None:
        """Send nothing more: what was sent may look complete."""
        self.progress = CUT
        self._looks_complete = True
        self.output = b""
        self.bulk = None

    def _give_up(self) -> None:
        """Give up the flush of the last octets, if any: the part sent may look complete."""
        if self.state is CLOSING:
            self._looks_complete = True

    def _fail_body(self, happened: Input, fact: int, status: int, detail: str) -> None:
        """Take the news that the request's body will never be complete, as `fact` says.

        A response that has begun can still be complete. A client that sees an early response with
        close stops sending, closes its side and reads on (9.5). Octets that it still sends are
        dropped.
        """
        self._facts |= fact
        if self.progress <= HELD:
            reason = persist(fact)
            assert reason is not None
            self._break_off(happened, reason, status, detail)
        else:
            self.wants_pause = False

    def _may_be_short(self, last: bytes) -> bool:
        """Return whether a response that ends with the content `last` may be shorter than intended.

        It cannot if its length was declared, if it has no content, or if all of its content comes
        in one piece.
        """
        if self.progress == HELD:
            request = self._request
            assert request is not None
            is_bodiless = self.status in NO_CONTENT or request.method == "HEAD"
            return self._remaining == UNDECLARED and not last and not is_bodiless
        return self.progress == STARTED and self._framing != BY_LENGTH

    def _break_off(self, happened: Input, reason: CloseReason, status: int | None, detail: str) -> None:
        """End the exchange before it is complete; write an error if no response was begun."""
        owed = self.progress <= HELD
        self._cut()
        if owed and status is not None:
            self._refuse(status, detail)
        self._end(happened, reason)

    def _end(self, happened: Input, reason: CloseReason) -> None:
        self.state = step(self.state, happened)
        self.wants_pause = False  # octets that still come are dropped
        if self.reason is None:
            self.reason = reason

"""Every word once: states, inputs, close reasons, close modes, facts.

Nothing here decides anything. The rest of bide, its log, its metrics and its documentation take their words from these tables.
Sections without a document name are of RFC 9112.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

#: (host, port) of an IP socket; (path, None) of a Unix one.
Address = tuple[str, int | None]


class _Word(Enum):
    """An enumeration whose members hash by identity: they are dictionary keys on the hot path."""

    __hash__ = object.__hash__


class State(_Word):
    """Where a connection is in its life."""

    NEW = "new"  # accepted, no octet of a request yet
    HEAD = "head"  # a request head is arriving
    EXCHANGE = "exchange"  # the application has the request; its response is not complete
    DISCARD = "discard"  # answered; the rest of the request body is read and dropped, to persist
    IDLE = "idle"  # persistent, between exchanges
    TUNNEL = "tunnel"  # another protocol is spoken, after 101 (RFC 9110, 7.8)
    CLOSING = "closing"  # the end is decided; the last octets are being flushed
    LINGER = "linger"  # half-closed; what still arrives is read and dropped (9.6)
    CLOSED = "closed"  # over


class Input(_Word):
    """What can happen to a connection, as the transition table sees it."""

    FIRST_OCTET = "first_octet"
    HEAD_COMPLETE = "head_complete"
    HEAD_REJECTED = "head_rejected"
    BODY_COMPLETE = "body_complete"
    BODY_REJECTED = "body_rejected"
    PERSISTS = "persists"
    UNREAD = "unread"
    SWITCHED = "switched"
    CLOSES = "closes"
    PEER_EOF = "peer_eof"
    DEADLINE = "deadline"
    SHED = "shed"
    STOPPED = "stopped"
    HALF_CLOSED = "half_closed"
    LOST = "lost"


class Initiator(_Word):
    """Who brought the end about."""

    CLIENT = "client"
    APPLICATION = "application"
    SERVER = "server"


class CloseReason(_Word):
    """Why a connection ends. Exactly one per connection; the names are public (log, metrics, API)."""

    CLIENT_CLOSE_OPTION = "client_close_option"
    CLIENT_HTTP10 = "client_http10"
    CLIENT_EOF_UNUSED = "client_eof_unused"
    CLIENT_EOF_IDLE = "client_eof_idle"
    CLIENT_EOF_TUNNEL = "client_eof_tunnel"
    CLIENT_HALF_CLOSED = "client_half_closed"
    CLIENT_INCOMPLETE = "client_incomplete"
    CLIENT_LEFT = "client_left"
    CLIENT_RESET = "client_reset"
    HEAD_REJECTED = "head_rejected"
    BODY_REJECTED = "body_rejected"
    EXPECTATION_UNMET = "expectation_unmet"
    REQUEST_UNREAD = "request_unread"
    CLOSE_DELIMITED = "close_delimited"
    RESPONSE_CLOSE_OPTION = "response_close_option"
    RESPONSE_INCOMPLETE = "response_incomplete"
    TUNNEL_CLOSED = "tunnel_closed"
    FIRST_OCTET_TIMEOUT = "first_octet_timeout"
    HEAD_TIMEOUT = "head_timeout"
    BODY_TIMEOUT = "body_timeout"
    SEND_TIMEOUT = "send_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    TUNNEL_TIMEOUT = "tunnel_timeout"
    KEEP_ALIVE_OFF = "keep_alive_off"
    CLIENT_POLICY = "client_policy"
    REQUEST_LIMIT = "request_limit"
    AGE_LIMIT = "age_limit"
    PRESSURE = "pressure"
    SHED = "shed"
    REFUSED = "refused"
    DRAIN = "drain"
    DRAIN_DEADLINE = "drain_deadline"
    INTERNAL_ERROR = "internal_error"


class Reason(NamedTuple):
    """One row of REASONS: what a close reason means to a reader of the log."""

    initiator: Initiator
    section: str  # of RFC 9112 unless another document is named
    sentence: str


_CLIENT, _APPLICATION, _SERVER = Initiator.CLIENT, Initiator.APPLICATION, Initiator.SERVER

REASONS: Final[dict[CloseReason, Reason]] = {
    CloseReason.CLIENT_CLOSE_OPTION: Reason(_CLIENT, "9.6", "The client's request said `Connection: close`."),
    CloseReason.CLIENT_HTTP10: Reason(_CLIENT, "9.3", "An HTTP/1.0 client did not ask for `keep-alive`."),
    CloseReason.CLIENT_EOF_UNUSED: Reason(_CLIENT, "9.5", "The client closed before it sent a request."),
    CloseReason.CLIENT_EOF_IDLE: Reason(_CLIENT, "9.5", "The client closed the idle connection."),
    CloseReason.CLIENT_EOF_TUNNEL: Reason(_CLIENT, "RFC 9110 7.8", "The client closed or reset the tunnel."),
    CloseReason.CLIENT_HALF_CLOSED: Reason(_CLIENT, "9.6", "The client sent its last octet and got its answer."),
    CloseReason.CLIENT_INCOMPLETE: Reason(_CLIENT, "8", "The client closed in the middle of a request."),
    CloseReason.CLIENT_LEFT: Reason(
        _CLIENT, "9.5", "The client closed before its answer was complete, and the application, told so, stopped."
    ),
    CloseReason.CLIENT_RESET: Reason(_CLIENT, "9.5", "The client reset the connection."),
    CloseReason.HEAD_REJECTED: Reason(_CLIENT, "3", "A request head was malformed, ambiguous or too large."),
    CloseReason.BODY_REJECTED: Reason(_CLIENT, "7.1", "A chunked request body was malformed or over its bounds."),
    CloseReason.EXPECTATION_UNMET: Reason(
        _CLIENT, "RFC 9110 10.1.1", "The final answer came before 100 (Continue): whether the body follows is unknown."
    ),
    CloseReason.REQUEST_UNREAD: Reason(
        _APPLICATION, "9.3", "More of the request body was left unread than is worth discarding."
    ),
    CloseReason.CLOSE_DELIMITED: Reason(_APPLICATION, "6.3", "Only the close could mark the end of the response."),
    CloseReason.RESPONSE_CLOSE_OPTION: Reason(
        _APPLICATION, "9.6", "The application's response said `Connection: close`."
    ),
    CloseReason.RESPONSE_INCOMPLETE: Reason(
        _APPLICATION, "8", "The application failed or stopped before its response was complete."
    ),
    CloseReason.TUNNEL_CLOSED: Reason(_APPLICATION, "RFC 9110 7.8", "The application closed the tunnel."),
    CloseReason.FIRST_OCTET_TIMEOUT: Reason(_SERVER, "9.5", "The client connected and sent nothing."),
    CloseReason.HEAD_TIMEOUT: Reason(_SERVER, "9.5", "A request head took too long to arrive."),
    CloseReason.BODY_TIMEOUT: Reason(_SERVER, "9.5", "The request body stopped arriving, or arrived too slowly."),
    CloseReason.SEND_TIMEOUT: Reason(_SERVER, "9.5", "The client stopped reading, or read too slowly."),
    CloseReason.IDLE_TIMEOUT: Reason(_SERVER, "9.5", "No request came within the idle timeout."),
    CloseReason.TUNNEL_TIMEOUT: Reason(_SERVER, "RFC 9110 7.8", "No octet passed through the tunnel in time."),
    CloseReason.KEEP_ALIVE_OFF: Reason(_SERVER, "9.3", "The server is set to close after each response."),
    CloseReason.CLIENT_POLICY: Reason(_SERVER, "9.3", "A rule says that this client needs no persistence."),
    CloseReason.REQUEST_LIMIT: Reason(_SERVER, "9.3", "The connection has served as many requests as it may."),
    CloseReason.AGE_LIMIT: Reason(_SERVER, "9.3", "The connection has become as old as it may."),
    CloseReason.PRESSURE: Reason(_SERVER, "9.3", "Short of resources, the server announced close to this client."),
    CloseReason.SHED: Reason(_SERVER, "9.5", "The longest idle connections made room for newcomers."),
    CloseReason.REFUSED: Reason(_SERVER, "RFC 9110 15.6.4", "A limit on connections was reached."),
    CloseReason.DRAIN: Reason(_SERVER, "9.3", "The server is stopping and takes no new work."),
    CloseReason.DRAIN_DEADLINE: Reason(_SERVER, "9.5", "The time to stop had run out with the exchange unfinished."),
    CloseReason.INTERNAL_ERROR: Reason(_SERVER, "RFC 9110 15.6.1", "bide itself failed: please report it."),
}


class CloseMode(_Word):
    """How a connection is ended (9.6)."""

    LINGER = "linger"  # half-close, read and drop within bounds, then close
    RELEASE = "release"  # flush, then close with FIN
    ABORT = "abort"  # close with RST, so that nobody takes what was sent for whole


class Clock(_Word):
    """The clocks of a connection; each has a duration in the configuration."""

    FIRST_OCTET = "first_octet"
    HEAD = "head"
    BODY = "body"
    SEND = "send"
    IDLE = "idle"
    DISCARD = "discard"
    TUNNEL = "tunnel"
    LINGER = "linger"


# Facts that bear on persistence, one bit each, so that "nothing speaks against it" is one comparison with zero.
CLIENT_CLOSE_OPTION: Final = 1 << 0  # the request's Connection field holds `close`
RESPONSE_CLOSE_OPTION: Final = 1 << 1  # the response's Connection field holds `close`
RESPONSE_INCOMPLETE: Final = 1 << 2  # the response's framing can no longer be kept
CLOSE_DELIMITED: Final = 1 << 3  # only the close ends the response (6.3)
EXPECTATION_UNMET: Final = 1 << 4  # 100-continue was neither sent nor made moot by the body's arrival
REQUEST_UNREAD: Final = 1 << 5  # more request body outstanding than is worth discarding
CLIENT_HALF_CLOSED: Final = 1 << 6  # the client's EOF is in and nothing received is left to serve
KEEP_ALIVE_OFF: Final = 1 << 7  # persistence is switched off
CLIENT_POLICY: Final = 1 << 8  # a rule says that this client needs no persistence
DRAIN: Final = 1 << 9  # the server is stopping
REQUEST_LIMIT: Final = 1 << 10  # the connection has served its number of requests
AGE_LIMIT: Final = 1 << 11  # the connection has reached its age
REFUSED: Final = 1 << 12  # there is no room for this connection
PRESSURE: Final = 1 << 13  # the server is short of resources and this client gains little from persistence
HTTP_1_0: Final = 1 << 14  # the request's version is HTTP/1.0
CLIENT_KEEP_ALIVE: Final = 1 << 15  # the Connection field of an HTTP/1.0 request holds `keep-alive`
CLIENT_INCOMPLETE: Final = 1 << 16  # the client's EOF came within the request's body
BODY_REJECTED: Final = 1 << 17  # the rest of the request's body cannot be read

#: The facts that speak against persistence: the reason that each gives -> its bit.
FACTS: Final[dict[CloseReason, int]] = {
    CloseReason.CLIENT_CLOSE_OPTION: CLIENT_CLOSE_OPTION,
    CloseReason.RESPONSE_CLOSE_OPTION: RESPONSE_CLOSE_OPTION,
    CloseReason.RESPONSE_INCOMPLETE: RESPONSE_INCOMPLETE,
    CloseReason.CLOSE_DELIMITED: CLOSE_DELIMITED,
    CloseReason.EXPECTATION_UNMET: EXPECTATION_UNMET,
    CloseReason.REQUEST_UNREAD: REQUEST_UNREAD,
    CloseReason.CLIENT_HALF_CLOSED: CLIENT_HALF_CLOSED,
    CloseReason.KEEP_ALIVE_OFF: KEEP_ALIVE_OFF,
    CloseReason.CLIENT_POLICY: CLIENT_POLICY,
    CloseReason.DRAIN: DRAIN,
    CloseReason.REQUEST_LIMIT: REQUEST_LIMIT,
    CloseReason.AGE_LIMIT: AGE_LIMIT,
    CloseReason.REFUSED: REFUSED,
    CloseReason.PRESSURE: PRESSURE,
    CloseReason.CLIENT_INCOMPLETE: CLIENT_INCOMPLETE,
    CloseReason.BODY_REJECTED: BODY_REJECTED,
}

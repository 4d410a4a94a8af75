"""Defines every word once: states, inputs, close reasons, close modes, clocks, facts.

Nothing here decides anything. The rest of bide, its log, its metrics and its documentation take
their words from these tables. Sections without a document name are of RFC 9112.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

#: (host, port) of an IP socket; (path, None) of a Unix one.
Address = tuple[str, int | None]


class Security(NamedTuple):
    """Tells what the TLS of a connection is like.

    version: 0x0303 for TLS 1.2, 0x0304 for TLS 1.3; None if it is another.
    cipher_suite: number of the cipher suite (RFC 8446, 4.1.2); None if it is not known.
    server_certificate: in PEM form; None if it is not known.
    client_chain: the client's certificates in PEM form, its own first; empty if it showed none.
    client_name: subject of the client's certificate (RFC 4514); None if it showed none.
    """

    version: int | None
    cipher_suite: int | None
    server_certificate: str | None
    client_chain: list[str]
    client_name: str | None


class _Word(Enum):
    """Makes members hash by identity, since they are dictionary keys on the hot path."""

    __hash__ = object.__hash__


class State(_Word):
    """Names the states of a connection."""

    HANDSHAKE = "handshake"  # accepted; a PROXY header or the TLS handshake is under way
    NEW = "new"  # open, no octet of a request yet
    HEAD = "head"  # a request head is arriving
    EXCHANGE = "exchange"  # the application has the request; its response is not complete
    DISCARD = "discard"  # answered; the rest of the request body is read and dropped, to persist
    IDLE = "idle"  # persistent, between exchanges
    TUNNEL = "tunnel"  # another protocol is spoken, after 101 (RFC 9110, 7.8)
    CLOSING = "closing"  # the end is decided; the last octets are being flushed
    LINGER = "linger"  # half-closed; octets that still arrive are read and dropped (9.6)
    CLOSED = "closed"  # over


class Input(_Word):
    """Names the events in the life of a connection, as the transition table sees them."""

    READY = "ready"
    HANDSHAKE_REJECTED = "handshake_rejected"
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
    """Names the side that ends a connection."""

    CLIENT = "client"
    APPLICATION = "application"
    SERVER = "server"


class CloseReason(_Word):
    """Names the reasons why a connection ends.

    Each connection has exactly one. The names are public (log, metrics, API).
    """

    CLIENT_CLOSE_OPTION = "client_close_option"
    CLIENT_HTTP10 = "client_http10"
    CLIENT_EOF_UNUSED = "client_eof_unused"
    CLIENT_EOF_IDLE = "client_eof_idle"
    CLIENT_EOF_TUNNEL = "client_eof_tunnel"
    CLIENT_HALF_CLOSED = "client_half_closed"
    CLIENT_INCOMPLETE = "client_incomplete"
    CLIENT_LEFT = "client_left"
    CLIENT_RESET = "client_reset"
    PROXY_HEADER_REJECTED = "proxy_header_rejected"
    TLS_REJECTED = "tls_rejected"
    HEAD_REJECTED = "head_rejected"
    BODY_REJECTED = "body_rejected"
    EXPECTATION_UNMET = "expectation_unmet"
    REQUEST_UNREAD = "request_unread"
    CLOSE_DELIMITED = "close_delimited"
    RESPONSE_CLOSE_OPTION = "response_close_option"
    RESPONSE_INCOMPLETE = "response_incomplete"
    TUNNEL_CLOSED = "tunnel_closed"
    WEBSOCKET_CLIENT_CLOSE = "websocket_client_close"
    WEBSOCKET_EOF = "websocket_eof"
    WEBSOCKET_REJECTED = "websocket_rejected"
    WEBSOCKET_APPLICATION_CLOSE = "websocket_application_close"
    WEBSOCKET_APPLICATION_FAILED = "websocket_application_failed"
    WEBSOCKET_PING_TIMEOUT = "websocket_ping_timeout"
    HANDSHAKE_TIMEOUT = "handshake_timeout"
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
    REBALANCED = "rebalanced"
    SHED = "shed"
    REFUSED = "refused"
    DRAIN = "drain"
    DRAIN_DEADLINE = "drain_deadline"
    WORKER_LOST = "worker_lost"
    INTERNAL_ERROR = "internal_error"


class Reason(NamedTuple):
    """Explains a close reason to a reader of the log.

    initiator: the side that ends the connection.
    section: of RFC 9112, unless another document is named. PROXY is the PROXY protocol.
    sentence: what happened.
    """

    initiator: Initiator
    section: str
    sentence: str


_CLIENT, _APPLICATION, _SERVER = Initiator.CLIENT, Initiator.APPLICATION, Initiator.SERVER

REASONS: Final[dict[CloseReason, Reason]] = {
    CloseReason.CLIENT_CLOSE_OPTION: Reason(_CLIENT, "9.6", "The client's request said `Connection: close`."),
    CloseReason.CLIENT_HTTP10: Reason(_CLIENT, "9.3", "An HTTP/1.0 client did not ask for `keep-alive`."),
    CloseReason.CLIENT_EOF_UNUSED: Reason(
        _CLIENT, "9.5", "The client closed or reset the connection before it sent a request."
    ),
    CloseReason.CLIENT_EOF_IDLE: Reason(_CLIENT, "9.5", "The client closed or reset the idle connection."),
    CloseReason.CLIENT_EOF_TUNNEL: Reason(_CLIENT, "RFC 9110 7.8", "The client closed or reset the tunnel."),
    CloseReason.CLIENT_HALF_CLOSED: Reason(_CLIENT, "9.6", "The client half-closed, and got its last answer."),
    CloseReason.CLIENT_INCOMPLETE: Reason(
        _CLIENT, "8", "The client closed or reset the connection in the middle of a request."
    ),
    CloseReason.CLIENT_LEFT: Reason(
        _CLIENT, "9.5", "The client closed before its response was complete, and the response was cut."
    ),
    CloseReason.CLIENT_RESET: Reason(_CLIENT, "9.5", "The client reset the connection before its answer was complete."),
    CloseReason.PROXY_HEADER_REJECTED: Reason(
        _CLIENT, "PROXY 2", "The PROXY header was missing, malformed, or from a peer that is not trusted."
    ),
    CloseReason.TLS_REJECTED: Reason(_CLIENT, "RFC 8446 6.2", "The TLS handshake failed, or a record was not valid."),
    CloseReason.HEAD_REJECTED: Reason(_CLIENT, "3", "A request head was malformed, ambiguous or too large."),
    CloseReason.BODY_REJECTED: Reason(_CLIENT, "7.1", "A chunked request body was malformed or exceeded its limits."),
    CloseReason.EXPECTATION_UNMET: Reason(
        _CLIENT, "RFC 9110 10.1.1", "The answer came before 100 (Continue): whether the body follows is unknown."
    ),
    CloseReason.REQUEST_UNREAD: Reason(
        _APPLICATION,
        "9.3",
        "More of the request body was unread than the discard limits allow, or octets came after a refused Upgrade.",
    ),
    CloseReason.CLOSE_DELIMITED: Reason(_APPLICATION, "6.3", "Only the close could mark the end of the response."),
    CloseReason.RESPONSE_CLOSE_OPTION: Reason(
        _APPLICATION, "9.6", "The application's response said `Connection: close`."
    ),
    CloseReason.RESPONSE_INCOMPLETE: Reason(
        _APPLICATION, "8", "The application failed or stopped before its response was complete."
    ),
    CloseReason.TUNNEL_CLOSED: Reason(_APPLICATION, "RFC 9110 7.8", "The application closed the tunnel."),
    CloseReason.WEBSOCKET_CLIENT_CLOSE: Reason(_CLIENT, "RFC 6455 7.1.2", "The client closed the WebSocket."),
    CloseReason.WEBSOCKET_EOF: Reason(
        _CLIENT, "RFC 6455 7.1.5", "The client's connection ended without a closing handshake (1006)."
    ),
    CloseReason.WEBSOCKET_REJECTED: Reason(
        _CLIENT, "RFC 6455 7.1.7", "A frame or message was malformed or too large (1002, 1007, 1009)."
    ),
    CloseReason.WEBSOCKET_APPLICATION_CLOSE: Reason(
        _APPLICATION, "RFC 6455 7.1.2", "The application closed the WebSocket, or returned."
    ),
    CloseReason.WEBSOCKET_APPLICATION_FAILED: Reason(
        _APPLICATION, "RFC 6455 7.4.1", "The application failed while the WebSocket was open (1011)."
    ),
    CloseReason.WEBSOCKET_PING_TIMEOUT: Reason(
        _SERVER, "RFC 6455 5.5.2", "The client sent nothing, and did not answer a ping."
    ),
    CloseReason.HANDSHAKE_TIMEOUT: Reason(_SERVER, "9.5", "The PROXY header, or the TLS handshake, took too long."),
    CloseReason.FIRST_OCTET_TIMEOUT: Reason(_SERVER, "9.5", "The client connected and sent nothing."),
    CloseReason.HEAD_TIMEOUT: Reason(_SERVER, "9.5", "A request head took too long to arrive."),
    CloseReason.BODY_TIMEOUT: Reason(_SERVER, "9.5", "The request body stopped arriving, or arrived too slowly."),
    CloseReason.SEND_TIMEOUT: Reason(_SERVER, "9.5", "The client stopped reading, or read too slowly."),
    CloseReason.IDLE_TIMEOUT: Reason(_SERVER, "9.5", "No request came within the idle timeout."),
    CloseReason.TUNNEL_TIMEOUT: Reason(_SERVER, "RFC 9110 7.8", "No octet passed through the tunnel in time."),
    CloseReason.KEEP_ALIVE_OFF: Reason(_SERVER, "9.3", "The server is set to close after each response."),
    CloseReason.CLIENT_POLICY: Reason(_SERVER, "9.3", "A `--close-for` rule matches this client."),
    CloseReason.REQUEST_LIMIT: Reason(_SERVER, "9.3", "The connection reached its request limit."),
    CloseReason.AGE_LIMIT: Reason(_SERVER, "9.3", "The connection reached its maximum age."),
    CloseReason.PRESSURE: Reason(_SERVER, "9.3", "Resources were short, so the server announced close to this client."),
    CloseReason.REBALANCED: Reason(_SERVER, "9.3", "Another worker holds fewer connections."),
    CloseReason.SHED: Reason(_SERVER, "9.5", "The server closed the idle connection to make room for new ones."),
    CloseReason.REFUSED: Reason(_SERVER, "RFC 9110 15.6.4", "A limit on connections was reached."),
    CloseReason.DRAIN: Reason(_SERVER, "9.3", "The server is stopping."),
    CloseReason.DRAIN_DEADLINE: Reason(_SERVER, "9.5", "The drain timeout passed before the exchange was complete."),
    CloseReason.WORKER_LOST: Reason(_SERVER, "9.5", "The worker process that held the connection was killed."),
    CloseReason.INTERNAL_ERROR: Reason(_SERVER, "RFC 9110 15.6.1", "bide itself failed: please report it."),
}


class CloseMode(_Word):
    """Names the ways to end a connection (9.6)."""

    LINGER = "linger"  # half-close, read and drop within bounds, then close
    RELEASE = "release"  # flush, then close with FIN
    ABORT = "abort"  # close with RST, so that no client takes a cut response for whole


class Clock(_Word):
    """Names the clocks of a connection. Each has a duration in the configuration."""

    HANDSHAKE = "handshake"
    FIRST_OCTET = "first_octet"
    HEAD = "head"
    BODY = "body"
    SEND = "send"
    IDLE = "idle"
    DISCARD = "discard"
    TUNNEL = "tunnel"
    WS_PING = "ws_ping"
    WS_PONG = "ws_pong"
    WS_CLOSE = "ws_close"
    LINGER = "linger"


# Facts about persistence, one bit each, so that "nothing speaks against it" is one comparison with
# zero.
CLIENT_CLOSE_OPTION: Final = 1 << 0  # the request's Connection field holds `close`
RESPONSE_CLOSE_OPTION: Final = 1 << 1  # the response's Connection field holds `close`
RESPONSE_INCOMPLETE: Final = 1 << 2  # the response's framing can no longer be kept
CLOSE_DELIMITED: Final = 1 << 3  # only the close ends the response (6.3)
EXPECTATION_UNMET: Final = 1 << 4  # 100 (Continue) is awaited; neither it nor the body was sent
REQUEST_UNREAD: Final = 1 << 5  # more of the request is unread than the discard limits allow
CLIENT_HALF_CLOSED: Final = 1 << 6  # the client's EOF is in, and every request received is served
KEEP_ALIVE_OFF: Final = 1 << 7  # persistence is switched off
CLIENT_POLICY: Final = 1 << 8  # a `--close-for` rule matches this client
DRAIN: Final = 1 << 9  # the server is stopping
REQUEST_LIMIT: Final = 1 << 10  # the connection has reached its request limit
AGE_LIMIT: Final = 1 << 11  # the connection has reached its maximum age
REFUSED: Final = 1 << 12  # a limit on connections is reached
PRESSURE: Final = 1 << 13  # resources are short, and this client gains little from persistence
HTTP_1_0: Final = 1 << 14  # the request's version is HTTP/1.0
CLIENT_KEEP_ALIVE: Final = 1 << 15  # the Connection field of an HTTP/1.0 request holds `keep-alive`
CLIENT_INCOMPLETE: Final = 1 << 16  # the client's EOF came within the request's body
BODY_REJECTED: Final = 1 << 17  # the rest of the request's body cannot be read
REBALANCED: Final = 1 << 18  # another worker holds fewer connections

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
    CloseReason.REBALANCED: REBALANCED,
    CloseReason.CLIENT_INCOMPLETE: CLIENT_INCOMPLETE,
    CloseReason.BODY_REJECTED: BODY_REJECTED,
}


class WorkerState(_Word):
    """Names the states of a worker process."""

    STARTING = "starting"  # the process runs, and does not accept yet
    READY = "ready"  # it accepts connections
    DRAINING = "draining"  # it ends its connections in order: it was told to, or began by itself
    ENDING = "ending"  # it is to end at once: its start failed, or its event loop is stuck
    LOST = "lost"  # its channel is closed; its exit is expected
    KILLED = "killed"  # SIGKILL is sent
    GONE = "gone"  # it has ended


class WorkerInput(_Word):
    """Names the events in the life of a worker process."""

    READY = "ready"  # its application has started, and it accepts
    FAILED = "failed"  # its start failed; it has said why
    BEAT = "beat"  # its event loop has turned
    DRAINS = "drains"  # it began to drain by itself
    LATE = "late"  # the clock of its state has expired
    RETIRE = "retire"  # it was told to drain or to end
    HANGUP = "hangup"  # its channel has closed
    EXIT = "exit"  # it has ended


class WorkerOrder(_Word):
    """Names the orders about a worker process."""

    START = "start"  # start a process
    DRAIN = "drain"  # have it drain
    HURRY = "hurry"  # have it drain without waiting
    STACKS = "stacks"  # have it print the stacks of its threads
    TERMINATE = "terminate"  # SIGTERM
    ABORT = "abort"  # SIGABRT: it prints its stacks, and ends
    KILL = "kill"  # SIGKILL
    GIVE_UP = "give_up"  # none has ever been ready, and one has failed: end the program


class Cause(_Word):
    """Names the causes for which a worker process is replaced or ends."""

    RELOAD = "reload"  # another generation replaces it
    REQUESTS = "requests"  # it has served its number of requests
    AGE = "age"  # it has reached its age
    MEMORY = "memory"  # it holds more memory than it may
    SURPLUS = "surplus"  # there are more workers than are wanted
    STOP = "stop"  # the whole server stops
    SIGNAL = "signal"  # it was sent SIGTERM itself
    HANGUP = "hangup"  # its channel has closed
    ASKED = "asked"  # an operator asked for another one

"""Writes responses: status line, field lines, chunks (RFC 9112, sections 4, 5, 7.1).

Fields of an application are checked before an octet of them is written, so that none can split a
response (RFC 9110, 5.5) or frame it twice. The server itself writes Connection, Transfer-Encoding
and Content-Length.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, final

from bide.errors import Misuse
from bide.http1.fields import field_name, is_value, members
from bide.terms import RESPONSE_CLOSE_OPTION

#: Length of a response without Content-Length.
UNDECLARED: Final = -1

# Bits for what the fields of a response say: the fact for `persist`, and bits above all facts.
SAYS_CLOSE: Final = RESPONSE_CLOSE_OPTION
SAYS_DATE: Final = 1 << 30
SAYS_EVENT_STREAM: Final = 1 << 29

# The media type of event streams (HTML, 9.2.5).
_EVENT_STREAM: Final = b"text/event-stream"

LAST_CHUNK: Final = b"0\r\n"

_PHRASES: Final[dict[int, str]] = {
    100: "Continue", 101: "Switching Protocols", 103: "Early Hints",
    200: "OK", 201: "Created", 202: "Accepted", 203: "Non-Authoritative Information", 204: "No Content",
    205: "Reset Content", 206: "Partial Content", 207: "Multi-Status", 208: "Already Reported", 226: "IM Used",
    300: "Multiple Choices", 301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified",
    305: "Use Proxy", 307: "Temporary Redirect", 308: "Permanent Redirect",
    400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 406: "Not Acceptable", 407: "Proxy Authentication Required", 408: "Request Timeout",
    409: "Conflict", 410: "Gone", 411: "Length Required", 412: "Precondition Failed", 413: "Content Too Large",
    414: "URI Too Long", 415: "Unsupported Media Type", 416: "Range Not Satisfiable", 417: "Expectation Failed",
    418: "I'm a teapot", 421: "Misdirected Request", 422: "Unprocessable Content", 423: "Locked",
    424: "Failed Dependency", 425: "Too Early", 426: "Upgrade Required", 428: "Precondition Required",
    429: "Too Many Requests", 431: "Request Header Fields Too Large", 451: "Unavailable For Legal Reasons",
    500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Gateway Timeout", 505: "HTTP Version Not Supported", 506: "Variant Also Negotiates",
    507: "Insufficient Storage", 508: "Loop Detected", 510: "Not Extended", 511: "Network Authentication Required",
}  # fmt: skip

#: Status code -> status line with its CRLF. Without a phrase the space before it stays: the server
#: MUST send it "even when the reason-phrase is absent" (4).
STATUS_LINES: Final[dict[int, bytes]] = {
    status: f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n".encode() for status in range(100, 1000)
}

# Kinds of response fields, as the server treats them. A valid name without a kind is ORDINARY.
_ORDINARY: Final = 0
_LENGTH: Final = 1
_CONNECTION: Final = 2
_CODING: Final = 3
_DATE: Final = 4
_HOP: Final = 5
_REPEATED: Final = 6  # likely to be sent again unchanged, and no secret
_CONTENT_TYPE: Final = 7  # the same, except for event streams
_KINDS: Final[dict[bytes, int]] = {
    b"content-length": _LENGTH,
    b"connection": _CONNECTION,
    b"transfer-encoding": _CODING,
    b"date": _DATE,
    b"keep-alive": _HOP,  # promises how long the connection is held, which only the server knows
    b"proxy-connection": _HOP,
    b"accept-ranges": _REPEATED,
    b"access-control-allow-origin": _REPEATED,
    b"allow": _REPEATED,
    b"cache-control": _REPEATED,
    b"content-encoding": _REPEATED,
    b"content-language": _REPEATED,
    b"content-type": _CONTENT_TYPE,
    b"referrer-policy": _REPEATED,
    b"server": _REPEATED,
    b"strict-transport-security": _REPEATED,
    b"vary": _REPEATED,
    b"x-content-type-options": _REPEATED,
    b"x-frame-options": _REPEATED,
}

# Names as applications write them -> kind, and REPEATED fields -> their lines. Bounds as in
# `fields`.
_MAX_REMEMBERED: Final = 1024
_MAX_REMEMBERED_OCTETS: Final = 256
_kinds: Final[dict[bytes, int]] = {}
# Content lengths with more digits are not remembered. So the table has at most 11,110 entries.
_MAX_REMEMBERED_DIGITS: Final = 4
_lengths: Final[dict[bytes, int]] = {}
_known_lines: Final[dict[tuple[bytes, ...], bytes]] = {}


@final
class CommonFields:
    """Holds field lines that all connections share. The worker keeps them current.

    date: the Date field line with its CRLF (RFC 9110, 6.6.1).
    date_end: the same, with the empty line that ends a head.
    persists: field lines that announce how long the connection is held; b"" for none.
    """

    __slots__ = ("date", "date_end", "persists")

    def __init__(self, date: bytes = b"") -> None:
        self.persists = b""
        self.set(date)

    def set(self, date: bytes) -> None:
        """Set the time. date: the Date field line with its CRLF."""
        self.date = date
        self.date_end = date + b"\r\n"

    def advertise(self, seconds: int) -> None:
        """Announce for how long an idle connection is held (`Keep-Alive`: RFC 2068, 19.7.1.1).

        seconds: the announced time; nothing is announced for 0 or less.
        """
        self.persists = b"Connection: keep-alive\r\nKeep-Alive: timeout=%d\r\n" % seconds if seconds > 0 else b""


def _kind(name: bytes) -> int:
    """Return the kind of a field. Raises Misuse if the name is not a token."""
    lowered = field_name(name)
    if lowered is None:
        raise Misuse(f"field name must be a token, as bytes, got {name!r}")
    kind = _KINDS.get(lowered, _ORDINARY)
    if len(name) <= _MAX_REMEMBERED_OCTETS:
        if len(_kinds) >= _MAX_REMEMBERED:
            _kinds.clear()
        _kinds[name] = kind
    return kind


def field_lines(first: bytes, fields: Iterable[Iterable[bytes]]) -> tuple[bytes, int, int]:
    """Return (lines, declared content length or UNDECLARED, SAYS_ bits).

    first: octets to begin the lines with.
    fields: (name, value) pairs. Fields about the connection and the transfer coding are read, and
        left out of the lines.

    The lines have their CRLFs. Raises Misuse: a name or value with an octet that is not allowed, a
    malformed or contradictory Content-Length, a transfer coding other than chunked. Raises
    TypeError or ValueError if `fields` does not hold pairs of bytes.
    """
    lines = [first]
    length = UNDECLARED
    said = 0
    for pair in fields:
        field = pair if isinstance(pair, tuple) else tuple(pair)
        known = _known_lines.get(field)
        if known is not None:
            lines.append(known)
            continue
        name, value = field
        try:
            kind = _kinds[name]
        except KeyError:
            kind = _kind(name)
        if kind == _LENGTH:
            declared = _lengths.get(value)
            if declared is None:
                declared = _read_length(value)
            if length != UNDECLARED:
                raise Misuse("more than one Content-Length")
            length = declared
        elif not is_value(value):
            raise Misuse(f"control octet in the value of {name!r}: {value!r}")
        elif kind == _CONNECTION:
            options = members(value)
            if b"close" in options:
                said |= SAYS_CLOSE
            others = [option for option in options if option not in (b"close", b"keep-alive")]
            if others:
                lines.append(b"Connection: " + b", ".join(others) + b"\r\n")
            continue
        elif kind == _CODING:
            if members(value) != [b"chunked"]:  # the server chunks; it cannot check other codings
                raise Misuse(f"transfer coding must be chunked, got {value!r}")
            continue
        elif kind == _HOP:
            continue
        elif kind == _DATE:
            if said & SAYS_DATE:  # a second Date is dropped (RFC 9110, 6.6.1)
                continue
            said |= SAYS_DATE
        elif kind == _CONTENT_TYPE and value.partition(b";")[0].rstrip(b" \t").lower() == _EVENT_STREAM:
            said |= SAYS_EVENT_STREAM
        elif kind >= _REPEATED and len(name) + len(value) <= _MAX_REMEMBERED_OCTETS:
            _remember(field)
        lines += (name, b": ", value, b"\r\n")
    return b"".join(lines), length, said


def _read_length(value: bytes) -> int:
    """Return a Content-Length as a number. Raises Misuse if it is malformed."""
    if not value.isdigit():
        raise Misuse(f"Content-Length must be digits, got {value!r}")
    length = int(value)
    if len(value) <= _MAX_REMEMBERED_DIGITS:
        _lengths[value] = length
    return length


def _remember(field: tuple[bytes, ...]) -> None:
    """Keep the line of a valid field that is likely to be sent again."""
    if len(_known_lines) >= _MAX_REMEMBERED:
        _known_lines.clear()
    name, value = field
    _known_lines[field] = name + b": " + value + b"\r\n"


def trailer_lines(fields: Iterable[Iterable[bytes]]) -> bytes:
    """Return trailer field lines with their CRLFs.

    Raises as `field_lines`, and Misuse for a field about the connection or the framing, which
    cannot be a trailer (RFC 9110, 6.5.1).
    """
    trailers = list(fields)
    for name, _ in trailers:
        if _kind(name) not in (_ORDINARY, _REPEATED, _CONTENT_TYPE):
            raise Misuse(f"{name!r} cannot be a trailer field")
    return field_lines(b"", trailers)[0]


def chunk(content: bytes) -> bytes:
    """Return `content` as one chunk (7.1). It must not be empty: an empty chunk ends the body."""
    return b"%x\r\n%b\r\n" % (len(content), content)


def error_response(status: int, detail: str, date: bytes, to_head: bool) -> tuple[bytes, bytes]:
    """Return (head, content) of an error response that announces close.

    status: status code.
    detail: sentence for the content.
    date: the Date field line with its CRLF.
    to_head: whether it answers a HEAD request, and so has no content (RFC 9110, 9.3.2).
    """
    content = f"{detail}\n".encode()
    head = b"%b%bContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (
        STATUS_LINES[status],
        date,
        len(content),
    )
    return head, b"" if to_head else content

"""Writes responses: status line, field lines, chunks (RFC 9112, sections 4, 5, 7.1).

What an application hands over is checked before an octet of it is written: nobody may split a response (RFC 9110, 5.5) or
frame it twice. Connection, Transfer-Encoding and Content-Length are the server's to write.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, final

from bide.errors import Misuse
from bide.http1.fields import field_name, is_value, members
from bide.terms import RESPONSE_CLOSE_OPTION

#: `length` of a response whose application did not declare one.
UNDECLARED: Final = -1

# What the fields of a response say, one bit each: the fact for `persist`, and a bit above all facts.
SAYS_CLOSE: Final = RESPONSE_CLOSE_OPTION
SAYS_DATE: Final = 1 << 30
SAYS_EVENT_STREAM: Final = 1 << 29

# The media type of event streams (HTML, 9.2.5).
_EVENT_STREAM: Final = b"text/event-stream"
_EVENT_STREAM_LENGTH: Final = len(_EVENT_STREAM)

LAST_CHUNK: Final = b"0\r\n"

_PHRASES: Final[dict[int, str]] = {
    100: "Continue", 101: "Switching Protocols", 103: "Early Hints",
    200: "OK", 201: "Created", 202: "Accepted", 203: "Non-Authoritative Information", 204: "No Content", 205: "Reset Content",
    206: "Partial Content", 207: "Multi-Status", 208: "Already Reported", 226: "IM Used",
    300: "Multiple Choices", 301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified",
    305: "Use Proxy", 307: "Temporary Redirect", 308: "Permanent Redirect",
    400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 406: "Not Acceptable", 407: "Proxy Authentication Required", 408: "Request Timeout",
    409: "Conflict", 410: "Gone", 411: "Length Required", 412: "Precondition Failed", 413: "Content Too Large",
    414: "URI Too Long", 415: "Unsupported Media Type", 416: "Range Not Satisfiable", 417: "Expectation Failed",
    418: "I'm a teapot", 421: "Misdirected Request", 422: "Unprocessable Content", 423: "Locked", 424: "Failed Dependency",
    425: "Too Early", 426: "Upgrade Required", 428: "Precondition Required", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 451: "Unavailable For Legal Reasons",
    500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Gateway Timeout", 505: "HTTP Version Not Supported", 506: "Variant Also Negotiates", 507: "Insufficient Storage",
    508: "Loop Detected", 510: "Not Extended", 511: "Network Authentication Required",
}  # fmt: skip

#: Status code -> status line with its CRLF.
# 4: "the server ENDS_UNANNOUNCED send the space that separates the status code from the reason phrase even when the phrase is absent".
STATUS_LINES: Final[dict[int, bytes]] = {
    status: f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n".encode() for status in range(100, 1000)
}

# What a response field is to the server; every other valid name is ORDINARY.
_ORDINARY: Final = 0
_LENGTH: Final = 1
_CONNECTION: Final = 2
_CODING: Final = 3
_DATE: Final = 4
_HOP: Final = 5
_REPEATED: Final = 6  # likely to come again as it is, and no secret
_CONTENT_TYPE: Final = 7  # the same, but for event streams
_KINDS: Final[dict[bytes, int]] = {
    b"content-length": _LENGTH,
    b"connection": _CONNECTION,
    b"transfer-encoding": _CODING,
    b"date": _DATE,
    b"keep-alive": _HOP,  # a promise about the connection, which only the server can keep
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

# Names as applications write them -> kind; and REPEATED fields -> their lines. Bounds as in `fields`.
_MOST_REMEMBERED: Final = 1024
_LONGEST_REMEMBERED: Final = 256
_kinds: Final[dict[bytes, int]] = {}
# Content lengths of so many digits are remembered as numbers; that there are few of them is the bound.
_SHORT: Final = 4
_lengths: Final[dict[bytes, int]] = {}
_known_lines: Final[dict[tuple[bytes, ...], bytes]] = {}


@final
class CommonFields:
    """The Date field line, shared by all connections and kept current by whoever has a clock (RFC 9110, 6.6.1).

    date: the line with its CRLF. date_end: the same with the empty line that ends a head.
    persists: field lines for responses that announce how long the connection is held; empty where none do so.
    """

    __slots__ = ("date", "date_end", "persists")

    def __init__(self, date: bytes = b"") -> None:
        self.persists = b""
        self.set(date)

    def set(self, date: bytes) -> None:
        """Give the time: the field line with its CRLF."""
        self.date = date
        self.date_end = date + b"\r\n"

    def advertise(self, seconds: int) -> None:
        """Announce for how long an idle connection is held (`Keep-Alive: timeout`, RFC 2068, 19.7.1.1); 0 for no longer."""
        self.persists = b"Connection: keep-alive\r\nKeep-Alive: timeout=%d\r\n" % seconds if seconds > 0 else b""


def _kind(name: bytes) -> int:
    """Return what a field is to the server, its name checked. Raises Misuse if the name is no token of octets."""
    lowered = field_name(name)
    if lowered is None:
        raise Misuse(f"{name!r} is not a field name: a token, as bytes")
    kind = _KINDS.get(lowered, _ORDINARY)
    if len(name) <= _LONGEST_REMEMBERED:
        if len(_kinds) >= _MOST_REMEMBERED:
            _kinds.clear()
        _kinds[name] = kind
    return kind


def field_lines(first: bytes, fields: Iterable[Iterable[bytes]]) -> tuple[bytes, int, int]:
    """Return (`first` and the field lines with their CRLFs, declared content length or UNDECLARED, bits of what they say).

    Fields about the connection and the transfer coding are read and left out of the lines.
    Raises Misuse: a name or value with an octet that does not belong, a malformed or contradictory Content-Length, a
    transfer coding other than chunked. Raises TypeError or ValueError where `fields` does not hold pairs of bytes.
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
            if members(value) != [b"chunked"]:  # the server chunks by itself; any other coding it cannot vouch for
                raise Misuse(f"transfer coding {value!r} is not supported")
            continue
        elif kind == _HOP:
            continue
        elif kind == _DATE:
            if said & SAYS_DATE:  # a response has one (RFC 9110, 6.6.1)
                continue
            said |= SAYS_DATE
        elif kind == _CONTENT_TYPE and value[:_EVENT_STREAM_LENGTH].lower() == _EVENT_STREAM:
            said |= SAYS_EVENT_STREAM
        elif kind >= _REPEATED and len(name) + len(value) <= _LONGEST_REMEMBERED:
            _remember(field)
        lines += (name, b": ", value, b"\r\n")
    return b"".join(lines), length, said


def _read_length(value: bytes) -> int:
    """Return a Content-Length as a number. Raises Misuse if it is none."""
    if not value.isdigit():
        raise Misuse(f"malformed Content-Length {value!r}")
    length = int(value)
    if len(value) <= _SHORT:
        _lengths[value] = length
    return length


def _remember(field: tuple[bytes, ...]) -> None:
    """Keep the line of a valid field that is likely to come again."""
    if len(_known_lines) >= _MOST_REMEMBERED:
        _known_lines.clear()
    name, value = field
    _known_lines[field] = name + b": " + value + b"\r\n"


def trailer_lines(fields: Iterable[Iterable[bytes]]) -> bytes:
    """Return trailer field lines with their CRLFs. Raises as `field_lines`, and Misuse for a field that is about the
    connection or the framing, which cannot be a trailer (RFC 9110, 6.5.1).
    """
    trailers = list(fields)
    for name, _ in trailers:
        if _kind(name) not in (_ORDINARY, _REPEATED, _CONTENT_TYPE):
            raise Misuse(f"{name!r} cannot be a trailer field")
    return field_lines(b"", trailers)[0]


def chunk(content: bytes) -> bytes:
    """Return `content`, which is not empty, as one chunk (7.1): an empty one would end the body."""
    return b"%x\r\n%b\r\n" % (len(content), content)


def error_response(status: int, detail: str, date: bytes, to_head: bool) -> tuple[bytes, bytes]:
    """Return (head, content) of a response that says what was wrong and that the connection closes.

    to_head: it answers a HEAD request, so it has no content (RFC 9110, 9.3.2).
    """
    content = f"{detail}\n".encode()
    head = b"%b%bContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (
        STATUS_LINES[status],
        date,
        len(content),
    )
    return head, b"" if to_head else content

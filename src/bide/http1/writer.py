"""Frames one response after another: heads and content in, octets out (RFC 9112, 6.3).

The writer knows the request. The caller decides whether the connection persists, and gives the
field lines that say so.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bide.errors import Misuse
from bide.http1.response import (
    LAST_CHUNK,
    SAYS_DATE,
    STATUS_LINES,
    CommonFields,
    chunk,
    error_response,
    field_lines,
)
from bide.message import Request
from bide.terms import CLOSE_DELIMITED, RESPONSE_CLOSE_OPTION

# Progress of the response.
OWED: Final = 0  # the application has given nothing
HELD: Final = 1  # the head is given; it waits for the first content, to leave with it in one write
STARTED: Final = 2  # the head is written; content follows
TRAILERS: Final = 3  # the content is written; a trailer section follows
COMPLETE: Final = 4  # the last octet is written
CUT: Final = 5  # the response will never be complete

# Framing of the response body (6.3).
BODILESS: Final = 0
BY_LENGTH: Final = 1
BY_CHUNKS: Final = 2
BY_CLOSE: Final = 3

#: Statuses whose responses have no content, whatever their head says (6.3; of 205, RFC 9110,
#: 15.3.6).
NO_CONTENT: Final = frozenset({204, 205, 304})

#: Errors raised by reading an application's fields if they are not pairs of bytes.
WRONG_TYPES: Final = (AttributeError, LookupError, TypeError, ValueError)

# Octets from which content stays a piece of its own: a copy takes longer than one more piece.
_MIN_PIECE_OCTETS: Final = 1 << 13

_CRLF: Final = b"\r\n"
_CHUNKED_FIELD: Final = b"Transfer-Encoding: chunked\r\n"


class ResponseWriter:
    """Writes the responses of one connection. Other objects only read its attributes, and may empty
    `output`.

    progress: progress of the current or latest response: OWED, HELD, STARTED, TRAILERS, COMPLETE or
        CUT.
    status: status code of that response, from HELD on; 0 if none was written.
    sent: octets of its content that were written, from HELD on.
    output: octets to write. Without `bulk`, whoever takes them may set b"" himself, in place of
        `take_output`.
    bulk: pieces to write before `output`, which is then not empty; None without such pieces, the
        usual case.
    bulk_size: number of octets in `bulk`.
    """

    __slots__ = (
        "_common_fields",
        "_framing",
        "_head",
        "_remaining",
        "_said",
        "_trailers",
        "bulk",
        "bulk_size",
        "output",
        "progress",
        "sent",
        "status",
    )

    def __init__(self, common_fields: CommonFields) -> None:
        self._common_fields = common_fields
        self.output = b""
        self.bulk: list[bytes] | None = None
        self.bulk_size = 0
        self.progress = COMPLETE
        self.status = 0
        self.sent = 0
        self._head = b""  # status line and field lines, while the head is held
        self._said = 0  # meaning of the field lines: bits of `bide.http1.response`
        self._framing = BODILESS
        self._remaining = 0  # octets of content declared and not yet given, or UNDECLARED
        self._trailers = False

    def respond(self, status: int, fields: Iterable[Iterable[bytes]], trailers: bool = False) -> None:
        """Take the head of the final response, which is held until the first content. Raises
        Misuse.

        status: 200 to 999.
        fields: (name, value) in order.
        trailers: whether a trailer section will follow the content.
        """
        if self.progress != OWED:
            raise Misuse("the response has already been started")
        try:
            line = STATUS_LINES.get(status)
            if line is None or status < 200:
                raise Misuse(f"{status!r} is not the status of a final response")
            self._head, self._remaining, self._said = field_lines(line, fields)
        except WRONG_TYPES as error:
            raise Misuse(f"the status is not a number, or the fields are not pairs of bytes: {error}") from error
        self.status = status
        self._trailers = trailers
        self.progress = HELD

    def add_line(self, line: bytes) -> None:
        """Add a field line to the head that is held, unless the head has a field of that name.

        line: a valid field line with its CRLF.
        """
        name = line[: line.index(b":") + 1]
        if b"\r\n" + name.lower() not in self._head.lower():
            self._head += line

    def take_output(self) -> bytes:
        """Return the octets to write, including those of `bulk`."""
        if self.bulk is not None:
            return b"".join(self.take_pieces())
        output = self.output
        self.output = b""
        return output

    def take_pieces(self) -> list[bytes]:
        """Return the octets to write as a list of pieces. Legal only if there is `bulk`."""
        pieces = self.bulk
        assert pieces is not None
        pieces.append(self.output)
        self.output = b""
        self.bulk = None
        self.bulk_size = 0
        return pieces

    # -- The head ----------------------------------------------------------------------------------

    def _frame(self, request: Request, content: bytes, more: bool) -> int:
        """Decide the framing of the response whose head is held, and add it to the head.

        Return the fact bits about persistence that follow from the response. Raises Misuse if the
        content is too short.

        content: the first content, or all of it unless `more` follows.
        """
        length = self._remaining
        if self.status in NO_CONTENT:
            self._framing = BODILESS
            self._declare_no_content(length)
        elif request.method == "HEAD":  # RFC 9110, 9.3.2: the fields are those of the answer to a GET
            self._framing = BODILESS
            if length < 0 and content and not more:
                self._head += b"Content-Length: %d\r\n" % len(content)
            elif length < 0 and request.minor:
                self._head += _CHUNKED_FIELD
        elif length >= 0:
            self._framing = BY_LENGTH
            if not more and len(content) < length:
                raise Misuse(f"content is {length - len(content)} octets shorter than its Content-Length")
        elif not more and not self._trailers:  # RFC 9110, 8.6: the size is known
            self._framing = BY_LENGTH
            self._head += b"Content-Length: %d\r\n" % len(content)
            self._remaining = len(content)
        elif request.minor:
            self._framing = BY_CHUNKS
            self._head += _CHUNKED_FIELD
        else:
            self._framing = BY_CLOSE
            return self._said & RESPONSE_CLOSE_OPTION | CLOSE_DELIMITED
        return self._said & RESPONSE_CLOSE_OPTION

    def _write_head(self, persistence: bytes, content: bytes, more: bool) -> int:
        """Write the held head, with the field lines `persistence`, and the first content.

        Return the number of octets beyond the declared length, which are not written.
        """
        common_fields = self._common_fields
        head = self._head + persistence
        head += _CRLF if self._said & SAYS_DATE else common_fields.date_end  # RFC 9110, 6.6.1
        if self.output:
            head = self.output + head
        self._head = b""
        self.progress = STARTED
        framing = self._framing
        if framing == BY_LENGTH:
            excess = 0
            remaining = self._remaining - len(content)
            if remaining < 0:
                excess = -remaining
                content = content[:remaining]
                remaining = 0
            self._remaining = remaining
            self.sent = len(content)
            if len(content) < _MIN_PIECE_OCTETS:
                self.output = head + content
            else:
                self.output = head
                self._add(content)
            return excess
        self.sent = 0
        self.output = head
        if framing == BY_CHUNKS:
            self._write_chunk(content, more)
        elif framing == BY_CLOSE:
            self.sent = len(content)
            self._add(content)
        return 0

    def _declare_no_content(self, length: int) -> None:
        """Adapt the declared length to a status without content (RFC 9110, 8.6, 15.3.5, 15.3.6,
        15.4.5).

        204 must not declare a length. 205 declares zero. 304 declares the length of the response to
        a GET.
        """
        status = self.status
        if length >= 0 and status != 304:
            lines = self._head.split(_CRLF)
            self._head = _CRLF.join(line for line in lines if not line.lower().startswith(b"content-length:"))
        if status == 205:
            self._head += b"Content-Length: 0\r\n"

    # -- The content -------------------------------------------------------------------------------

    def _write_content(self, content: bytes, more: bool) -> int:
        """Write content after the head.

        Return the number of octets beyond the declared length, which are not written. Raises Misuse
        if the content is too short; nothing of it is then written.
        """
        framing = self._framing
        if framing == BY_CHUNKS:
            self._write_chunk(content, more)
            return 0
        excess = 0
        if framing == BY_LENGTH:
            remaining = self._remaining - len(content)
            if remaining > 0 and not more:
                raise Misuse(f"content is {remaining} octets shorter than its Content-Length")
            if remaining < 0:
                content = content[:remaining]
                excess = -remaining
                remaining = 0
            self._remaining = remaining
        self.sent += len(content)
        self._add(content)
        return excess

    def _write_chunk(self, content: bytes, more: bool) -> None:
        if content:
            self.sent += len(content)
            if len(content) < _MIN_PIECE_OCTETS:
                self.output += chunk(content)
            else:
                self.output += b"%x\r\n" % len(content)
                self._add(content)
                self._add(_CRLF)
        if not more:
            self.output += LAST_CHUNK if self._trailers else LAST_CHUNK + _CRLF

    def _add(self, content: bytes) -> None:
        """Append content to the octets to write."""
        if not content:
            return
        output = self.output
        if not output:
            self.output = content
        elif len(content) < _MIN_PIECE_OCTETS and len(output) < _MIN_PIECE_OCTETS:
            self.output = output + content
        else:
            if self.bulk is None:
                self.bulk = [output]
            else:
                self.bulk.append(output)
            self.bulk_size += len(output)
            self.output = content

    def _write_error(self, status: int, detail: str, to_head: bool) -> None:
        """Write a complete error response, which announces close."""
        self.status = status
        lines, content = error_response(status, detail, self._common_fields.date, to_head)
        self.sent = len(content)
        self.output += lines + content

"""Decodes chunked request bodies: RFC 9112, section 7.1."""

from __future__ import annotations

import re
from typing import Final, final

from bide.errors import Rejected
from bide.http1.fields import TOKEN_OCTETS, field_line, only
from bide.http1.limits import Limits

_HEX: Final = only(b"0123456789ABCDEFabcdef")
_MAX_SIZE_DIGITS: Final = 16  # hexadecimal: up to 2**64 octets, more than any body
_CR: Final = 0x0D

# chunk-ext of 7.1.1, not empty, with the quoted-string of RFC 9110, 5.6.4. Every octet belongs to
# one part only, and white space to one of two, so the time to match grows linearly with the line.
_TOKEN: Final = b"[" + re.escape(TOKEN_OCTETS) + b"]+"
_QUOTED: Final = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_EXTENSIONS: Final = re.compile(
    rb"(?:[\t ]*;[\t ]*%(token)b(?:[\t ]*=[\t ]*(?:%(token)b|%(quoted)b))?)+" % {b"token": _TOKEN, b"quoted": _QUOTED}
)

# The part of the coding that is expected next.
_SIZE: Final = 0  # a chunk-size line
_DATA: Final = 1  # octets of chunk-data
_DATA_END: Final = 2  # the CRLF after chunk-data
_TRAILER: Final = 3  # a line of the trailer section, or the empty line that ends it


@final
class ChunkedDecoder:
    """Takes a chunked body in pieces of any size. The trailer section is checked and dropped.

    complete: whether the whole body, with its trailer section, was decoded.
    """

    __slots__ = ("_extensions", "_left", "_limits", "_line", "_next", "_trailer", "_trailer_lines", "complete")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._next = _SIZE
        self._left = 0  # octets of the current chunk still to come
        self._line = b""  # the beginning of a line whose end has not come
        self._extensions = 0  # octets of chunk extensions
        self._trailer = 0  # octets of the trailer section
        self._trailer_lines = 0  # field lines of the trailer section
        self.complete = False

    def feed(self, data: bytes, position: int, content: list[bytes]) -> int:
        """Decode octets, and return the position after the last one used: at most the body's end.

        data: octets received.
        position: of the first octet in `data` to decode.
        content: takes the decoded pieces.

        Raises Rejected (400, 413 or 431) if the coding is malformed or exceeds its limits.
        """
        end = len(data)
        while position < end:
            if self._next == _DATA:
                stop = position + self._left
                if stop > end:
                    content.append(data[position:])
                    self._left = stop - end
                    return end
                content.append(data[position:stop])
                position = stop
                self._next = _DATA_END
                continue
            newline = data.find(b"\n", position)
            if newline < 0:
                self._keep(data[position:])
                return end
            line = data[position : newline + 1]
            position = newline + 1
            if self._line:
                line = self._line + line
                self._line = b""
            if line[-2:] != b"\r\n":
                raise Rejected(400, "bare LF in a chunked body")
            if self._next == _SIZE:
                self._size(line[:-2])
            elif self._next == _DATA_END:
                if len(line) != 2:
                    raise Rejected(400, "chunk data does not end where its size says")
                self._next = _SIZE
            elif self._trailer_line(line):
                self.complete = True
                return position
        return position

    def _keep(self, beginning: bytes) -> None:
        """Keep the beginning of a line until its end comes. It is short, so joining it is cheap."""
        self._line += beginning
        if self._next == _DATA_END and (self._line[0] != _CR or len(self._line) > 1):
            raise Rejected(400, "chunk data does not end where its size says")
        if self._line.find(b"\r", 0, len(self._line) - 1) >= 0:  # a final CR may get its LF
            raise Rejected(400, "bare CR in a chunked body")
        if len(self._line) >= self._limits.chunk_line:  # its LF is still to come
            raise Rejected(413 if self._next == _SIZE else 431, "line too long in a chunked body")

    def _size(self, line: bytes) -> None:
        size, semicolon, extensions = line.partition(b";")
        if len(line) + 2 > self._limits.chunk_line:
            raise Rejected(413, "line too long in a chunked body")
        if semicolon:
            size = size.rstrip(b" \t")  # 7.1.1 allows white space here; RFC 9110, 5.6.3: ignore it
            self._extensions += len(extensions)
            if self._extensions > self._limits.chunk_line:
                raise Rejected(413, "chunk extensions too long")
            if _EXTENSIONS.fullmatch(line, len(size)) is None:
                raise Rejected(400, "malformed chunk extension")
        if not size or len(size) > _MAX_SIZE_DIGITS or size.translate(_HEX) != size:
            raise Rejected(400, "malformed chunk size")
        self._left = int(size, 16)
        self._next = _DATA if self._left else _TRAILER

    def _trailer_line(self, line: bytes) -> bool:
        """Check a line of the trailer section. Return whether it is empty, and so ends the body."""
        self._trailer += len(line)
        if self._trailer > self._limits.trailer or len(line) > self._limits.chunk_line:
            raise Rejected(431, "trailer section too large")
        if len(line) == 2:
            return True
        self._trailer_lines += 1
        if self._trailer_lines > self._limits.fields:
            raise Rejected(431, "too many trailer fields")
        field_line(line[:-2])
        return False

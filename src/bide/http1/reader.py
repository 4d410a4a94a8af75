"""Reads one request after another: finds heads, takes bodies, holds what follows (RFC 9112, 2.2).

The caller parses the heads, says how long a body is, and decides whether its content is held for
the application or discarded.
"""

from __future__ import annotations

from typing import Final, final

from bide.errors import Rejected
from bide.http1.body import ChunkedDecoder
from bide.http1.head import rejected_early
from bide.http1.limits import Limits
from bide.message import CHUNKED

# Pieces in which content is held. Each costs about 40 octets in addition to its content.
_MAX_PIECES: Final = 64

_CR: Final = 0x0D
_CRLF: Final = b"\r\n"
_HEAD_END: Final = b"\r\n\r\n"


@final
class RequestReader:
    """Reads the requests of one connection. Other objects only read its attributes.

    partial: the beginning of a head whose end has not arrived, or a CR that may begin an empty
        line; None without such octets.
    has_unread: whether octets have arrived that follow the current request.
    body_complete: whether the current request's body has arrived in full.
    body_left: octets of that body that have not arrived; CHUNKED if its length is not declared.
    content_size: octets of content that wait to be taken.
    discarded: octets of the current request's content that were dropped.
    """

    __slots__ = (
        "_buffer",
        "_content",
        "_decoder",
        "_held",
        "_is_discarding",
        "_limits",
        "_position",
        "body_complete",
        "body_left",
        "content_size",
        "discarded",
        "has_unread",
        "partial",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.partial: bytearray | None = None
        # Unread octets: those of `_buffer` from `_position` on, then those of `_held`.
        self.has_unread = False
        self._buffer = b""
        self._position = 0
        self._held: bytearray | None = None
        # The body of the current request.
        self.body_complete = True
        self.body_left = 0
        self.content_size = 0
        self.discarded = 0
        self._decoder: ChunkedDecoder | None = None
        self._content: list[bytes] | None = None
        self._is_discarding = False

    def size(self) -> int:
        """Return the number of octets that are held: content, and what follows the request."""
        held = len(self._buffer) - self._position + self.content_size
        return held if self._held is None else held + len(self._held)

    def is_full(self) -> bool:
        """Return whether so much is held that reading should pause."""
        return self.size() > self._limits.buffer

    def hold(self, data: bytes) -> None:
        """Hold octets that follow the current request, or other octets that are held."""
        if self._held is None:
            self._held = bytearray(data)
        else:
            self._held += data
        self.has_unread = True

    def take_unread(self) -> bytes:
        """Return what follows the current request, which is not HTTP."""
        self._merge()
        unread = self._buffer[self._position :]
        self._leave(b"", 0)
        return unread

    def drop(self) -> None:
        """Drop everything that is held."""
        self._leave(b"", 0)
        self._held = None
        self._decoder = None
        self._content = None
        self.content_size = 0

    # -- Heads -------------------------------------------------------------------------------------

    def find_head(self, data: bytes) -> bytes | None:
        """Take octets. Return the head that they complete, without its empty line.

        None if there is no such head, or if `next_head` has yet to be called for earlier octets.
        Raises Rejected if the head can never be accepted.
        """
        if self.partial is not None:
            return self._continue_head(self.partial, data)
        if self.has_unread:
            self.hold(data)
            return None
        end = data.find(_HEAD_END)
        if end > 0 and data[0] != _CR:  # by far the most common case: a head in one piece
            if end + 4 < len(data):
                self._leave(data, end + 4)
            return data[:end]
        return self._search(data, 0)

    def next_head(self) -> bytes | None:
        """Return the head of the unread octets; None if it is incomplete. Raises Rejected."""
        self._merge()
        return self._search(self._buffer, self._position)

    @property
    def is_in_head(self) -> bool:
        """Whether part of a head has arrived. A CR that may begin an empty line does not count."""
        return self.partial is not None and self.partial != b"\r"

    def _search(self, data: bytes, position: int) -> bytes | None:
        """Return the head that begins at `position`; None if it is incomplete. Raises Rejected."""
        while data[position : position + 2] == _CRLF:  # 2.2: empty lines before the request line are ignored
            position += 2
        end = data.find(_HEAD_END, position)
        if end >= 0:
            self._leave(data, end + 4)
            return data[position:end]
        rest = data[position:]
        self._leave(b"", 0)
        if rest:
            self.partial = bytearray(rest)
            if rest != b"\r":
                self._reject_early(self.partial, 0)
        return None

    def _continue_head(self, partial: bytearray, data: bytes) -> bytes | None:
        """Append octets to the partial head. Return it if they complete it. Raises Rejected."""
        if partial == b"\r":
            self.partial = None
            return self._search(b"\r" + data, 0)
        scanned = len(partial)
        partial += data
        end = partial.find(_HEAD_END, max(0, scanned - 3))
        if end < 0:
            self._reject_early(partial, scanned)
            return None
        self.partial = None
        self._leave(bytes(partial), end + 4)
        return bytes(partial[:end])

    def _reject_early(self, partial: bytearray, scanned: int) -> None:
        rejected = rejected_early(partial, self._limits, scanned)
        if rejected is not None:
            raise rejected

    # -- Bodies ------------------------------------------------------------------------------------

    def begin_body(self, length: int) -> None:
        """Take the news that a body follows the head. length: its octets, or CHUNKED."""
        self.body_complete = False
        self.body_left = length
        self.discarded = 0
        self._is_discarding = False
        self._content = None
        self.content_size = 0
        self._decoder = ChunkedDecoder(self._limits) if length == CHUNKED else None

    def take_body(self, data: bytes) -> None:
        """Take octets of the body, and what follows it. Raises Rejected (see ChunkedDecoder)."""
        self._buffer = data
        self._position = 0
        self.read_body()

    def read_body(self) -> None:
        """Read the part of the body that has arrived. Raises Rejected, and then drops it."""
        data = self._buffer
        position = self._position
        content = self._content
        if content is None:
            content = []
        before = len(content)
        decoder = self._decoder
        if decoder is None:
            piece = data[position : position + self.body_left]
            self.body_left -= len(piece)
            position += len(piece)
            self.body_complete = not self.body_left
            content.append(piece)
        else:
            try:
                position = decoder.feed(data, position, content)
            except Rejected:
                self.drop()
                raise
            self.body_complete = decoder.complete
        self._leave(data, position)
        if len(content) - before > 1:  # many small pieces take far more memory than one
            content[before:] = [b"".join(content[before:])]
        size = len(content[-1]) if len(content) > before else 0
        if self._is_discarding:
            self.discarded += size
            return
        if len(content) > _MAX_PIECES:
            content[:] = [b"".join(content)]
        self._content = content
        self.content_size += size

    def discard_body(self) -> None:
        """Drop the content that waits to be taken, and what of the body is still to come."""
        self._content = None
        self.content_size = 0
        self._is_discarding = True

    def take_content(self) -> bytes:
        """Return the content that waits to be taken."""
        content = self._content
        if not content:
            return b""
        self._content = None
        self.content_size = 0
        return content[0] if len(content) == 1 else b"".join(content)

    # -- Unread octets -----------------------------------------------------------------------------

    def _leave(self, data: bytes, position: int) -> None:
        """Leave the octets of `data` from `position` on unread."""
        if position < len(data):
            self._buffer = data
            self._position = position
            self.has_unread = True
        else:
            self._buffer = b""
            self._position = 0
            self.has_unread = False

    def _merge(self) -> None:
        """Append the held octets to the buffer."""
        if self._held is not None:
            self._buffer = self._buffer[self._position :] + self._held
            self._position = 0
            self._held = None

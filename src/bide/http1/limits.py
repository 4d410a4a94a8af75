"""The bounds of the protocol core, as plain values; `bide.config` has their defaults and precedents."""

from __future__ import annotations

from typing import Final, final

# What becomes of a field whose name has an underscore: CGI and WSGI cannot tell it from a hyphen (RFC 3875, 4.1.18), so that
# `X_Forwarded_For` passes for `X-Forwarded-For` there.
PASS: Final = 0  # the application gets it
DROP: Final = 1  # the application gets the request without it
REFUSE: Final = 2  # the request is refused


@final
class Limits:
    """Sizes in octets unless said otherwise.

    head: a request head in all, its final empty line included.
    target: the request target.
    fields: field lines in a head, and in a trailer section (count).
    chunk_line: a chunk-size line with its extensions.
    trailer: a trailer section in all.
    discard: request body that is read and dropped after the response, to persist.
    buffer: content held for the application, and octets held behind a request, before reading pauses.
    underscores: PASS, DROP or REFUSE.
    """

    __slots__ = ("buffer", "chunk_line", "discard", "fields", "head", "small", "target", "trailer", "underscores")

    def __init__(
        self,
        *,
        head: int,
        target: int,
        fields: int,
        chunk_line: int,
        trailer: int,
        discard: int,
        buffer: int,
        underscores: int,
    ) -> None:
        self.head = head
        self.small = min(head - 4, target)  # a head below that is neither too large, nor is its target
        self.target = target
        self.fields = fields
        self.chunk_line = chunk_line
        self.trailer = trailer
        self.discard = discard
        self.buffer = buffer
        self.underscores = underscores

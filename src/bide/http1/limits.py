"""The bounds of the protocol core, as plain values; `bide.config` has their defaults and precedents."""

from __future__ import annotations

from typing import final


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
    """

    __slots__ = ("buffer", "chunk_line", "discard", "fields", "head", "small", "target", "trailer")

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
    ) -> None:
        self.head = head
        self.small = min(head - 4, target)  # a head below that is neither too large, nor is its target
        self.target = target
        self.fields = fields
        self.chunk_line = chunk_line
        self.trailer = trailer
        self.discard = discard
        self.buffer = buffer

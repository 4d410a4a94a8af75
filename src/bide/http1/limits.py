"""Holds the limits of the protocol core. `bide.config` has their defaults and precedents."""

from __future__ import annotations

from typing import Final, final

# The ways to treat a field with an underscore in its name. CGI and WSGI cannot tell an underscore
# from a hyphen (RFC 3875, 4.1.18), so they read `X_Forwarded_For` as `X-Forwarded-For`.
PASS: Final = 0  # the application gets the field
DROP: Final = 1  # the application gets the request without the field
REFUSE: Final = 2  # the request is refused


@final
class Limits:
    """Holds sizes in octets, unless said otherwise.

    head: a request head, with its final empty line.
    small: a head below this size exceeds neither `head` nor `target`.
    target: the request target.
    fields: field lines in a head, and in a trailer section (count).
    chunk_line: a chunk-size line with its extensions.
    trailer: a trailer section in all.
    discard: request body that is read and dropped after the response, so that the connection
        persists.
    buffer: content held for the application, and octets held after a request, before reading
        pauses.
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
        self.small = min(head - 4, target)  # 4: the CRLF of the last line, and the empty line
        self.target = target
        self.fields = fields
        self.chunk_line = chunk_line
        self.trailer = trailer
        self.discard = discard
        self.buffer = buffer
        self.underscores = underscores

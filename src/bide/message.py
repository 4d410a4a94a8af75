"""Holds the one object that is made per request."""

from __future__ import annotations

from typing import Final, final

#: (name in lower case, value). mypyc unpacks a tuple of a given length and makes it anew at each
#: step; a tuple of this form is passed on.
Field = tuple[bytes, ...]

#: Value of `Request.length` if the body is chunked: its length is known only at its end.
CHUNKED: Final = -1


@final
class Request:
    """Holds a request head, validated (RFC 9112, sections 3 to 6).

    method: as sent, a token.
    target: the request target as sent; origin-form, absolute-form or `*`.
    path, query: of the target, still percent-encoded; the query without its `?`.
    fields: (name in lower case, value) in the order received.
    minor: 1 for HTTP/1.1 (and any later HTTP/1.x), 0 for HTTP/1.0.
    length: octets of the body, or CHUNKED.
    facts: what the head says about persistence: fact bits of `bide.terms`.
    accepts_trailers: the client said `TE: trailers` (RFC 9110, 10.1.4).
    upgrade: protocols that the client would switch to, as in its Upgrade field (RFC 9110, 7.8); b""
        if none. That field, and the connection option of its name, are not in `fields`: an
        application that cannot switch must not see them.
    dropped: names in lower case of the field lines that were dropped for their underscores; None
        if there are none.
    is_forwarded: whether a field may tell of a client in front of a proxy
        (`bide.semantics.forwarded.NAMES`).
    """

    __slots__ = (
        "accepts_trailers",
        "dropped",
        "facts",
        "fields",
        "is_forwarded",
        "length",
        "method",
        "minor",
        "path",
        "query",
        "target",
        "upgrade",
    )

    def __init__(
        self,
        method: str,
        target: bytes,
        path: bytes,
        query: bytes,
        fields: list[Field],
        minor: int,
        length: int,
        facts: int,
        accepts_trailers: bool,
        dropped: list[bytes] | None = None,
        upgrade: bytes = b"",
        is_forwarded: bool = False,
    ) -> None:
        self.method = method
        self.target = target
        self.path = path
        self.query = query
        self.fields = fields
        self.minor = minor
        self.length = length
        self.facts = facts
        self.accepts_trailers = accepts_trailers
        self.dropped = dropped
        self.upgrade = upgrade
        self.is_forwarded = is_forwarded

    def host_forwarded(self, host: bytes) -> None:
        """Take the host that the client asked for, in place of a front end's."""
        self.fields = [field for field in self.fields if field[0] != b"host"]
        self.fields.append((b"host", host))

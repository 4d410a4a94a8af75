"""Remembers field lines, since most lines of a request repeat lines of an earlier one.

A repeated line costs one comparison: after each line, the line that followed it last time is
expected. What a client sends keeps its order, so the expectation is nearly always right.

Lines that may hold secrets are never remembered, nor lines on which the framing of the request or
the client's close depends.
"""

from __future__ import annotations

from typing import Final, final

from bide.message import Field

# Bounds of the table, for the whole process. HPACK's default table has 4,096 octets for one
# connection; here about a thousand lines of at most 512 octets serve all connections.
_MAX_LINES: Final = 1024
_MAX_LINE_OCTETS: Final = 512

#: Names whose lines repeat and hold no secret. Other lines are parsed anew each time.
REPEATING: Final = frozenset(
    {
        b"accept",
        b"accept-charset",
        b"accept-encoding",
        b"accept-language",
        b"access-control-request-headers",
        b"access-control-request-method",
        b"cache-control",
        b"content-type",
        b"device-memory",
        b"dnt",
        b"downlink",
        b"ect",
        b"from",
        b"origin",
        b"pragma",
        b"priority",
        b"range",
        b"rtt",
        b"save-data",
        b"sec-ch-prefers-color-scheme",
        b"sec-ch-prefers-reduced-motion",
        b"sec-ch-ua",
        b"sec-ch-ua-arch",
        b"sec-ch-ua-bitness",
        b"sec-ch-ua-full-version-list",
        b"sec-ch-ua-mobile",
        b"sec-ch-ua-model",
        b"sec-ch-ua-platform",
        b"sec-ch-ua-platform-version",
        b"sec-fetch-dest",
        b"sec-fetch-mode",
        b"sec-fetch-site",
        b"sec-fetch-user",
        b"sec-gpc",
        b"upgrade-insecure-requests",
        b"user-agent",
        b"viewport-width",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-requested-with",
    }
)


# What a known line means to the server itself.
ORDINARY: Final = 0  # nothing
HOST: Final = 1  # it is a Host field
FORWARDED: Final = 2  # a front end may tell by it of the client (`bide.semantics.forwarded`)


@final
class KnownLine:
    """A field line that was read before, and was valid.

    octets: the line, without its CRLF.
    field: its name and value.
    role: ORDINARY, HOST or FORWARDED.
    following: the known line that came next last time; None if none has.
    """

    __slots__ = ("field", "following", "octets", "role")

    def __init__(self, octets: bytes, field: Field, role: int) -> None:
        self.octets = octets
        self.field = field
        self.role = role
        self.following: KnownLine | None = None


#: Stands before the first field line of every request.
START: Final = KnownLine(b"", (b"", b""), ORDINARY)
#: Field lines, without CRLF.
known_lines: Final[dict[bytes, KnownLine]] = {}


def remember(octets: bytes, field: Field, role: int = ORDINARY) -> None:
    """Keep a field line, so that an equal one need not be parsed.

    octets: the line, without its CRLF.
    role: ORDINARY, HOST or FORWARDED.
    """
    if len(octets) <= _MAX_LINE_OCTETS:
        if len(known_lines) >= _MAX_LINES:
            known_lines.clear()
            START.following = None  # so that no line of the old table is reached any more
        known_lines[octets] = KnownLine(octets, field, role)

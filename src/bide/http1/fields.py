"""Reads field lines: RFC 9112, section 5, and RFC 9110, section 5."""

from __future__ import annotations

from typing import Final

from bide.errors import Rejected
from bide.http1.limits import PASS, REFUSE
from bide.message import Field

_UPPER: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LOWER: Final = b"abcdefghijklmnopqrstuvwxyz"
_DIGIT: Final = b"0123456789"

#: tchar of RFC 9110, 5.6.2.
TOKEN_OCTETS: Final = b"!#$%&'*+-.^_`|~" + _DIGIT + _UPPER + _LOWER
# field-content of RFC 9110, 5.5: HTAB, SP, VCHAR, obs-text; no CR, LF, NUL or other control.
_VALUE_OCTETS: Final = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))


def only(octets: bytes) -> bytes:
    """Return a table for bytes.translate that changes every octet that is not in `octets`.

    `x.translate(table) == x` is the fastest test that x holds only these: `translate` returns an
    unchanged x itself.
    """
    return bytes(octet if octet in octets else (octet == 0) for octet in range(256))


_TOKEN: Final = only(TOKEN_OCTETS)
_VALUE: Final = only(_VALUE_OCTETS)

# Bounds of the table of names, for the whole process.
_MAX_NAMES: Final = 1024
_MAX_NAME_OCTETS: Final = 64

_names: Final[dict[bytes, bytes]] = {}


def is_token(octets: bytes) -> bool:
    """Return whether `octets` is a token: one or more tchar (RFC 9110, 5.6.2)."""
    return octets != b"" and octets.translate(_TOKEN) == octets


def is_value(octets: bytes) -> bool:
    """Return whether `octets` may stand in a field value (RFC 9110, 5.5)."""
    return octets.translate(_VALUE) == octets


def field_name(octets: bytes) -> bytes | None:
    """Return a field name in lower case, or None if it is not a token."""
    name = _names.get(octets)
    if name is None and is_token(octets):
        name = octets.lower()
        # No known name has an underscore, so `field_line` need not check a known one.
        if len(octets) <= _MAX_NAME_OCTETS and b"_" not in octets:
            if len(_names) >= _MAX_NAMES:
                _names.clear()
            _names[octets] = name
    return name


def field_line(line: bytes, underscores: int = PASS) -> Field:
    """Return (name in lower case, value without surrounding white space) of a field line.

    line: the field line, without its CRLF.
    underscores: PASS, DROP or REFUSE a field with an underscore in its name. For a field to DROP,
        the result is (b"", its name in lower case).

    Raises Rejected(400): no colon, white space before the colon, obsolete folding (5.2), an octet
    that is not allowed, or a field to REFUSE.
    """
    octets, colon, value = line.partition(b":")
    name = _names.get(octets)
    if name is None:
        name = field_name(octets)
        if underscores != PASS and name is not None and b"_" in name:
            field_line(line)  # a malformed line is refused even if its name is to be dropped
            if underscores == REFUSE:
                raise Rejected(400, "underscore in a field name")
            return (b"", name)
    if name is None or not colon:
        raise Rejected(400, "malformed field line")
    if value.translate(_VALUE) != value:
        raise Rejected(400, "control octet in a field value")
    return (name, value.strip(b" \t"))


def members(value: bytes) -> list[bytes]:
    """Return the non-empty members of a list-based field value, in lower case (RFC 9110, 5.6.1)."""
    return [member for part in value.lower().split(b",") if (member := part.strip(b" \t"))]

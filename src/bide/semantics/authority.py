"""Checks the authority of a URI: RFC 9110, 4.2, and RFC 3986, 3.2."""

from __future__ import annotations

import re
from typing import Final

# reg-name and IPv4address of RFC 3986, 3.2.2: unreserved, sub-delims and pct-encoded.
_NAME: Final = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")
_H16: Final = rb"[0-9A-Fa-f]{1,4}"
_OCTET: Final = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
# IP-literal of RFC 3986, 3.2.2, without its brackets: the alternatives of IPv6address in its order,
# then IPvFuture. Neither has a zone (`%25eth0`): RFC 6874, which added it, is obsolete (RFC 9844).
_LITERAL: Final = re.compile(
    rb"""
                                          (?:%(h16)b:){6} %(ls32)b
    |                                  :: (?:%(h16)b:){5} %(ls32)b
    | (?:                   %(h16)b )? :: (?:%(h16)b:){4} %(ls32)b
    | (?: (?:%(h16)b:){0,1} %(h16)b )? :: (?:%(h16)b:){3} %(ls32)b
    | (?: (?:%(h16)b:){0,2} %(h16)b )? :: (?:%(h16)b:){2} %(ls32)b
    | (?: (?:%(h16)b:){0,3} %(h16)b )? ::    %(h16)b:     %(ls32)b
    | (?: (?:%(h16)b:){0,4} %(h16)b )? ::                %(ls32)b
    | (?: (?:%(h16)b:){0,5} %(h16)b )? ::                %(h16)b
    | (?: (?:%(h16)b:){0,6} %(h16)b )? ::
    | [Vv] [0-9A-Fa-f]+ \. [A-Za-z0-9\-._~!$&'()*+,;=:]+
    """
    % {b"h16": _H16, b"ls32": rb"(?:%b:%b|(?:%b\.){3}%b)" % (_H16, _H16, _OCTET, _OCTET)},
    re.VERBOSE,
)


def is_authority(octets: bytes) -> bool:
    """Return whether `octets` is uri-host [ ":" port ] of RFC 9110, 4.2.

    Userinfo is not allowed there (4.2.4).
    """
    if octets.startswith(b"["):
        literal, bracket, port = octets[1:].partition(b"]")
        if not bracket or _LITERAL.fullmatch(literal) is None:
            return False
        return not port or (port[:1] == b":" and _is_port(port[1:]))
    host, _, port = octets.partition(b":")
    return _NAME.fullmatch(host) is not None and _is_port(port)


def _is_port(octets: bytes) -> bool:
    return not octets or octets.isdigit()

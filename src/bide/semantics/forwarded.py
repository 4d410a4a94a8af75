"""Finds the client and the scheme that front ends tell of: RFC 7239, and X-Forwarded-*.

Each front end adds to the right of what it received, and a client may have sent anything to begin
with. So the lists are read from the right, for as long as trusted front ends wrote them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple, final

from bide.message import Field
from bide.semantics.authority import is_authority
from bide.terms import Address

#: Names of the fields that are read here.
NAMES: Final = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-prefix", b"x-forwarded-proto"}
)

#: Judges the text of an IP address: returns its canonical form, or "" if it is no address, and
#: whether the front end of this address is trusted.
Judge = Callable[[str], tuple[str, bool]]

# The schemes of HTTP, and those of WebSocket with the same security (RFC 6455, 11.1).
_SCHEMES: Final = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}

# An address with or without a port: node of RFC 7239, 6, and an IPv6 address without brackets. The
# port may be obfuscated.
_PORT: Final = rb"(?::(?:([0-9]{1,5})|_[A-Za-z0-9._\-]+))?"
_NODE: Final = re.compile(rb"\[([0-9A-Fa-f:.]+)\]%b|([0-9.]+)%b|([0-9A-Fa-f:.]+)" % (_PORT, _PORT))
_MAX_PORT: Final = 65535

# forwarded-element of RFC 7239, 4, with white space around it and around its semicolons.
# Repetitions are possessive, so that no text takes long to refuse.
_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_PAIR_TEXT: Final = rb'(%b)=(?:(%b)|"((?:[^"\\]|\\.)*+)")' % (_TOKEN, _TOKEN)
_PAIR: Final = re.compile(_PAIR_TEXT)
_ELEMENT: Final = re.compile(rb"[ \t]*+(?:%b[ \t]*+)?(?:;[ \t]*+(?:%b[ \t]*+)?)*" % (_PAIR_TEXT, _PAIR_TEXT))
_QUOTED_PAIR: Final = re.compile(rb"\\(.)")  # RFC 9110, 5.6.4

# Commas within the quoted strings of one element. With more it counts as unreadable, so that no
# field takes long to read.
_MAX_QUOTED_COMMAS: Final = 8

# A path as `root_path` is: it begins with `/`, does not end with it, and has no empty segment
# (RFC 3986, 3.3).
_PREFIX: Final = re.compile(rb"(?:/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})+)+")


class Origin(NamedTuple):
    """Tells where a request came from.

    client: address of the client; its port is 0 if nobody told it.
    scheme: "http" or "https", as the client used it.
    host: what the client asked for, valid in a Host field; b"" if that is not to be changed.
    prefix: percent-encoded path under which a front end mounts the application; b"" if none.
    """

    client: Address | None
    scheme: str
    host: bytes
    prefix: bytes


@final
class Forwarding:
    """Says which of the fields are believed.

    trusts: tells whether the peer of a connection is a trusted front end. From other peers no field
        is believed.
    hops: number of front ends, if they are counted; 0 if `judge` tells them by their addresses.
    """

    __slots__ = ("_judge", "_reads_standard", "_takes_host", "_takes_prefix", "hops", "trusts")

    def __init__(
        self,
        trusts: Callable[[Address | None], bool],
        judge: Judge,
        hops: int,
        *,
        reads_standard: bool,
        takes_host: bool,
        takes_prefix: bool,
    ) -> None:
        """Keep the rules.

        judge: tells which other front ends are trusted.
        reads_standard: whether front ends write Forwarded (RFC 7239); otherwise X-Forwarded-*. Only
            one of the two is read. A front end passes the other on as the client sent it.
        takes_host, takes_prefix: whether they set these parts, too.
        """
        self.trusts = trusts
        self._judge = judge
        self.hops = hops
        self._reads_standard = reads_standard
        self._takes_host = takes_host
        self._takes_prefix = takes_prefix

    def origin(self, peer: Address | None, scheme: str, fields: list[Field]) -> Origin:
        """Return where a request came from, whose connection's peer is a trusted front end.

        peer, scheme: those of the connection, which count for what the fields do not tell.
        """
        return self._standard(peer, scheme, fields) if self._reads_standard else self._usual(peer, scheme, fields)

    def _usual(self, peer: Address | None, scheme: str, fields: list[Field]) -> Origin:
        """Read X-Forwarded-*."""
        nodes = _members(fields, b"x-forwarded-for")
        client, place = self._client(nodes, peer)
        scheme = _SCHEMES.get(_chosen(_members(fields, b"x-forwarded-proto"), nodes, place).lower(), scheme)
        host = prefix = b""
        if self._takes_host:
            host = _chosen(_members(fields, b"x-forwarded-host"), nodes, place)
            if not is_authority(host):
                host = b""
        if self._takes_prefix:
            prefix = _chosen(_members(fields, b"x-forwarded-prefix"), nodes, place)
            if _PREFIX.fullmatch(prefix) is None:
                prefix = b""
        return Origin(client, scheme, host, prefix)

    def _standard(self, peer: Address | None, scheme: str, fields: list[Field]) -> Origin:
        """Read Forwarded (RFC 7239)."""
        elements = _elements(b",".join([value for name, value in fields if name == b"forwarded"]))
        client, place = self._client([element.get(b"for", b"") for element in elements], peer)
        host = b""
        if elements:
            scheme = _SCHEMES.get(elements[place].get(b"proto", b"").lower(), scheme)
            if self._takes_host:
                host = elements[place].get(b"host", b"")
                if not is_authority(host):
                    host = b""
        return Origin(client, scheme, host, b"")

    def _client(self, nodes: list[bytes], peer: Address | None) -> tuple[Address | None, int]:
        """Return the client's address, and the place in `nodes` at which the search for it ended.

        nodes: what each front end tells of its own client, the nearest front end last. A node that
            is no address ends the search: nobody knows who wrote what is left of it.
        """
        client = peer
        place = len(nodes)
        while place > 0:
            place -= 1
            found = _NODE.fullmatch(nodes[place])
            if found is None:
                break
            bracketed, port, bare, bare_port, bare6 = found.groups(b"")
            host, is_trusted = self._judge((bracketed or bare or bare6).decode("ascii"))
            number = int(port or bare_port or b"0")
            if not host or number > _MAX_PORT:
                break
            client = (host, number)
            if (len(nodes) - place >= self.hops) if self.hops else not is_trusted:
                break
        return client, place


def _members(fields: list[Field], name: bytes) -> list[bytes]:
    """Return the non-empty members of a list, in all lines of a field (RFC 9110, 5.6.1)."""
    return [
        member
        for field in fields
        if field[0] == name
        for part in field[1].split(b",")
        if (member := part.strip(b" \t"))
    ]


def _chosen(values: list[bytes], nodes: list[bytes], place: int) -> bytes:
    """Return the value that the front end at `place` wrote.

    If front ends do not add to the list as they do to that of `nodes`, it is the last value, which
    the nearest one wrote. If there is no value, it is b"".
    """
    if not values:
        return b""
    return values[place] if len(values) == len(nodes) else values[-1]


def _elements(text: bytes) -> list[dict[bytes, bytes]]:
    """Return the elements of a Forwarded field: name in lower case -> value (RFC 7239, 4).

    They are read from the right. An element that cannot be read ends that, so what a client sends
    does not spoil what a front end adds. A comma within a quoted string cannot be taken for one
    between elements: the rest of the string would be no element.
    """
    elements: list[dict[bytes, bytes]] = []
    end = len(text)
    while end >= 0:
        comma = text.rfind(b",", 0, end)
        quoted_commas = 0
        while _ELEMENT.fullmatch(text, comma + 1, end) is None:
            if comma < 0 or quoted_commas == _MAX_QUOTED_COMMAS:
                elements.reverse()
                return elements
            quoted_commas += 1
            comma = text.rfind(b",", 0, comma)
        pairs = _PAIR.findall(text, comma + 1, end)
        element = {name.lower(): token or _QUOTED_PAIR.sub(rb"\1", quoted) for name, token, quoted in pairs}
        if len(element) != len(pairs):  # each at most once
            break
        if pairs:
            elements.append(element)
        end = comma
    elements.reverse()
    return elements

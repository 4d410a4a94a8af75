"""Reads the PROXY header that a proxy sends ahead of a connection, which tells its two ends.

https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, versions 1 and 2. Numbers of sections
are of that document.
"""

from __future__ import annotations

import socket
from typing import Final, NamedTuple, final

from bide.terms import Address, CloseReason
from bide.transport.stream import SocketWire
from bide.wire import Receiver

#: Versions that may come.
V1: Final = 1
V2: Final = 2
ANY: Final = V1 | V2

_REJECTED: Final = CloseReason.PROXY_HEADER_REJECTED

# -- Version 1 (2.1) ------------------------------------------------------------------------------

_V1_START: Final = b"PROXY "
# Octets of the longest line, with its CRLF (2.1).
_V1_MAX_OCTETS: Final = 107
_V1_FAMILIES: Final = {b"TCP4": socket.AF_INET, b"TCP6": socket.AF_INET6}
_MAX_PORT: Final = 65535

# -- Version 2 (2.2) ------------------------------------------------------------------------------

_V2_START: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED_OCTETS: Final = 16  # up to the length of what follows
# Octets of what follows: far more than any proxy sends. Addresses take up to 216.
_V2_MAX_OCTETS: Final = 4096
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_UNSPEC: Final = 0x00
_TCP4: Final = 0x11
_TCP6: Final = 0x21
_UNIX_STREAM: Final = 0x31
_UNIX_PATH_OCTETS: Final = 108
_TLV_FIXED_OCTETS: Final = 3  # type, and length in two octets
_TYPE_SSL: Final = 0x20  # 2.2.6
_SSL_FIXED_OCTETS: Final = 5  # client, and verify in four octets
_CLIENT_SSL: Final = 0x01


class Header(NamedTuple):
    """Holds what a PROXY header tells.

    size: octets of the header.
    ends: peer and local address of the connection that the proxy has accepted; None if it tells no
        addresses, so that those of the socket count: it has connected for itself (a health check),
        or does not know them.
    is_secure: whether the client speaks TLS to the proxy.
    """

    size: int
    ends: tuple[Address | None, Address | None] | None
    is_secure: bool


class MalformedHeaderError(ValueError):
    """Raised for octets that do not begin with a PROXY header. The message says why."""


def read_header(octets: bytes, versions: int = ANY) -> Header | None:
    """Return the header at the start of `octets`; None if more must come to tell.

    versions: V1, V2 or ANY.

    Raises MalformedHeaderError as soon as `octets` cannot become a header any more.
    """
    if versions & V1 and _V1_START.startswith(octets[: len(_V1_START)]):
        return _read_v1(octets)
    if versions & V2 and _V2_START.startswith(octets[: len(_V2_START)]):
        return _read_v2(octets)
    raise MalformedHeaderError("no PROXY header")


def _read_v1(octets: bytes) -> Header | None:
    """Read a line (2.1)."""
    end = octets.find(b"\r\n", 0, _V1_MAX_OCTETS)
    if end < 0:
        if len(octets) >= _V1_MAX_OCTETS:
            raise MalformedHeaderError("the PROXY header has no end")
        return None
    words = octets[len(_V1_START) : end].split(b" ")
    if words[0] == b"UNKNOWN":  # what follows it is to be ignored
        return Header(end + 2, None, False)
    family = _V1_FAMILIES.get(words[0])
    if family is None or len(words) != 5:
        raise MalformedHeaderError("malformed PROXY header")
    _, source, destination, source_port, destination_port = words
    peer = (_v1_host(family, source), _v1_port(source_port))
    local = (_v1_host(family, destination), _v1_port(destination_port))
    return Header(end + 2, (peer, local), False)


def _v1_host(family: int, octets: bytes) -> str:
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, octets.decode("ascii")))
    except (OSError, ValueError):
        raise MalformedHeaderError("malformed address in the PROXY header") from None


def _v1_port(octets: bytes) -> int:
    """Return a port, which has no leading zero."""
    if octets.isdigit() and (octets[:1] != b"0" or octets == b"0") and len(octets) <= 5:
        port = int(octets)
        if port <= _MAX_PORT:
            return port
    raise MalformedHeaderError("malformed port in the PROXY header")


def _read_v2(octets: bytes) -> Header | None:
    """Read a block (2.2)."""
    if len(octets) < _V2_FIXED_OCTETS:
        return None
    command, family = octets[12], octets[13]
    length = int.from_bytes(octets[14:16], "big")
    if command not in (_LOCAL, _PROXY):
        raise MalformedHeaderError("unknown version or command in the PROXY header")
    if length > _V2_MAX_OCTETS:
        raise MalformedHeaderError("the PROXY header is too long")
    if command == _PROXY and family not in (_UNSPEC, _TCP4, _TCP6, _UNIX_STREAM):
        raise MalformedHeaderError("unknown protocol in the PROXY header")
    size = _V2_FIXED_OCTETS + length
    if len(octets) < size:
        return None
    if command == _LOCAL or family == _UNSPEC:  # the rest is to be ignored
        return Header(size, None, False)
    block = octets[_V2_FIXED_OCTETS:size]
    if family == _UNIX_STREAM:
        taken = 2 * _UNIX_PATH_OCTETS
        _require(len(block) >= taken)
        ends = (_path(block[:_UNIX_PATH_OCTETS]), _path(block[_UNIX_PATH_OCTETS:taken]))
    else:
        kind, width = (socket.AF_INET, 4) if family == _TCP4 else (socket.AF_INET6, 16)
        taken = 2 * width + 4
        _require(len(block) >= taken)
        peer = (socket.inet_ntop(kind, block[:width]), int.from_bytes(block[taken - 4 : taken - 2], "big"))
        local = (socket.inet_ntop(kind, block[width : 2 * width]), int.from_bytes(block[taken - 2 : taken], "big"))
        ends = (peer, local)
    return Header(size, ends, _is_secure(block[taken:]))


def _require(holds: bool) -> None:
    if not holds:
        raise MalformedHeaderError("the PROXY header is too short for what it tells")


def _path(octets: bytes) -> Address | None:
    """Return the address of a Unix socket; None for one without a name."""
    path = octets.partition(b"\x00")[0].decode("utf-8", "surrogateescape")
    return (path, None) if path else None


def _is_secure(block: bytes) -> bool:
    """Walk through the values behind the addresses (2.2.1), which must fill the block.

    Return whether one of them says that the client speaks TLS (2.2.6).
    """
    found = False
    position = 0
    while position < len(block):
        start = position + _TLV_FIXED_OCTETS
        _require(start <= len(block))
        position_after = start + int.from_bytes(block[position + 1 : start], "big")
        _require(position_after <= len(block))
        if block[position] == _TYPE_SSL:
            _require(position_after - start >= _SSL_FIXED_OCTETS)
            found = found or block[start] & _CLIENT_SSL != 0
        position = position_after
    return found


@final
class HeaderReader(Receiver):
    """Takes the facts of a wire until its header is read. From then on it has no part in it."""

    __slots__ = ("_octets", "_receiver", "_versions", "_wire")

    def __init__(self, wire: SocketWire, receiver: Receiver, versions: int) -> None:
        """Keep what takes the facts after the header.

        versions: V1, V2 or ANY.
        """
        self._wire = wire
        self._receiver = receiver
        self._versions = versions
        self._octets = b""

    def octets_received(self, data: bytes) -> None:
        octets = self._octets = self._octets + data
        try:
            header = read_header(octets, self._versions)
        except MalformedHeaderError as error:
            self._wire.report_to(self._receiver)
            self._receiver.rejected(_REJECTED, f"{error}, from {self._wire.sender()}", False)
            return
        if header is None:
            return
        self._wire.report_to(self._receiver)
        self._wire.introduce(header.ends, header.is_secure)
        self._receiver.introduced()
        self._receiver.ready()
        if len(octets) > header.size:
            self._receiver.octets_received(octets[header.size :])

    def ready(self) -> None:
        pass

    def introduced(self) -> None:
        pass

    def rejected(self, reason: CloseReason, detail: str, is_plain: bool) -> None:
        pass

    def go_on(self) -> None:
        self._receiver.go_on()

    def eof_received(self) -> None:
        self._receiver.eof_received()

    def write_paused(self) -> None:
        self._receiver.write_paused()

    def write_resumed(self) -> None:
        self._receiver.write_resumed()

    def flushed(self) -> None:
        self._receiver.flushed()

    def lost(self) -> None:
        self._receiver.lost()

    def fail_internal(self) -> None:
        self._receiver.fail_internal()

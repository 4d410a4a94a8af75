"""Writes PROXY headers of version 2, and broken ones."""

import socket

START = b"\r\n\r\n\x00\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
UNSPEC, TCP4, UDP4, TCP6, UNIX = 0x00, 0x11, 0x12, 0x21, 0x31
SSL, NOOP = 0x20, 0x04
#: Values that say: the client speaks TLS; it does not.
TLS = b"\x01\x00\x00\x00\x00"
NO_TLS = b"\x00\x00\x00\x00\x01"


def value(kind: int, content: bytes) -> bytes:
    """Return a value to stand behind the addresses."""
    return bytes([kind]) + len(content).to_bytes(2, "big") + content


def addresses4(source: tuple[str, int], destination: tuple[str, int]) -> bytes:
    """Return the addresses of TCP over IPv4."""
    hosts = socket.inet_aton(source[0]) + socket.inet_aton(destination[0])
    return hosts + source[1].to_bytes(2, "big") + destination[1].to_bytes(2, "big")


def addresses6(source: tuple[str, int], destination: tuple[str, int]) -> bytes:
    """Return the addresses of TCP over IPv6."""
    hosts = b"".join(socket.inet_pton(socket.AF_INET6, host) for host, _ in (source, destination))
    return hosts + source[1].to_bytes(2, "big") + destination[1].to_bytes(2, "big")


def v2(command: int, family: int, block: bytes = b"", length: int | None = None) -> bytes:
    """Return a header. length: what it says of the block; by default the truth."""
    return START + bytes([command, family]) + (len(block) if length is None else length).to_bytes(2, "big") + block

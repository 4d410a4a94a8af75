"""Frames as a client sends them (RFC 6455, 5.2), by arithmetic of its own: right or wrong, as a test wants them."""

from typing import Final

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

_KEY: Final = b"\x01\x02\x03\x04"


def masked(data: bytes, key: bytes = _KEY) -> bytes:
    """Mask or unmask octets (5.3)."""
    return bytes(octet ^ key[index % 4] for index, octet in enumerate(data))


def frame(
    opcode: int,
    content: bytes = b"",
    *,
    final: bool = True,
    rsv: int = 0,
    mask: bool = True,
    length: bytes | None = None,
) -> bytes:
    """Return a frame. length: octets of the length as they are to be sent, the first with its seven bits."""
    first = (0x80 if final else 0) | rsv << 4 | opcode
    size = len(content)
    if length is None:
        if size < 126:
            length = bytes([size])
        elif size < 1 << 16:
            length = b"\x7e" + size.to_bytes(2, "big")
        else:
            length = b"\x7f" + size.to_bytes(8, "big")
    second = length[0] | (0x80 if mask else 0)
    head = bytes([first, second]) + length[1:]
    return head + (_KEY + masked(content) if mask else content)


def close(code: int, reason: bytes = b"") -> bytes:
    """Return a Close frame."""
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


def read(octets: bytes) -> list[tuple[int, bytes]]:
    """Return opcode and content of the frames that a server sent; each is final, whole and not masked."""
    found = []
    position = 0
    while position < len(octets):
        first, second = octets[position], octets[position + 1]
        assert first & 0x80, "the server does not fragment"
        assert not second & 0x80, "the server does not mask (5.1)"
        size = second & 0x7F
        position += 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size = int.from_bytes(octets[position : position + width], "big")
            position += width
        assert position + size <= len(octets), "a frame is cut"
        found.append((first & 0x7F, octets[position : position + size]))
        position += size
    return found

"""Reads and writes the headers of frames: RFC 6455, 5.2.

The `websockets` library reads a whole frame before it refuses most of them, and takes four times as
long to write one.
"""

from __future__ import annotations

from typing import Final, final

_FIN: Final = 0x80
_RSV1: Final = 0x40
_RESERVED: Final = 0x70
_OPCODE: Final = 0x0F
_MASKED: Final = 0x80
_LENGTH: Final = 0x7F

_CONTINUATION: Final = 0x0
_BINARY: Final = 0x2
_CLOSE: Final = 0x8
_PONG: Final = 0xA

_MAX_CONTROL: Final = 125  # octets of a control frame's content (5.5)
_LENGTH_IN_2: Final = 126  # the length follows in two octets
_KEY_OCTETS: Final = 4
_MAX_LENGTH: Final = (1 << 63) - 1


@final
class FrameHeaders:
    """Follows the headers of the frames that a client sends.

    left: octets of the current frame that have yet to come.
    fault: what is wrong with the first header that no server may accept; "" while there is none.
    """

    __slots__ = ("_deflates", "_head", "_is_fragmented", "fault", "left")

    def __init__(self, deflates: bool) -> None:
        """deflates: whether permessage-deflate is agreed on, which uses the first reserved bit."""
        self._deflates = deflates
        self._head = b""  # of a header that has come in part
        self.left = 0
        self._is_fragmented = False  # a message has begun, and its last frame has yet to come
        self.fault = ""

    def follow(self, data: bytes) -> int:
        """Return how many octets of `data` come before the first fault: all, if there is none."""
        position = 0
        size = len(data)
        while position < size:
            if self.left:
                taken = min(self.left, size - position)
                self.left -= taken
                position += taken
                continue
            begin = position
            head = self._head + data[position : position + 10 - len(self._head)]
            length = self._length(head)
            if self.fault:
                return begin
            if length < 0:
                self._head = head
                return size
            position += _size(head[1] & _LENGTH) - len(self._head)
            self._head = b""
            self.left = length + _KEY_OCTETS
        return size

    def _length(self, head: bytes) -> int:
        """Return the length of a frame's content; -1 if its header is not complete."""
        if len(head) < 2:
            return -1
        first, second = head[0], head[1]
        opcode = first & _OPCODE
        length = second & _LENGTH
        is_final = first & _FIN != 0
        if first & _RESERVED and not (
            first & _RESERVED == _RSV1 and self._deflates and _CONTINUATION < opcode <= _BINARY
        ):
            self.fault = "a reserved bit is set"
        elif opcode > _PONG or _BINARY < opcode < _CLOSE:
            self.fault = "the opcode is reserved"
        elif not second & _MASKED:
            self.fault = "the frame is not masked"
        elif opcode >= _CLOSE:
            if not is_final:
                self.fault = "a control frame is fragmented"
            elif length > _MAX_CONTROL:
                self.fault = "a control frame is too long"
        elif (opcode == _CONTINUATION) is not self._is_fragmented:
            self.fault = (
                "a message begins within another" if self._is_fragmented else "a continuation continues nothing"
            )
        if self.fault or len(head) < _size(length):
            return -1
        if length >= _LENGTH_IN_2:
            least = _LENGTH_IN_2 if length == _LENGTH_IN_2 else 1 << 16
            length = int.from_bytes(head[2 : _size(length)], "big")
            if not least <= length <= _MAX_LENGTH:
                self.fault = "the length is not in its shortest form, or its first bit is set"
                return -1
        if opcode < _CLOSE:
            self._is_fragmented = not is_final
        return length


def header(is_text: bool, size: int) -> bytes:
    """Return the header of a final frame that a server sends. size: octets of its content."""
    first = 0x81 if is_text else 0x82
    if size < _LENGTH_IN_2:
        return bytes((first, size))
    if size < 1 << 16:
        return bytes((first, _LENGTH_IN_2)) + size.to_bytes(2, "big")
    return bytes((first, _LENGTH_IN_2 + 1)) + size.to_bytes(8, "big")


def _size(length: int) -> int:
    """Return the octets of a header without its mask.

    length: the last seven bits of its second octet.
    """
    if length < _LENGTH_IN_2:
        return 2
    return 4 if length == _LENGTH_IN_2 else 10

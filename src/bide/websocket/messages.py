"""Turns octets of one WebSocket into messages and back, by the `websockets` library.

What that leaves open is decided here: text that is not UTF-8, the number of fragments, frames that
their header condemns.
"""

from __future__ import annotations

import logging
from typing import Final

from websockets.exceptions import ProtocolError
from websockets.extensions import Extension
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, Side, State

from bide.errors import Misuse
from bide.websocket.frames import FrameHeaders, header

# Codes of section 7.4.1.
NORMAL: Final = 1000
PROTOCOL_ERROR: Final = 1002
NO_CODE: Final = 1005  # never sent: the Close frame is empty
ABNORMAL: Final = 1006  # never sent: the connection ended without a Close frame
INVALID_DATA: Final = 1007
INTERNAL_ERROR: Final = 1011
SERVICE_RESTART: Final = 1012  # registered with IANA

# A name of the module is found faster than a member of an Enum through its class.
_OPEN: Final = State.OPEN
_TEXT: Final = Opcode.TEXT
_BINARY: Final = Opcode.BINARY
_CONT: Final = Opcode.CONT

_PONG_OCTET: Final = b"\x8a"  # the first of a Pong frame that the server sends

# Silent: the library would log every connection.
_SILENT: Final = logging.getLogger("bide.websocket")
_SILENT.disabled = True


class Messages:
    """Reads and writes the frames of one WebSocket, on the server's side.

    received: messages that nobody has taken yet.
    size: of these messages, in octets or, of text, characters.
    output: frames to send, in order.
    closed_by: code and reason of the client's Close frame; None before it has come.
    rejected: code and reason of the Close frame that was sent since the client broke the protocol.
    """

    __slots__ = (
        "_deflates",
        "_has_closed",
        "_headers",
        "_is_text",
        "_part",
        "_protocol",
        "closed_by",
        "output",
        "received",
        "rejected",
        "size",
    )

    def __init__(self, max_size: int, deflate: Extension | None) -> None:
        """Begin after the handshake.

        max_size: octets of the longest message accepted.
        deflate: what compresses messages; None if nothing does.
        """
        self._protocol = Protocol(Side.SERVER, max_size=max_size, logger=_SILENT)
        if deflate is not None:
            self._protocol.extensions = [deflate]
        self._deflates = deflate is not None
        self._headers = FrameHeaders(self._deflates)
        self._part: bytearray | None = None  # content of a message whose last fragment has yet to come
        self._is_text = False
        self._has_closed = False  # by our own decision, not in answer to the client
        self.received: list[str | bytes] = []  # seldom holds many; an empty deque takes 600 octets more
        self.size = 0
        self.output: list[bytes] = []
        self.closed_by: tuple[int, str] | None = None
        self.rejected: tuple[int, str] | None = None

    @property
    def is_open(self) -> bool:
        """Whether no Close frame was sent, so that messages can be."""
        return not self._has_closed and self._protocol.state is _OPEN

    @property
    def lacking(self) -> int:
        """Octets of the current frame that have yet to come."""
        return self._headers.left

    # -- Octets from the client --------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Read octets. The frames that answer them are in `output`."""
        if self.closed_by is not None or self.rejected is not None:
            return
        protocol = self._protocol
        pings = 0
        valid = self._headers.follow(data)
        protocol.receive_data(data if valid == len(data) else data[:valid])
        for frame in protocol.events_received():
            assert isinstance(frame, Frame)
            opcode = frame.opcode
            if opcode is _TEXT or opcode is _BINARY or opcode is _CONT:
                if not (self._has_closed or self._add(frame)):
                    self._reject(INVALID_DATA, "the text is not UTF-8", pings)
                    return
            elif opcode is Opcode.PING:
                pings += 1
            elif opcode is Opcode.CLOSE:
                close = protocol.close_rcvd
                assert close is not None
                self.closed_by = (int(close.code), close.reason)
        if protocol.parser_exc is not None:
            self._collect()
            received = protocol.close_rcvd
            if received is not None:
                self._answer_within(received)
                return
            sent = protocol.close_sent
            self.rejected = (PROTOCOL_ERROR, "") if sent is None else (int(sent.code), sent.reason)
        elif self._headers.fault and self.closed_by is None:
            self._reject(PROTOCOL_ERROR, self._headers.fault, pings)
        else:
            self._collect()

    def _answer_within(self, received: Close) -> None:
        """Answer a Close frame between the fragments of a message, which is allowed (5.4).

        The library takes it for a protocol error, and has written that last.
        """
        self.closed_by = (int(received.code), received.reason)
        if not self._has_closed:
            content = b"" if received.code == NO_CODE else received.serialize()
            self.output[-1] = Frame(Opcode.CLOSE, content).serialize(mask=False)

    def _add(self, frame: Frame) -> bool:
        """Add a frame of a message; return whether it is valid."""
        data = frame.data
        part = self._part
        if part is None:
            self._is_text = frame.opcode is _TEXT
            if not frame.fin:
                self._part = bytearray(data)
                return True
        else:
            part += data
            if not frame.fin:
                return True
            data = part
            self._part = None
        message: str | bytes
        if self._is_text:
            try:
                message = str(data, "utf-8")
            except UnicodeDecodeError:
                return False
        else:
            message = bytes(data)
        self.received.append(message)
        self.size += len(message)
        return True

    def _reject(self, code: int, detail: str, pings: int) -> None:
        """Fail the WebSocket (7.1.7).

        pings: those before the fault. What came after it is not answered, although the library has
            done so by now.
        """
        self.closed_by = None
        pongs = [frame for frame in self._protocol.data_to_send() if frame[:1] == _PONG_OCTET]
        self.output += pongs[:pings]
        if not self._has_closed:
            self._has_closed = True
            self.output.append(Frame(Opcode.CLOSE, Close(code, detail).serialize()).serialize(mask=False))
        self.rejected = (code, detail)

    def take(self) -> str | bytes:
        """Return the next message of `received`, which has one."""
        message = self.received.pop(0)
        self.size -= len(message)
        return message

    def drop(self) -> None:
        """Drop the messages that nobody has taken."""
        self.received.clear()
        self.size = 0

    # -- Frames to the client ----------------------------------------------------------------------

    def send(self, message: str | bytes) -> None:
        """Write a message. It must be open.

        Without deflate a frame is only a header before the content.
        """
        is_text = isinstance(message, str)
        content = message.encode() if isinstance(message, str) else message
        if self._deflates:
            self._protocol.send_text(content) if is_text else self._protocol.send_binary(content)
            self._collect()
        else:
            self.output.append(header(is_text, len(content)) + content)

    def ping(self) -> None:
        """Write a Ping frame (5.5.2)."""
        self._protocol.send_ping(b"")
        self._collect()

    def close(self, code: int, reason: str) -> None:
        """Write a Close frame (5.5.1). Raises Misuse if the code may not be sent, or if the reason
        is too long.
        """
        try:
            self._protocol.send_close(code, reason)
        except ProtocolError as error:
            raise Misuse(f"the Close frame is not valid: {error}, code={code!r}") from error
        self._has_closed = True
        self._collect()

    @property
    def holds_only_pongs(self) -> bool:
        """Whether nothing is to be sent but answers to pings."""
        return all(frame[:1] == _PONG_OCTET for frame in self.output)

    def keep_last_pong(self) -> None:
        """Drop all frames of `output`, which holds only pongs, but the last: it answers all pings
        (5.5.3).
        """
        del self.output[:-1]

    def _collect(self) -> None:
        """Take what the library has written, without its signal to end the stream."""
        self.output += filter(None, self._protocol.data_to_send())

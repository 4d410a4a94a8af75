"""Provides a client that shows octets, their framing, and how and when the connection ends."""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.support.waiting import PATIENCE, pause

#: (host, port), or the path of a Unix socket.
Where = tuple[str, int] | str


class IncompleteError(Exception):
    """The connection ended within a response."""


@dataclass
class Head:
    """The head of a response. `fields` in order, names in lower case."""

    version: str
    status: int
    reason: str
    fields: list[tuple[str, str]]

    def all(self, name: str) -> list[str]:
        """Return the values of every field line of that name."""
        return [value for known, value in self.fields if known == name]

    def __getitem__(self, name: str) -> str:
        (value,) = self.all(name)
        return value

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))


@dataclass
class Response(Head):
    """A whole response, with the interim responses before it."""

    content: bytes = b""
    chunks: list[bytes] = field(default_factory=list)
    trailers: list[tuple[str, str]] = field(default_factory=list)
    interim: list[Head] = field(default_factory=list)
    close_delimited: bool = False

    @property
    def says_close(self) -> bool:
        """Whether it announces the end of the connection."""
        return self.all("connection") == ["close"]


@dataclass
class Ending:
    """How the server ended: "fin" or "reset", what came before it, and when (time.monotonic)."""

    how: str
    rest: bytes
    at: float


class Client:
    """One connection. Every wait ends in TimeoutError after `timeout` seconds."""

    def __init__(
        self,
        where: Where,
        *,
        source: str | None = None,
        timeout: float = PATIENCE,
        receive_buffer: int | None = None,
        send_buffer: int | None = None,
    ) -> None:
        """Connect. source: our own address, one of 127.0.0.0/8 for instance; None for the system's choice. Buffers: octets."""
        family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET6 if ":" in where[0] else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.buffer = bytearray()
        try:
            if receive_buffer is not None:  # before connect: afterwards the window is announced
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if send_buffer is not None:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
            if family != socket.AF_UNIX:
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if source is not None:
                self.sock.bind((source, 0))
            self.sock.connect(where)
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def address(self) -> tuple[str, int]:
        """Our own address."""
        host, port, *_ = self.sock.getsockname()
        return host, port

    # -- Sending --------------------------------------------------------------------------------------------------------

    def send(self, octets: bytes) -> None:
        """Send octets as they are."""
        self.sock.sendall(octets)

    def ask(
        self, target: str = "/", *lines: str, method: str = "GET", version: str = "1.1", body: bytes | None = None
    ) -> None:
        """Send a request; `lines` are field lines. With `body`, its length is said."""
        self.send(request(target, *lines, method=method, version=version, body=body))

    def get(
        self, target: str = "/", *lines: str, method: str = "GET", version: str = "1.1", body: bytes | None = None
    ) -> Response:
        """Send a request and read the response to it."""
        self.ask(target, *lines, method=method, version=version, body=body)
        return self.response(method)

    def half_close(self) -> None:
        """Say that nothing more will be sent."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Leave with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        """Leave."""
        self.sock.close()

    # -- Reading --------------------------------------------------------------------------------------------------------

    def response(self, to: str = "GET") -> Response:
        """Read one final response. `to`: the method of the request."""
        interim: list[Head] = []
        while True:
            head = self.head()
            if head.status >= 200:
                break
            interim.append(head)
        response = Response(head.version, head.status, head.reason, head.fields, interim=interim)
        assert len(response.all("content-length")) + len(response.all("transfer-encoding")) <= 1, response
        if to == "HEAD" or response.status in (204, 304):
            return response
        if "transfer-encoding" in response:
            assert response["transfer-encoding"] == "chunked"
            while size := int(self.line().partition(b";")[0], 16):
                response.chunks.append(self.exactly(size))
                assert self.line() == b""
            response.trailers = self.field_lines()
            response.content = b"".join(response.chunks)
        elif "content-length" in response:
            response.content = self.exactly(int(response["content-length"]))
        else:
            response.close_delimited = True
            ending = self.ending()
            response.content = ending.rest
            if ending.how != "fin":
                raise IncompleteError(ending)
        return response

    def head(self) -> Head:
        """Read one head."""
        line = self.line().decode("ascii")
        version, status, reason = line.split(" ", 2)
        assert len(status) == 3, line
        return Head(version, int(status), reason, self.field_lines())

    def field_lines(self) -> list[tuple[str, str]]:
        """Read field lines up to the empty one."""
        fields = []
        while line := self.line():
            name, colon, value = line.decode("latin-1").partition(":")
            assert colon, line
            assert name == name.strip(), line
            fields.append((name.lower(), value.strip(" \t")))
        return fields

    def line(self) -> bytes:
        """Read a line and return it without its CRLF."""
        while (end := self.buffer.find(b"\n")) < 0:
            self._more()
        line = bytes(self.buffer[: end + 1])
        del self.buffer[: end + 1]
        assert line.endswith(b"\r\n"), line
        return line[:-2]

    def exactly(self, size: int) -> bytes:
        """Read `size` octets."""
        while len(self.buffer) < size:
            self._more()
        octets = bytes(self.buffer[:size])
        del self.buffer[:size]
        return octets

    def _more(self) -> None:
        octets = self.sock.recv(1 << 18)
        if not octets:
            raise IncompleteError(bytes(self.buffer))
        self.buffer += octets

    def ending(self) -> Ending:
        """Read to the end."""
        try:
            while octets := self.sock.recv(1 << 18):
                self.buffer += octets
        except ConnectionError:
            how = "reset"
        else:
            how = "fin"
        rest = bytes(self.buffer)
        self.buffer.clear()
        return Ending(how, rest, time.monotonic())

    def silent_for(self, seconds: float) -> bool:
        """Whether neither octets nor an end arrive within this time."""
        if self.buffer:
            return False
        before = self.sock.gettimeout()
        self.sock.settimeout(seconds)
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except (TimeoutError, BlockingIOError):
            return True
        except ConnectionError:
            return False
        finally:
            self.sock.settimeout(before)
        return False

    def is_closed_by_peer(self) -> bool:
        """Whether octets sent now meet no reader: after a mere half-close of the server they still would."""
        try:
            self.sock.send(b"?")
            pause(0.05)  # for the RST, if one comes
            self.sock.send(b"?")
        except ConnectionError:
            return True
        return False


def request(
    target: str = "/", *lines: str, method: str = "GET", version: str = "1.1", body: bytes | None = None
) -> bytes:
    """Return the octets of a request; `lines` are field lines. With `body`, its length is said."""
    length = [] if body is None else [f"Content-Length: {len(body)}"]
    head = "\r\n".join([f"{method} {target} HTTP/{version}", "Host: localhost", *length, *lines, "", ""])
    return head.encode("latin-1") + (body or b"")


def chunked(*pieces: bytes) -> bytes:
    """Return a chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"

"""Plays the worker, an application and the client's reader around a Connection. Holds no test."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from bide.http1.connection import Connection
from bide.http1.limits import DROP, Limits
from bide.http1.response import CommonFields
from bide.message import Request
from bide.terms import State

DATE: Final = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
GET: Final = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"

HEAD_LIMIT: Final = 1024
TARGET_LIMIT: Final = 128
FIELDS_LIMIT: Final = 8
CHUNK_LINE_LIMIT: Final = 64
TRAILER_LIMIT: Final = 128
DISCARD_LIMIT: Final = 100
BUFFER_LIMIT: Final = 512


def limits(
    *,
    head: int = HEAD_LIMIT,
    target: int = TARGET_LIMIT,
    fields: int = FIELDS_LIMIT,
    chunk_line: int = CHUNK_LINE_LIMIT,
    trailer: int = TRAILER_LIMIT,
    discard: int = DISCARD_LIMIT,
    buffer: int = BUFFER_LIMIT,
    underscores: int = DROP,
) -> Limits:
    """Return small limits, so that a test reaches them with few octets."""
    return Limits(
        head=head,
        target=target,
        fields=fields,
        chunk_line=chunk_line,
        trailer=trailer,
        discard=discard,
        buffer=buffer,
        underscores=underscores,
    )


def connect(bounds: Limits | None = None, standing: int = 0) -> Connection:
    return Connection(limits() if bounds is None else bounds, CommonFields(DATE), standing)


def at(connection: Connection) -> State:
    """Return the state. A type checker would take an attribute to be as before the call in between."""
    return connection.state


def octets_held(connection: Connection) -> int:
    """Return how many octets a connection has received and not handed on."""
    reader = connection._reader
    unread = len(reader._buffer) - reader._position + len(reader._held or b"")
    return len(reader.partial or b"") + unread + sum(map(len, reader._content or []))


def slices(octets: bytes, size: int = 1) -> Iterator[bytes]:
    for start in range(0, len(octets), size):
        yield octets[start : start + size]


class Answer(NamedTuple):
    """A response as a client reads it."""

    status: int
    fields: list[tuple[bytes, bytes]]
    content: bytes
    trailers: list[tuple[bytes, bytes]]
    whole: bool  # its end was marked by its own framing

    def values(self, name: bytes) -> list[bytes]:
        return [value for other, value in self.fields if other == name]

    @property
    def says_close(self) -> bool:
        return self.values(b"connection") == [b"close"]


def read_answers(output: bytes, methods: Iterable[str] = ()) -> list[Answer]:
    """Read responses as a strict client does (6.3). `methods`: of the requests; GET for those without.

    Fails if octets are not a response, or if a response is framed twice.
    """
    answers = []
    asked = iter(methods)
    method: str | None = None
    while output:
        head, blank, output = output.partition(b"\r\n\r\n")
        assert blank, f"no end of a head: {head!r}"
        line, *rest = head.split(b"\r\n")
        version, status, phrase = line.split(b" ", 2)
        assert version == b"HTTP/1.1"
        assert len(status) == 3
        assert b"\r" not in phrase
        assert b"\n" not in head.replace(b"\r\n", b"")
        fields = _fields(rest)
        code = int(status)
        if method is None:
            method = next(asked, "GET")
        lengths = [value for name, value in fields if name == b"content-length"]
        codings = [value for name, value in fields if name == b"transfer-encoding"]
        assert len(lengths) + len(codings) <= 1, f"framed twice: {head!r}"
        if code < 200:
            assert not lengths, "RFC 9110, 8.6"
            assert not codings, "6.1"
            answers.append(Answer(code, fields, b"", [], True))
            continue
        assert len([name for name, _ in fields if name == b"date"]) == 1, "RFC 9110, 6.6.1"
        content = b""
        trailers: list[tuple[bytes, bytes]] = []
        whole = True
        if code == 204:
            assert not lengths, "RFC 9110, 8.6"
            assert not codings, "6.1"
        elif method == "HEAD" or code == 304:
            pass
        elif codings:
            assert codings == [b"chunked"]
            content, trailers, whole, output = _chunked(output)
        elif lengths:
            length = int(lengths[0])
            content, output = output[:length], output[length:]
            whole = len(content) == length
        else:
            assert (b"connection", b"close") in fields, "only the close ends it"
            content, output, whole = output, b"", False
        method = None
        answers.append(Answer(code, fields, content, trailers, whole))
    return answers


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    fields = []
    for line in lines:
        name, colon, value = line.partition(b": ")
        assert colon, line
        assert name == name.strip(), line
        fields.append((name.lower(), value))
    return fields


def _chunked(octets: bytes) -> tuple[bytes, list[tuple[bytes, bytes]], bool, bytes]:
    """Return content, trailers, whether the body was complete, and the octets after it."""
    content = b""
    while True:
        size, end, octets = octets.partition(b"\r\n")
        if not end:
            assert not size, "cut within a line"
            return content, [], False, b""
        length = int(size, 16)
        if not length:
            break
        assert octets[length : length + 2] == b"\r\n"
        content += octets[:length]
        octets = octets[length + 2 :]
    lines: list[bytes] = []
    while True:
        line, end, octets = octets.partition(b"\r\n")
        if not end:
            return content, _fields(lines), False, b""
        if not line:
            return content, _fields(lines), True, octets
        lines.append(line)


class Seen(NamedTuple):
    """A request as the application saw it."""

    method: str
    target: bytes
    body: bytes


class Server:
    """A worker around a Connection, and an application that reads the whole request, then answers 200."""

    def __init__(self, bounds: Limits | None = None) -> None:
        self.connection = connect(bounds)
        self.answered: list[Seen] = []
        self.requests: list[Request] = []
        self.output = b""
        self._current: Request | None = None
        self._body = b""

    def receive(self, data: bytes) -> None:
        self._work(self.connection.receive(data))

    def receive_eof(self) -> None:
        self.connection.receive_eof()
        self._work(None)

    def _work(self, begun: Request | None) -> None:
        connection = self.connection
        while True:
            if begun is not None:
                self._current = begun
                self._body = b""
                self.requests.append(begun)
            current = self._current
            if current is not None and connection.state is State.EXCHANGE:
                self._body += connection.take_content()
                if not connection.body_complete:
                    connection.want_content()
                    break
                self._current = None
                self.answered.append(Seen(current.method, current.target, self._body))
                connection.respond(200, [(b"content-length", b"2")])
                connection.send(b"ok", False)
            begun = connection.next_request()
            if begun is None:
                break
        self.output += connection.take_output()

    def answers(self) -> list[Answer]:
        """Return the final responses that the client got."""
        found = read_answers(self.output, [seen.method for seen in self.answered])
        return [answer for answer in found if answer.status >= 200]

"""Whatever bide accepts, h11 and httptools (llhttp) read the same way; every disagreement has its row, with its reason.

Another parser may refuse what bide accepts, if a row says why. A parser that refuses cannot be made to read something else. None may
read it otherwise.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import h11
import httptools
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from bide.http1.limits import PASS
from tests.http1.cases import CASES, Case
from tests.http1.driver import Server, limits

Fields = list[tuple[bytes, bytes]]


class Reading(NamedTuple):
    """One request as a parser reads it."""

    method: bytes
    target: bytes
    fields: Fields
    body: bytes


class Refused(Exception):
    """The other parser will not read this."""


def normal(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """h11 writes the coding in lower case."""
    return name, value.lower() if name == b"transfer-encoding" else value


# -- The three readers ---------------------------------------------------------------------------------------------------


def read_by_bide(octets: bytes) -> list[Reading]:
    """The requests that were answered, that is: accepted to their last octet. The others leave no field out."""
    server = Server(limits(head=16384, target=8192, fields=100, chunk_line=4096, trailer=8192, underscores=PASS))
    server.receive(octets)
    return [
        Reading(seen.method.encode(), seen.target, [normal(*field) for field in request.fields], seen.body)
        for request, seen in zip(server.requests, server.answered, strict=False)
    ]


def read_by_h11(octets: bytes) -> Iterator[Reading]:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(octets)
    try:
        while True:
            request = connection.next_event()
            if not isinstance(request, h11.Request):
                raise Refused(repr(request))
            body = b""
            while isinstance(event := connection.next_event(), h11.Data):
                body += bytes(event.data)
            if not isinstance(event, h11.EndOfMessage):
                raise Refused(repr(event))
            yield Reading(bytes(request.method), bytes(request.target), [(n, v) for n, v in request.headers], body)
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            connection.start_next_cycle()
    except (h11.RemoteProtocolError, h11.LocalProtocolError) as error:
        raise Refused(str(error)) from error


class Collector:
    """Callbacks of httptools."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        self.target = b""
        self.fields: Fields = []
        self.body = b""
        self.in_head = True

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.in_head:
            self.fields.append(normal(name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.in_head = False

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.readings.append(Reading(self.parser.get_method(), self.target, self.fields, self.body))


def read_by_httptools(octets: bytes) -> Iterator[Reading]:
    collector = Collector()
    refused: Exception | None = None
    try:
        collector.parser.feed_data(octets)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
        refused = error
    yield from collector.readings
    if refused is not None:
        raise Refused(str(refused)) from refused


READERS: Final[dict[str, Callable[[bytes], Iterator[Reading]]]] = {"h11": read_by_h11, "httptools": read_by_httptools}


# -- Where they differ, and why ------------------------------------------------------------------------------------------


class Difference(NamedTuple):
    """Explains a refusal. reader: the parser that refuses what bide accepts. says: part of its message. why: the reason."""

    reader: str
    says: str
    why: str


DIFFERENCES: Final = [
    Difference(
        "h11",
        "no request line received",
        "2.2 asks servers to ignore an empty line before a request line; h11 does not",
    ),
    Difference(
        "h11", "illegal chunk header", "7.1.1 has white space before the semicolon of an extension; h11 has none"
    ),
    Difference("httptools", "Invalid character in chunk size", "the same of llhttp"),
    Difference("httptools", "Invalid method encountered", "RFC 9110, 9.1: a method is any token; llhttp has a list"),
    Difference("httptools", "Expected space after method", "the same where a method begins like one of the list"),
    Difference("httptools", "Invalid HTTP version", "RFC 9110, 2.5: HTTP/1.2 is served as HTTP/1.1; llhttp has a list"),
    Difference(
        "httptools",
        "Content-Length can't be present with Transfer-Encoding",
        "6.5.1 of RFC 9110: in a trailer section it says nothing; bide drops trailers, llhttp takes them for head fields",
    ),
    Difference("httptools", "Invalid `Transfer-Encoding` header value", "the same of another field"),
]


def explained(reader: str, refusal: str, octets: bytes) -> list[Difference]:
    rows = [row for row in DIFFERENCES if row.reader == reader and row.says in refusal]
    assert rows, f"{reader} refuses ({refusal}): {octets!r}"
    return rows


def compare(reader: str, octets: bytes) -> list[Difference]:
    """Return the row that explains why `reader` did not read all that bide did. Fails if none does, or if they read otherwise."""
    others = READERS[reader](octets)
    for accepted in read_by_bide(octets):
        try:
            theirs = next(others, None)
        except Refused as refused:
            return explained(reader, str(refused), octets)
        assert theirs is not None, f"{reader} waits: {octets!r}"
        if accepted.target.startswith((b"/", b"*")):
            assert theirs == accepted, f"{reader}: {octets!r}"
        else:  # 3.2.2: bide has put the authority of the target into Host
            assert without_host(theirs) == without_host(accepted), f"{reader}: {octets!r}"
    return []


def without_host(reading: Reading) -> Reading:
    return reading._replace(fields=[field for field in reading.fields if field[0] != b"host"])


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case_accepted_is_read_alike_by_another_parser(case: Case, reader: str) -> None:
    compare(reader, case.octets)


def test_each_difference_is_shown_by_a_case() -> None:
    """A row that no case shows explains nothing."""
    shown = {row for case in CASES for reader in READERS for row in compare(reader, case.octets)}
    assert [row.why for row in DIFFERENCES if row not in shown] == []


# -- Requests that hypothesis makes --------------------------------------------------------------------------------------

tokens = st.text("abcXYZ019-_.!~", min_size=1, max_size=8).map(str.encode)
values = st.text('abcXYZ019 \t-_.,;:/="()\x80\xff', max_size=12).map(lambda text: text.encode("latin-1"))
methods = st.sampled_from([b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"])
paths = st.text("abc019/-_.~%&=?;:@", max_size=12).map(lambda text: b"/" + text.encode())
special = st.sampled_from(
    [
        (b"Connection", b"keep-alive"),
        (b"Connection", b"close"),
        (b"Accept", b"*/*"),
        (b"Expect", b"100-continue"),
        (b"TE", b"trailers"),
        (b"Content-Type", b"text/plain"),
    ]
)
RESERVED: Final = {b"connection", b"content-length", b"expect", b"host", b"te", b"transfer-encoding", b"upgrade"}
ordinary = st.tuples(tokens, values).filter(lambda field: field[0].lower() not in RESERVED)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A valid HTTP/1.1 request."""
    fields = draw(st.lists(st.one_of(ordinary, special), max_size=4))
    fields = [field for index, field in enumerate(fields) if field[0] != b"Expect" or field not in fields[:index]]
    fields.insert(
        draw(st.integers(0, len(fields))), (b"Host", draw(st.sampled_from([b"a", b"a.example:80", b"[::1]", b""])))
    )
    body = b""
    kind = draw(st.sampled_from(["none", "length", "chunked"]))
    if kind == "length":
        body = draw(st.binary(max_size=20))
        fields.append((b"Content-Length", b"%d" % len(body)))
    elif kind == "chunked":
        fields.append((b"Transfer-Encoding", b"chunked"))
        for piece in draw(st.lists(st.binary(min_size=1, max_size=20), max_size=3)):
            body += b"%x\r\n%b\r\n" % (len(piece), piece)
        body += b"0\r\n" + draw(st.sampled_from([b"", b"X: y\r\n"])) + b"\r\n"
    space = draw(st.sampled_from([b"", b" ", b"\t", b"  "]))
    lines = [
        draw(methods) + b" " + draw(paths) + b" HTTP/1.1",
        *(name + b":" + space + value for name, value in fields),
    ]
    return b"\r\n".join([*lines, b"", b""]) + body


INSERTED: Final = [
    *(bytes([octet]) for octet in b'\x00\t\n\x0b\r !"#%+,-/0159:;<=?@AFGX[\\]_`afgx{|}~\x7f\x80\xff'),
    b"\r\n",
    b"\n\n",
    b"\r\n\r\n",
    b" HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/1.2",
    b"http://a",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Connection: close\r\n",
    b"Host: b\r\n",
    b", chunked",
    b"chunked, ",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"0\r\n\r\n",
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A request with up to three faults, and another after it."""
    octets = draw(requests())
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(octets)))
        end = min(len(octets), place + draw(st.sampled_from([0, 0, 0, 1, 1, 2, 5])))
        octets = octets[:place] + draw(st.sampled_from([*INSERTED, b"", octets[place : place + 8]])) + octets[end:]
    return octets + draw(st.sampled_from([b"", b"GET /behind HTTP/1.1\r\nHost: a\r\n\r\n"]))


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(requests())
def test_valid_request_is_read_alike_by_all_parsers(octets: bytes) -> None:
    assert len(read_by_bide(octets)) == 1
    for reader in READERS:
        compare(reader, octets)


@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_mutated_request_accepted_is_read_alike_by_all_parsers(octets: bytes) -> None:
    for reader in READERS:
        compare(reader, octets)

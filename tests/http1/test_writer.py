"""How responses are framed (RFC 9112, 6.3): each framing, its content in pieces, and errors before an octet is wrong."""

import pytest

from bide.errors import Misuse
from bide.http1.response import CommonFields
from bide.http1.writer import (
    BODILESS,
    BY_CHUNKS,
    BY_CLOSE,
    BY_LENGTH,
    COMPLETE,
    HELD,
    OWED,
    STARTED,
    ResponseWriter,
)
from bide.message import Request
from bide.terms import CLOSE_DELIMITED, RESPONSE_CLOSE_OPTION
from tests.http1.driver import DATE

LARGE = 1 << 13
OK = b"HTTP/1.1 200 OK\r\n"

Fields = list[tuple[bytes, bytes]]


def request(method: str = "GET", minor: int = 1) -> Request:
    return Request(method, b"/", b"/", b"", [], minor, 0, 0, False)


def writer(status: int = 200, fields: Fields | None = None, *, trailers: bool = False) -> ResponseWriter:
    """Return a writer that holds a head."""
    made = ResponseWriter(CommonFields(DATE))
    made.progress = OWED
    made.respond(status, fields or [], trailers)
    assert made.progress == HELD
    return made


def begin(made: ResponseWriter, content: bytes, more: bool, asked: Request | None = None) -> int:
    """Write the head with its first content; return octets beyond the declared length."""
    made._frame(asked or request(), content, more)
    return made._write_head(b"", content, more)


@pytest.mark.parametrize(
    ("asked", "status", "fields", "content", "more", "trailers", "framing", "length"),
    [
        (request(), 200, [], b"ok", False, False, BY_LENGTH, b"Content-Length: 2"),
        (request(), 200, [], b"", False, False, BY_LENGTH, b"Content-Length: 0"),
        (request(), 200, [(b"content-length", b"5")], b"ok", True, False, BY_LENGTH, b"content-length: 5"),
        (request(), 200, [], b"ok", True, False, BY_CHUNKS, b"Transfer-Encoding: chunked"),
        (request(), 200, [], b"ok", False, True, BY_CHUNKS, b"Transfer-Encoding: chunked"),
        (request(minor=0), 200, [], b"ok", True, False, BY_CLOSE, None),
        (request(minor=0), 200, [], b"ok", False, False, BY_LENGTH, b"Content-Length: 2"),
        (request("HEAD"), 200, [], b"ok", False, False, BODILESS, b"Content-Length: 2"),
        (request("HEAD"), 200, [], b"ok", True, False, BODILESS, b"Transfer-Encoding: chunked"),
        (request("HEAD", 0), 200, [], b"ok", True, False, BODILESS, None),
        (request("HEAD"), 200, [(b"content-length", b"9")], b"", False, False, BODILESS, b"content-length: 9"),
        (request(), 204, [], b"", False, False, BODILESS, None),
        (request(), 204, [(b"content-length", b"9")], b"", False, False, BODILESS, None),
        (request(), 205, [(b"content-length", b"9")], b"", False, False, BODILESS, b"Content-Length: 0"),
        (request(), 205, [], b"", False, False, BODILESS, b"Content-Length: 0"),
        (request(), 304, [(b"content-length", b"9")], b"", False, False, BODILESS, b"content-length: 9"),
        (request(), 304, [], b"", False, False, BODILESS, None),
    ],
)
def test_framing_follows_from_request_status_and_length(
    asked: Request,
    status: int,
    fields: Fields,
    content: bytes,
    more: bool,
    trailers: bool,
    framing: int,
    length: bytes | None,
) -> None:
    made = writer(status, fields, trailers=trailers)
    begin(made, content, more, asked)
    assert made._framing == framing
    head, _, rest = made.take_output().partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if line.lower().startswith((b"content-length", b"transfer-encoding"))]
    assert lines == ([] if length is None else [length])
    assert (rest != b"") == (content != b"" and framing != BODILESS)


@pytest.mark.parametrize(
    ("asked", "fields", "facts"),
    [
        (request(), [], 0),
        (request(), [(b"connection", b"close")], RESPONSE_CLOSE_OPTION),
        (request(minor=0), [], CLOSE_DELIMITED),
        (request(minor=0), [(b"connection", b"close")], CLOSE_DELIMITED | RESPONSE_CLOSE_OPTION),
    ],
)
def test_frame_returns_what_the_response_says_about_persistence(asked: Request, fields: Fields, facts: int) -> None:
    assert writer(200, fields)._frame(asked, b"", True) == facts


def test_head_carries_what_is_said_of_persistence_and_the_date() -> None:
    made = writer(200, [(b"x", b"1")])
    made._frame(request(), b"ok", False)
    made._write_head(b"Connection: close\r\n", b"ok", False)
    head = OK + b"x: 1\r\nContent-Length: 2\r\nConnection: close\r\n" + DATE + b"\r\n"
    assert made.take_output() == head + b"ok"
    assert (made.progress, made.sent, made.status) == (STARTED, 2, 200)


def test_head_with_a_date_of_its_own_gets_no_other() -> None:
    made = writer(200, [(b"date", b"then")])
    begin(made, b"", False)
    assert made.take_output().count(b"\r\ndate: then\r\n") == 1


def test_head_comes_after_an_interim_response() -> None:
    made = writer()
    made.output = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    begin(made, b"", False)
    assert made.take_output().startswith(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)


@pytest.mark.parametrize("size", [1, LARGE])
@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("asked", [request(), request(minor=0)], ids=["1.1", "1.0"])
def test_content_in_pieces_is_written_in_order(size: int, declared: bool, asked: Request) -> None:
    pieces = [bytes([letter]) * size for letter in b"abc"]
    made = writer(200, [(b"content-length", b"%d" % (3 * size))] if declared else [])
    begin(made, pieces[0], True, asked)
    for piece in pieces[1:]:
        assert made._write_content(piece, True) == 0
    made._write_content(b"", False)
    assert made.sent == 3 * size
    _, _, body = made.take_output().partition(b"\r\n\r\n")
    if declared or not asked.minor:
        assert body == b"".join(pieces)
    else:
        assert body == b"".join(b"%x\r\n%b\r\n" % (size, piece) for piece in pieces) + b"0\r\n\r\n"


def test_large_pieces_are_handed_on_without_being_copied() -> None:
    made = writer(200, [(b"content-length", b"%d" % (2 * LARGE))])
    first, second = bytes(LARGE), bytes(LARGE)
    begin(made, first, True)
    made._write_content(second, False)
    assert made.bulk is not None
    assert made.bulk_size == sum(map(len, made.bulk))
    pieces = made.take_pieces()
    assert pieces[1] is first
    assert pieces[2] is second
    assert (made.take_output(), made.bulk_size) == (b"", 0)


def test_small_pieces_after_a_large_one_are_joined_among_themselves() -> None:
    made = writer(200, [(b"content-length", b"%d" % (LARGE + 2))])
    begin(made, bytes(LARGE), True)
    made._write_content(b"a", True)
    made._write_content(b"b", False)
    assert made.take_output().endswith(bytes(LARGE) + b"ab")


def test_last_chunk_waits_for_trailers() -> None:
    made = writer(trailers=True)
    begin(made, b"ok", False)
    assert made.take_output().endswith(b"\r\n\r\n2\r\nok\r\n0\r\n")


@pytest.mark.parametrize(("first", "second"), [(b"too long", None), (b"o", b"k, too long"), (b"ok", b"!")])
def test_content_beyond_its_length_is_counted_and_not_written(first: bytes, second: bytes | None) -> None:
    made = writer(200, [(b"content-length", b"2")])
    excess = begin(made, first, True)
    if second is not None:
        excess = made._write_content(second, True)
    assert excess == len(first + (second or b"")) - 2
    assert made.take_output().endswith(b"\r\n\r\n" + (first + (second or b""))[:2])
    assert made.sent == 2


def test_content_short_of_its_length_at_once_is_misuse_and_leaves_the_head_held() -> None:
    made = writer(200, [(b"content-length", b"3")])
    with pytest.raises(Misuse, match="octets shorter than its Content-Length"):
        made._frame(request(), b"ok", False)
    assert (made.take_output(), made.progress) == (b"", HELD)


def test_content_short_of_its_length_after_the_head_is_misuse_and_not_written() -> None:
    made = writer(200, [(b"content-length", b"3")])
    begin(made, b"o", True)
    made.take_output()
    with pytest.raises(Misuse, match="octets shorter than its Content-Length"):
        made._write_content(b"k", False)
    assert made.take_output() == b""


def test_content_after_the_output_was_taken_is_the_next_output() -> None:
    made = writer(200, [(b"content-length", b"2")])
    begin(made, b"o", True)
    made.take_output()
    made._write_content(b"k", False)
    assert made.take_output() == b"k"


@pytest.mark.parametrize("to_head", [False, True])
def test_error_is_a_whole_response_that_closes(to_head: bool) -> None:
    made = ResponseWriter(CommonFields(DATE))
    made._write_error(400, "bare LF", to_head)
    head, _, content = made.take_output().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nConnection: close" in head
    assert content == (b"" if to_head else b"bare LF\n")
    assert (made.status, made.sent) == (400, len(content))


@pytest.mark.parametrize(("status", "fields"), [(99, []), (101, []), (1000, []), (200, [1]), (200, None)])
def test_head_that_is_none_is_misuse(status: object, fields: object) -> None:
    made = ResponseWriter(CommonFields(DATE))
    made.progress = OWED
    with pytest.raises(Misuse):
        made.respond(status, fields)  # type: ignore[arg-type]
    assert made.progress == OWED


def test_second_head_is_misuse() -> None:
    made = writer()
    with pytest.raises(Misuse, match="already been started"):
        made.respond(200, [])
    made.progress = COMPLETE
    with pytest.raises(Misuse, match="already been started"):
        made.respond(200, [])


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ([], 1),
        ([(b"x-a", b"b")], 1),
        ([(b"X-AB", b"b")], 2),
        ([(b"b", b"x-a:")], 2),
        ([(b"a", b"b"), (b"X-A", b"c")], 1),
    ],
)
def test_line_is_added_to_a_head_that_has_no_field_of_its_name(fields: Fields, count: int) -> None:
    made = writer(200, fields)
    made.add_line(b"X-A: b\r\n")
    begin(made, b"", False)
    assert made.take_output().lower().count(b"x-a") == count

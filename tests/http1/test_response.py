"""Writes the fields of a response as the application gave them, and never those that break the message (W15)."""

from http import HTTPStatus
from typing import cast

import pytest
from hypothesis import given, strategies as st

from bide.errors import Misuse
from bide.http1.fields import is_token, is_value
from bide.http1.response import (
    LAST_CHUNK,
    SAYS_CLOSE,
    SAYS_DATE,
    SAYS_EVENT_STREAM,
    STATUS_LINES,
    UNDECLARED,
    CommonFields,
    _kinds,
    _known_lines,
    chunk,
    error_response,
    field_lines,
    trailer_lines,
)
from tests.http1.driver import DATE, read_answers

Fields = list[tuple[bytes, bytes]]


def test_stamp_that_is_set_gives_the_date() -> None:
    common_fields = CommonFields()
    assert (common_fields.date, common_fields.date_end) == (b"", b"\r\n")
    common_fields.set(DATE)
    assert (common_fields.date, common_fields.date_end) == (DATE, DATE + b"\r\n")
    assert CommonFields(DATE).date == DATE


def test_stamp_that_advertises_gives_keep_alive_fields() -> None:
    """W16."""
    common_fields = CommonFields(DATE)
    assert common_fields.persists == b""
    common_fields.advertise(15)
    assert common_fields.persists == b"Connection: keep-alive\r\nKeep-Alive: timeout=15\r\n"
    common_fields.set(b"")
    assert common_fields.persists
    for seconds in (0, -1):
        common_fields.advertise(seconds)
        assert common_fields.persists == b"", "no promise that cannot be kept"


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (100, b"HTTP/1.1 100 Continue\r\n"),
        (200, b"HTTP/1.1 200 OK\r\n"),
        (404, b"HTTP/1.1 404 Not Found\r\n"),
        (413, b"HTTP/1.1 413 Content Too Large\r\n"),
        (414, b"HTTP/1.1 414 URI Too Long\r\n"),
        (416, b"HTTP/1.1 416 Range Not Satisfiable\r\n"),
        (422, b"HTTP/1.1 422 Unprocessable Content\r\n"),
        (431, b"HTTP/1.1 431 Request Header Fields Too Large\r\n"),
        (299, b"HTTP/1.1 299 \r\n"),  # 4: the space stays
        (999, b"HTTP/1.1 999 \r\n"),
    ],
)
def test_status_line_has_code_and_phrase(status: int, line: bytes) -> None:
    assert STATUS_LINES[status] == line


# Phrases that newer RFCs have changed, and with them http.HTTPStatus from some version of Python on.
RENAMED = {413, 414, 416, 418, 422}


@pytest.mark.parametrize("status", [status for status in HTTPStatus if status >= 200 and status not in RENAMED])
def test_status_phrase_is_that_of_the_standard_library(status: HTTPStatus) -> None:
    assert STATUS_LINES[status].decode().lower() == f"http/1.1 {status.value} {status.phrase}\r\n".lower()


def test_status_lines_cover_100_to_999() -> None:
    assert list(STATUS_LINES) == list(range(100, 1000))


@pytest.mark.parametrize(
    ("fields", "lines", "length", "said"),
    [
        ([], b"", UNDECLARED, 0),
        ([(b"X", b"a")], b"X: a\r\n", UNDECLARED, 0),
        ([(b"x", b"a"), (b"x", b"b")], b"x: a\r\nx: b\r\n", UNDECLARED, 0),
        ([(b"x", b"")], b"x: \r\n", UNDECLARED, 0),
        ([(b"x", b"\xe4\t\xff")], b"x: \xe4\t\xff\r\n", UNDECLARED, 0),
        ([(b"vary", b"accept"), (b"vary", b"accept")], b"vary: accept\r\n" * 2, UNDECLARED, 0),
        ([(b"set-cookie", b"a"), (b"set-cookie", b"b")], b"set-cookie: a\r\nset-cookie: b\r\n", UNDECLARED, 0),
        ([(b"content-length", b"5")], b"content-length: 5\r\n", 5, 0),
        ([(b"Content-Length", b"0")], b"Content-Length: 0\r\n", 0, 0),
        ([(b"connection", b"close")], b"", UNDECLARED, SAYS_CLOSE),
        ([(b"Connection", b"x, Close")], b"Connection: x\r\n", UNDECLARED, SAYS_CLOSE),
        ([(b"connection", b"close"), (b"connection", b"close")], b"", UNDECLARED, SAYS_CLOSE),
        ([(b"connection", b"Keep-Alive")], b"", UNDECLARED, 0),
        ([(b"connection", b"closed")], b"Connection: closed\r\n", UNDECLARED, 0),
        ([(b"connection", b"")], b"", UNDECLARED, 0),
        ([(b"connection", b"upgrade, keep-alive, x")], b"Connection: upgrade, x\r\n", UNDECLARED, 0),
        ([(b"transfer-encoding", b"chunked")], b"", UNDECLARED, 0),
        ([(b"transfer-encoding", b"Chunked"), (b"content-length", b"5")], b"content-length: 5\r\n", 5, 0),
        ([(b"Date", b"now")], b"Date: now\r\n", UNDECLARED, SAYS_DATE),
        (
            [(b"Content-Type", b"Text/Event-Stream; x=1")],
            b"Content-Type: Text/Event-Stream; x=1\r\n",
            UNDECLARED,
            SAYS_EVENT_STREAM,
        ),
        ([(b"keep-alive", b"timeout=999"), (b"Proxy-Connection", b"close")], b"", UNDECLARED, 0),
    ],
)
def test_field_lines_are_written_and_what_they_say_is_returned(
    fields: Fields, lines: bytes, length: int, said: int
) -> None:
    for _ in range(2):  # the second time from memory
        assert field_lines(b"first\r\n", fields) == (b"first\r\n" + lines, length, said)
        assert field_lines(b"", iter(fields)) == (lines, length, said)


@pytest.mark.parametrize(
    "fields",
    [
        [(b"", b"a")],
        [(b"x y", b"a")],
        [(b"x:", b"a")],
        [(b"x\r\ny", b"a")],
        [(b"\xe4", b"a")],
        [(b":path", b"/")],
        [(b"x", b"a\r\nSet-Cookie: b")],
        [(b"x", b"a\nb")],
        [(b"x", b"a\rb")],
        [(b"x", b"a\x00")],
        [(b"vary", b"a\r\n")],
        [(b"date", b"a\r\n")],
        [(b"connection", b"close\r\nx: y")],
        [(b"keep-alive", b"\n")],
        [(b"content-length", b"")],
        [(b"content-length", b"+5")],
        [(b"content-length", b"-5")],
        [(b"content-length", b" 5")],
        [(b"content-length", b"5, 5")],
        [(b"content-length", b"0x5")],
        [(b"content-length", b"5"), (b"content-length", b"6")],
        [(b"content-length", b"5"), (b"Content-Length", b"5")],
        [(b"content-length", b"5\r\n")],
        [(b"content-length", b"0"), (b"content-length", b"1")],
        [(b"transfer-encoding", b"gzip")],
        [(b"transfer-encoding", b"gzip, chunked")],
        [(b"transfer-encoding", b"")],
    ],
)
def test_field_lines_malformed_are_misuse(fields: Fields) -> None:
    for _ in range(2):
        with pytest.raises(Misuse):
            field_lines(b"", [(b"a", b"b"), *fields])


def test_memory_of_written_lines_is_bounded_and_stays_right() -> None:
    for number in range(3000):
        value = b"%d" % number
        fields = [(b"vary", value), (b"x-" + value, value)]
        assert field_lines(b"", fields) == (
            b"vary: " + value + b"\r\nx-" + value + b": " + value + b"\r\n",
            UNDECLARED,
            0,
        )
        assert len(_known_lines) <= 1024
        assert len(_kinds) <= 1024
    long = [(b"vary", b"a" * 1000), (b"x" * 1000, b"b")]
    assert field_lines(b"", long) == (b"vary: " + b"a" * 1000 + b"\r\n" + b"x" * 1000 + b": b\r\n", UNDECLARED, 0)
    assert field_lines(b"", long) == field_lines(b"", long)
    assert long[0] not in _known_lines
    assert long[1][0] not in _kinds
    for _ in range(2):  # a name that is known does not pass its value unchecked
        with pytest.raises(Misuse):
            field_lines(b"", [(b"vary", b"\n")])


# A second Date is left out, as `test_a_response_has_one_date` shows; hypothesis takes the name from the source.
names = st.binary(max_size=8).filter(lambda name: name.lower() != b"date")


@given(st.lists(st.tuples(names, st.binary(max_size=8)), max_size=4))
def test_any_fields_are_written_line_by_line_or_not_at_all(fields: Fields) -> None:
    try:
        lines, _, _ = field_lines(b"", fields)
    except Misuse:
        assert any(not is_token(name) or not is_value(value) for name, value in fields)
        return
    assert lines.split(b"\r\n") == [*(name + b": " + value for name, value in fields), b""]


@pytest.mark.parametrize(
    ("fields", "lines"),
    [([], b""), ([(b"x", b"a"), (b"Y", b"b")], b"x: a\r\nY: b\r\n")],
)
def test_trailer_lines_are_written(fields: Fields, lines: bytes) -> None:
    assert trailer_lines(fields) == lines
    assert trailer_lines(iter(fields)) == lines


@pytest.mark.parametrize(
    "field",
    [
        (b"Content-Length", b"5"),
        (b"transfer-encoding", b"chunked"),
        (b"connection", b"close"),
        (b"Connection", b"x"),
        (b"keep-alive", b"timeout=5"),
        (b"x y", b"a"),
        (b"x", b"a\r\n"),
    ],
)
def test_trailer_that_frames_or_is_malformed_is_misuse(field: tuple[bytes, bytes]) -> None:
    """RFC 9110, 6.5.1: what frames a message, or is about the connection, comes too late there."""
    with pytest.raises(Misuse):
        trailer_lines([(b"a", b"b"), field])


@pytest.mark.parametrize(
    ("content", "octets"),
    [(b"a", b"1\r\na\r\n"), (b"\r\n", b"2\r\n\r\n\r\n"), (b"x" * 255, b"ff\r\n" + b"x" * 255 + b"\r\n")],
)
def test_chunk_has_its_size_in_hexadecimal(content: bytes, octets: bytes) -> None:
    assert chunk(content) == octets


def test_last_chunk_ends_the_body() -> None:
    assert LAST_CHUNK + b"\r\n" == b"0\r\n\r\n"


@pytest.mark.parametrize("status", [400, 408, 414, 431, 501, 503, 505])
def test_error_response_is_whole_and_says_close(status: int) -> None:
    (answer,) = read_answers(b"".join(error_response(status, "what was wrong", DATE, False)))
    assert answer.status == status
    assert answer.content == b"what was wrong\n"
    assert answer.whole
    assert answer.says_close
    written, content = error_response(status, "what was wrong", DATE, True)
    assert content == b""
    (answer,) = read_answers(written, ["HEAD"])
    assert answer.values(b"content-length") == [b"15"], "as for a GET (RFC 9110, 8.6)"
    assert answer.says_close


WRONG: list[object] = [
    None,
    1,
    [1],
    [b"ab"],
    [(b"a",)],
    [(b"a", b"b", b"c")],
    [("a", b"b")],
    [(b"a", "b")],
    [(b"a", None)],
]


@pytest.mark.parametrize("fields", WRONG, ids=repr)
def test_field_lines_of_wrong_types_raise_no_misuse(fields: object) -> None:
    """The caller turns them into Misuse, whichever of them the build raises."""
    with pytest.raises((TypeError, ValueError, AttributeError)):
        field_lines(b"", cast("Fields", fields))


def test_date_given_twice_is_written_once() -> None:
    lines, _, said = field_lines(b"", [(b"date", b"now"), (b"Date", b"then")])
    assert (lines, said) == (b"date: now\r\n", SAYS_DATE)


@pytest.mark.parametrize("value", [b"0", b"13", b"9999", b"10000", b"0005", b"123456789012"])
def test_content_length_read_again_is_read_alike(value: bytes) -> None:
    for _ in range(2):
        assert field_lines(b"", [(b"content-length", value)])[1] == int(value)

"""How requests are found in octets: heads in any pieces, bodies held or discarded, and what follows."""

from collections.abc import Iterator

import pytest

from bide.errors import Rejected
from bide.http1.reader import RequestReader
from bide.message import CHUNKED
from tests.http1.driver import BUFFER_LIMIT, HEAD_LIMIT, limits, slices

HEAD = b"GET / HTTP/1.1\r\nHost: a"
WHOLE = HEAD + b"\r\n\r\n"
REST = b"the rest"


def reader() -> RequestReader:
    return RequestReader(limits())


def heads(made: RequestReader, octets: bytes, size: int) -> Iterator[bytes]:
    """Yield the heads that are found in octets that come in pieces of `size`."""
    for piece in slices(octets, size):
        found = made.find_head(piece)
        while found is not None:
            yield found
            found = made.next_head() if made.has_unread else None


# -- Heads


@pytest.mark.parametrize("size", [1, 2, 3, 5, 25, 26, 27, 28, 1000])
@pytest.mark.parametrize("before", [b"", b"\r\n", b"\r\n\r\n", b"\r\n\r\n\r\n"])
def test_heads_are_found_in_pieces_of_any_size(size: int, before: bytes) -> None:
    """2.2: empty lines before a request line are ignored."""
    made = reader()
    assert list(heads(made, (before + WHOLE) * 3, size)) == [HEAD] * 3
    assert made.size() == 0
    assert not made.has_unread
    assert made.partial is None


@pytest.mark.parametrize(
    ("octets", "is_in_head"),
    [(b"\r\n", False), (b"\r", False), (b"\r\n\r", False), (b"G", True), (b"\r\nG", True)],
)
def test_an_empty_line_is_no_part_of_a_head(octets: bytes, is_in_head: bool) -> None:
    for size in (1, len(octets)):
        made = reader()
        assert list(heads(made, octets, size)) == []
        assert made.is_in_head == is_in_head
        assert not made.has_unread


def test_what_follows_a_head_is_held_in_order() -> None:
    made = reader()
    assert made.find_head(WHOLE + b"1") == HEAD
    made.hold(b"2")
    assert made.find_head(b"3") is None  # the octets before it come first
    assert made.size() == 3
    assert made.take_unread() == b"123"
    assert not made.has_unread
    assert made.size() == 0


@pytest.mark.parametrize("size", [1, 100, HEAD_LIMIT + 1])
def test_a_head_without_an_end_is_rejected_at_its_limit(size: int) -> None:
    made = reader()
    with pytest.raises(Rejected) as raised:
        list(heads(made, WHOLE[:-4] + b"\r\nX: " + b"x" * HEAD_LIMIT, size))
    assert raised.value.status == 431
    assert made.partial is not None
    assert made.partial.startswith(b"GET ")


# -- Bodies


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("length", "body"), [(9, b"some body"), (CHUNKED, b"4\r\nsome\r\n5;a=b\r\n body\r\n0\r\nX: y\r\n\r\n")]
)
def test_body_ends_where_its_length_says(length: int, body: bytes, size: int) -> None:
    made = reader()
    assert made.find_head(WHOLE + body[:2]) == HEAD
    made.begin_body(length)
    made.read_body()
    pieces = list(slices(body[2:] + REST, size))
    while not made.body_complete:
        assert not made.has_unread
        made.take_body(pieces.pop(0))
    for piece in pieces:
        made.hold(piece)
    assert made.content_size == 9
    assert made.size() == 9 + len(REST)
    assert made.take_content() == b"some body"
    assert made.take_content() == b""
    assert made.content_size == 0
    assert made.take_unread() == REST


@pytest.mark.parametrize(("length", "piece"), [(10000, b"x"), (CHUNKED, b"1\r\nx\r\n")])
def test_content_in_tiny_pieces_is_held_in_few(length: int, piece: bytes) -> None:
    """A piece takes twenty times the room of the one octet that is in it."""
    made = reader()
    made.begin_body(length)
    for _ in range(5000):
        made.take_body(piece)
        assert len(made._content or ()) <= 65
    assert made.take_content() == b"x" * 5000


def test_chunks_of_one_read_are_one_piece() -> None:
    made = reader()
    made.begin_body(CHUNKED)
    made.take_body(b"1\r\na\r\n" * 3)
    assert made._content == [b"aaa"]
    made.take_body(b"1\r\nb\r\n" * 3 + b"0\r\n\r\n")
    assert made.take_content() == b"aaabbb"


def test_content_of_a_discarded_body_is_counted_and_dropped() -> None:
    made = reader()
    made.begin_body(9)
    made.take_body(b"some")
    made.discard_body()
    assert made.content_size == made.discarded == made.size() == 0
    made.take_body(b" bo")
    assert (made.discarded, made.body_left, made.body_complete) == (3, 2, False)
    made.take_body(b"dy" + REST)
    assert (made.discarded, made.body_complete) == (5, True)
    assert made.take_content() == b""
    assert made.take_unread() == REST
    made.begin_body(4)  # the next one is held again
    made.take_body(b"next")
    assert (made.take_content(), made.discarded) == (b"next", 0)


def test_nothing_is_kept_of_a_malformed_body() -> None:
    made = reader()
    made.begin_body(CHUNKED)
    made.take_body(b"4\r\nsome\r\n")
    with pytest.raises(Rejected):
        made.take_body(b"2\r\nokx" + REST)
    assert not made.body_complete
    assert not made.has_unread
    assert made.size() == 0
    assert made.take_content() == b""


def test_content_and_unread_octets_share_one_limit() -> None:
    made = reader()
    made.begin_body(BUFFER_LIMIT // 2)
    made.take_body(bytes(BUFFER_LIMIT))
    assert not made.is_full()
    made.hold(b"x")
    assert made.is_full()
    made.take_content()
    assert not made.is_full()
    made.drop()
    assert made.size() == 0

"""Chunked bodies (7.1) in pieces of any size."""

import pytest
from hypothesis import given, settings, strategies as st

from bide.errors import Rejected
from bide.http1.body import ChunkedDecoder
from bide.http1.limits import DROP, PASS, REFUSE, Limits
from tests.http1.driver import CHUNK_LINE_LIMIT, FIELDS_LIMIT, TRAILER_LIMIT, limits, slices

SIZES = [1, 2, 3, 7, 1 << 20]


def decode(octets: bytes, size: int, bounds: Limits | None = None) -> tuple[bytes, bytes, bool]:
    """Return content, the octets behind the body, and whether it was complete."""
    decoder = ChunkedDecoder(bounds or limits())
    content: list[bytes] = []
    fed = 0
    for piece in slices(octets, size):
        before = b"before" if fed % 2 else b""  # the body begins anywhere in what was read
        used = decoder.feed(before + piece, len(before), content) - len(before)
        assert all(content), "no empty piece"
        fed += used
        if decoder.complete:
            break
        assert used == len(piece), "all of it, until the end"
    return b"".join(content), octets[fed:], decoder.complete


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("octets", "content"),
    [
        (b"0\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
        (b"005\r\nhello\r\n000\r\n\r\n", b"hello"),
        (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"01234567890123456789"),
        (b"5;a=b\r\nhello\r\n0;c\r\n\r\n", b"hello"),
        (b"5 ;a\r\nhello\r\n0\t \t;\tb\r\n\r\n", b"hello"),
        (b"5\r\n\r\n\r\n0\r\n0\r\n\r\n", b"\r\n\r\n0"),
        (b"1\r\na\r\n0\r\nX: y\r\nZ:\r\n\r\n", b"a"),
    ],
)
def test_chunked_body_well_formed_is_decoded(octets: bytes, content: bytes, size: int) -> None:
    assert decode(octets, size) == (content, b"", True)
    assert decode(octets + b"GET / HTTP/1.1", size) == (content, b"GET / HTTP/1.1", True)


@pytest.mark.parametrize("size", SIZES)
def test_chunked_body_without_its_last_octet_is_incomplete(size: int) -> None:
    octets = b"5;a\r\nhello\r\n0\r\nX: y\r\n\r\n"
    for end in range(len(octets)):
        _, after, complete = decode(octets[:end], size)
        assert not complete
        assert not after


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"\r\n", 400),
        (b"5\nhello", 400),
        (b"5\r\nhello\n", 400),
        (b"5\r\nhellox", 400),
        (b"5\r\nhello\rx", 400),
        (b"5\r\nhello\r\r\n", 400),
        (b"5\r\nhellox\r\n", 400),
        (b"g\r\n", 400),
        (b"+5\r\n", 400),
        (b"5 \r\n", 400),
        (b" 5\r\n", 400),
        (b" 5;a\r\n", 400),
        (b";a\r\n", 400),
        (b"0" * 17 + b"\r\n", 400),
        (b"5;\x00\r\n", 400),
        (b"5;a\rb\r\n", 400),
        (b"0\r\nX\r\n", 400),
        (b"0\r\n X: y\r\n", 400),
        (b"0\r\nX: \x01\r\n", 400),
        (b"0\r\nX: y\n", 400),
        (b"0\r\n\n", 400),
        (b"0" * 300, 413),
        (b"5;" + b"a" * 300, 413),
        (b"5;" + b"a" * 300 + b"\r\n", 413),
        (b"1;aaaa\r\nx\r\n" * 300, 413),
        (b"0\r\nX: " + b"a" * 300, 431),
        (b"0\r\nX: " + b"a" * 300 + b"\r\n", 431),
        (b"0\r\n" + b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * FIELDS_LIMIT, 431),
        (b"0\r\n" + b"X:\r\n" * (FIELDS_LIMIT + 1), 431),
    ],
)
def test_chunked_body_malformed_or_too_large_is_refused(octets: bytes, status: int, size: int) -> None:
    with pytest.raises(Rejected) as rejected:
        decode(octets, size)
    assert rejected.value.status == status
    assert rejected.value.detail


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "extensions",
    [
        b";a",
        b";a;b;c",
        b";a=b",
        b";a=b;c;d=e",
        b";!#$%&'*+-.^_`|~09azAZ=!#$%&'*+-.^_`|~09azAZ",
        b" \t; \ta \t= \tb \t; \tc",
        b';a=""',
        b';a="b"',
        b';a="b c\td"',
        b';a="b;c=d;e"',
        b';a=";"',
        b';a="\x80\xff"',
        b';a="!#[]~(,)/:<=>?@{}"',
        b';a="\\""',
        b';a="\\\\"',
        b';a="b\\"c\\\\\\"d";e',
        b';a="\\b\\ \\\t\\\xff"',
        b';a="b" ; c = "d"',
    ],
)
def test_extensions_of_the_grammar_are_ignored(extensions: bytes, size: int) -> None:
    """7.1.1, and RFC 9110, 5.6.4 for quoted strings."""
    octets = b"5" + extensions + b"\r\nhello\r\n0" + extensions + b"\r\n\r\n"
    assert decode(octets, size, limits(chunk_line=256)) == (b"hello", b"", True)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "extensions",
    [
        b";",
        b"; ",
        b";;",
        b";a;",
        b";a; ",
        b";a;;b",
        b";a=b;",
        b'a="b";',
        b";=",
        b";=b",
        b';"a"',
        b";a=",
        b";a= ",
        b";a=;b",
        b";a==b",
        b";a=b=c",
        b";a b",
        b";a=b c",
        b';a="b"c',
        b';a=b"c"',
        b';a="b""c"',
        b';a="b" c',
        b';a="',
        b';a="b',
        b';a="b;c',
        b';a="\\"',
        b';a="b\\"',
        b';a="b\\',
        b';a="b" "c"',
        b";a='b c'",
        b";a ",
        b";a\t",
        b";a=b ",
        b';a="b" ',
        b";a,b",
        b";a@b",
        b";a=b@c",
        b";a=(b)",
        b";a=\xe4",
        b";\xe4",
        b";a\\b",
        b';a="\x00"',
        b';a="\x1f"',
        b';a="\x7f"',
        b';a="\\\x00"',
        b';a="\\\x7f"',
        b';a="\n"',
        b';a="\r"',
        b';a="\\\r"',
        b';a="\r\n"',
        b';a="\\\r\n"',
        b";a\rb",
        b"\r;a",
        b";a\r",
        b" ",
        b"\t",
        b" a",
        b"=a",
        b'"a"',
    ],
)
def test_extensions_outside_of_the_grammar_are_refused(extensions: bytes, size: int) -> None:
    """Also of the last chunk: the end of the body is where others may read something else."""
    for chunk in (b"5" + extensions + b"\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0" + extensions + b"\r\n\r\n"):
        with pytest.raises(Rejected) as rejected:
            decode(chunk, size)
        assert rejected.value.status == 400


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("beginning", [b"5\r;", b"5;a\r=", b'5;a="\r"', b"5\r\r", b"0\r\nX: a\rb", b"0\r\nX\r:"])
def test_a_bare_cr_is_refused_before_its_line_is_complete(beginning: bytes, size: int) -> None:
    assert not decode(beginning[:-1], size)[2]
    with pytest.raises(Rejected) as rejected:
        decode(beginning, size)
    assert rejected.value.status == 400


@pytest.mark.parametrize("unit", [b";a", b"; \t", b" ", b"a", b';a="b"', b'"', b"\\\\", b'\\"', b";a=", b"=", b";"])
@pytest.mark.parametrize("first", [b";", b";a", b';a="', b";a=", b" "])
def test_extensions_are_read_in_time_that_grows_with_their_length(first: bytes, unit: bytes) -> None:
    """An expression that goes back over what it has read would not come to an end here: 2**100000 steps, or 10**10."""
    long = 100_000
    line = b"1" + first + unit * (long // len(unit)) + b"\x00\r\n"
    decoder = ChunkedDecoder(limits(chunk_line=2 * long))
    with pytest.raises(Rejected) as rejected:
        decoder.feed(line, 0, [])
    assert rejected.value.status == 400


@pytest.mark.parametrize("size", SIZES)
def test_both_sides_of_each_bound(size: int) -> None:
    """The bounds hold for lines with their CRLF, for the extensions of a body in all, and for its trailer section in all."""
    largest = b"1;" + b"a" * (CHUNK_LINE_LIMIT - 4)
    assert decode(largest + b"\r\nx\r\n0\r\n\r\n", size) == (b"x", b"", True)
    with pytest.raises(Rejected):
        decode(largest + b"a\r\nx\r\n0\r\n\r\n", size)

    assert not decode(b"1;".ljust(CHUNK_LINE_LIMIT - 1, b"a"), size)[2]
    with pytest.raises(Rejected):
        decode(b"1;".ljust(CHUNK_LINE_LIMIT, b"a"), size)  # its LF is not waited for

    extensions = (CHUNK_LINE_LIMIT // 4) * b"1;abcd\r\nx\r\n"
    assert decode(extensions + b"0\r\n\r\n", size)[2]
    with pytest.raises(Rejected):
        decode(extensions + b"0;a\r\n\r\n", size)

    line = b"X: " + b"a" * (TRAILER_LIMIT // 2 - 6) + b"\r\n"
    assert 2 * len(line) + 2 == TRAILER_LIMIT
    assert decode(b"0\r\n" + line + line + b"\r\n", size)[2]
    with pytest.raises(Rejected):
        decode(b"0\r\n" + line + b"Y" + line + b"\r\n", size)

    assert decode(b"0\r\n" + b"X:\r\n" * FIELDS_LIMIT + b"\r\n", size)[2]


@pytest.mark.parametrize("underscores", [DROP, REFUSE, PASS])
def test_trailer_field_with_an_underscore_in_its_name_is_dropped_like_the_others(underscores: int) -> None:
    """No trailer field reaches the application, so none can pass for another there."""
    assert decode(b"1\r\na\r\n0\r\nX_Y: a\r\n\r\n", 1 << 20, limits(underscores=underscores)) == (b"a", b"", True)


def test_a_chunk_may_be_large_and_come_slowly() -> None:
    """A size is no promise of memory: what came is handed on."""
    decoder = ChunkedDecoder(limits())
    content: list[bytes] = []
    decoder.feed(b"ffffffffffffffff\r\n", 0, content)
    for _ in range(1000):
        assert decoder.feed(b"x" * 1000, 0, content) == 1000
        assert content == [b"x" * 1000]
        content.clear()
    assert not decoder.complete


def test_empty_read_changes_nothing() -> None:
    decoder = ChunkedDecoder(limits())
    content: list[bytes] = []
    assert decoder.feed(b"", 0, content) == 0
    assert decoder.feed(b"0\r\n", 3, content) == 3
    assert not content
    assert not decoder.complete


extension = st.sampled_from([b"", b"", b"", b";a", b";a=b", b' ;a="b c"', b'\t; a = "\\"" ;b'])
chunks = st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.booleans(), extension), max_size=6)


@settings(max_examples=150)
@given(chunks, st.lists(st.sampled_from([b"X: y\r\n", b"Z:\r\n"]), max_size=3), st.binary(max_size=20), st.data())
def test_chunked_body_in_any_pieces_is_decoded(
    pieces: list[tuple[bytes, bool, bytes]], trailers: list[bytes], after: bytes, data: st.DataObject
) -> None:
    octets = b"".join(
        (b"%X" if capitals else b"%x") % len(piece) + extra + b"\r\n" + piece + b"\r\n"
        for piece, capitals, extra in pieces
    )
    octets += b"0\r\n" + b"".join(trailers) + b"\r\n"
    plain = b"".join(piece for piece, _, _ in pieces)
    size = data.draw(st.integers(1, len(octets)))
    assert decode(octets + after, size, limits(chunk_line=4096)) == (plain, after, True)

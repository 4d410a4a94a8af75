"""`wsgi.input` to the letter of PEP 3333: it reads as a file of the same octets does, however they arrive."""

import io
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, strategies as st

from bide.errors import DisconnectedError
from bide.gateway.wsgi_input import WsgiInput

Read = Callable[[Any], object]


def input_of(*pieces: bytes, is_cut: bool = False) -> WsgiInput:
    """Return an input whose pieces arrive one by one; the first is there. is_cut: the body then fails."""
    coming = list(pieces[1:])

    def receive() -> bytes:
        if coming:
            return coming.pop(0)
        if is_cut:
            raise DisconnectedError("the request body will never be complete")
        return b""

    return WsgiInput(pieces[0] if pieces else b"", receive)


def slices(octets: bytes, cuts: list[int]) -> list[bytes]:
    """Return `octets` in pieces, of which only the first may be empty."""
    places = sorted({cut % (len(octets) + 1) for cut in cuts} - {0, len(octets)})
    bounds = [0, *places, len(octets)]
    return [octets[start:end] for start, end in itertools.pairwise(bounds)]


SIZES = st.one_of(st.none(), st.integers(-1, 20))
CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), SIZES),
        st.tuples(st.just("readline"), SIZES),
        st.tuples(st.just("readlines"), SIZES),
    ),
    max_size=10,
)


@given(
    octets=st.lists(st.sampled_from([b"\n", b"a", b"bc", b"\r\n", b"d" * 9]), max_size=20).map(b"".join),
    cuts=st.lists(st.integers(0, 200), max_size=8),
    calls=CALLS,
    is_late=st.booleans(),
)
def test_input_reads_as_a_file_does(
    octets: bytes, cuts: list[int], calls: list[tuple[str, int | None]], is_late: bool
) -> None:
    file = io.BytesIO(octets)
    pieces = slices(octets, cuts)
    body = input_of(b"", *pieces) if is_late and octets else input_of(*pieces)
    for name, size in calls:
        assert getattr(body, name)(size) == getattr(file, name)(size), (name, size)
    assert list(body) == list(file)
    assert body.read() == body.readline() == body.read(5) == b"", "the end stays the end"


def test_defaults_read_all_of_it() -> None:
    assert input_of(b"a\nb").read() == b"a\nb"
    assert input_of(b"a\nb").readline() == b"a\n"
    assert input_of(b"a\nb").readlines() == [b"a\n", b"b"]


def test_read_of_nothing_waits_for_nothing() -> None:
    assert input_of(b"", is_cut=True).read(0) == b""
    assert input_of(b"", is_cut=True).readline(0) == b""


def test_read_takes_no_more_than_it_needs() -> None:
    """A read that has its octets must not wait for others, which may depend on the answer to these."""
    body = input_of(b"ab", b"c", is_cut=True)
    assert body.read(2) == b"ab"
    assert body.read(1) == b"c"


@pytest.mark.parametrize(
    "read",
    [
        lambda body: body.read(),
        lambda body: body.read(10),
        lambda body: body.readline(),
        lambda body: body.readlines(),
        list,
    ],
    ids=["read", "read-size", "readline", "readlines", "iterate"],
)
def test_body_that_is_cut_raises_and_never_ends_early(read: Read) -> None:
    with pytest.raises(DisconnectedError):
        read(input_of(b"abc", b"de", is_cut=True))

"""Lines stay whole: pieces are never longer than a pipe takes at once, and hold whole lines."""

import pytest
from hypothesis import given, strategies as st

from bide.observe.pieces import PIPE_BUF, pieces, shortened

lines = st.lists(st.text(max_size=40).map(lambda text: text.replace("\n", "") + "\n"), max_size=30)


@pytest.mark.parametrize(
    ("given_lines", "most", "expected"),
    [
        ([], 10, []),
        (["one\n"], 10, ["one\n"]),
        (["one\n", "two\n", "three\n"], 10, ["one\ntwo\n", "three\n"]),
        (["one\n", "two\n"], 8, ["one\ntwo\n"]),
        (["é\n", "éé\n"], 8, ["é\néé\n"]),
        (["é\n", "éé\n"], 7, ["é\n", "éé\n"]),
    ],
)
def test_lines_are_joined_while_they_fit(given_lines: list[str], most: int, expected: list[str]) -> None:
    assert list(pieces(given_lines, most)) == expected


@given(lines, st.integers(min_value=100, max_value=300))
def test_no_piece_is_longer_and_none_is_lost(given_lines: list[str], most: int) -> None:
    found = list(pieces(given_lines, most))
    assert all(len(piece.encode("utf-8", "backslashreplace")) <= most for piece in found)
    assert "".join(found) == "".join(shortened(line, most) for line in given_lines)


def test_line_that_is_too_long_keeps_its_ends_and_says_so() -> None:
    line = "begin " + "é" * PIPE_BUF + " end\n"
    (piece,) = pieces([line])
    assert len(piece.encode()) <= PIPE_BUF
    assert piece.startswith("begin éé")
    assert piece.endswith("é end\n")
    assert f"...({len(line.encode())} octets, cut)..." in piece

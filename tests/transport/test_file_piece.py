"""A piece of a file is read from where it is asked for, and never raises."""

from pathlib import Path

import pytest

from bide.transport.file_piece import file_piece

PIECE = 1 << 16


@pytest.mark.parametrize(
    ("offset", "count", "piece"),
    [(0, 4, b"abcd"), (2, 3, b"cde"), (4, 100, b"ef"), (6, 1, b""), (100, 1, b"")],
)
def test_piece_has_the_octets_that_are_there(tmp_path: Path, offset: int, count: int, piece: bytes) -> None:
    (tmp_path / "file").write_bytes(b"abcdef")
    with (tmp_path / "file").open("rb") as file:
        assert file_piece(file.fileno(), offset, count) == piece
        assert file.tell() == 0, "the position of the file is the application's"


def test_piece_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(2 * PIECE))
    with (tmp_path / "file").open("rb") as file:
        assert len(file_piece(file.fileno(), 0, 2 * PIECE)) == PIECE


def test_file_that_cannot_be_read_has_nothing() -> None:
    assert file_piece(-1, 0, 1) == b""

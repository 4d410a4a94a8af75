"""`wsgi.file_wrapper`: any object with `read` is iterated by blocks; what is left of a regular file is known."""

import gzip
import io
import os
import tempfile
from pathlib import Path
from typing import Any, cast

from bide.gateway.file_wrapper import FileWrapper


def test_file_is_iterated_by_blocks() -> None:
    assert list(FileWrapper(io.BytesIO(b"0123456789"), 4)) == [b"0123", b"4567", b"89"]


def test_block_has_8_kib_by_default() -> None:
    assert [len(block) for block in FileWrapper(io.BytesIO(bytes(20_000)))] == [8192, 8192, 3616]


def test_close_is_that_of_the_file() -> None:
    file = io.BytesIO()
    FileWrapper(file).close()
    assert file.closed


def test_file_without_close_makes_a_wrapper_without_close() -> None:
    class Readable:
        def read(self, size: int) -> bytes:
            return b""

    wrapper: Any = FileWrapper(Readable())
    assert not hasattr(wrapper, "close")
    assert list(wrapper) == []


# -- Files of the system ----------------------------------------------------------------------------------------------------


def test_rest_of_a_regular_file_begins_at_its_position(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    for buffering in (-1, 0):
        with (tmp_path / "file").open("rb", buffering) as file:
            assert file.read(3) == b"012"
            assert FileWrapper(file).rest() == (file.fileno(), 3, 7)
            file.seek(20)
            assert FileWrapper(file).rest() == (file.fileno(), 20, 0)
    with (tmp_path / "file").open("r+b") as file:
        assert FileWrapper(file).rest() == (file.fileno(), 0, 10)


def test_temporary_file_with_a_name_is_a_regular_file() -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"content")
        file.flush()
        file.seek(1)
        assert FileWrapper(file).rest() == (file.fileno(), 1, 6)


def test_object_that_changes_what_it_reads_is_iterated(tmp_path: Path) -> None:
    """It has the descriptor of the file below it, and content of its own."""
    with gzip.open(tmp_path / "file", "wb") as packed:
        packed.write(b"content")
    with gzip.open(tmp_path / "file") as file, io.BufferedReader(cast("Any", file)) as buffered:
        assert file.fileno() > 0
        assert FileWrapper(file).rest() is None
        assert FileWrapper(buffered).rest() is None
        assert list(FileWrapper(buffered)) == [b"content"]


class Foreign:
    """Has the descriptor of another file."""

    def fileno(self) -> int:
        return 0

    def read(self, size: int) -> bytes:
        return b""


def test_object_that_is_no_file_is_iterated(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with open(os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK), "rb", 0) as pipe:  # noqa: PTH123
        assert FileWrapper(pipe).rest() is None
    with Path("/dev/null").open("rb") as device:
        assert FileWrapper(device).rest() is None
    with tempfile.SpooledTemporaryFile() as spooled:
        for file in (io.BytesIO(b"content"), io.StringIO("content"), spooled, Foreign()):
            assert FileWrapper(file).rest() is None


def test_file_that_is_closed_is_iterated(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (tmp_path / "file").open("rb", 0) as file:
        pass
    assert FileWrapper(file).rest() is None

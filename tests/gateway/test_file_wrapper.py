"""`wsgi.file_wrapper`: any object with `read` is iterated by blocks."""

import io
from typing import Any

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

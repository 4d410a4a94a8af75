"""Holds `wsgi.file_wrapper` (PEP 3333, "Optional Platform-Specific File Handling")."""

from __future__ import annotations

import io
import os
import stat
import tempfile
from typing import Any, Final, NamedTuple, Self

_BLOCK_OCTETS: Final = 1 << 13  # as in `wsgiref`


class FilePart(NamedTuple):
    """Names octets of a regular file.

    descriptor: of the open file.
    offset: octets before the first.
    octets: number of octets.
    """

    descriptor: int
    offset: int
    octets: int


class FileWrapper:
    """Iterates over a file by blocks.

    file: an object with `read`.
    close: its `close`, if it has one.
    """

    def __init__(self, file: Any, block_size: int = _BLOCK_OCTETS) -> None:  # noqa: ANN401  # an application's object
        """block_size: octets of a block; a file of the system is sent as a whole."""
        self.file = file
        self._block_size = block_size
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:  # noqa: ANN401
        block = self.file.read(self._block_size)
        if not block:
            raise StopIteration
        return block

    def rest(self) -> FilePart | None:
        """Return what is left of the file from its current position on, if the system has it.

        Return None if the file is not a regular one, or an object that changes what it reads, as
        `gzip.GzipFile` does: that has the descriptor of the file below it, too.
        """
        file = self.file
        if isinstance(file, tempfile._TemporaryFileWrapper):  # noqa: SLF001  # of NamedTemporaryFile
            file = file.file
        raw = file.raw if isinstance(file, io.BufferedReader | io.BufferedRandom) else file
        if not isinstance(raw, io.FileIO):
            return None
        try:
            descriptor = raw.fileno()
            status = os.fstat(descriptor)
            offset = file.tell()  # not the descriptor's, which is ahead if `file` has a buffer
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return FilePart(descriptor, offset, max(0, status.st_size - offset))

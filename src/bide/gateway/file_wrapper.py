"""Holds `wsgi.file_wrapper` (PEP 3333, "Optional Platform-Specific File Handling")."""

from __future__ import annotations

from typing import Any, Final, Self

_BLOCK_OCTETS: Final = 1 << 13  # as in `wsgiref`


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

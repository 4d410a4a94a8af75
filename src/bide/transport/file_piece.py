"""Reads a piece of a file, for a wire whose kernel does not send files."""

from __future__ import annotations

import os
from typing import Final

# As large as the transport's write buffer: `stream` pauses writing beyond it.
_PIECE_OCTETS: Final = 1 << 16

_pread: Final = os.pread


def file_piece(file: int, offset: int, count: int) -> bytes:
    """Return up to `count` octets from `offset` on; b"" if the file has none, or cannot be read.

    file: descriptor of the file.
    """
    try:
        return _pread(file, min(count, _PIECE_OCTETS), offset)
    except OSError:
        return b""

"""Cuts lines into pieces that a pipe takes at once. So lines of several processes stay whole."""

from __future__ import annotations

import select
from collections.abc import Iterable, Iterator
from typing import Final

#: Octets that a write to a pipe never mixes with those of another process (POSIX, write).
PIPE_BUF: Final = select.PIPE_BUF

# Octets that are kept of the end of a line which is cut.
_TAIL: Final = 128


def pieces(lines: Iterable[str], most: int = PIPE_BUF) -> Iterator[str]:
    """Return whole lines, together while they have at most `most` octets. Longer lines are cut."""
    piece: list[str] = []
    size = 0
    for line in lines:
        octets = _size(line)
        if octets > most:
            line = shortened(line, most)  # noqa: PLW2901
            octets = _size(line)
        if size + octets > most and piece:
            yield "".join(piece)
            piece = []
            size = 0
        piece.append(line)
        size += octets
    if piece:
        yield "".join(piece)


def shortened(line: str, most: int = PIPE_BUF) -> str:
    """Return a line of at most `most` octets, which says how many of its middle are missing."""
    octets = line.encode("utf-8", "backslashreplace")
    if len(octets) <= most:
        return line
    tail = min(_TAIL, most // 4)
    missing = f"...({len(octets)} octets, cut)..."
    head = octets[: most - tail - len(missing)].decode("utf-8", "ignore")
    return head + missing + octets[-tail:].decode("utf-8", "ignore")


def _size(line: str) -> int:
    return len(line) if line.isascii() else len(line.encode("utf-8", "backslashreplace"))

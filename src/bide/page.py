"""Holds the counts that all processes of a server share, in one page of memory.

Each process writes its own place only. Nothing correct depends on the counts: one that is late, or
half written, costs balance and never a request.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Final, final

#: Places, of which the first is the supervisor's. Worker processes are numbered from 1.
PLACES: Final = 1024

# Octets of a place, so that no two share a line of the processor's cache; words of 8 octets.
_PLACE_SIZE: Final = 64
_WORDS: Final = _PLACE_SIZE // 8

# Words of a worker's place.
_HELD: Final = 0
_SWEPT: Final = 1
# Words of the supervisor's place.
_SETTLED: Final = 0
_HIGHEST: Final = 1

# Milliseconds since its last sweep after which a worker counts as stuck, and nobody waits for it.
# Sweeps come every 500 ms.
_STALE_MS: Final = 1000


def new_page() -> int:
    """Return the descriptor of a new page: a file without a name. Raises OSError."""
    with tempfile.TemporaryFile() as file:
        file.truncate(PLACES * _PLACE_SIZE)
        return os.dup(file.fileno())


@final
class Page:
    """Reads all places, and writes one."""

    def __init__(self, descriptor: int, number: int = 0) -> None:
        """Map the page. number: of the worker; 0 for the supervisor. Raises OSError."""
        self._map = mmap.mmap(descriptor, PLACES * _PLACE_SIZE)
        self._words = memoryview(self._map).cast("Q")
        self._number = number
        self._base = number * _WORDS

    @property
    def number(self) -> int:
        """Number of the worker whose place this writes."""
        return self._number

    def close(self) -> None:
        """Unmap the page."""
        self._words.release()
        self._map.close()

    # -- A worker ----------------------------------------------------------------------------------

    def hold(self, connections: int) -> None:
        """Write how many connections this worker holds."""
        self._words[self._base + _HELD] = connections

    def sweep(self, now: float) -> None:
        """Write that the event loop turns. now: seconds of the monotonic clock."""
        self._words[self._base + _SWEPT] = int(now * 1000.0)

    def leave(self) -> None:
        """Write that this worker accepts no more."""
        self._words[self._base + _SWEPT] = 0

    def others(self) -> int:
        """Return the number of connections that the other workers hold."""
        words = self._words
        total = 0
        for number in range(1, words[_HIGHEST] + 1):
            if number != self._number:
                total += words[number * _WORDS + _HELD]
        return total

    def load(self, mine: int, now: float) -> tuple[int, float]:
        """Return (least, mean) of the connections that workers hold, this one included.

        Only workers that accept count.

        mine: connections of this worker.
        now: seconds of the monotonic clock.
        """
        words = self._words
        fresh = int(now * 1000.0) - _STALE_MS
        least = total = mine
        count = 1
        for number in range(1, words[_HIGHEST] + 1):
            if number != self._number and words[number * _WORDS + _SWEPT] > fresh:
                held = words[number * _WORDS + _HELD]
                total += held
                count += 1
                least = min(least, held)
        return least, total / count

    def is_settled(self) -> bool:
        """Return whether no worker starts, and none is to be replaced."""
        return bool(self._words[_SETTLED])

    # -- The supervisor ----------------------------------------------------------------------------

    def settle(self, is_settled: bool) -> None:
        """Write whether no worker starts, and none is to be replaced."""
        self._words[_SETTLED] = is_settled

    def clear(self, number: int) -> None:
        """Clear the place of a worker that starts, or has ended."""
        self._words[number * _WORDS + _HELD] = 0
        self._words[number * _WORDS + _SWEPT] = 0
        self._words[_HIGHEST] = max(self._words[_HIGHEST], number)

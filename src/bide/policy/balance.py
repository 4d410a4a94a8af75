"""Decides which worker processes wait before they accept, and which give connections up.

The kernel wakes any of the processes that wait for a connection, and often the same one. So the
processes compare the numbers of connections that they hold.
"""

from __future__ import annotations

from typing import Final

# A worker may hold this part of the mean more than the least loaded one, and one connection.
_TOLERANCE: Final = 32

# Connections are given up above this multiple of the mean, and one more, if another worker holds
# two fewer.
_SURPLUS_FROM: Final = 1.05
_MIN_DIFFERENCE: Final = 2


def is_heavy(mine: int, least: int, mean: float) -> bool:
    """Return whether to let others accept first. Never true of the least loaded worker.

    mine: connections that this worker holds.
    least, mean: of all workers that accept.
    """
    return mine > least + 1 + int(mean) // _TOLERANCE


def surplus(mine: int, least: int, mean: float) -> int:
    """Return the number of connections to give up, by an announced close.

    The arguments are those of `is_heavy`.
    """
    if mine < _SURPLUS_FROM * mean + 1 or mine - least < _MIN_DIFFERENCE:
        return 0
    return max(0, mine - int(-(-mean // 1)))

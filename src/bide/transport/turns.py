"""Spreads handshakes over passes of the event loop, so that many of them delay nobody for long."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, final

# Steps of handshakes in one pass of the event loop. The step with the server's signature takes
# 0.4 ms, so clients that are connected wait for about 3 ms at most.
MAX_STEPS: Final = 8


@final
class Turns:
    """Hands out turns, MAX_STEPS for each pass of the event loop, in the order of asking."""

    __slots__ = ("_call_soon", "_is_scheduled", "_left", "_waiting")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        """Keep what has a function called in the next pass of the event loop."""
        self._call_soon = call_soon
        self._left = MAX_STEPS
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_scheduled = False

    def take(self, turn: Callable[[], None]) -> bool:
        """Return whether a turn is left in this pass; if not, `turn` is called in a later pass."""
        if not self._is_scheduled:
            self._schedule()
        if self._left:
            self._left -= 1
            return True
        self._waiting.append(turn)
        return False

    def _schedule(self) -> None:
        self._is_scheduled = True
        self._call_soon(self._begin_pass)

    def _begin_pass(self) -> None:
        self._is_scheduled = False
        self._left = MAX_STEPS
        while self._left and self._waiting:
            self._left -= 1
            self._waiting.popleft()()
        if self._left < MAX_STEPS and not self._is_scheduled:
            self._schedule()

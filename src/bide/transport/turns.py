"""Spreads handshakes over passes of the event loop, so that many of them delay nobody for long."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, final

# Steps of handshakes in one pass of the event loop. The step with the server's signature takes
# 0.4 ms, so clients that are connected wait for about 3 ms at most.
MAX_STEPS: Final = 8

# Passes in a row without a step, while more connections have something to read than one pass takes.
# A client that is connected may be among the last of them. With 200 handshakes at once it waited
# for 20 ms, and for 10 with these. Handshakes still get their share of a server that is never idle.
MAX_WITHOUT: Final = 8


@final
class Turns:
    """Hands out turns, MAX_STEPS for each pass of the event loop, in the order of asking."""

    __slots__ = ("_call_soon", "_is_crowded", "_is_scheduled", "_left", "_waiting", "_without")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object], is_crowded: Callable[[], bool]) -> None:
        """Hand out nothing yet.

        call_soon: has a function called in the next pass of the event loop.
        is_crowded: tells whether more connections may have something to read than the last pass
            has taken.
        """
        self._call_soon = call_soon
        self._is_crowded = is_crowded
        self._without = 0  # passes without a step
        self._left = MAX_STEPS
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_scheduled = False

    def take(self, turn: Callable[[], None]) -> bool:
        """Return whether a turn is left in this pass; if not, `turn` is called in a later pass."""
        if not self._is_scheduled:
            self._schedule()
        if self._left and not self._waiting:
            self._left -= 1
            return True
        self._waiting.append(turn)
        return False

    def _schedule(self) -> None:
        self._is_scheduled = True
        self._call_soon(self._begin_pass)

    def _begin_pass(self) -> None:
        self._is_scheduled = False
        if self._waiting and self._without < MAX_WITHOUT and self._is_crowded():
            self._without += 1
            self._schedule()
            return
        self._without = 0
        self._left = MAX_STEPS
        while self._left and self._waiting:
            self._left -= 1
            self._waiting.popleft()()
        if self._left < MAX_STEPS and not self._is_scheduled:
            self._schedule()

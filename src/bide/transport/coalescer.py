"""Sends together what is written to several connections within moments.

A write wakes whoever waits for it. Answers that leave one by one, each as soon as it is made, wake a client or proxy on the same
machine for each of them; of those that leave together the first wakes it, and it is still awake for the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final, final

# Seconds. A write that follows another so closely is one of many in this pass of the event loop: about the time that a small answer
# takes. The next request of a lone client comes later: a round trip takes longer, even within one machine.
_CLOSE: Final = 20e-6

# So many are held at most, and so the first of them for less than two thirds of a millisecond, and mostly for a quarter: network cards
# hold frames back as long, to interrupt less (`rx-usecs` of ethtool).
_MOST: Final = 32


@final
class WriteCoalescer:
    """What is written leaves at once, unless it follows closely on something else. `clock` returns seconds."""

    __slots__ = ("_clock", "_held", "_last", "_loop", "_scheduled")

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = monotonic) -> None:
        self._loop = loop
        self._clock = clock
        self._held: list[tuple[asyncio.Transport, bytes]] = []
        self._last = float("-inf")  # when anything was written
        self._scheduled = False

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Send octets after those written before: now, or when this pass of the event loop is over."""
        now = self._clock()
        held = self._held
        if now - self._last > _CLOSE:
            if held:
                self.flush()
            if not transport.is_closing():
                transport.write(data)
        else:
            held.append((transport, data))
            if not self._scheduled:
                self._scheduled = True
                self._loop.call_soon(self._pass_over)
            elif len(held) == _MOST:
                self.flush()
        self._last = now

    def flush(self) -> None:
        """Send what is held."""
        held = self._held
        if held:
            self._held = []
            for transport, data in held:
                if not transport.is_closing():
                    transport.write(data)

    def _pass_over(self) -> None:
        self._scheduled = False
        self.flush()

"""Sends writes to several connections together if they follow each other closely.

A write wakes the process that waits for it. Answers that leave one by one wake a client or proxy on
the same machine once for each answer. If they leave together, the first one wakes it, and it is
still awake for the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final, final

# Within this time after another write, a write is one of many in this pass of the event loop: a
# small answer takes about as long to make. The next request of a single client comes later: a round
# trip takes longer, even within one machine.
_COALESCE_WINDOW_S: Final = 20e-6

# At most this many writes are held. The first waits under 0.65 ms, usually 0.25 ms. Network cards
# hold frames back for as long, to interrupt less often (`rx-usecs` of ethtool).
_MAX_HELD_WRITES: Final = 32


@final
class WriteCoalescer:
    """Sends a write at once, or holds it if it follows closely on another one."""

    __slots__ = ("_clock", "_held", "_is_scheduled", "_last", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = monotonic) -> None:
        """Hold nothing yet. clock: returns seconds."""
        self._loop = loop
        self._clock = clock
        self._held: list[tuple[asyncio.Transport, bytes]] = []
        self._last = float("-inf")  # time of the last write
        self._is_scheduled = False

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Send `data` after earlier writes: now, or at the end of this pass of the event loop."""
        now = self._clock()
        held = self._held
        if now - self._last > _COALESCE_WINDOW_S:
            if held:
                self.flush()
            if not transport.is_closing():
                transport.write(data)
        else:
            held.append((transport, data))
            if not self._is_scheduled:
                self._is_scheduled = True
                self._loop.call_soon(self._pass_ended)
            elif len(held) == _MAX_HELD_WRITES:
                self.flush()
        self._last = now

    def flush(self) -> None:
        """Send the held writes."""
        held = self._held
        if held:
            self._held = []
            for transport, data in held:
                if not transport.is_closing():
                    transport.write(data)

    def _pass_ended(self) -> None:
        self._is_scheduled = False
        self.flush()

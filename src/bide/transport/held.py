"""Holds back what several connections write, so that it leaves together.

A write wakes the process that waits for it. Answers that leave one by one wake a client or proxy on
the same machine once for each answer. If they leave together, the first one wakes it, and it is
still awake for the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from bide.transport.polled import PolledWire

# Output is held for at most this time, plus what the running handler still takes.
_MAX_HOLD_S: Final = 2e-3

# Mean time to make an answer, up to which answers leave together. Slower ones would wait for each
# other longer than the wake-ups that this saves are worth (about 7 us each), and some clients would
# be served twice before others once: with 8 connections and 500 us, p99 was 6.3 ms, and is 4.4.
_QUICK_S: Final = 2.5e-4
_MEAN_OF: Final = 8  # answers: a single slow one means little

# At most this many wires hold something back.
_MAX_HELD: Final = 64


@final
class HeldOutput:
    """Decides what is held, and sends it."""

    __slots__ = (
        "_began",
        "_clock",
        "_held",
        "_is_batch",
        "_is_within_pass",
        "_last",
        "_last_at",
        "_mean",
        "_schedule",
        "_since",
    )

    def __init__(self, schedule: Callable[[], None], clock: Callable[[], float]) -> None:
        """Hold nothing yet.

        schedule: has `send` called once the pass of the event loop is over.
        clock: returns seconds.
        """
        self._schedule = schedule
        self._clock = clock
        self._held: list[PolledWire] = []
        self._is_within_pass = False
        self._is_batch = False  # whether several descriptors are served in this pass
        self._mean = 0.0  # seconds that it took to make an answer
        self._began = 0.0  # when the pass began
        self._since = 0.0  # when the pass began, or what was held last left
        self._last: PolledWire | None = None  # the wire that wrote last outside a pass
        self._last_at = float("-inf")

    def pass_begins(self, is_batch: bool) -> None:
        """Take the news that descriptors are served; is_batch: several of them."""
        self._is_within_pass = True
        self._is_batch = is_batch
        self._began = self._since = self._clock()

    def expect_several(self) -> None:
        """Take the news that more than one connection may be served, though one descriptor is
        ready.
        """
        self._is_batch = True

    def pass_ends(self) -> None:
        """Take the news that they were served. The caller must call `send`."""
        self._is_within_pass = False

    def holds(self, wire: PolledWire) -> bool:
        """Return whether `wire`, which holds nothing yet, is to hold back what it writes now.

        Within a pass it is, unless it is alone or answers take long. Otherwise it is if another one
        wrote just before: one client's next request takes longer than a round trip.
        """
        if self._is_within_pass:
            if not self._is_batch or self.is_slow:
                return False
        else:
            now = self._clock()
            taken = now - self._last_at
            is_first = wire is self._last or taken > _MAX_HOLD_S
            self._last = wire
            self._last_at = now
            if not is_first:
                self._made(1, taken)
            if self._held and (self.is_slow or now - self._since > _MAX_HOLD_S):
                self.send()
            if self.is_slow or (is_first and not self._held):
                return False
            if not self._held:
                self._since = now
        if len(self._held) >= _MAX_HELD:
            self.send()
        self._held.append(wire)
        self._schedule()
        return True

    def send_overdue(self) -> None:
        """Send what is held if it was held for long."""
        if self._held and self._clock() - self._since > _MAX_HOLD_S:
            self.send()

    def made(self, answers: int) -> None:
        """Take the news that this pass has made `answers`. Legal only within a pass."""
        self._made(answers, (self._clock() - self._began) / answers)

    @property
    def is_slow(self) -> bool:
        """Whether answers take long to make."""
        return self._mean > _QUICK_S

    def _made(self, answers: int, seconds: float) -> None:
        """Take the news that each of `answers` took `seconds`."""
        self._mean += (min(seconds, _MAX_HOLD_S) - self._mean) * min(answers, _MEAN_OF) / _MEAN_OF

    def send(self) -> None:
        """Send what is held. An error in bide ends only the connection that it concerns."""
        held = self._held
        if held:
            self._held = []
            for wire in held:
                try:
                    wire.send_held()
                except Exception:
                    wire.report_failure()
            self._since = self._clock()

    def forget(self, wire: PolledWire) -> None:
        """Forget a wire that is closed."""
        if self._last is wire:
            self._last = None

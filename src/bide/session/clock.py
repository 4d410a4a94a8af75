"""Runs the one clock of a connection."""

from __future__ import annotations

from typing import Final

from bide.policy.clocks import FOREVER
from bide.session.carrier import Carrier
from bide.session.context import SessionContext
from bide.session.exchange import ServedExchange
from bide.session.progress import SendProgress
from bide.terms import Clock
from bide.wire import Wire

# A name of the module is found faster than a member of an Enum through its class.
_BODY: Final = Clock.BODY
_SEND: Final = Clock.SEND
_IDLE: Final = Clock.IDLE


class ClockedCarrier(Carrier):
    """Runs the clock of a session.

    _clock: the running clock; None if no clock runs.
    _since: loop time in seconds at which it was started.
    _is_reprieved: whether it has expired once while octets waited to be read.
    _sending: progress of the outstanding output; None while the SEND clock does not run.
    """

    __slots__ = ("_clock", "_context", "_exchange", "_is_reprieved", "_sending", "_since", "_wire")

    _context: SessionContext
    _wire: Wire
    _exchange: ServedExchange | None
    _clock: Clock | None
    _since: float
    _is_reprieved: bool
    _sending: SendProgress | None

    def _start_clock(self, clock: Clock | None) -> None:
        """Start `clock` in place of the running clock; None stops that."""
        if self._sending is not None:
            self._stop_sending()
        self._clock = clock
        self._is_reprieved = False
        context = self._context
        now = self._since = context.clock()
        if clock is _IDLE:
            self.deadline = now + context.idle.longest
        elif clock is None:
            self.deadline = FOREVER
        elif clock is _BODY:
            assert self._exchange is not None
            self.deadline = self._exchange.body_deadline()
        elif clock is _SEND:
            self._sending = SendProgress(now, self._wire.unsent())
            context.manager.output_stalled(self)
            self.deadline = self._send_deadline(self._sending)
        else:
            self.deadline = now + context.durations.by_clock[clock]

    def _stop_sending(self) -> None:
        self._sending = None
        self._context.manager.output_resumed(self)

    def _send_deadline(self, sending: SendProgress) -> float:
        durations = self._context.durations
        return sending.deadline(durations.by_clock[_SEND], durations.grace, durations.send_rate)

    def _linger_until(self) -> float:
        """Return the loop time in seconds at which lingering ends, whatever arrives."""
        return self._since + self._context.durations.linger_total

    @property
    def waiting_since(self) -> float:
        """Loop time at which the running clock was started."""
        return self._since

    def _has_expired(self, now: float) -> bool:
        """Return whether the running clock has expired. Pressure shortens the idle clock."""
        return now >= self.deadline or (self._clock is _IDLE and now + self._context.idle.cut >= self.deadline)

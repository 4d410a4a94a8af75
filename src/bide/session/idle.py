"""Decides how long idle connections are held: less under pressure, least in a drain."""

from __future__ import annotations

from typing import Final, final

from bide.policy.admission import idle_allowance

# Seconds subtracted from the timeout that clients are told: the way to the client and back.
_ROUND_TRIP_S: Final = 1.0


@final
class IdleTimeout:
    """Holds the idle timeout of a worker's connections, in seconds.

    longest: the configured timeout, shortened in a drain. It sets the deadline of an idle
        connection.
    held: the timeout at the current pressure.
    """

    __slots__ = ("_least", "held", "longest")

    def __init__(self, configured: float, least: float) -> None:
        """Keep both bounds.

        configured: timeout without pressure, seconds.
        least: timeout under the highest pressure, seconds.
        """
        self.longest = configured
        self.held = configured
        self._least = least

    @property
    def cut(self) -> float:
        """Seconds by which idle connections expire before their deadline."""
        return self.longest - self.held

    @property
    def advertised(self) -> int:
        """Whole seconds to promise to clients (`Keep-Alive: timeout`)."""
        return int(self.held - _ROUND_TRIP_S)

    def pressure_measured(self, pressure: float) -> None:
        """Adapt to the pressure, of which 1.0 is the highest."""
        self.held = idle_allowance(pressure, self.longest, self._least)

    def shorten(self, seconds: float) -> None:
        """Hold idle connections for at most `seconds` from now on, whatever the pressure."""
        self.longest = self.held = self._least = min(self.longest, seconds)

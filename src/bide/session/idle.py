"""How long an idle connection is held: as configured, shorter under pressure, shorter still in a drain."""

from __future__ import annotations

from typing import Final, final

from bide.policy.admission import idle_allowance

# Seconds by which less is advertised than is held: the way to the client and back.
_ADVERTISED_LESS: Final = 1.0


@final
class IdleTimeout:
    """The idle timeout of a worker's connections, in seconds.

    longest: as configured; in a drain what that leaves of it. The deadline of an idle connection is set by it.
    held: at the current pressure.
    """

    __slots__ = ("_least", "held", "longest")

    def __init__(self, configured: float, least: float) -> None:
        """Keep both bounds. least: under the highest pressure."""
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
        return int(self.held - _ADVERTISED_LESS)

    def pressure_measured(self, pressure: float) -> None:
        """Adapt to the pressure, of which 1.0 is the highest."""
        self.held = idle_allowance(pressure, self.longest, self._least)

    def shorten(self, seconds: float) -> None:
        """Hold idle connections for `seconds` at most from now on, whatever the pressure."""
        self.longest = self.held = self._least = min(self.longest, seconds)

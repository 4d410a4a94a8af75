"""How octets come along while somebody waits for them. Instants and durations in seconds."""

from __future__ import annotations

from typing import final

from bide.policy.clocks import progress_deadline


class Progress:
    """See the module."""

    __slots__ = ("last", "octets", "since")

    def __init__(self, now: float) -> None:
        self.since = now
        self.last = now
        self.octets = 0

    def advance(self, now: float, octets: int) -> None:
        """Octets came."""
        self.last = now
        self.octets += octets

    def exclude(self, pause: float) -> None:
        """Nobody was waiting for that long: it does not count."""
        self.since += pause
        self.last += pause

    def deadline(self, timeout: float, grace: float, rate: float) -> float:
        """Return the instant by which more must have come: see `bide.policy.clocks.progress_deadline`."""
        return progress_deadline(self.since, self.last, self.octets, timeout, grace, rate)


@final
class SendProgress(Progress):
    """Of what was written. unsent: octets of it that the client had not taken when it was last looked at."""

    __slots__ = ("unsent",)

    def __init__(self, now: float, unsent: int) -> None:
        super().__init__(now)
        self.unsent = unsent

    def look(self, now: float, unsent: int) -> None:
        """So many are left."""
        if unsent < self.unsent:
            self.advance(now, self.unsent - unsent)
        self.unsent = unsent


@final
class BodyProgress(Progress):
    """Of a request body, for which the application waits at times only. left_off: the instant when it last stopped waiting."""

    __slots__ = ("left_off",)

    def __init__(self, now: float) -> None:
        super().__init__(now)
        self.left_off = now

"""How octets come along while somebody waits for them. Instants and durations in seconds."""

from __future__ import annotations

from typing import final

from bide.policy.clocks import FOREVER, progress_deadline


class Progress:
    """See the module."""

    __slots__ = ("came", "last", "octets", "since")

    def __init__(self, now: float) -> None:
        self.since = now
        self.came = now
        self.last = now
        self.octets = 0

    def advance(self, now: float, octets: int, came: float = FOREVER) -> None:
        """Octets are there at `now`. came: the earliest instant at which they may have come, where that is before."""
        self.last = now
        self.came = min(now, came)
        self.octets += octets

    def exclude(self, pause: float) -> None:
        """Nobody was waiting for that long: it does not count."""
        self.since += pause
        self.came += pause
        self.last += pause

    def deadline(self, timeout: float, grace: float, rate: float) -> float:
        """Return the instant by which more must have come: see `bide.policy.clocks.progress_deadline`."""
        return progress_deadline(self.since, self.came, self.last, self.octets, timeout, grace, rate)


@final
class SendProgress(Progress):
    """Of what was written. unsent: octets of it that the client had not taken when it was last looked at."""

    __slots__ = ("unsent",)

    def __init__(self, now: float, unsent: int) -> None:
        super().__init__(now)
        self.unsent = unsent

    def look(self, now: float, unsent: int, came: float = FOREVER) -> None:
        """So many are left at `now`. came: when the others may have been taken at the earliest, where that is before."""
        if unsent < self.unsent:
            self.advance(now, self.unsent - unsent, came)
        self.unsent = unsent


@final
class BodyProgress(Progress):
    """Of a request body, for which the application waits at times only. left_off: the instant when it last stopped waiting."""

    __slots__ = ("left_off",)

    def __init__(self, now: float) -> None:
        super().__init__(now)
        self.left_off = now

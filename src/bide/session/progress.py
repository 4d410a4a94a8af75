"""Tracks transfers, so that pauses and minimum rates can be enforced.

Instants and durations are in seconds.
"""

from __future__ import annotations

from typing import final

from bide.policy.clocks import FOREVER, progress_deadline


class Progress:
    """Tracks one transfer.

    since: when the wait began; later by each time that is excluded.
    last: when octets were last seen to move.
    came: the earliest instant at which they can have moved.
    octets: number of octets moved since the wait began.
    """

    __slots__ = ("came", "last", "octets", "since")

    def __init__(self, now: float) -> None:
        self.since = now
        self.came = now
        self.last = now
        self.octets = 0

    def advance(self, now: float, octets: int, came: float = FOREVER) -> None:
        """Count `octets` that were seen at `now`.

        came: when they may have moved, if a blocked event loop saw them late.
        """
        self.last = now
        self.came = min(now, came)
        self.octets += octets

    def exclude(self, pause: float) -> None:
        """Leave out `pause` seconds in which the application did not wait."""
        self.since += pause
        self.came += pause
        self.last += pause

    def deadline(self, timeout: float, grace: float, rate: float) -> float:
        """Return the instant by which more octets must have moved.

        timeout, grace, rate: as for `bide.policy.clocks.progress_deadline`.
        """
        return progress_deadline(self.since, self.came, self.last, self.octets, timeout, grace, rate)


@final
class SendProgress(Progress):
    """Tracks output that the client takes.

    unsent: octets that the client had not taken at the last `look`.
    """

    __slots__ = ("unsent",)

    def __init__(self, now: float, unsent: int) -> None:
        super().__init__(now)
        self.unsent = unsent

    def look(self, now: float, unsent: int, came: float = FOREVER) -> None:
        """Record that `unsent` octets remain at `now`.

        came: the earliest time at which the client can have taken the others.
        """
        if unsent < self.unsent:
            self.advance(now, self.unsent - unsent, came)
        self.unsent = unsent


@final
class BodyProgress(Progress):
    """Tracks a request body, for which the application does not always wait.

    left_off: when the application last stopped waiting.
    waiting: number of the application's calls that wait for more of the body.
    """

    __slots__ = ("left_off", "waiting")

    def __init__(self, now: float) -> None:
        super().__init__(now)
        self.left_off = now
        self.waiting = 0


@final
class Parting:
    """Tracks how an application takes leave of a client.

    gone_at: when a client that has sent its EOF counts as gone; FOREVER before its EOF.
    let_go: number of calls of `send` that were not suspended since the client left.
    is_drained: whether the application is to end its stream, as the client reconnects by itself.
    is_unheard: whether the response is complete with its head, and the application has more to
        send.
    """

    __slots__ = ("gone_at", "is_drained", "is_unheard", "let_go")

    def __init__(self) -> None:
        self.gone_at = FOREVER
        self.let_go = 0
        self.is_drained = False
        self.is_unheard = False

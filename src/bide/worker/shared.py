"""What all connections of a worker have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, final

from bide.exchange import Gateway
from bide.http1.connection import Connection
from bide.http1.limits import Limits
from bide.http1.response import Stamp
from bide.observe.counters import Counters
from bide.observe.journal import Journal
from bide.policy.clocks import progress_deadline
from bide.terms import Clock
from bide.worker.door import Door
from bide.worker.reception import Reception
from bide.worker.register import Register

# Kept for the next ones: as many as are likely to be at work in one pass of the event loop.
_MOST_SPARE: Final = 256


@final
class Durations:
    """How long the clocks run, in seconds; rates in octets per second. `bide.config` describes each.

    half_closed: from a client's EOF until it is taken for gone.
    retirement: draws the age and the number of requests, jitter included, at which a new connection is to retire; None for never.
    """

    __slots__ = ("body_rate", "by_clock", "grace", "half_closed", "linger_total", "retirement", "send_rate")

    def __init__(
        self,
        by_clock: dict[Clock, float],
        *,
        half_closed: float,
        linger_total: float,
        body_rate: float,
        send_rate: float,
        grace: float,
        retirement: Callable[[], tuple[float, float] | None],
    ) -> None:
        self.by_clock = by_clock
        self.half_closed = half_closed
        self.linger_total = linger_total
        self.body_rate = body_rate
        self.send_rate = send_rate
        self.grace = grace
        self.retirement = retirement


class Progress:
    """How octets come along while somebody waits for them. Instants and durations in seconds."""

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


@final
class Shared:
    """See the module.

    standing: fact bits that hold for every connection, new ones included.
    attentive: whether the server may have something of its own to say to a request.
    """

    __slots__ = (
        "attentive",
        "counters",
        "door",
        "durations",
        "gateway",
        "journal",
        "limits",
        "loop",
        "reception",
        "register",
        "spare",
        "spares",
        "stamp",
        "standing",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        gateway: Gateway,
        limits: Limits,
        durations: Durations,
        journal: Journal | None,
        reception: Reception,
        door: Door,
        register: Register,
        standing: int = 0,
    ) -> None:
        self.loop = loop
        self.reception = reception
        self.door = door
        self.register = register
        self.gateway = gateway
        self.limits = limits
        self.durations = durations
        self.journal = journal
        self.standing = standing
        self.attentive = False
        self.counters = Counters()
        self.stamp = Stamp()
        self.spare: Connection | None = None
        self.spares = 0

    def lend(self, served: int) -> Connection:
        """Return what stands for a connection that was at rest, after so many requests."""
        connection = self.spare
        if connection is None:
            connection = Connection(self.limits, self.stamp)
        else:
            self.spare = connection.spare
            self.spares -= 1
            connection.spare = None
        connection.begin(self.standing, served)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Take back what stood for a connection that is at rest again."""
        if self.spares < _MOST_SPARE:
            connection.spare = self.spare
            self.spare = connection
            self.spares += 1

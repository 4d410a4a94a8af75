"""What all connections of a worker have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import final

from bide.exchange import Gateway
from bide.http1.limits import Limits
from bide.http1.response import Stamp
from bide.observe.counters import Counters
from bide.observe.journal import Record
from bide.policy.clocks import progress_deadline
from bide.terms import Clock
from bide.worker.door import Door
from bide.worker.reception import Reception
from bide.worker.register import Register


@final
class Durations:
    """How long the clocks run, in seconds; rates in octets per second. `bide.config` describes each.

    half_closed: from a client's EOF until it is taken for gone.
    age: draws the age, jitter included, at which a new connection is to retire; infinity for none.
    requests: draws likewise after how many requests.
    """

    __slots__ = ("age", "body_rate", "by_clock", "grace", "half_closed", "linger_total", "requests", "send_rate")

    def __init__(
        self,
        by_clock: dict[Clock, float],
        *,
        half_closed: float,
        linger_total: float,
        body_rate: float,
        send_rate: float,
        grace: float,
        age: Callable[[], float],
        requests: Callable[[], float],
    ) -> None:
        self.by_clock = by_clock
        self.half_closed = half_closed
        self.linger_total = linger_total
        self.body_rate = body_rate
        self.send_rate = send_rate
        self.grace = grace
        self.age = age
        self.requests = requests


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
class BodyProgress(Progress):
    """Of a request body, for which the application waits at times only. left_off: the instant when it last stopped waiting."""

    __slots__ = ("left_off",)

    def __init__(self, now: float) -> None:
        super().__init__(now)
        self.left_off = now


@final
class Shared:
    """See the module. `standing`: fact bits that hold for every new connection. `attentive`: whether the server may have
    something of its own to say to a request.
    """

    __slots__ = (
        "attentive",
        "counters",
        "door",
        "durations",
        "gateway",
        "limits",
        "loop",
        "reception",
        "record",
        "register",
        "stamp",
        "standing",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        gateway: Gateway,
        limits: Limits,
        durations: Durations,
        record: Record | None,
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
        self.record = record
        self.standing = standing
        self.attentive = False
        self.counters = Counters()
        self.stamp = Stamp()

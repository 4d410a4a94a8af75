"""Turns the configuration into the plain values that the protocol core and the sessions work with."""

from __future__ import annotations

import random
from typing import Final

from bide.config import Config
from bide.http1.limits import Limits
from bide.policy.clocks import FOREVER
from bide.session.durations import Durations
from bide.terms import Clock

# Ages and idle ends are spread, so that connections that began together do not end together (gRPC A9: 10 percent).
JITTER: Final = 0.1

# A limit on requests smaller than that is meant as it is; there is nothing to spread.
_JITTERED_FROM: Final = 10

# Time between sweeps, seconds: half a second keeps 20,000 connections below one percent of a core. Shorter clocks get more.
_SWEEP: Final = 0.5
_SHORTEST_SWEEP: Final = 0.02
_SWEEPS_PER_CLOCK: Final = 4


def limits(config: Config) -> Limits:
    """Return the bounds of the protocol core."""
    return Limits(
        head=config.limit_head,
        target=config.limit_target,
        fields=config.limit_fields,
        chunk_line=config.limit_chunk_line,
        trailer=config.limit_trailer,
        discard=config.limit_discard,
        buffer=config.limit_buffer,
    )


def durations(config: Config) -> Durations:
    """Return how long the clocks run."""

    def retirement() -> tuple[float, float] | None:
        most = config.limit_requests
        if not config.limit_age and not most:
            return None
        spread = random.uniform(1 - JITTER, 1 + JITTER)
        requests = max(1.0, most * spread) if most >= _JITTERED_FROM else most or FOREVER
        return config.limit_age * spread or FOREVER, requests

    return Durations(
        {
            Clock.FIRST_OCTET: config.timeout_first_octet,
            Clock.HEAD: config.timeout_head,
            Clock.BODY: config.timeout_body,
            Clock.SEND: config.timeout_send,
            Clock.IDLE: config.timeout_idle,
            Clock.DISCARD: config.timeout_discard,
            Clock.LINGER: config.timeout_linger,
        },
        half_closed=config.timeout_half_closed,
        linger_total=config.timeout_linger_total,
        body_rate=config.body_rate,
        send_rate=config.send_rate,
        grace=config.rate_grace,
        retirement=retirement,
    )


def is_attentive(config: Config) -> bool:
    """Whether the server may have something of its own to say to a request: to answer it, or to end the connection with it.

    Under pressure it has, too; see `bide.session.reception` and `durations`.
    """
    return bool(
        config.health_path
        or config.close_for
        or config.limit_age
        or config.limit_requests
        or config.limit_overflow
        or config.limit_connections_per_peer
    )


def tick(config: Config) -> float:
    """Return the time between sweeps: a fraction of the shortest clock, within bounds."""
    shortest = min(durations(config).by_clock.values())
    return min(_SWEEP, max(_SHORTEST_SWEEP, shortest / _SWEEPS_PER_CLOCK))

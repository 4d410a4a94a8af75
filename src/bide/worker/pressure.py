"""Measures how short resources are: connections, descriptors, memory, the event loop's time."""

from __future__ import annotations

import os
import resource
from collections import deque
from typing import Final, final

from bide.config import Config
from bide.policy.admission import idle_allowance, pressure
from bide.worker.register import Register

# Descriptors kept for the application, its files and its own connections: at least so many, and a tenth of all.
_RESERVE_LEAST: Final = 32
_RESERVE_SHARE: Final = 10
# Above that many a default limit makes no sense: no process of ours serves them.
_MOST_CONNECTIONS: Final = 1_000_000

# The loop's lag is the least of so many sweeps: one handler that blocked is no shortage.
_LAG_SWEEPS: Final = 4

# What is advertised is that much shorter than what is held, seconds: the way to the client and back.
_ADVERTISED_LESS: Final = 1.0


def advertised(allowance: float) -> int:
    """Return for how many whole seconds to promise an idle connection that is held for `allowance` seconds."""
    return int(allowance - _ADVERTISED_LESS)


@final
class Bounds:
    """What there is. connections: the limit. descriptors: the highest descriptor that a connection may have."""

    __slots__ = ("connections", "descriptors")

    def __init__(self, config: Config) -> None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY:
            soft = _MOST_CONNECTIONS
        reserve = max(_RESERVE_LEAST, soft // _RESERVE_SHARE)
        with open(os.devnull, "rb") as lowest:  # noqa: PTH123  # the lowest free descriptor: about as many are in use
            used = lowest.fileno()
        possible = max(1, soft - reserve - used)
        self.descriptors = max(used + 1, soft - reserve // 2)
        self.connections = min(config.limit_connections or possible, _MOST_CONNECTIONS)


@final
class PressureMonitor:
    """pressure: see `bide.policy.admission`. allowance: seconds for which idle connections are held at present.
    descriptor: the highest in use, about.
    """

    __slots__ = (
        "_bounds",
        "_config",
        "_due",
        "_lags",
        "_register",
        "allowance",
        "descriptor",
        "idle_timeout",
        "pressure",
    )

    def __init__(self, config: Config, bounds: Bounds, register: Register) -> None:
        self._config = config
        self._bounds = bounds
        self._register = register
        self._lags: deque[float] = deque([0.0] * _LAG_SWEEPS, maxlen=_LAG_SWEEPS)
        self._due = 0.0
        self.idle_timeout = config.timeout_idle
        self.allowance = config.timeout_idle
        self.pressure = 0.0
        self.descriptor = 0

    @property
    def lag(self) -> float:
        """Seconds by which the last sweep was late."""
        return self._lags[-1]

    def look(self, now: float, tick: float) -> float:
        """Measure, in a sweep at `now` whose next is due after `tick` seconds. Return the allowance."""
        if self._due:
            self._lags.append(max(0.0, now - self._due))
        self._due = now + tick
        config = self._config
        self.descriptor = lowest_descriptor()
        self.pressure = pressure(
            (len(self._register), self._bounds.connections),
            (self.descriptor, self._bounds.descriptors),
            (_memory() if config.limit_memory else 0, config.limit_memory),
            (min(self._lags), config.lag_target),
        )
        self.allowance = idle_allowance(self.pressure, config.timeout_idle, config.timeout_idle_least)
        return self.allowance


def lowest_descriptor() -> int:
    """Return the lowest free descriptor: about as many are in use. The limit where none is free."""
    try:
        fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    os.close(fd)
    return fd


def _memory() -> int:
    """Return the resident memory of this process, octets; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123
            return int(statm.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0

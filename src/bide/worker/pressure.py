"""Measures the use of resources: connections, descriptors, memory, the event loop's time."""

from __future__ import annotations

import os
import resource
from collections import deque
from typing import Final, final

from bide.policy.admission import pressure
from bide.worker.register import Register
from bide.worker.share import Share

# Descriptors kept for the application, its files and connections: at least this number, and a tenth
# of all.
_MIN_RESERVE: Final = 32
_RESERVE_SHARE: Final = 10
# The highest limit on connections: no bide process serves more.
_MAX_CONNECTIONS: Final = 1_000_000

# Lag is the minimum over this many sweeps, so that one blocking handler does not count as pressure.
_LAG_SWEEPS: Final = 4


@final
class ResourceLimits:
    """Limits derived from the configuration and RLIMIT_NOFILE.

    connections: number of connections.
    descriptors: the highest descriptor that a connection may have.
    memory: resident octets; 0 for no limit.
    lag: seconds by which sweeps may be late.
    """

    __slots__ = ("connections", "descriptors", "lag", "memory")

    def __init__(self, connections: int, memory: int, lag: float) -> None:
        """Derive the limits. connections: 0 for the number that the descriptor limit allows."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY:
            soft = _MAX_CONNECTIONS
        reserve = max(_MIN_RESERVE, soft // _RESERVE_SHARE)
        with open(os.devnull, "rb") as lowest:  # noqa: PTH123  # the lowest free descriptor is about the number in use
            used = lowest.fileno()
        possible = max(1, soft - reserve - used)
        self.descriptors = max(used + 1, soft - reserve // 2)
        self.connections = min(connections or possible, _MAX_CONNECTIONS)
        self.memory = memory
        self.lag = lag


@final
class PressureMonitor:
    """Measures pressure in each sweep.

    pressure: 0.0 to 1.0 and beyond, as `bide.policy.admission.pressure` returns it.
    descriptor: roughly the highest descriptor in use.
    """

    __slots__ = ("_due", "_lags", "_limits", "_register", "_share", "descriptor", "pressure")

    def __init__(self, limits: ResourceLimits, register: Register, share: Share | None = None) -> None:
        self._limits = limits
        self._register = register
        self._share = share
        self._lags: deque[float] = deque([0.0] * _LAG_SWEEPS, maxlen=_LAG_SWEEPS)
        self._due = 0.0
        self.pressure = 0.0
        self.descriptor = 0

    @property
    def lag(self) -> float:
        """Seconds by which the last sweep was late."""
        return self._lags[-1]

    @property
    def is_short_of_descriptors(self) -> bool:
        """Whether connections have used up their descriptors."""
        return self.descriptor >= self._limits.descriptors

    def measure(self, now: float, tick: float) -> float:
        """Measure in a sweep at `now`; return the pressure.

        now: loop time in seconds.
        tick: seconds until the next sweep is due.
        """
        if self._due:
            self._lags.append(max(0.0, now - self._due))
        self._due = now + tick
        limits = self._limits
        self.descriptor = lowest_descriptor()
        others = 0 if self._share is None else self._share.others()
        self.pressure = pressure(
            (len(self._register) + others, limits.connections),
            (self.descriptor, limits.descriptors),
            (resident_memory() if limits.memory else 0, limits.memory),
            (min(self._lags), limits.lag),
        )
        return self.pressure


def lowest_descriptor() -> int:
    """Return the lowest descriptor that is free: about the number in use.

    Returns the limit if no descriptor is free.
    """
    try:
        fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    os.close(fd)
    return fd


def resident_memory() -> int:
    """Return the resident memory of this process in octets; 0 if the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123
            return int(statm.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0

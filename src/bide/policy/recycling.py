"""Decides whether a worker process is due for replacement, and for which cause."""

from __future__ import annotations

from typing import Final, NamedTuple

from bide.terms import Cause

#: Limits are spread by this share, so that workers that began together are not due together.
JITTER: Final = 0.1


class WorkerLimits(NamedTuple):
    """Holds what a worker may reach. 0 is no limit.

    requests: requests that it may begin.
    age: seconds since it was ready.
    memory: resident octets.
    """

    requests: float = 0.0
    age: float = 0.0
    memory: int = 0

    def spread(self, chance: float) -> WorkerLimits:
        """Return the limits of one worker. chance: random, from 0 to 1. Memory is a hard fact."""
        factor = 1.0 - JITTER + 2.0 * JITTER * chance
        return WorkerLimits(self.requests * factor, self.age * factor, self.memory)


def cause(limits: WorkerLimits, requests: int, age: float, memory: int, memory_before: int) -> Cause | None:
    """Return the cause for which a worker is due, or None.

    requests: that it has begun.
    age: seconds since it was ready.
    memory, memory_before: resident octets as of its last beat, and of the one before. One that
        holds more for a moment only is not due.
    """
    if limits.requests and requests >= limits.requests:
        return Cause.REQUESTS
    if limits.age and age >= limits.age:
        return Cause.AGE
    if limits.memory and memory > limits.memory and memory_before > limits.memory:
        return Cause.MEMORY
    return None

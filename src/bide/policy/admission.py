"""Decides which connections are admitted, and how many are shed when resources are short.

Numbers in, numbers out.
"""

from __future__ import annotations

from typing import Final

# Pressure, of which 1.0 is the highest. Below LOW nothing changes. Between LOW and HIGH idle
# connections are held for less and less time. Above HIGH close is announced to clients that gain
# little from persistence. Envoy's overload manager scales its timeouts over such a range.
LOW: Final = 0.7
HIGH: Final = 0.9

# nginx frees an eighth of its reusable connections at a time, between 1 and 32
# (ngx_drain_connections).
_SHED_SHARE: Final = 8
_MAX_SHED: Final = 32


def pressure(*shares: tuple[float, float]) -> float:
    """Return how short the scarcest resource is: the largest of used / limit. At 1.0 none is left.

    shares: (used, limit) of each resource, in the same unit; a limit of 0 means no limit.
    """
    return max((used / limit for used, limit in shares if limit > 0), default=0.0)


def idle_allowance(pressed: float, configured: float, least: float) -> float:
    """Return for how many seconds an idle connection is held at this pressure.

    pressed: the pressure.
    configured: seconds up to LOW; from there the result falls linearly. Never exceeded.
    least: seconds at HIGH and above.
    """
    if pressed <= LOW or least >= configured:
        return configured
    if pressed >= HIGH:
        return least
    return configured - (configured - least) * (pressed - LOW) / (HIGH - LOW)


def shed_batch(idle: int) -> int:
    """Return how many of `idle` connections to shed: an eighth, at least 1, at most 32."""
    return min(idle, max(1, min(idle // _SHED_SHARE, _MAX_SHED)))


def is_refused(free: int, overflow: int) -> bool:
    """Return whether a new connection is answered 503 instead of served.

    free: slots left, the new connection counted; negative beyond the limit.
    overflow: connections beyond the limit that are answered 503.
    """
    return overflow > 0 and free < 0


def needs_room(free: int, has_descriptors: bool) -> bool:
    """Return whether connections must be shed before the next one is accepted.

    free: slots left.
    has_descriptors: whether file descriptors are left.
    """
    return free <= 0 or not has_descriptors


def must_pause(free: int, overflow: int, has_descriptors: bool, is_leaving: bool) -> bool:
    """Return whether to stop accepting, after idle connections were shed.

    free: slots left.
    overflow: connections beyond the limit that are answered 503.
    has_descriptors: whether file descriptors are left.
    is_leaving: whether connections that were shed will soon give their descriptors back.
    """
    if free > 0 and (has_descriptors or is_leaving):
        return False
    return free <= -overflow or not has_descriptors

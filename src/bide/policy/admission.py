"""Decides who gets in and who makes room when resources are short. Numbers in, numbers out."""

from __future__ import annotations

from typing import Final

# Below LOW nothing changes; between LOW and HIGH idle connections are held for less and less time; above HIGH close is announced
# to clients that gain little from persistence. Envoy's overload manager scales its timeouts over such a range.
LOW: Final = 0.7
HIGH: Final = 0.9

# nginx frees an eighth of its reusable connections at a time, between 1 and 32 (ngx_drain_connections).
_SHED_SHARE: Final = 8
_SHED_MOST: Final = 32


def pressure(*shares: tuple[float, float]) -> float:
    """Return how short the scarcest resource is: the largest of used / limit; 1.0 is none left. A limit of 0 is none."""
    return max((used / limit for used, limit in shares if limit > 0), default=0.0)


def idle_allowance(pressed: float, configured: float, least: float) -> float:
    """Return for how many seconds an idle connection is held at this pressure.

    `configured` up to LOW, then linearly down to `least` at HIGH and beyond; never more than `configured`.
    """
    if pressed <= LOW or least >= configured:
        return configured
    if pressed >= HIGH:
        return least
    return configured - (configured - least) * (pressed - LOW) / (HIGH - LOW)


def shed_batch(idle: int) -> int:
    """Return how many of `idle` connections to end for room: an eighth, at least 1, at most 32."""
    return min(idle, max(1, min(idle // _SHED_SHARE, _SHED_MOST)))


def is_refused(free: int, overflow: int) -> bool:
    """Return whether a new connection is answered 503 instead of served.

    free: slots left, the new connection counted; negative beyond the limit.
    overflow: connections beyond the limit that are answered so.
    """
    return overflow > 0 and free < 0


def needs_room(free: int, has_descriptors: bool) -> bool:
    """Return whether the next connection would find no room. free: slots left. has_descriptors: whether some are."""
    return free <= 0 or not has_descriptors


def must_pause(free: int, overflow: int, has_descriptors: bool, is_leaving: bool) -> bool:
    """Return whether to stop accepting, after idle connections were shed.

    is_leaving: whether some that were shed will soon give their descriptors back.
    """
    if free > 0 and (has_descriptors or is_leaving):
        return False
    return free <= -overflow or not has_descriptors

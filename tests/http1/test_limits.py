"""Keeps each limit under its name."""

from bide.http1.limits import Limits


def test_limits() -> None:
    limits = Limits(head=1, target=2, fields=3, chunk_line=4, trailer=5, discard=6, buffer=7, underscores=8)
    assert (limits.head, limits.target, limits.fields, limits.chunk_line) == (1, 2, 3, 4)
    assert (limits.trailer, limits.discard, limits.buffer, limits.underscores) == (5, 6, 7, 8)

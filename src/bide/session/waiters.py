"""Keeps the futures of calls that wait for the same news; most exchanges never need a list."""

from __future__ import annotations

import asyncio

Waiters = list[asyncio.Future[None]]


def joined(waiters: Waiters | None, waiter: asyncio.Future[None]) -> Waiters:
    """Return the waiters with one more; None for no others."""
    if waiters is None:
        return [waiter]
    waiters.append(waiter)
    return waiters


def complete(waiters: Waiters | None) -> None:
    """Complete those that nobody has cancelled."""
    if waiters is not None:
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

"""A listening socket as a worker sees it, played by a test."""

import asyncio
from collections.abc import Sequence
from typing import cast

from bide.transport.listeners import Listener


class StubListener:
    """Keeps the orders that it gets.

    orders: "pause", "accept", "fewer_held", "finish" and "close", in order.
    has_waiting: whether connections wait in the listen backlog.
    backlog_seconds: loop time in seconds that it takes to accept the backlog.
    """

    def __init__(self, *, has_waiting: bool = False, backlog_seconds: float = 0.0) -> None:
        self.orders: list[str] = []
        self.has_waiting = has_waiting
        self.backlog_seconds = backlog_seconds
        self.finished = False

    def pause(self) -> None:
        self.orders.append("pause")

    def accept(self) -> None:
        self.orders.append("accept")

    def fewer_held(self) -> None:
        self.orders.append("fewer_held")

    def waiting(self) -> bool:
        return self.has_waiting

    async def finish(self) -> None:
        self.orders.append("finish")
        await asyncio.sleep(self.backlog_seconds)
        self.finished = True

    def close(self) -> None:
        self.orders.append("close")


def as_listeners(*stubs: StubListener) -> Sequence[Listener]:
    """Return stand-ins as what they stand for; `Listener` itself is final."""
    return cast("Sequence[Listener]", stubs)

"""A lifespan as a worker sees it, played by a test."""

import asyncio
from typing import cast

from bide.gateway.lifespan import Lifespan
from tests.support.loops import JumpingLoop


class StubLifespan:
    """Stands for the application's lifespan.

    start_takes: seconds until the startup that is under way is complete; 0 if none is.
    stop_takes: seconds that the application needs to clean up, once it has started.
    is_stubborn: whether it goes on when it is cancelled.
    calls: "shutdown" and "cancel", in order; "clean" once it has cleaned up.
    """

    def __init__(
        self, loop: JumpingLoop, *, start_takes: float = 0.0, stop_takes: float = 0.0, is_stubborn: bool = False
    ) -> None:
        self._startup = asyncio.Event()
        self._cancelled = asyncio.Event()
        self._stop_takes = stop_takes
        self._is_stubborn = is_stubborn
        self.calls: list[str] = []
        if start_takes:
            loop.call_later(start_takes, self._startup.set)
        else:
            self._startup.set()

    @property
    def is_starting(self) -> bool:
        return not self._startup.is_set()

    @property
    def has_started(self) -> bool:
        return self._startup.is_set()

    async def started(self) -> None:
        await self._startup.wait()

    async def shutdown(self) -> None:
        self.calls.append("shutdown")
        waiting = asyncio.ensure_future(self._cancelled.wait())
        cleaning = asyncio.ensure_future(self._clean())
        try:
            await asyncio.wait((waiting, cleaning), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            cleaning.cancel()

    async def _clean(self) -> None:
        await self._startup.wait()
        await asyncio.sleep(self._stop_takes)
        self.calls.append("clean")

    def cancel(self) -> None:
        self.calls.append("cancel")
        if not self._is_stubborn:
            self._cancelled.set()

    @property
    def as_lifespan(self) -> Lifespan:
        """Return this as what it stands for; `Lifespan` itself is final."""
        return cast(Lifespan, self)

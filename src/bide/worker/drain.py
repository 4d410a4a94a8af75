"""The way to a stop: announce, delay, queue, idle, cut; then the application. Within `drain_timeout`, or until the worker is forced."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from typing import Any, Final, final

from bide.config import Config
from bide.gateway.asgi import AsgiGateway
from bide.gateway.lifespan import Lifespan
from bide.session.context import SessionContext
from bide.terms import DRAIN, State
from bide.transport.listeners import Listener
from bide.worker.settings import JITTER

_log = logging.getLogger("bide")

# What of a connection is owed: the rest of a request, or of its answer.
_UNFINISHED: Final = frozenset({State.HEAD, State.EXCHANGE, State.DISCARD, State.CLOSING})

# How often to look whether nothing is left, seconds.
_LOOK: Final = 0.02

# Passes of the event loop within which an aborted connection is reported lost; two are needed.
_PASSES: Final = 10

# After the deadline: what was cut gets this long to reach the client, and what was told to end this long to do so, seconds.
_LAST_FLUSH: Final = 1.0


@final
class Drain:
    """Ends a worker's connections, then its application. The deadline counts from when this is made."""

    def __init__(
        self,
        config: Config,
        shared: SessionContext,
        listeners: Sequence[Listener],
        gateway: AsgiGateway,
        lifespan: Lifespan,
        forced: asyncio.Event,
    ) -> None:
        """`forced`: set once nothing is to be waited for any more."""
        self._config = config
        self._shared = shared
        self._listeners = listeners
        self._gateway = gateway
        self._lifespan = lifespan
        self._forced = forced
        self._deadline = time.monotonic() + config.drain_timeout

    async def connections(self) -> None:
        """Let every connection end well that does so in time, and end the others."""
        self._announce()
        await self._forced_within(self._config.drain_delay)
        self._shorten_idle()
        await self._finish_listening()
        self._shorten_idle()  # of those who came last, too
        await self._until_empty()
        await self._cut()

    async def application(self) -> None:
        """End what still runs of the application, and let it clean up."""
        await self._cancel_running()
        await stop_application(self._lifespan, self._forced, self._seconds_left)

    # -- The steps ------------------------------------------------------------------------------------------------------

    def _announce(self) -> None:
        """Announce close on every response from now on."""
        self._shared.standing |= DRAIN
        for session in self._shared.register:
            session.announce()

    def _shorten_idle(self) -> None:
        """Let idle connections send one more request, and not wait for it for long."""
        shared = self._shared
        shared.durations.shorten_idle(self._config.drain_idle)
        now = time.monotonic()
        for session in shared.register:
            session.drain(now + shared.durations.idle * random.uniform(1 - JITTER, 1))

    async def _finish_listening(self) -> None:
        """Accept what the kernel has queued, within the time; then listen no more."""
        door = self._shared.door
        door.last_call()
        finishing = asyncio.gather(*(listener.finish() for listener in self._listeners))
        await _done(finishing, self._forced, self._seconds_left)
        door.close()
        finishing.cancel()
        await asyncio.gather(finishing, return_exceptions=True)
        for listener in self._listeners:
            listener.close()

    async def _until_empty(self) -> None:
        """Wait until no connection is left and no application runs, or the time is over."""
        while (len(self._shared.register) or self._gateway.running) and self._seconds_left > 0:
            if await self._forced_within(min(_LOOK, self._seconds_left)):
                return

    async def _cut(self) -> None:
        """End every connection that is left, and give what was written a moment to leave."""
        register = self._shared.register
        left = list(register)
        unfinished = sum(session.stuck or session.state in _UNFINISHED for session in left)
        for session in left:
            session.stop()
        if unfinished:
            when = "second signal" if self._forced.is_set() else "drain timeout"
            _log.warning("connections cut: %d, which were not done at the %s", unfinished, when)
        if left:
            deadline = time.monotonic() + _LAST_FLUSH
            while len(register) and time.monotonic() < deadline and not self._forced.is_set():
                await asyncio.sleep(_LOOK)
        for session in register:
            session.stop()
        for _ in range(_PASSES):  # aborted: the loop reports each in its next passes
            if not len(register):
                break
            await asyncio.sleep(0)

    async def _cancel_running(self) -> None:
        """Cancel the applications that still run, and wait for them as long as for the last octets."""
        tasks = [cycle.task for cycle in self._gateway.running if cycle.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_LAST_FLUSH)

    # -- The time -------------------------------------------------------------------------------------------------------

    @property
    def _seconds_left(self) -> float:
        """Seconds until the deadline; 0.0 behind it."""
        return max(0.0, self._deadline - time.monotonic())

    async def _forced_within(self, seconds: float) -> bool:
        """Wait that long, or until the worker is forced; return whether it was."""
        if seconds > 0 and not self._forced.is_set():
            try:
                await asyncio.wait_for(self._forced.wait(), seconds)
            except TimeoutError:
                return False
        return self._forced.is_set()


async def stop_application(lifespan: Lifespan, forced: asyncio.Event, seconds: float) -> None:
    """Tell the application to clean up, and wait for that so long, or until the worker is forced; then a moment more."""
    cleaning = asyncio.ensure_future(lifespan.shutdown())
    await _done(cleaning, forced, seconds)
    await asyncio.wait((cleaning,), timeout=_LAST_FLUSH)
    if not cleaning.done():
        _log.error("the application was not done cleaning up in its lifespan: it is cancelled")
        cleaning.cancel()
        lifespan.cancel()


async def _done(work: asyncio.Future[Any], forced: asyncio.Event, seconds: float) -> None:
    """Wait until it is done, or that long, or until the worker is forced."""
    forcing = asyncio.ensure_future(forced.wait())
    await asyncio.wait((work, forcing), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    forcing.cancel()

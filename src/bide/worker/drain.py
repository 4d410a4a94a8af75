"""Stops a worker: announce, delay, backlog, idle, cut; then the application. Within the drain timeout, or at once if forced."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from typing import Any, Final, final

from bide.exchange import Gateway
from bide.gateway.lifespan import Lifespan
from bide.session.context import SessionContext
from bide.terms import DRAIN
from bide.transport.listeners import Listener
from bide.worker.admission import Admission
from bide.worker.register import Register
from bide.worker.settings import JITTER, Draining

_log = logging.getLogger("bide")

# Seconds between looks whether nothing is left.
_LOOK_EVERY: Final = 0.02

# Seconds between looks whether event streams have begun that are to end.
_STREAMS_EVERY: Final = 0.5

# Passes of the event loop within which an aborted connection is reported lost; two are needed.
_PASSES: Final = 10

# After the deadline: seconds for what was cut to reach the client, and for what was told to end to do so.
_LAST_FLUSH: Final = 1.0

#: A startup that is under way when the stop begins has this long to complete, seconds: as long as a clean-up that is forced.
STARTUP_GRACE: Final = 1.0


@final
class Drain:
    """Ends a worker's connections, then its application. The deadline counts from when this is made."""

    def __init__(
        self,
        durations: Draining,
        context: SessionContext,
        register: Register,
        admission: Admission,
        listeners: Sequence[Listener],
        gateway: Gateway,
        lifespan: Lifespan,
        forced: asyncio.Event,
    ) -> None:
        """`forced`: set once nothing is to be waited for any more."""
        self._durations = durations
        self._context = context
        self._register = register
        self._admission = admission
        self._listeners = listeners
        self._gateway = gateway
        self._lifespan = lifespan
        self._forced = forced
        self._deadline = time.monotonic() + durations.timeout

    async def connections(self) -> None:
        """Let every connection end well that does so in time, and end the others."""
        self._announce()
        streams = asyncio.ensure_future(self._end_streams())
        await self._forced_within(self._durations.delay)
        self._shorten_idle()
        await self._finish_listening()
        self._shorten_idle()  # of those who came last, too
        await self._until_empty()
        streams.cancel()
        await self._cut()

    async def application(self) -> None:
        """End what still runs of the application, and let it clean up."""
        await self._cancel_running()
        await stop_application(self._lifespan, self._forced, self._seconds_left)

    # -- The steps ------------------------------------------------------------------------------------------------------

    def _announce(self) -> None:
        """Announce close on every response from now on."""
        self._context.add_facts(DRAIN)
        self._gateway.drain()
        for connection in self._register:
            connection.announce_drain()

    def _shorten_idle(self) -> None:
        """Let idle connections send one more request, and wait for it a short time only."""
        idle = self._context.idle
        idle.shorten(self._durations.idle)
        for connection in self._register:
            connection.shorten_wait(idle.longest * random.uniform(1 - JITTER, 1))

    async def _finish_listening(self) -> None:
        """Accept what the kernel has queued, within the time; then listen no more."""
        self._admission.accept_backlog()
        # One that fails leaves the others their time.
        finishing = asyncio.gather(*(listener.finish() for listener in self._listeners), return_exceptions=True)
        await _done(finishing, self._forced, self._seconds_left)
        self._admission.close()
        finishing.cancel()
        await asyncio.gather(finishing, return_exceptions=True)
        for listener in self._listeners:
            listener.close()
        _log.info("stopped listening: %d open connections", len(self._register))

    async def _end_streams(self) -> None:
        """Have event streams ended, those too that begin meanwhile."""
        await asyncio.sleep(self._durations.streams)
        while True:
            for connection in self._register:
                connection.end_stream()
            await asyncio.sleep(_STREAMS_EVERY)

    async def _until_empty(self) -> None:
        """Wait until no connection is left and no application runs, or the time is over."""
        while (len(self._register) or self._gateway.running) and self._seconds_left > 0:
            if await self._forced_within(min(_LOOK_EVERY, self._seconds_left)):
                return

    async def _cut(self) -> None:
        """End every connection that is left, and give what was written a moment to leave."""
        register = self._register
        left = list(register)
        unfinished = sum(connection.is_unfinished for connection in left)
        for connection in left:
            connection.stop()
        if unfinished:
            when = "second signal" if self._forced.is_set() else "drain timeout"
            _log.warning("%d unfinished connections closed at the %s", unfinished, when)
        if left:
            deadline = time.monotonic() + _LAST_FLUSH
            while len(register) and time.monotonic() < deadline and not self._forced.is_set():
                await asyncio.sleep(_LOOK_EVERY)
        for connection in register:
            connection.stop()
        for _ in range(_PASSES):  # aborted: the loop reports each in its next passes
            if not len(register):
                break
            await asyncio.sleep(0)

    async def _cancel_running(self) -> None:
        """Cancel the applications that still run, and wait for them as long as for the last octets."""
        self._gateway.cancel()
        deadline = time.monotonic() + _LAST_FLUSH
        while self._gateway.running and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_EVERY)

    # -- The time -------------------------------------------------------------------------------------------------------

    @property
    def _seconds_left(self) -> float:
        """Seconds until the deadline, 0.0 once it has passed."""
        return max(0.0, self._deadline - time.monotonic())

    async def _forced_within(self, seconds: float) -> bool:
        """Wait until `seconds` pass or a stop is forced; return whether it is."""
        if seconds > 0 and not self._forced.is_set():
            try:
                await asyncio.wait_for(self._forced.wait(), seconds)
            except TimeoutError:
                return False
        return self._forced.is_set()


async def stop_application(lifespan: Lifespan, forced: asyncio.Event, seconds: float) -> None:
    """Let a startup that is under way complete in STARTUP_GRACE, then tell the application to clean up, and wait for that.

    Waits for `seconds` in all, or until the worker is forced, and then a moment more. Cancels what is not done by then.
    """
    deadline = time.monotonic() + seconds
    was_starting = lifespan.is_starting
    cleaning = asyncio.ensure_future(lifespan.shutdown())
    if was_starting:
        starting = asyncio.ensure_future(lifespan.started())
        await _done(starting, forced, STARTUP_GRACE)
        starting.cancel()
    if lifespan.is_starting:
        when = "when the stop was forced" if forced.is_set() else f"{STARTUP_GRACE:g} s after the stop had begun"
        _log.warning("startup cancelled: not complete %s", when)
    else:
        if was_starting and lifespan.has_started:
            _log.info("startup completed after the stop had begun: the application cleans up")
        await _done(cleaning, forced, max(0.0, deadline - time.monotonic()))
        await asyncio.wait((cleaning,), timeout=_LAST_FLUSH)
        if cleaning.done():
            return
        _log.error("the application was not done cleaning up in its lifespan: it is cancelled")
    lifespan.cancel()
    await asyncio.wait((cleaning,), timeout=_LAST_FLUSH)
    cleaning.cancel()


async def _done(work: asyncio.Future[Any], forced: asyncio.Event, seconds: float) -> None:
    """Wait until `work` is done, `seconds` pass or a stop is forced."""
    forcing = asyncio.ensure_future(forced.wait())
    await asyncio.wait((work, forcing), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    forcing.cancel()

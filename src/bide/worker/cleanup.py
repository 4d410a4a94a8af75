"""Stops an application: lets its startup complete, then has it clean up."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final

from bide.gateway.lifespan import Lifespan

_log = logging.getLogger("bide")

#: Seconds that a startup under way may still take when the stop begins. A forced clean-up has the
#: same.
STARTUP_GRACE: Final = 1.0

# Seconds for an application that was told to end to do so, after its time is over.
_LAST_WAIT_S: Final = 1.0


async def stop_application(lifespan: Lifespan, forced: asyncio.Event, seconds: float) -> None:
    """Let a startup under way complete within STARTUP_GRACE, then run the lifespan shutdown.

    Waits `seconds` in all, or until a stop is forced, plus one last second. Then cancels the
    lifespan.
    """
    deadline = time.monotonic() + seconds
    was_starting = lifespan.is_starting
    cleaning = asyncio.ensure_future(lifespan.shutdown())
    if was_starting:
        starting = asyncio.ensure_future(lifespan.started())
        await wait_for(starting, forced, STARTUP_GRACE)
        starting.cancel()
    if lifespan.is_starting:
        when = "when the stop was forced" if forced.is_set() else f"{STARTUP_GRACE:g} s after the stop had begun"
        _log.warning("startup cancelled: not complete %s", when)
    else:
        if was_starting and lifespan.has_started:
            _log.info("startup completed after the stop had begun: the application cleans up")
        await wait_for(cleaning, forced, max(0.0, deadline - time.monotonic()))
        await asyncio.wait((cleaning,), timeout=_LAST_WAIT_S)
        if cleaning.done():
            return
        _log.error("clean-up cancelled: the application had not ended its lifespan")
    lifespan.cancel()
    await asyncio.wait((cleaning,), timeout=_LAST_WAIT_S)
    cleaning.cancel()


async def wait_for(work: asyncio.Future[Any], forced: asyncio.Event, seconds: float) -> None:
    """Wait until `work` is done, `seconds` pass or a stop is forced."""
    forcing = asyncio.ensure_future(forced.wait())
    await asyncio.wait((work, forcing), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    forcing.cancel()

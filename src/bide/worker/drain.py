"""Stops a worker within the drain timeout, or at once if forced.

The steps are: announce, delay, backlog, idle, cut, application.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, final

from bide.exchange import Gateway
from bide.session.context import SessionContext
from bide.terms import DRAIN, State
from bide.transport.listeners import Listener
from bide.worker.admission import Admission
from bide.worker.cleanup import wait_for
from bide.worker.register import Register
from bide.worker.settings import JITTER, Draining

_log = logging.getLogger("bide")

# Seconds between checks that no connection is left.
_LOOK_EVERY_S: Final = 0.02

# Seconds between checks for new event streams, which are to end.
_STREAMS_EVERY_S: Final = 0.5

# Seconds between the tunnels that are closed at a time.
_TUNNELS_EVERY_S: Final = 0.05

# Passes of the event loop within which an aborted connection is reported lost. Two are needed.
_MAX_PASSES: Final = 10

# Seconds after the deadline: for octets of closed connections to reach the client, and for
# cancelled tasks to end.
_LAST_FLUSH_S: Final = 1.0


@final
class Drain:
    """Ends a worker's connections, then its application. The drain timeout starts with it."""

    def __init__(
        self,
        durations: Draining,
        context: SessionContext,
        register: Register,
        admission: Admission,
        listeners: Sequence[Listener],
        gateway: Gateway,
        clean_up: Callable[[float], Awaitable[None]],
        forced: asyncio.Event,
        *,
        is_last: bool = True,
    ) -> None:
        """Keep the parts of the worker.

        forced: set once the stop is forced.
        is_last: whether no other worker goes on to accept from its listening sockets.
        """
        self._durations = durations
        self._context = context
        self._register = register
        self._admission = admission
        self._listeners = listeners
        self._gateway = gateway
        self._clean_up = clean_up
        self._forced = forced
        self._is_last = is_last
        self._deadline = time.monotonic() + durations.timeout

    async def connections(self) -> None:
        """Let connections end in order until the deadline, then close the others."""
        self._announce()
        streams = asyncio.ensure_future(self._end_streams())
        tunnels = asyncio.ensure_future(self._close_tunnels())
        if self._is_last:
            await self._forced_within(self._durations.delay)
            self._shorten_idle()
            await self._finish_listening()
        else:  # other workers accept the backlog
            self._stop_listening()
        self._shorten_idle()  # for connections accepted from the backlog
        await self._until_empty()
        streams.cancel()
        tunnels.cancel()
        await self._cut()

    async def application(self) -> None:
        """Cancel the application's remaining tasks, then let it clean up."""
        await self._cancel_running()
        await self._clean_up(self._seconds_left)

    # -- The steps ---------------------------------------------------------------------------------

    def _announce(self) -> None:
        """Announce close on every response from now on."""
        self._context.add_facts(DRAIN)
        self._gateway.drain()
        for connection in self._register:
            connection.announce_drain()

    def _shorten_idle(self) -> None:
        """Shorten the time for which idle connections may send one more request."""
        idle = self._context.idle
        idle.shorten(self._durations.idle)
        for connection in self._register:
            connection.shorten_wait(idle.longest * random.uniform(1 - JITTER, 1))

    async def _finish_listening(self) -> None:
        """Accept the listen backlog until the deadline, then close the listeners."""
        self._admission.accept_backlog()
        # A listener that fails does not end the wait for the others.
        finishing = asyncio.gather(*(listener.finish() for listener in self._listeners), return_exceptions=True)
        await wait_for(finishing, self._forced, self._seconds_left)
        finishing.cancel()
        await asyncio.gather(finishing, return_exceptions=True)
        self._stop_listening()

    def _stop_listening(self) -> None:
        """Close the listeners."""
        self._admission.close()
        for listener in self._listeners:
            listener.close()
        _log.info("stopped listening: %d open connections", len(self._register))

    async def _end_streams(self) -> None:
        """End event streams, including streams that begin during the drain."""
        await asyncio.sleep(self._durations.streams)
        while True:
            for connection in self._register:
                connection.end_stream()
            await asyncio.sleep(_STREAMS_EVERY_S)

    async def _close_tunnels(self) -> None:
        """Close tunnels, spread over a while, so that their clients do not all connect anew at
        once; then those that were opened during the drain.
        """
        spread = self._durations.tunnels / 2
        await asyncio.sleep(self._durations.delay + spread)
        tunnels = [connection for connection in self._register if connection.state is State.TUNNEL]
        random.shuffle(tunnels)
        steps = max(1, round(spread / _TUNNELS_EVERY_S))
        for step in range(steps):
            for connection in tunnels[step::steps]:
                connection.drain_tunnel()
            await asyncio.sleep(min(_TUNNELS_EVERY_S, spread))
        while True:
            for connection in self._register:
                connection.drain_tunnel()
            await asyncio.sleep(_STREAMS_EVERY_S)

    async def _until_empty(self) -> None:
        """Wait until no connection is left and no application runs, or until the deadline."""
        while (len(self._register) or self._gateway.running) and self._seconds_left > 0:
            if await self._forced_within(min(_LOOK_EVERY_S, self._seconds_left)):
                return

    async def _cut(self) -> None:
        """Close every connection that is left; wait at most one second for its output."""
        register = self._register
        left = list(register)
        unfinished = sum(connection.is_unfinished for connection in left)
        for connection in left:
            connection.stop()
        if unfinished:
            when = "second signal" if self._forced.is_set() else "drain timeout"
            _log.warning("%d unfinished connections closed at the %s", unfinished, when)
        if left:
            deadline = time.monotonic() + _LAST_FLUSH_S
            while len(register) and time.monotonic() < deadline and not self._forced.is_set():
                await asyncio.sleep(_LOOK_EVERY_S)
        for connection in register:
            connection.stop()
        for _ in range(_MAX_PASSES):  # the event loop reports aborted connections in its next passes
            if not len(register):
                break
            await asyncio.sleep(0)

    async def _cancel_running(self) -> None:
        """Cancel the tasks of the application that still run; wait up to one second for them."""
        self._gateway.cancel()
        deadline = time.monotonic() + _LAST_FLUSH_S
        while self._gateway.running and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_EVERY_S)

    # -- The time ----------------------------------------------------------------------------------

    @property
    def _seconds_left(self) -> float:
        """Seconds until the deadline, 0.0 once it has passed."""
        return max(0.0, self._deadline - time.monotonic())

    async def _forced_within(self, seconds: float) -> bool:
        """Wait until `seconds` pass or a stop is forced; return whether it is forced."""
        if seconds > 0 and not self._forced.is_set():
            try:
                await asyncio.wait_for(self._forced.wait(), seconds)
            except TimeoutError:
                return False
        return self._forced.is_set()

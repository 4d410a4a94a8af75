"""Admits connections within the limits: sheds idle connections for room, then pauses accepting."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, final

from bide.http1.lifetime import HANDSHAKE, LINGER
from bide.managed import ManagedConnection
from bide.policy.admission import is_refused, must_pause, needs_room, shed_batch
from bide.session.peers import Peers
from bide.transport.listeners import Listener
from bide.worker.pressure import lowest_descriptor
from bide.worker.register import Register
from bide.worker.share import Share

_log = logging.getLogger("bide")

# While accepting is paused: seconds between checks for free slots, and the largest share of time
# that checks may take.
_LOOK_EVERY_S: Final = 0.05
_LOOK_SHARE: Final = 0.02
# Seconds for which a new connection without a request is not shed: its request may be on the way.
_NEWCOMER_AGE_S: Final = 1.0


@final
class Admission:
    """Admits the connections of one worker.

    is_paused: whether new connections wait in the listen backlog.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        register: Register,
        peers: Peers,
        listeners: Sequence[Listener] = (),
        *,
        limit: int,
        descriptors: int,
        overflow: int,
        per_peer: int,
        share: Share | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Keep the limits.

        limit: number of connections.
        descriptors: the highest descriptor to use.
        overflow: number of connections beyond `limit` that are answered 503 instead of waiting.
        per_peer: number of connections of one address; 0 for no limit.
        share: what this worker has in common with others; None without others.
        """
        self._loop = loop
        self._register = register
        self._peers = peers
        self._listeners = listeners
        self._limit = limit
        self._descriptors = descriptors
        self._overflow = overflow
        self._per_peer = per_peer
        self._share = share
        self._clock = clock
        self._of_peer: dict[str, int] = {}
        self._leaving: set[ManagedConnection] = set()  # shed, and not closed yet
        self._next_look: asyncio.TimerHandle | None = None
        self._has_warned = False
        self._accepts_backlog = False
        self.is_paused = False

    def admit(self, connection: ManagedConnection, descriptor: int) -> None:
        """Admit or refuse an accepted connection, which is in the register.

        descriptor: number of its socket.
        """
        if self._share is not None:
            self._share.held(len(self._register))
        self.introduced(connection)
        has_descriptors = descriptor < self._descriptors
        if self._accepts_backlog:
            if not has_descriptors:
                self._pause()
            return
        free = self._free_slots()
        if is_refused(free, self._overflow):
            connection.refuse()
        if needs_room(free, has_descriptors):
            self.make_room(descriptor)

    def introduced(self, connection: ManagedConnection) -> None:
        """Count a connection for its peer, once that is known; refuse it if there are too many."""
        host = connection.host
        if self._per_peer and host:
            count = self._of_peer[host] = self._of_peer.get(host, 0) + 1
            if count > self._per_peer and not self._shed_one_of(host):
                connection.refuse()

    def closed(self, connection: ManagedConnection) -> None:
        """Take the news that a connection is closed."""
        if self._share is not None:
            self._share.held(len(self._register))
            for listener in self._listeners:
                listener.fewer_held()
        self._leaving.discard(connection)
        host = connection.host
        if self._per_peer and host:
            count = self._of_peer[host] - 1
            if count:
                self._of_peer[host] = count
            else:
                del self._of_peer[host]
        if self.is_paused:
            self._look()

    def make_room(self, descriptor: int) -> None:
        """Shed idle connections; pause accepting if that frees nothing.

        descriptor: the highest in use.
        """
        idle = self._idle()
        self._shed_some(idle, shed_batch(len(idle)))
        if must_pause(self._free_slots(), self._overflow, descriptor < self._descriptors, bool(self._leaving)):
            self._pause()

    def accept_backlog(self) -> None:
        """Admit the listen backlog from now on, beyond the limit too, while there are descriptors.

        Each listener accepts again by itself. The pause ends, so that another can begin.
        """
        self._accepts_backlog = True
        self._end_pause()

    def close(self) -> None:
        """Stop the checks for room, since the listeners are closed."""
        self._listeners = ()
        self._end_pause()

    def _free_slots(self) -> int:
        return self._limit - len(self._register) - self._others() + len(self._leaving)

    def _others(self) -> int:
        return 0 if self._share is None else self._share.others()

    # -- Pausing -----------------------------------------------------------------------------------

    def _pause(self) -> None:
        if self.is_paused:
            return
        self.is_paused = True
        if not self._has_warned:
            self._has_warned = True
            if self._free_slots() <= 0:
                limit, name = self._limit, "--limit-connections"
            else:
                limit, name = self._descriptors, "ulimit -n, less a reserve"
            _log.warning(
                "accepting paused: %d busy connections, limit %d (%s); new connections wait in the listen backlog",
                len(self._register) + self._others(),
                limit,
                name,
            )
        for listener in self._listeners:
            listener.pause()
        self._next_look = self._loop.call_later(_LOOK_EVERY_S, self._look)

    def _end_pause(self) -> None:
        self.is_paused = False
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None

    def _look(self) -> None:
        """Resume accepting if there is room. If connections wait without room, shed idle ones
        first.
        """
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None
        began = self._clock()
        if not self._has_room() and not self._leaving and any(listener.waiting() for listener in self._listeners):
            idle = self._idle()
            self._shed_some(idle, shed_batch(len(idle)))
        if self._has_room():
            self.is_paused = False
            for listener in self._listeners:
                listener.accept()
        else:
            took = self._clock() - began
            self._next_look = self._loop.call_later(max(_LOOK_EVERY_S, took / _LOOK_SHARE), self._look)

    def _has_room(self) -> bool:
        if self._free_slots() <= 0 and not self._accepts_backlog:
            return False
        return lowest_descriptor() < self._descriptors

    # -- Shedding ----------------------------------------------------------------------------------

    def _idle(self) -> list[ManagedConnection]:
        now = self._clock()
        return [connection for connection in self._register if connection.may_be_shed(now, _NEWCOMER_AGE_S)]

    def _shed_some(self, idle: list[ManagedConnection], count: int) -> int:
        """Shed up to `count` connections; return how many were shed.

        Lingering connections come first, then slow handshakes, then connections of peers that
        rarely reuse them, then the longest idle. One whose next request has just arrived stays, and
        the next one goes.
        """
        peers = self._peers

        worth = [
            (_rank(connection), not peers.rarely_reuse(connection.host), connection.waiting_since, place)
            for place, connection in enumerate(idle)
        ]
        heapq.heapify(worth)
        shed = 0
        while worth and shed < count:
            connection = idle[heapq.heappop(worth)[-1]]
            if connection.shed():
                self._leaving.add(connection)
                shed += 1
        return shed

    def _shed_one_of(self, host: str) -> int:
        return self._shed_some([connection for connection in self._idle() if connection.host == host], 1)


def _rank(connection: ManagedConnection) -> int:
    """Return how late a connection is shed, by its state.

    One that lingers has its response. One whose handshake is slow has shown nothing yet, so that a
    flood of them cannot take the place of idle clients.
    """
    if connection.state is LINGER:
        return 0
    return 1 if connection.state is HANDSHAKE else 2

"""Lets connections in as far as there is room, and makes room: sheds the longest idle, then pauses accepting."""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from typing import TYPE_CHECKING, Final, final

from bide.policy.admission import shed_batch
from bide.transport.listeners import Listener
from bide.worker.peers import Peers
from bide.worker.register import Register

if TYPE_CHECKING:
    from bide.worker.session import Session

_log = logging.getLogger("bide")

# While accepting is paused: how often to look for room, seconds.
_LOOK: Final = 0.05
# A connection on which nothing was asked yet is not shed before that, seconds: its request may be on the way.
_NEWCOMER: Final = 1.0


@final
class Door:
    """See the module. `paused`: whether newcomers wait in the kernel's queue."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        register: Register,
        peers: Peers,
        *,
        limit: int,
        descriptors: int,
        overflow: int,
        per_peer: int,
    ) -> None:
        """Limits, counted: limit: connections. descriptors: the highest descriptor to use. overflow: connections beyond
        `limit` that are answered 503 instead of waiting. per_peer: connections of one address; 0 for no limit.
        """
        self._loop = loop
        self._register = register
        self._peers = peers
        self._limit = limit
        self._descriptors = descriptors
        self._overflow = overflow
        self._per_peer = per_peer
        self._of_peer: dict[str, int] = {}
        self._leaving = 0  # shed, and not gone yet
        self._look_again: asyncio.TimerHandle | None = None
        self._told = False
        self._closed = False
        self.listeners: list[Listener] = []
        self.paused = False

    def entered(self, session: Session, descriptor: int) -> None:
        """A connection was accepted."""
        if self._per_peer:
            host = session.host
            count = self._of_peer[host] = self._of_peer.get(host, 0) + 1
            if count > self._per_peer and not self._shed(1, host):
                session.refuse()
        if self._closed:  # what the kernel has queued is served, limit or not
            return
        over = len(self._register) - self._leaving - self._limit
        if self._overflow and over > 0:
            session.refuse()
        if over >= 0 or descriptor >= self._descriptors:
            self._make_room(descriptor)

    def left(self, session: Session) -> None:
        """A connection is no more."""
        if session.shed_before:
            self._leaving -= 1
        if self._per_peer:
            host = session.host
            count = self._of_peer[host] - 1
            if count:
                self._of_peer[host] = count
            else:
                del self._of_peer[host]
        if self.paused:
            self._look()

    def close(self) -> None:
        """Look for room no more: the listeners are being closed."""
        self._closed = True
        if self._look_again is not None:
            self._look_again.cancel()

    # -- Within ---------------------------------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """How many more connections the limits allow, those to be refused included."""
        return self._room() + self._overflow

    def _room(self) -> int:
        return self._limit - len(self._register) + self._leaving

    def _make_room(self, descriptor: int) -> None:
        """Shed idle connections; if there are none, accept no more for now, or refuse as many as the user allows."""
        idle = self._idle()
        self._shed_some(idle, shed_batch(len(idle)))
        if self._room() > 0 and (descriptor < self._descriptors or self._leaving):
            return
        if self._room() <= -self._overflow or descriptor >= self._descriptors:
            self._pause()

    def _pause(self) -> None:
        if self.paused or self._closed:
            return
        self.paused = True
        if not self._told:
            self._told = True
            _log.warning(
                "every connection that the limit allows (%d) is busy: newcomers wait in the kernel's queue; "
                "raise --limit-connections or the descriptor limit (ulimit -n)",
                self._limit,
            )
        for listener in self.listeners:
            listener.pause()
        self._look_again = self._loop.call_later(_LOOK, self._look)

    def _look(self) -> None:
        """While paused: let newcomers in if there is room, or make some if any wait."""
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None
        if self._closed:
            return
        if self._room() <= 0 and not self._leaving and any(listener.waiting() for listener in self.listeners):
            idle = self._idle()
            self._shed_some(idle, shed_batch(len(idle)))
        if self._room() > 0:
            self.paused = False
            for listener in self.listeners:
                listener.resume()
        else:
            self._look_again = self._loop.call_later(_LOOK, self._look)

    def _idle(self) -> list[Session]:
        now = time.monotonic()
        return [
            session
            for session in self._register.sessions
            if session.may_be_shed(now, _NEWCOMER) and not session.shed_before
        ]

    def _shed_some(self, idle: list[Session], count: int) -> int:
        """Shed up to `count` of them: first those whose peers gain little from persistence, then the longest idle."""
        peers = self._peers

        def worth(session: Session) -> tuple[bool, float]:
            return (not peers.gain_little(session.host), session.idle_since)

        shed = 0
        for session in heapq.nsmallest(count, idle, key=worth):
            if session.shed():
                shed += 1
        self._leaving += shed
        return shed

    def _shed(self, count: int, host: str) -> int:
        return self._shed_some([session for session in self._idle() if session.host == host], count)

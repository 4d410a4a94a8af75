"""Lets connections in as far as there is room, and makes room: sheds the longest idle, then pauses accepting."""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from typing import TYPE_CHECKING, Final, final

from bide.http1.lifetime import LINGER
from bide.policy.admission import shed_batch
from bide.session.peers import Peers
from bide.transport.listeners import Listener
from bide.worker.pressure import lowest_descriptor
from bide.worker.register import Register

if TYPE_CHECKING:
    from bide.session.session import Session

_log = logging.getLogger("bide")

# While accepting is paused: how often to look for room, seconds; and of all time the part that may be spent looking.
_LOOK: Final = 0.05
_LOOKING: Final = 0.02
# A connection on which nothing was asked yet is not shed before that, seconds: its request may be on the way.
_NEWCOMER: Final = 1.0


@final
class Admission:
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
        self._last_call = False
        self.listeners: list[Listener] = []
        self.paused = False

    def entered(self, session: Session, descriptor: int) -> None:
        """A connection was accepted."""
        host = session.host
        if self._per_peer and host:
            count = self._of_peer[host] = self._of_peer.get(host, 0) + 1
            if count > self._per_peer and not self._shed_one_of(host):
                session.refuse()
        over = len(self._register) - self._leaving - self._limit
        if self._last_call:
            if descriptor >= self._descriptors:
                self._pause()
            return
        if self._overflow and over > 0:
            session.refuse()
        if over >= 0 or descriptor >= self._descriptors:
            self.make_room(descriptor)

    def left(self, session: Session) -> None:
        """A connection is no more."""
        if session.shed_before:
            self._leaving -= 1
        host = session.host
        if self._per_peer and host:
            count = self._of_peer[host] - 1
            if count:
                self._of_peer[host] = count
            else:
                del self._of_peer[host]
        if self.paused:
            self._look()

    def make_room(self, descriptor: int) -> None:
        """Shed idle connections; if there are none, accept no more for now, or refuse as many as the user allows.

        `descriptor`: the highest in use.
        """
        idle = self._idle()
        self._shed_some(idle, shed_batch(len(idle)))
        if self._room() > 0 and (descriptor < self._descriptors or self._leaving):
            return
        if self._room() <= -self._overflow or descriptor >= self._descriptors:
            self._pause()

    def last_call(self) -> None:
        """What the kernel has queued is let in from now on, limit or not, as far as there are descriptors."""
        self._last_call = True

    def close(self) -> None:
        """Look for room no more: the listeners are closed."""
        self.listeners = []
        self.paused = False
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None

    # -- Within ---------------------------------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """How many more connections the limits allow, those to be refused included."""
        return self._room() + self._overflow

    def _room(self) -> int:
        return self._limit - len(self._register) + self._leaving

    def _pause(self) -> None:
        if self.paused:
            return
        self.paused = True
        if not self._told:
            self._told = True
            _log.warning(
                "%d connections are busy, which is all that %s allows: newcomers wait in the kernel's queue",
                len(self._register),
                "--limit-connections" if self._room() <= 0 else "the descriptor limit (ulimit -n)",
            )
        for listener in self.listeners:
            listener.pause()
        self._look_again = self._loop.call_later(_LOOK, self._look)

    def _look(self) -> None:
        """While paused: let newcomers in if there is room, or make some if any wait."""
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None
        began = time.monotonic()
        if not self._has_room() and not self._leaving and any(listener.waiting() for listener in self.listeners):
            idle = self._idle()
            self._shed_some(idle, shed_batch(len(idle)))
        if self._has_room():
            self.paused = False
            for listener in self.listeners:
                listener.resume()
        else:
            took = time.monotonic() - began
            self._look_again = self._loop.call_later(max(_LOOK, took / _LOOKING), self._look)

    def _has_room(self) -> bool:
        return (self._room() > 0 or self._last_call) and lowest_descriptor() < self._descriptors

    def _idle(self) -> list[Session]:
        now = time.monotonic()
        return [session for session in self._register.sessions if session.may_be_shed(now, _NEWCOMER)]

    def _shed_some(self, idle: list[Session], count: int) -> int:
        """Shed up to `count` of them: first those that have ended and only linger, then those whose peers gain little from
        persistence, then the longest idle.
        """
        peers = self._peers

        def worth(session: Session) -> tuple[bool, bool, float]:
            return (session.state is not LINGER, not peers.rarely_reuse(session.host), session.idle_since)

        shed = 0
        for session in heapq.nsmallest(count, idle, key=worth):
            if session.shed():
                shed += 1
        self._leaving += shed
        return shed

    def _shed_one_of(self, host: str) -> int:
        return self._shed_some([session for session in self._idle() if session.host == host], 1)

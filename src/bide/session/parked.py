"""Keeps what must be remembered of an idle connection, in place of its wire, session and protocol
object.
"""

from __future__ import annotations

from typing import Final, final

from bide.http1.lifetime import IDLE
from bide.managed import ManagedConnection
from bide.session.context import SessionContext
from bide.terms import Address, CloseReason, State

# Stands for the port of a peer that has none, as on a Unix socket.
_NO_PORT: Final = -1


@final
class ParkedSession(ManagedConnection):
    """Stands for an idle connection. Any fact or order wakes it first, except those that only
    change its deadline.

    descriptor: number of the socket.
    served: number of requests begun.
    since: loop time in seconds at which the idle clock was started.
    limits: as the session has drawn them.
    local: the address of this end.
    """

    __slots__ = ("_context", "_host", "_port", "descriptor", "limits", "local", "scheme", "served", "since")

    def __init__(
        self,
        context: SessionContext,
        descriptor: int,
        peer: Address | None,
        local: Address | None,
        scheme: str,
        served: int,
        since: float,
        deadline: float,
        limits: tuple[float, float] | None,
    ) -> None:
        self._context = context
        self.descriptor = descriptor
        self._host = ""
        self._port = _NO_PORT
        if peer is not None:
            self._host, port = peer
            if port is not None:
                self._port = port
        self.local = local
        self.scheme = scheme
        self.served = served
        self.since = since
        self.deadline = deadline
        self.limits = limits

    @property
    def peer(self) -> Address | None:
        """The address of the peer; None if it has none."""
        if not self._host:
            return None
        return (self._host, None if self._port == _NO_PORT else self._port)

    # -- Questions ---------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return IDLE

    @property
    def requests(self) -> int:
        return self.served

    @property
    def host(self) -> str:
        return self._host

    @property
    def waiting_since(self) -> float:
        return self.since

    @property
    def is_unfinished(self) -> bool:
        return False

    def may_be_shed(self, now: float, newcomer: float) -> bool:
        return True

    # -- Orders ------------------------------------------------------------------------------------

    def _wake(self) -> ManagedConnection:
        return self._context.manager.wake(self, self.descriptor)

    def deadline_reached(self, now: float) -> None:
        if now + self._context.idle.cut >= self.deadline:
            self._wake().deadline_reached(now)

    def shorten_wait(self, seconds: float) -> None:
        self.deadline = min(self.deadline, self._context.clock() + seconds)

    def shed(self) -> bool:
        return self._wake().shed()

    def refuse(self) -> None:
        self._wake().refuse()

    def stop(self) -> None:
        self._wake().stop()

    def fail_internal(self) -> None:
        self._wake().fail_internal()

    def watch_output(self, now: float) -> None:
        pass  # nothing is unsent

    def watch_peer(self, now: float) -> None:
        pass  # octets, EOF and a reset wake it

    def announce_drain(self) -> None:
        pass  # it learns of the drain when it wakes

    def drain_tunnel(self) -> None:
        pass

    def end_stream(self) -> None:
        pass  # it has none

    # -- Facts that a wire at rest does not report -------------------------------------------------

    def ready(self) -> None:
        pass

    def introduced(self) -> None:
        pass

    def rejected(self, reason: CloseReason, detail: str, is_plain: bool) -> None:
        pass

    def octets_received(self, data: bytes) -> None:
        pass

    def go_on(self) -> None:
        pass

    def eof_received(self) -> None:
        pass

    def write_paused(self) -> None:
        pass

    def write_resumed(self) -> None:
        pass

    def flushed(self) -> None:
        pass

    def lost(self) -> None:
        pass

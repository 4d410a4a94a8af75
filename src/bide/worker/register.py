"""The book of connections, and the sweep that looks at their deadlines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from bide.session.session import Session


@final
class Register:
    """Every open connection of a worker, in the order of arrival.

    stuck: those whose output the client does not take: their progress is looked at in each sweep.
    unread: those of which the event loop would not report a reset, since nothing is read from them: paused, or past their EOF
    with an answer owed. In each sweep it is looked whether they are still there.
    """

    __slots__ = ("sessions", "stuck", "unread")

    def __init__(self) -> None:
        self.sessions: dict[Session, None] = {}
        self.stuck: set[Session] = set()
        self.unread: set[Session] = set()

    def __len__(self) -> int:
        return len(self.sessions)

    def __iter__(self) -> Iterator[Session]:
        """Go through them; they may come and go meanwhile."""
        return iter(list(self.sessions))

    def add(self, session: Session) -> None:
        """Enter an accepted connection."""
        self.sessions[session] = None

    def remove(self, session: Session) -> None:
        """Strike out a connection that is no more."""
        del self.sessions[session]
        self.stuck.discard(session)
        self.unread.discard(session)

    def sweep(self, now: float, idle_cut: float) -> None:
        """Let every clock that has run out at `now` have its effect; the idle clock runs `idle_cut` seconds shorter."""
        for session in list(self.unread):
            guarded(session, session.watch_peer, now)
        for session in list(self.stuck):
            guarded(session, session.watch_output, now)
        horizon = now + idle_cut
        for session in [session for session in self.sessions if session.deadline <= horizon]:
            if session.deadline <= now or session.is_idle:
                guarded(session, session.deadline_reached, now)


def guarded(session: Session, look: Callable[[float], None], now: float) -> None:
    """What fails in one session, which is our fault, must not keep the clocks of the others from running out."""
    try:
        look(now)
    except Exception:
        session.fail_internal()

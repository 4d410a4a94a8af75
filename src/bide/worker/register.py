"""The book of connections, and the sweep that looks at their deadlines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from bide.worker.session import Session


@final
class Register:
    """Every open connection of a worker, in the order of arrival."""

    __slots__ = ("_sessions", "stuck")

    def __init__(self) -> None:
        self._sessions: dict[Session, None] = {}
        #: Those whose output the client does not take: their progress is looked at in each sweep.
        self.stuck: set[Session] = set()

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions))

    def add(self, session: Session) -> None:
        """Enter an accepted connection."""
        self._sessions[session] = None

    def remove(self, session: Session) -> None:
        """Strike out a connection that is no more."""
        del self._sessions[session]
        self.stuck.discard(session)

    def sweep(self, now: float) -> None:
        """Let every clock that has run out at `now` have its effect."""
        for session in list(self.stuck):
            session.watch_output(now)
        for session in [session for session in self._sessions if session.deadline <= now]:
            session.deadline_reached(now)

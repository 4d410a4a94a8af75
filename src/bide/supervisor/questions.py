"""Asks workers for their open connections."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, final

from bide.channel import Answer, Ask
from bide.supervisor.fleet import Member

# For workers to tell of their connections; most that each of them lists.
_ANSWER_WITHIN_S: Final = 1.0
_LISTED: Final = 1000


@final
class Questions:
    """Matches answers with questions, by number."""

    def __init__(self) -> None:
        """Begin."""
        self._asked = 0  # so far
        self._answers: dict[int, asyncio.Future[Sequence[Mapping[str, Any]]]] = {}

    async def ask(self, members: Mapping[int, Member]) -> dict[str, Any]:
        """Return what workers know of their connections, and which workers did not tell in time.

        Workers that were never ready are not asked.
        """
        asked: dict[int, asyncio.Future[Sequence[Mapping[str, Any]]]] = {}
        first = self._asked
        for number, member in members.items():
            if member.urls:  # it was ready
                asked[number] = self._answers[self._asked] = asyncio.get_running_loop().create_future()
                member.process.channel.send(Ask(self._asked, _LISTED))
                self._asked += 1
        if asked:
            await asyncio.wait(asked.values(), timeout=_ANSWER_WITHIN_S)
        for question in range(first, first + len(asked)):
            del self._answers[question]
        rows = [{"worker": number, **row} for number, told in asked.items() if told.done() for row in told.result()]
        return {"connections": rows, "silent": [number for number, told in asked.items() if not told.done()]}

    def answered(self, answer: Answer) -> None:
        """Take an answer. One that comes too late says nothing."""
        if answer.number in self._answers:
            self._answers[answer.number].set_result(answer.connections)

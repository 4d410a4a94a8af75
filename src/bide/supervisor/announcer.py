"""Announces that a generation of workers serves, or why it was given up."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import Final, final

from bide.pid_file import PidFile
from bide.policy.staffing import Fleet
from bide.supervisor.fleet import Member
from bide.supervisor.service import Notifier
from bide.terms import WorkerState

_log = logging.getLogger("bide")

#: Why a reload or an upgrade fails during a stop.
STOPPING: Final = "the server is stopping"


@final
class Announcer:
    """Tells the log, systemd and clients that wait for a reload.

    announced: the last generation that was said to serve; 0 for none.
    urls: that clients of that generation connect to.
    failed_reload: why the last reload has failed; "" if it has not.
    """

    def __init__(
        self,
        notifier: Notifier,
        pid_file: PidFile | None,
        generation: int,
        *,
        announced: int = 0,
        urls: list[str] | None = None,
    ) -> None:
        """Begin. generation: of the workers that are started at first."""
        self._notifier = notifier
        self._pid_file = pid_file
        self._generation = generation  # as of the last look
        self._waiters: list[tuple[int, asyncio.Future[str]]] = []
        self.announced = announced
        self.urls = urls or []
        self.failed_reload = ""

    async def ended(self, generation: int) -> str:
        """Wait until the reload to a generation ends; return why it failed, "" if it did not."""
        waiter: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiters.append((generation, waiter))
        return await waiter

    def look(self, fleet: Fleet, members: Mapping[int, Member], reason: str, traceback: str) -> None:
        """Announce that the workers of a generation serve, and no others, or that it was given up.

        reason: of the last early end.
        traceback: of the application's error that caused it; "" without one.
        """
        before, self._generation = self._generation, fleet.generation
        if fleet.generation < before:
            self.refused(reason, f"\n{traceback.rstrip()}" if traceback else "")
            self._tell(fleet.newest, reason)
            return
        fresh = [
            worker.number
            for worker in fleet.workers
            if worker.state is WorkerState.READY and worker.generation == fleet.generation
        ]
        has_others = any(member.accepts and member.generation != fleet.generation for member in members.values())
        if self.announced < fleet.generation and len(fresh) >= fleet.wanted and not has_others:
            self.announced = fleet.generation
            self.urls = members[fresh[0]].urls
            self.failed_reload = ""
            _log.info("serving on %s (process %d, %d workers)", ", ".join(self.urls), os.getpid(), fleet.wanted)
            if self._pid_file is not None:
                self._pid_file.write()
            self._notifier.ready(f"{fleet.wanted} workers serve on {', '.join(self.urls)}")
            self._tell(fleet.generation, "")

    def refused(self, reason: str, traceback: str = "") -> None:
        """Announce that a reload has failed. traceback: lines for the log alone."""
        _log.error("reload failed: %s; the workers of before serve on%s", reason, traceback)
        self.failed_reload = reason
        self._notifier.ready(f"reload failed: {reason}")

    def stopping(self, fleet: Fleet) -> None:
        """Tell clients that wait for a reload that none will end any more."""
        self._tell(fleet.newest, STOPPING)

    def _tell(self, generation: int, reason: str) -> None:
        """Tell clients that wait for a reload up to a generation how it ended."""
        waiting, self._waiters = self._waiters, []
        for asked, waiter in waiting:
            if asked > generation:
                self._waiters.append((asked, waiter))
            elif not waiter.done():
                waiter.set_result(reason)

"""Keeps a process that has imported the application, and forks workers from it.

The workers are children of the supervisor, so that they and the template end without each other.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections import deque
from typing import Any, Final, final

from bide.channel import Begin, Channel, ChannelError
from bide.errors import ConfigError
from bide.supervisor.process import Process, spawned

# Of prctl(2): orphans among the descendants become children of this process.
_PR_SET_CHILD_SUBREAPER: Final = 36


def become_reaper() -> None:
    """Have the workers become children of this process. Raises ConfigError if they cannot.

    Other systems than Linux refuse. macOS would have to: its frameworks do not survive a fork.
    """
    import ctypes  # which every worker would load, too

    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if libc is None or libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise ConfigError("preload must be False on this system, got True; it needs Linux")


@final
class Template:
    """Holds the process.

    pid: its process id.
    """

    def __init__(self, begin: Begin) -> None:
        """Start it. Raises OSError.

        begin: as for a worker.
        """
        ours, its = socket.socketpair()
        begin = begin._replace(number=0, is_template=True)
        self.channel = Channel(ours)
        with its:
            try:
                self._process = spawned(begin, its)
            except OSError:
                self.channel.close()
                raise
        self.pid = self._process.pid
        self.channel.send(begin)
        self._is_ready = False
        self._waiting: deque[Process] = deque()
        # One at a time: the kernel lets only some hundred descriptors be on their way.
        self._asked: Process | None = None

    @property
    def is_forking(self) -> bool:
        """Whether a child may have no known id."""
        return self._asked is not None

    def start(self, begin: Begin) -> Process:
        """Return a worker's process. It is forked once the application was imported."""
        process = Process(begin, waits=True)
        self._waiting.append(process)
        self._ask()
        return process

    def receive(self) -> list[Any]:
        """Return the messages that have arrived; none at the end of the channel."""
        try:
            return self.channel.receive()
        except ChannelError:
            return []

    def ready(self) -> None:
        """Take the news that the application was imported."""
        self._is_ready = True
        self._ask()

    def forked(self, pid: int) -> None:
        """Take the news that the process asked for has this id; 0 if it cannot be forked."""
        process, self._asked = self._asked, None
        assert process is not None
        if pid:
            process.forked(pid)
        else:
            process.give_up("the system cannot start a process")
        self._ask()

    def has_ended(self) -> bool:
        """Return whether it has ended."""
        return self._process.poll() is not None

    def unforked(self) -> list[Process]:
        """Return the processes that it is still to fork."""
        asked = () if self._asked is None else (self._asked,)
        return [process for process in (*asked, *self._waiting) if not process.has_ended()]

    def end(self, how: str) -> None:
        """End it. The supervisor reaps it. how: what is said of the processes not forked yet."""
        for process in self.unforked():
            process.give_up(how)
        if not self.has_ended():
            self._process.kill()
            self._process.returncode = 0
        self.channel.close()

    def _ask(self) -> None:
        """Have the next process forked, if none is being forked."""
        while self._is_ready and self._asked is None and self._waiting:
            process = self._waiting.popleft()
            if not process.has_ended():
                self._asked = process
                with contextlib.suppress(OSError):  # it has ended, which `has_ended` tells next
                    process.pass_on(self.channel)

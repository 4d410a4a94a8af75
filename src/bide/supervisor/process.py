"""Starts a worker process, signals it, and sees its end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self, final

from bide.channel import BLOCKED, DESCRIPTOR, NUMBER, Begin, Channel

# Variables for the supervisor alone: systemd's, about sockets, notifications and the watchdog.
_KEPT_BACK: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")

# Signals with which the kernel ends processes, and the usual cause.
_HINTS: Final = {signal.SIGKILL: "perhaps out of memory"}


@final
class _Adopted:
    """Does for a child that was not started here what subprocess.Popen does."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self._pid, number)


@final
class Process:
    """Holds a worker process.

    pid: its process id.
    channel: to it.
    """

    def __init__(self, begin: Begin, *, waits: bool = False) -> None:
        """Start it, in a fresh interpreter. Raises OSError.

        waits: whether it is started later, by `spawn`, or by a fork.
        """
        ours, self._its = socket.socketpair()
        self._begin = begin
        self._process: subprocess.Popen[bytes] | _Adopted | None = None
        self._given_up = ""
        self.pid = 0
        self.channel = Channel(ours)
        if not waits:
            self.spawn()
        self.channel.send(begin)

    @classmethod
    def adopted(cls, pid: int, channel: Channel) -> Self:
        """Return a process that the program before has started."""
        process = cls.__new__(cls)
        process._process = _Adopted(pid)  # noqa: SLF001  # of this very class
        process._given_up = ""  # noqa: SLF001
        process.pid = pid
        process.channel = channel
        return process

    def spawn(self) -> None:
        """Start it in a fresh interpreter. Raises OSError."""
        with self._its:
            try:
                self._process = spawned(self._begin, self._its)
            except OSError:
                self.channel.close()
                raise
        self.pid = self._process.pid

    def pass_on(self, template: Channel) -> None:
        """Have a template fork it. Raises OSError."""
        with self._its:
            template.pass_on(self._its.fileno())

    def forked(self, pid: int) -> None:
        """Take the news of its id. If it was given up meanwhile, it ends by itself."""
        if not self._given_up:
            self._process = _Adopted(pid)
            self.pid = pid

    def give_up(self, how: str) -> None:
        """Do not start it. how: what `end` returns."""
        self._given_up = how
        self._its.close()

    def has_ended(self) -> bool:
        """Return whether the process has ended, and reap it."""
        if self._process is None:
            return bool(self._given_up)
        return self._process.poll() is not None

    def end(self) -> str:
        """Return how the process ended."""
        if self._process is None:
            return self._given_up
        status = self._process.returncode
        assert status is not None
        if status >= 0:
            return f"status {status}"
        try:
            number = signal.Signals(-status)
        except ValueError:
            return f"signal {-status}"
        hint = _HINTS.get(number)
        return f"{number.name}, {hint}" if hint else number.name

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has been reaped: its id may be another's then."""
        if self._process is None:
            self.give_up("not started")
        else:
            self._process.send_signal(number)


def spawned(begin: Begin, its: socket.socket) -> subprocess.Popen[bytes]:
    """Start a process in a fresh interpreter, and return it. Raises OSError.

    its: end of its channel.
    """
    passed = [its.fileno(), begin.page, *(fd for fd, _ in begin.sockets), *begin.redirecting]
    environment = {name: value for name, value in os.environ.items() if name not in _KEPT_BACK}
    environment |= {DESCRIPTOR: str(its.fileno()), NUMBER: str(begin.number)}
    is_development = bool(begin.options.get("reload"))
    if is_development:  # of two sources of a second and a size, the cached code is the first's
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    before = signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    try:
        return subprocess.Popen(  # noqa: S603  # our own interpreter
            command(begin.app, begin.number),
            pass_fds=[fd for fd in passed if fd >= 0],
            stdin=None if is_development else subprocess.DEVNULL,  # for a debugger
            env=environment,
            cwd=_folder(),
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def command(app: str, number: int, arguments: Sequence[str] | None = None) -> list[str]:
    """Return the command of a worker. `ps` shows its application and its number.

    arguments: of this program, as the interpreter got them.
    """
    # -P: no file of the current folder stands in for a module of the standard library or of bide.
    flags = _flags(sys.orig_argv[1:] if arguments is None else arguments)
    return [sys.executable, *flags, "-P", "-m", "bide.worker", app, str(number)]


def _flags(arguments: Sequence[str]) -> list[str]:
    """Return the arguments that are the interpreter's."""
    flags: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("-") or argument in ("-m", "-c", "-"):
            break
        flags.append(argument)
        if argument in ("-X", "-W", "--check-hash-based-pycs"):
            flags.append(next(rest, ""))
    return flags


def _folder() -> str | None:
    """Return the current folder by the name that the shell gave it.

    A deployment may change where a symbolic link in that name leads.
    """
    name = os.environ.get("PWD", "")
    try:
        return name if name and os.path.samefile(name, Path.cwd()) else None  # noqa: PTH121
    except OSError:
        return None


def reap_orphans(ours: Sequence[int], *, is_reaper: bool = False) -> None:
    """As process 1, reap processes that the application left behind.

    ours: ids to leave alone.
    is_reaper: whether such processes are left to this one in any case.
    """
    if os.getpid() != 1 and not is_reaper:
        return
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in ours:
            return
        os.waitpid(ended.si_pid, os.WNOHANG)

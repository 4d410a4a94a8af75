"""Replaces the supervisor's program in place: same process, same sockets, same workers.

What it knows goes into a file without a name, whose descriptor the new program finds in a variable.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import IO, Any, Final, NoReturn, final

from bide import env_file

# Environment variables: the descriptor of the state; that the program is only to check whether it
# could run.
_STATE: Final = "BIDE_STATE"
_TRIAL: Final = "BIDE_TRIAL"

# For a trial to end; between looks whether it has.
_TRIAL_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.05


@final
class Trial:
    """Runs the new program as far as it needs no socket.

    pid: its process id.
    """

    def __init__(self) -> None:
        """Start it. Raises OSError."""
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `result`
        self._process = subprocess.Popen(  # noqa: S603  # our own command line
            command(),
            env=env_file.without(os.environ) | {_TRIAL: "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
        )
        self.pid = self._process.pid

    async def result(self) -> str:
        """Wait for its end; return why the new program cannot run, "" if it can.

        Ends a trial that takes more than its time.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + _TRIAL_S
        while not self._has_ended() and loop.time() < until:
            await asyncio.sleep(_LOOK_EVERY_S)
        is_late = not self._has_ended()
        if is_late:
            self._process.kill()
            self._process.wait()
        with self._errors as errors:
            errors.seek(0)
            lines = errors.read().decode("utf-8", "replace").strip().splitlines()
        if is_late:
            return f"the trial of the new program took more than {_TRIAL_S:g} s"
        if self._process.returncode == 0:
            return ""
        return lines[-1] if lines else f"the trial of the new program ended with status {self._process.returncode}"

    def _has_ended(self) -> bool:
        return self._process.poll() is not None


def command() -> list[str]:
    """Return the command line of this program."""
    return [sys.executable, *sys.orig_argv[1:]]


def is_trial(environment: Mapping[str, str]) -> bool:
    """Return whether this program is only to check whether it could run."""
    return _TRIAL in environment


def replace(state: Mapping[str, Any], descriptors: Iterable[int], signals: Sequence[signal.Signals]) -> NoReturn:
    """Replace this program by that on the disk. Raises OSError.

    descriptors: that it goes on to use.
    signals: for which the new program has no handlers at first; they wait.
    """
    with tempfile.TemporaryFile() as file:
        file.write(json.dumps(state).encode())
        file.flush()
        kept = [file.fileno(), *descriptors]
        for fd in kept:
            os.set_inheritable(fd, True)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        try:
            environment = env_file.without(os.environ) | {_STATE: str(file.fileno())}
            os.execve(sys.executable, command(), environment)  # noqa: S606
        except OSError:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            for fd in kept:
                os.set_inheritable(fd, False)
            raise
    raise AssertionError


def taken(environment: MutableMapping[str, str]) -> dict[str, Any] | None:
    """Return the state that the program before has left; None if there was none."""
    descriptor = environment.pop(_STATE, "")
    if not descriptor:
        return None
    with os.fdopen(int(descriptor), "rb") as file:
        file.seek(0)
        state: dict[str, Any] = json.load(file)
    return state

"""Runs bide as a program of its own, watches its output and signals it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import pytest

from tests.support.client import Client, Where
from tests.support.waiting import PATIENCE, pause, until

APPS = Path(__file__).parent


def await_socket(process: subprocess.Popen[Any], path: Path) -> None:
    """Wait until a program has bound this Unix socket, and hears signals."""

    def look() -> bool:
        assert process.poll() is None
        return path.exists()

    until(look)
    pause(0.1)  # between bind and the first look at signals the program says nothing


class Program:
    """`python -m bide` with these arguments. `output`, `errors`: the lines it wrote so far."""

    def __init__(
        self,
        *arguments: str,
        env: dict[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        first: str = "",
    ) -> None:
        """Start it; none of our own BIDE_ variables reaches it. `first`: what a shell does before."""
        self.arguments = arguments
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("BIDE_")}
        shell = ["sh", "-c", f'{first}; exec "$@"', "sh"] if first else []
        self.process = subprocess.Popen(
            [*shell, sys.executable, "-m", "bide", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=inherited | (env or {}),
            pass_fds=pass_fds,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.output: list[str] = []
        self.errors: list[str] = []
        self._readers = [
            self._reader(self.process.stdout, self.output),
            self._reader(self.process.stderr, self.errors),
        ]

    @staticmethod
    def _reader(stream: IO[str], lines: list[str]) -> threading.Thread:
        def read() -> None:
            for line in stream:
                lines.append(line.rstrip("\n"))  # noqa: PERF401  # each is there as soon as it came

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        return thread

    def line(self, pattern: str, lines: list[str] | None = None, timeout: float = PATIENCE) -> re.Match[str]:
        """Wait for a line that matches, among the errors unless `lines` is given."""
        lines = self.errors if lines is None else lines

        def look() -> re.Match[str] | None:
            ended = not any(reader.is_alive() for reader in self._readers)
            for line in list(lines):
                if match := re.search(pattern, line):
                    return match
            assert not ended, f"ended; no line like {pattern!r} in {lines}"
            return None

        found = until(look, timeout, lambda: f"no line like {pattern!r} in {lines}")
        assert found is not None
        return found

    @property
    def url(self) -> str:
        """The first address it listens on."""
        return str(self.line(r"serving on ([^ ,]+)")[1])

    @property
    def where(self) -> Where:
        """The first address, as `Client` takes it."""
        url = self.url
        if url.startswith("unix:"):
            return url.removeprefix("unix:")
        host, _, port = url.partition("//")[2].rpartition(":")
        return host.strip("[]"), int(port)

    def client(self) -> Client:
        """Connect."""
        return Client(self.where)

    def signal(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Send a signal; return the time before that (time.monotonic): bounds from below count from there."""
        before = time.monotonic()
        self.process.send_signal(number)
        return before

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait for its end and return its status."""
        status = self.process.wait(timeout)
        for reader in self._readers:
            reader.join(5)
        return status

    def stop(self) -> None:
        """End it in any case."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.wait()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


class Launch(Protocol):
    """Starts the program."""

    def __call__(
        self,
        *arguments: str,
        env: dict[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        first: str = "",
    ) -> Program:
        """Start."""


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Start programs; at the end none runs, and none has written a traceback."""
    started: list[Program] = []

    def start(*arguments: str, **rest: Any) -> Program:
        program = Program(*arguments, **rest)
        started.append(program)
        return program

    yield start
    for program in started:
        program.stop()
    for program in started:
        errors = "\n".join(program.errors)
        assert "Traceback" not in errors, f"a traceback on standard error of {program.arguments}:\n{errors}"


def serving(loop: str, app: str = "apps:hello", *more: str) -> list[str]:
    """Return the arguments that serve one of our applications on any free port."""
    return ["serve", app, "--app-dir", str(APPS), "--port", "0", "--loop", loop, "--lifespan", "off", *more]

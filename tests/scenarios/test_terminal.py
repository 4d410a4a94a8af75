"""A server at a terminal.

1. Ctrl-C reaches the supervisor and its workers at once: they drain once, and no request is lost.
2. A debugger in the application can be used, for longer than a blocked event loop is borne.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.crowd import Crowd
from tests.support.program import APPS
from tests.support.waiting import PATIENCE, pause, until

CONTROL_C = "\x03"

#: Makes its standard input the terminal of its session, so that Ctrl-C signals every process of it.
AT_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "bide", *sys.argv[1:]])
"""

DEBUGGED = """
async def app(scope, receive, send):
    answer = 6 * 7
    breakpoint()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"gone on"})
"""


class Terminal:
    """bide with a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = os.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", AT_TERMINAL, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._shown: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
            while octets := os.read(self._ours, 65536):
                self._shown.append(octets)

    @property
    def screen(self) -> str:
        return b"".join(self._shown).decode()

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def shows(self, pattern: str) -> re.Match[str]:
        """Wait until the screen shows something."""
        found = until(lambda: re.search(pattern, self.screen), message=lambda: self.screen)
        assert found is not None
        return found

    def port(self) -> int:
        return int(self.shows(r"serving on http://127.0.0.1:(\d+)")[1])

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE)
        os.close(self._ours)


@contextlib.contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    made = Terminal("serve", *arguments, "--port", "0", "--no-access-log", "--lifespan", "off")
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_control_c_drains_once_and_loses_no_request(loop: str, workers: str) -> None:
    with terminal("apps:echo", "--app-dir", str(APPS), "--loop", loop, "--workers", workers) as own:
        crowd = Crowd(("127.0.0.1", own.port()), persistent=8, single=4, pace=0.005, until_refused=True)
        crowd.go_on()
        own.type(CONTROL_C)
        assert own.process.wait(PATIENCE) == 0
        crowd.join()
        assert crowd.lost == []
        assert own.screen.count("stopping:") == 1
        assert "Traceback" not in own.screen


def test_debugger_can_be_used_while_the_loop_is_blocked(tmp_path: Path, loop: str) -> None:
    (tmp_path / "debugged.py").write_text(DEBUGGED)
    options = ("--app-dir", str(tmp_path), "--reload-dir", str(tmp_path), "--timeout-blocked", "1")
    with terminal("debugged:app", *options, "--loop", loop, "--reload") as own:
        with Client(("127.0.0.1", own.port())) as client:
            client.ask()
            own.shows(r"\(Pdb\)")
            pause(2)  # twice the time for which a blocked event loop is borne
            own.type("answer\n")
            own.shows(r"42\s+\(Pdb\)")
            own.type("continue\n")
            assert client.response().content == b"gone on"
        own.type(CONTROL_C)
        assert own.process.wait(PATIENCE) == 0
        assert "Traceback" not in own.screen

"""systemd, without systemd: its tool passes sockets, a socket of the test takes notifications, and a namespace makes process 1.

1. Sockets of a socket unit are served. They outlive the server: connections that wait for the next one are not reset.
2. Notifications tell of the start, reloads that succeed and fail, and the stop.
3. As process 1, the supervisor reaps what the application leaves behind, and obeys SIGTERM.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.scenarios.test_workers import Site, ask, children, logged, site
from tests.support.client import Client
from tests.support.program import Launch
from tests.support.waiting import PATIENCE, until

__all__ = ["site"]  # a fixture


def test_socket_of_a_unit_is_served_and_outlives_the_server(
    launch: Launch, loop: str, site: Site, system_tool: Callable[..., str]
) -> None:
    tool = system_tool("systemd-socket-activate")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = launch(*site.serving(loop, workers=2), first=f'set -- {tool} -l 127.0.0.1:{port} "$@"')
    program.line("Listening on")
    with Client(("127.0.0.1", port)) as client:  # it starts the server
        assert client.get("/").content == b"one"
    program.line("listening on 1 sockets of systemd")
    assert program.url == f"http://127.0.0.1:{port}"
    program.signal()
    assert program.wait() == 0


class Systemd:
    """Takes notifications."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(PATIENCE)
        self.environment = {"NOTIFY_SOCKET": str(path)}

    def told(self) -> dict[str, str]:
        """Wait for the next notification but of time, and return it."""
        while True:
            lines = self.socket.recv(4096).decode().splitlines()
            found = dict(line.split("=", 1) for line in lines)
            if "EXTEND_TIMEOUT_USEC" not in found:
                return found


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(tmp_path / "notify")
    yield made
    made.socket.close()


def test_start_reloads_and_stop_are_told(launch: Launch, loop: str, site: Site, systemd: Systemd) -> None:
    program = launch(*site.serving(loop, workers=2), env=systemd.environment)
    assert systemd.told() == {"READY": "1", "STATUS": f"2 workers serve on {program.url}"}
    site.deploy("two", more="def (")
    program.signal(signal.SIGHUP)
    assert systemd.told().keys() == {"RELOADING", "MONOTONIC_USEC", "STATUS"}
    assert systemd.told()["STATUS"].startswith("reload failed: importing 'site_app' failed: SyntaxError")
    site.deploy("two")
    program.signal(signal.SIGHUP)
    assert systemd.told()["RELOADING"] == "1"
    assert systemd.told()["READY"] == "1"
    assert ask(program) == "two"
    program.signal()
    assert systemd.told()["STOPPING"] == "1"
    assert program.wait() == 0
    program.errors[:] = [line for line in program.errors if "Traceback" not in line]


def test_process_1_reaps_orphans_and_stops(
    launch: Launch, loop: str, site: Site, system_tool: Callable[..., str]
) -> None:
    tool = system_tool("unshare")
    orphan = "__import__('subprocess').run(['sh', '-c', 'sleep 0.2 & exit'])"
    site.deploy("one", more=f"for _ in range(5): {orphan}")
    program = launch(
        *site.serving(loop, workers=2),
        first=f'set -- {tool} --pid --fork --kill-child --map-root-user "$@"',
    )
    assert ask(program) == "one"
    (first,) = children(program)

    def adopted() -> int:
        """Return the number of its children, zombies included."""
        entries = [entry for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
        return sum(parent_of(entry) == first for entry in entries)

    until(lambda: adopted() == 2)
    os.kill(first, signal.SIGTERM)
    assert program.wait() == 0
    assert logged(program, "stopped$")


def parent_of(entry: Path) -> int:
    """Return the id of a process's parent; 0 if the process is gone."""
    try:
        return int((entry / "stat").read_text("utf-8").rpartition(")")[2].split()[1])
    except OSError:
        return 0

"""systemd's side of the protocol: sockets that it passes, and what it is told."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bide.supervisor.service import Notifier, listening
from tests.support.waiting import PATIENCE


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "x"},
    ],
)
def test_sockets_for_another_process_are_not_taken(environment: dict[str, str]) -> None:
    assert listening(environment) == []
    assert environment == {}


TAKE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
from bide.supervisor.service import listening
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ["LISTEN_FDS"] = "1"
try:
    (sock,) = listening(os.environ)
except Exception as error:
    print(error)
else:
    print(sock.getsockname()[1], sock.get_inheritable(), "LISTEN_FDS" in os.environ)
"""


def taken(sock: socket.socket) -> str:
    """Return what a process says that gets this socket as its first one of systemd."""
    done = subprocess.run(
        [sys.executable, "-c", TAKE, str(sock.fileno())],
        pass_fds=[sock.fileno()],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    return done.stdout.strip()


def test_socket_is_taken_and_not_inherited_any_further() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        assert taken(sock) == f"{sock.getsockname()[1]} False False"


def test_descriptor_that_does_not_listen_is_named() -> None:
    with socket.socket() as sock:
        assert (
            taken(sock)
            == "LISTEN_FDS must be a listening socket, got file descriptor 3, not listening; call listen() first"
        )


@pytest.mark.parametrize("is_abstract", [False, True])
@pytest.mark.parametrize(
    ("tell", "lines"),
    [
        (lambda notifier: notifier.ready("2 workers"), ["READY=1", "STATUS=2 workers"]),
        (lambda notifier: notifier.stopping(), ["STOPPING=1", "STATUS=stopping"]),
        (lambda notifier: notifier.goes_on(), ["EXTEND_TIMEOUT_USEC=5000000"]),
        (lambda notifier: notifier.lives(), ["WATCHDOG=1"]),
    ],
)
def test_systemd_is_told(tmp_path: Path, tell: Callable[[Notifier], None], lines: list[str], is_abstract: bool) -> None:
    if is_abstract and sys.platform != "linux":
        pytest.skip("only Linux has abstract sockets")
    name = f"bide-test-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    environment = {"NOTIFY_SOCKET": f"@{name}" if is_abstract else name, "WATCHDOG_USEC": "3000000"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{name}" if is_abstract else name)
        notifier = Notifier(environment)
        assert environment == {}
        tell(notifier)
        assert systemd.recv(1000).decode().splitlines() == lines


def test_reload_is_told_with_its_time(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}).reloading()
        first, time, _ = systemd.recv(1000).decode().splitlines()
    assert first == "RELOADING=1"
    assert time.partition("=")[0] == "MONOTONIC_USEC"
    assert int(time.partition("=")[2]) > 0


def test_nothing_is_told_without_an_address_or_to_nobody(tmp_path: Path) -> None:
    Notifier({}).ready("")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready("")


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, 0.0),
        ({"NOTIFY_SOCKET": "/x"}, 0.0),
        ({"WATCHDOG_USEC": "3000000"}, 0.0),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "3000000"}, 1.5),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "x"}, 0.0),
    ],
)
def test_signs_of_life_come_twice_in_the_time_that_systemd_waits(environment: dict[str, str], seconds: float) -> None:
    assert Notifier(environment).watchdog == seconds


def test_no_sign_of_life_is_given_that_is_not_asked_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}).lives()
        with pytest.raises(BlockingIOError):
            systemd.recv(1000)

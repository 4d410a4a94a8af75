"""A worker's process: its command, its environment, its end. Real processes, which run no worker."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bide.channel import BLOCKED, Begin, Channel, ChannelError
from bide.supervisor import process
from bide.supervisor.process import Process, command, reap_orphans
from tests.support.waiting import until

PREFIX = ["-P", "-m", "bide.worker", "module:app", "2"]


@pytest.mark.parametrize(
    ("arguments", "flags"),
    [
        (["/usr/bin/bide", "serve"], []),
        (["-m", "bide", "serve"], []),
        (["-X", "dev", "-W", "error", "-O", "-m", "bide", "-x"], ["-X", "dev", "-W", "error", "-O"]),
        (["-Xdev", "-c", "import bide", "-B"], ["-Xdev"]),
        (["-", "-B"], []),
        (["-X"], ["-X", ""]),
        ([], []),
    ],
)
def test_command_keeps_the_flags_of_the_interpreter(arguments: list[str], flags: list[str]) -> None:
    assert command("module:app", 2, arguments) == [sys.executable, *flags, *PREFIX]


def test_command_without_arguments_has_those_of_this_process() -> None:
    assert command("module:app", 2)[-5:] == PREFIX


def runs(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Have processes run some code in the place of a worker."""
    monkeypatch.setattr(process, "command", lambda *_: [sys.executable, "-c", code])


@pytest.fixture
def started() -> Iterator[list[Process]]:
    """Processes that are ended."""
    processes: list[Process] = []
    yield processes
    for each in processes:
        if not each.has_ended():
            each.signal(signal.SIGKILL)
            until(each.has_ended)
        each.channel.close()


ECHO = """
import os, signal, socket, json
channel = socket.socket(fileno=int(os.environ["BIDE_CHANNEL"]))
begin = json.loads(channel.recv(1 << 20))
blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
listening = socket.socket(fileno=begin["sockets"][0][0])
said = [os.environ["BIDE_WORKER"], os.getcwd(), "LISTEN_FDS" in os.environ, sorted(blocked), listening.getsockname()[1]]
channel.sendall(json.dumps({"kind": "failed", "text": json.dumps(said)}).encode() + b"\\n")
"""


def test_process_gets_its_channel_its_number_and_its_sockets(
    monkeypatch: pytest.MonkeyPatch, started: list[Process], tmp_path: Path
) -> None:
    runs(monkeypatch, ECHO)
    link = tmp_path / "current"
    link.symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(link))
    monkeypatch.setenv("LISTEN_FDS", "1")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        made = Process(Begin("module:app", {}, 2, 1, [(listening.fileno(), True)]))
        started.append(made)
        until(made.has_ended)
    (message,) = made.channel.receive()
    assert json.loads(message.text) == ["2", str(tmp_path), False, sorted(BLOCKED), port]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    with pytest.raises(ChannelError):
        made.channel.receive()


@pytest.mark.parametrize("name", ["", "/nowhere/at/all"])
def test_process_without_a_name_of_its_folder_runs_there(
    monkeypatch: pytest.MonkeyPatch, started: list[Process], name: str
) -> None:
    runs(monkeypatch, "raise SystemExit(3)")
    monkeypatch.setenv("PWD", name)
    made = Process(Begin())
    started.append(made)
    until(made.has_ended)
    assert made.end() == "status 3"


@pytest.mark.parametrize(
    ("number", "how"),
    [
        (signal.SIGKILL, "SIGKILL, perhaps out of memory"),
        (signal.SIGABRT, "SIGABRT"),
        (signal.SIGRTMIN + 1, f"signal {signal.SIGRTMIN + 1}"),
    ],
)
def test_end_by_a_signal_is_named(
    monkeypatch: pytest.MonkeyPatch, started: list[Process], number: signal.Signals, how: str
) -> None:
    runs(monkeypatch, "import time; time.sleep(60)")
    made = Process(Begin())
    started.append(made)
    assert not made.has_ended()
    made.signal(number)
    until(made.has_ended)
    assert made.end() == how
    made.signal(signal.SIGTERM)  # is sent to nobody: the process id may be another's


def test_process_that_cannot_start_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "command", lambda *_: ["/nowhere/at/all"])
    before = len(list(Path("/dev/fd").iterdir()))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with pytest.raises(OSError, match="No such file"):
        Process(Begin())
    assert len(list(Path("/dev/fd").iterdir())) == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask


def test_orphans_are_reaped_by_process_1_only(monkeypatch: pytest.MonkeyPatch) -> None:
    orphan, ours = (subprocess.Popen([sys.executable, "-c", ""]) for _ in range(2))
    for each in (orphan, ours):
        os.waitid(os.P_PID, each.pid, os.WEXITED | os.WNOWAIT)
    reap_orphans([ours.pid])
    assert os.waitid(os.P_PID, orphan.pid, os.WEXITED | os.WNOWAIT) is not None, "this is not process 1"
    monkeypatch.setattr(os, "getpid", lambda: 1)
    reap_orphans([ours.pid])
    reap_orphans([])  # none is left
    for each in (orphan, ours):
        with pytest.raises(ChildProcessError):
            os.waitpid(each.pid, 0)
        each.returncode = 0


def test_process_of_the_program_before_is_adopted() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    one, other = socket.socketpair()
    with other:
        made = Process.adopted(child.pid, Channel(one))
        assert made.pid == child.pid
        assert not made.has_ended()
        made.signal(signal.SIGTERM)
        until(made.has_ended)
        assert made.end() == "SIGTERM"
        made.signal(signal.SIGTERM)  # is sent to nobody: the process id may be another's
        made.channel.close()
    child.returncode = 0  # it was reaped here


def test_process_that_waits_is_started_in_a_fresh_interpreter(
    monkeypatch: pytest.MonkeyPatch, started: list[Process]
) -> None:
    runs(monkeypatch, "import time; time.sleep(60)")
    waiting = Process(Begin("module:app", {}, 2), waits=True)
    started.append(waiting)
    assert (waiting.pid, waiting.has_ended()) == (0, False)
    waiting.spawn()
    assert waiting.pid > 0
    waiting.signal(signal.SIGKILL)
    until(waiting.has_ended)
    assert waiting.end() == "SIGKILL, perhaps out of memory"


def test_process_that_waits_is_given_up_by_a_signal(started: list[Process]) -> None:
    waiting = Process(Begin("module:app", {}, 2), waits=True)
    started.append(waiting)
    waiting.signal(signal.SIGTERM)
    assert waiting.has_ended()
    assert waiting.end() == "not started"


def test_process_that_was_forked_is_signalled_and_reaped(started: list[Process]) -> None:
    waiting = Process(Begin("module:app", {}, 2), waits=True)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    waiting.forked(child.pid)
    assert (waiting.pid, waiting.has_ended()) == (child.pid, False)
    waiting.signal(signal.SIGKILL)
    until(waiting.has_ended)
    assert waiting.end() == "SIGKILL, perhaps out of memory"
    child.returncode = 0  # it was reaped here
    waiting.give_up("over")
    waiting.channel.close()


def test_orphans_are_reaped_by_a_reaper_of_any_id() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    reap_orphans([child.pid], is_reaper=True)
    assert os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT) is not None
    reap_orphans([], is_reaper=True)
    with pytest.raises(ChildProcessError):
        os.waitpid(child.pid, 0)
    child.returncode = 0

"""Replacing the program: its trial, what it leaves, and what the next one takes. The whole: `scenarios/test_workers.py`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile

import pytest

from bide.supervisor import upgrade
from bide.supervisor.upgrade import Trial, command, is_trial, replace, taken
from tests.support.loops import JumpingLoop


def test_command_is_that_of_this_program() -> None:
    assert command() == [sys.executable, *sys.orig_argv[1:]]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; assert os.environ['BIDE_TRIAL']", ""),
        ("import sys; print('one\\ntwo', file=sys.stderr); sys.exit(1)", "two"),
        ("raise SystemExit(3)", "the trial of the new program ended with status 3"),
    ],
)
def test_trial_tells_whether_the_program_could_run(monkeypatch: pytest.MonkeyPatch, code: str, reason: str) -> None:
    monkeypatch.setattr(upgrade, "command", lambda: [sys.executable, "-c", code])
    trial = Trial()
    assert trial.pid
    assert asyncio.run(trial.result()) == reason


def test_trial_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrade, "command", lambda: [sys.executable, "-c", "import time; time.sleep(60)"])
    loop = JumpingLoop()
    assert loop.run_until_complete(Trial().result()) == "the trial of the new program took more than 60 s"
    loop.close()


def test_trial_is_told_by_a_variable() -> None:
    assert is_trial({"BIDE_TRIAL": "1"})
    assert not is_trial({})


TAKE = """
import os, signal
from bide.supervisor.upgrade import taken
state = taken(os.environ)
blocked = signal.SIGUSR2 in signal.pthread_sigmask(signal.SIG_BLOCK, [])
print(os.getpid(), state, "BIDE_STATE" in os.environ, blocked, os.fstat(state["fd"]).st_size)
"""

REPLACE = f"""
import os, signal, sys, tempfile
from bide.supervisor import upgrade
file = tempfile.TemporaryFile()
file.write(b"12345")
file.flush()
upgrade.command = lambda: [sys.executable, "-c", {TAKE!r}]
upgrade.replace({{"fd": file.fileno()}}, [file.fileno()], [signal.SIGUSR2])
"""


def test_next_program_has_process_state_and_descriptors_of_this_one() -> None:
    with subprocess.Popen([sys.executable, "-c", REPLACE], stdout=subprocess.PIPE, text=True) as process:
        said, _ = process.communicate(timeout=30)
    pid, rest = said.split(" ", 1)
    assert int(pid) == process.pid
    fd = rest.partition("}")[0].rpartition(" ")[2]
    assert rest.strip() == f"{{'fd': {fd}}} False True 5"


def test_program_that_cannot_be_replaced_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/at/all")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with tempfile.TemporaryFile() as file:
        with pytest.raises(OSError, match="No such file"):
            replace({}, [file.fileno()], [signal.SIGUSR2])
        assert not os.get_inheritable(file.fileno())
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_program_that_replaces_none_takes_nothing() -> None:
    assert taken({}) is None

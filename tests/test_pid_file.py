"""The file that names the process which takes signals."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bide import pid_file
from bide.errors import ConfigError
from bide.pid_file import PidFile
from tests.support.server import Log, log

__all__ = ["log"]  # a fixture


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pid"


@pytest.fixture
def other() -> Iterator[int]:
    """A process that lives."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process.pid
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


def test_file_has_the_process_id_in_a_line_until_the_end(path: Path) -> None:
    file = PidFile(str(path))
    assert not path.exists()
    file.write()
    assert path.read_text() == f"{os.getpid()}\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [each.name for each in path.parent.iterdir()] == ["pid"]
    file.remove()
    assert not path.exists()
    file.remove()


def test_file_of_this_process_is_kept_as_after_an_upgrade(path: Path) -> None:
    PidFile(str(path)).write()
    before = path.stat()
    PidFile(str(path)).write()
    assert path.stat().st_ino == before.st_ino


def test_file_that_another_server_has_written_is_left_to_it(path: Path, other: int) -> None:
    file = PidFile(str(path))
    file.write()
    path.write_text(f"{other}\n")
    file.remove()
    assert path.read_text() == f"{other}\n"


def test_file_of_a_server_that_runs_raises(path: Path, other: int) -> None:
    path.write_text(f"{other}\n")
    said = rf"pid_file must belong to no other server, got '.*' of process {other}, which runs"
    with pytest.raises(ConfigError, match=said):
        PidFile(str(path))


def test_file_of_another_user_s_server_raises(path: Path, monkeypatch: pytest.MonkeyPatch, other: int) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    path.write_text(f"{other}\n")
    with pytest.raises(ConfigError, match="which runs"):
        PidFile(str(path))


@pytest.mark.parametrize("content", ["", "none", "0\n", "-1\n", f"{1 << 22}\n", f"{1 << 80}"])
def test_file_of_no_server_is_replaced(path: Path, content: str) -> None:
    path.write_text(content)
    PidFile(str(path)).write()
    assert path.read_text() == f"{os.getpid()}\n"


def test_file_older_than_the_process_with_its_id_is_replaced(path: Path, other: int) -> None:
    """As after a crash of the machine: the id is another program's by now."""
    path.write_text(f"{other}\n")
    long_ago = time.time() - 3600
    os.utime(path, (long_ago, long_ago))
    PidFile(str(path)).write()
    assert path.read_text() == f"{os.getpid()}\n"


def test_process_of_unknown_age_has_written_the_file(path: Path, other: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on systems without /proc."""
    monkeypatch.setattr(pid_file, "_began", lambda pid: None)
    path.write_text(f"{other}\n")
    os.utime(path, (0, 0))
    with pytest.raises(ConfigError, match="which runs"):
        PidFile(str(path))


def test_process_that_ends_meanwhile_holds_no_file(path: Path, other: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(pid: int) -> float:
        raise FileNotFoundError

    monkeypatch.setattr(pid_file, "_began", ended)
    path.write_text(f"{other}\n")
    PidFile(str(path)).write()
    assert path.read_text() == f"{os.getpid()}\n"


def test_folder_that_cannot_be_written_raises(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pid_file must be in a folder that can be written, got"):
        PidFile(str(tmp_path / "no" / "pid"))


def test_file_that_cannot_be_written_is_logged(path: Path, log: Log) -> None:
    file = PidFile(str(path))
    path.mkdir()
    log.expect("cannot be written: Is a directory")
    file.write()
    file.remove()

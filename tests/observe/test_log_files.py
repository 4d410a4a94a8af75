"""Files of the logs: appended to, and opened again under their name."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bide.observe import log_files
from bide.observe.log_files import LogFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def file(path: Path) -> Iterator[LogFile]:
    made = LogFile(str(path))
    yield made
    if made in LogFile.opened:
        made.close()


def test_text_is_there_at_once_and_at_the_end(path: Path, file: LogFile) -> None:
    file.write("one\n")
    with path.open("a") as other:
        other.write("two\n")
    assert file.write("three é \udc80\n") == 10
    file.flush()
    assert path.read_text("utf-8") == "one\ntwo\nthree é \\udc80\n"


def test_text_that_the_system_takes_in_part_is_written_whole(
    path: Path, file: LogFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, octets: write(fd, octets[:3]))
    file.write("0123456789\n")
    assert path.read_text() == "0123456789\n"


def test_file_that_was_renamed_is_left_when_it_is_opened_again(path: Path, file: LogFile) -> None:
    file.write("one\n")
    path.rename(path.with_suffix(".1"))
    file.write("two\n")
    assert log_files.reopen() == []
    file.write("three\n")
    assert path.with_suffix(".1").read_text() == "one\ntwo\n"
    assert path.read_text() == "three\n"


def test_file_that_cannot_be_opened_again_is_written_on(path: Path, file: LogFile) -> None:
    moved = path.with_suffix(".1")
    path.rename(moved)
    path.mkdir()
    failed = log_files.reopen()
    assert failed == [f"log file {str(path)!r} cannot be opened: Is a directory; the one before is written on"]
    file.write("on\n")
    assert moved.read_text() == "on\n"


def test_failures_are_logged_as_errors(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("bide"), "propagate", True)
    log_files.report(["100 % of it failed"])
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("ERROR", "100 % of it failed")]


def test_path_is_that_of_the_folder_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = LogFile("log")
    monkeypatch.chdir("/")
    try:
        (tmp_path / "log").unlink()
        file.reopen()
        assert (tmp_path / "log").exists()
    finally:
        file.close()


def test_file_that_is_closed_takes_nothing_and_is_not_opened_again(path: Path, file: LogFile) -> None:
    fd = file._fd
    file.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    path.unlink()
    assert log_files.reopen() == []
    assert not path.exists()
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.write("late")


def test_descriptor_is_not_inherited_by_programs_of_the_application(file: LogFile) -> None:
    assert not os.get_inheritable(file._fd)
    file.reopen()
    assert not os.get_inheritable(file._fd)


def test_file_that_cannot_be_opened_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LogFile(str(tmp_path / "no" / "log"))
    assert LogFile.opened == ()


def test_pipe_is_known(tmp_path: Path, file: LogFile) -> None:
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    pipe = LogFile(str(tmp_path / "fifo"))
    assert pipe.is_pipe
    assert not file.is_pipe
    pipe.close()
    os.close(reader)

"""How the command line sets up logging."""

import io
import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bide.observe import log_setup
from bide.observe.log_files import LogFile
from bide.observe.pieces import PIPE_BUF


class Pieces(io.StringIO):
    """Keeps what is written in one call."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def write(self, text: str) -> int:
        self.written.append(text)
        return len(text)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    log = logging.getLogger("bide")
    before = log.level, log.propagate, list(log.handlers)
    yield
    log_setup.configure("info", "text")  # closes a file
    log.level, log.propagate, log.handlers[:] = before


def test_log_as_text_has_time_level_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    log_setup.configure("info", "text")
    logging.getLogger("bide.error").info("hello %s", "you")
    logging.getLogger("bide").debug("hidden")
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO hello you\n", err)


def test_log_as_json_is_an_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    log_setup.configure("debug", "json")
    logging.getLogger("bide.error").debug('a "quoted"\nline')
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("bide.error").exception("failed")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first["level"] == "debug"
    assert first["event"] == "bide.error"
    assert first["message"] == 'a "quoted"\nline'
    assert "traceback" not in first
    assert second["traceback"].startswith("Traceback")
    assert second["traceback"].endswith("ValueError: no")


@pytest.mark.parametrize("style", ["text", "json"])
def test_log_of_a_worker_has_its_number(capsys: pytest.CaptureFixture[str], style: str) -> None:
    log_setup.configure("info", style, 3)
    logging.getLogger("bide").info("hello")
    err = capsys.readouterr().err
    if style == "text":
        assert err.endswith(" INFO hello worker=3\n")
    else:
        assert json.loads(err)["worker"] == 3


def test_log_of_a_worker_is_written_in_pieces_that_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Pieces()
    monkeypatch.setattr(sys, "stderr", stream)
    log_setup.configure("info", "text", 3)
    logging.getLogger("bide").info("%s\n%s", "x" * (PIPE_BUF - 200), "y" * 2 * PIPE_BUF)
    first, second = stream.written
    assert first.endswith("x\n")
    assert second.startswith("y")
    assert second.endswith("y worker=3\n")
    assert len(second) <= PIPE_BUF


def test_log_in_a_file_is_written_at_its_end_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    log_setup.configure("info", "text", 3, str(path))
    logging.getLogger("bide").info("%s", "y" * 2 * PIPE_BUF)
    before, line = path.read_text().splitlines()
    assert before == "before"
    assert line.endswith(f" INFO {'y' * 2 * PIPE_BUF} worker=3")


def test_log_in_a_pipe_is_written_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        log_setup.configure("info", "text", 3, str(path))
        logging.getLogger("bide").info("%s", "y" * 2 * PIPE_BUF)
        assert len(os.read(reader, 4 * PIPE_BUF)) <= PIPE_BUF
    finally:
        os.close(reader)


def test_log_configured_again_closes_its_file(tmp_path: Path) -> None:
    log_setup.configure("info", "text", path=str(tmp_path / "log"))
    (file,) = LogFile.opened
    log_setup.configure("info", "text")
    assert LogFile.opened == ()
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.write("late")


def test_log_that_cannot_be_written_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Pieces()
    monkeypatch.setattr(stream, "write", lambda text: 1 / 0)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(logging, "raiseExceptions", False)
    log_setup.configure("info", "text", 3)
    logging.getLogger("bide").info("hello")


def test_log_configured_twice_has_each_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    """No line twice, and none to the root logger's handlers."""
    for _ in range(3):
        log_setup.configure("warning", "text")
    root = logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(root)
    try:
        logging.getLogger("bide").warning("once")
        logging.getLogger("bide").info("hidden")
    finally:
        logging.getLogger().removeHandler(root)
    assert capsys.readouterr().err.count("once") == 1


def test_log_without_configuration_is_silent() -> None:
    """A program that embeds the server decides: importing bide adds no handler."""
    import subprocess

    code = (
        "import logging, bide; assert not logging.getLogger('bide').handlers; assert not logging.getLogger().handlers"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

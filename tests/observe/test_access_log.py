"""The access log's lines, and when they are written."""

import io
import json
import time
from collections.abc import Callable

import pytest

from bide.observe.access_log import AccessLog, JsonAccessLog, TextAccessLog
from bide.observe.pieces import PIPE_BUF
from bide.terms import CloseReason


class Later:
    """Stands for the event loop: calls what was scheduled when the test says so."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def __call__(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def run(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(text)


def test_lines_of_one_pass_are_written_together() -> None:
    stream, later = io.StringIO(), Later()
    access_log = TextAccessLog(stream, later)
    for number in (1, 2, 3):
        access_log.record(("192.0.2.1", 4000), "GET", b"/", 1, 200, 6, 0.0012, number, None)
    assert stream.getvalue() == ""
    assert len(later.calls) == 1
    later.run()
    assert stream.getvalue().count("\n") == 3
    access_log.record(("192.0.2.1", 4000), "GET", b"/", 1, 200, 6, 0.0012, 4, CloseReason.IDLE_TIMEOUT)
    later.run()
    *_, line = stream.getvalue().splitlines()
    assert line.partition(" ")[2] == '192.0.2.1:4000 "GET / HTTP/1.1" 200 6 1.2ms #4 close=idle_timeout'


def test_line_begins_with_the_time() -> None:
    stream, later = io.StringIO(), Later()
    before = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    access_log = TextAccessLog(stream, later)
    access_log.record(None, "GET", b"/", 0, 200, 0, 0, 1, None)
    access_log.flush()
    after = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    assert before <= stream.getvalue().split()[0] <= after


def test_line_names_the_peer_of_any_kind() -> None:
    stream, later = io.StringIO(), Later()
    access_log = TextAccessLog(stream, later)
    for peer in (None, ("::1", 80), ("/run/x.sock", None)):
        access_log.record(peer, "GET", b"/", 1, 200, 0, 0, 1, None)
    access_log.flush()
    assert [line.split()[1] for line in stream.getvalue().splitlines()] == ["-", "::1:80", "/run/x.sock"]


def test_line_with_octets_beyond_ascii_is_written() -> None:
    stream, later = io.StringIO(), Later()
    for access_log in (TextAccessLog(stream, later), JsonAccessLog(stream, later)):
        access_log.record(None, "GET", b'/\xe4"', 1, 400, 0, 0, 1, None)
        access_log.flush()
    _, line = stream.getvalue().splitlines()
    assert json.loads(line)["target"] == '/ä"'


def test_lines_for_a_broken_stream_are_lost_and_not_kept() -> None:
    """The lines are lost, and are not kept for later. Nothing is raised."""
    closed = io.StringIO()
    closed.close()
    for stream in (Broken(), closed):
        later = Later()
        access_log = TextAccessLog(stream, later)
        access_log.record(None, "GET", b"/first", 1, 200, 0, 0, 1, None)
        later.run()
        access_log._stream = again = io.StringIO()
        access_log.record(None, "GET", b"/second", 1, 200, 0, 0, 2, None)
        later.run()
        assert again.getvalue().count("\n") == 1
        assert "/second" in again.getvalue()


def test_flush_without_lines_writes_nothing() -> None:
    stream = io.StringIO()
    TextAccessLog(stream, Later()).flush()
    assert stream.getvalue() == ""


class Pieces(io.StringIO):
    """Keeps what is written in one call."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def write(self, text: str) -> int:
        self.written.append(text)
        return len(text)


@pytest.mark.parametrize("kind", [TextAccessLog, JsonAccessLog])
def test_lines_of_a_worker_in_a_file_are_not_cut(kind: type[AccessLog]) -> None:
    stream, later = Pieces(), Later()
    access_log = kind(stream, later, 3)
    for _ in range(2):
        access_log.record(None, "GET", b"/" + b"x" * 2 * PIPE_BUF, 1, 200, 0, 0.0, 1, None)
    later.run()
    (written,) = stream.written
    assert written.count("x" * 2 * PIPE_BUF) == 2


@pytest.mark.parametrize("kind", [TextAccessLog, JsonAccessLog])
def test_lines_of_a_worker_have_its_number_and_stay_whole_in_a_pipe(kind: type[AccessLog]) -> None:
    stream, later = Pieces(), Later()
    access_log = kind(stream, later, 3, may_mix=True)
    for target in (b"/", b"/" + b"x" * 3000, b"/" + b"\xe4" * 16_000, b"/last"):
        access_log.record(None, "GET", target, 1, 200, 0, 0.0, 1, CloseReason.DRAIN)
    later.run()
    assert len(stream.written) > 1
    for piece in stream.written:
        assert len(piece.encode()) <= PIPE_BUF
        assert piece.endswith("\n")
    lines = "".join(stream.written).splitlines()
    assert len(lines) == 4
    assert "octets, cut)" in lines[2]
    if kind is JsonAccessLog:
        assert [json.loads(line)["worker"] for line in lines] == [3] * 4
    else:
        assert all(line.endswith(" #1 close=drain worker=3") for line in lines)

"""The access log's lines, and when they are written."""

import io
import json
import time
from collections.abc import Callable

from bide.observe.journal import JsonJournal, TextJournal
from bide.terms import CloseReason


class Later:
    """What `schedule` gets: called when the test says so."""

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
    journal = TextJournal(stream, later)
    for number in (1, 2, 3):
        journal.record(("192.0.2.1", 4000), "GET", b"/", 1, 200, 6, 0.0012, number, None)
    assert stream.getvalue() == ""
    assert len(later.calls) == 1
    later.run()
    assert stream.getvalue().count("\n") == 3
    journal.record(("192.0.2.1", 4000), "GET", b"/", 1, 200, 6, 0.0012, 4, CloseReason.IDLE_TIMEOUT)
    later.run()
    *_, line = stream.getvalue().splitlines()
    assert line.partition(" ")[2] == '192.0.2.1:4000 "GET / HTTP/1.1" 200 6 1.2ms #4 close=idle_timeout'


def test_time_of_day() -> None:
    stream, later = io.StringIO(), Later()
    before = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    journal = TextJournal(stream, later)
    journal.record(None, "GET", b"/", 0, 200, 0, 0, 1, None)
    journal.flush()
    after = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    assert before <= stream.getvalue().split()[0] <= after


def test_peers() -> None:
    stream, later = io.StringIO(), Later()
    journal = TextJournal(stream, later)
    for peer in (None, ("::1", 80), ("/run/x.sock", None)):
        journal.record(peer, "GET", b"/", 1, 200, 0, 0, 1, None)
    journal.flush()
    assert [line.split()[1] for line in stream.getvalue().splitlines()] == ["-", "::1:80", "/run/x.sock"]


def test_octets_beyond_ascii() -> None:
    stream, later = io.StringIO(), Later()
    for journal in (TextJournal(stream, later), JsonJournal(stream, later)):
        journal.record(None, "GET", b'/\xe4"', 1, 400, 0, 0, 1, None)
        journal.flush()
    _, line = stream.getvalue().splitlines()
    assert json.loads(line)["target"] == '/ä"'


def test_stream_that_takes_nothing_any_more() -> None:
    """The lines are lost; the server is not."""
    for stream in (Broken(), io.StringIO()):
        stream.close() if not isinstance(stream, Broken) else None
        journal = TextJournal(stream, Later())
        journal.record(None, "GET", b"/", 1, 200, 0, 0, 1, None)
        journal.flush()
        journal.flush()


def test_nothing_to_write() -> None:
    stream = io.StringIO()
    TextJournal(stream, Later()).flush()
    assert stream.getvalue() == ""

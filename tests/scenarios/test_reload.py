"""`--reload`, as in development: a browser sees new code or why there is none, and never an error of the connection.

1. A change of a source file: a request that is sent at once gets new code, while a stream of the old code is open.
2. New code that fails: 503 with its traceback, in the terminal, too. The next change repairs it.
3. The first code that fails, likewise: the server does not end.
4. Files in folders that hold no source of the application, or that are not watched, change nothing.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.test_workers import Site, children, logged
from tests.support.client import Client
from tests.support.program import Launch, Program
from tests.support.waiting import PATIENCE, pause, until

STREAM = """
inner = app

async def app(scope, receive, send):
    if scope["type"] == "http" and scope["path"] == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        while True:
            await send({"type": "http.response.body", "body": b"data: tick\\n\\n", "more_body": True})
            await asyncio.sleep(0.05)
    await inner(scope, receive, send)
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An application in a folder that holds nothing else."""
    folder = tmp_path / "site"
    folder.mkdir()
    made = Site(folder)
    made.deploy("one", more=STREAM)
    return made


@pytest.fixture
def program(launch: Launch, loop: str, site: Site) -> Iterator[Program]:
    started = launch(*site.serving(loop, "--reload", "--log-level", "debug", workers=1))
    yield started
    started.signal()
    assert started.wait() == 0
    started.errors[:] = [line for line in started.errors if "Traceback" not in line]


def ask(program: Program) -> tuple[int, str]:
    """Ask on a connection of its own."""
    with Client(program.where) as client:
        response = client.get("/", "Connection: close")
        return response.status, response.content.decode()


def changed(program: Program, count: int) -> None:
    """Wait until a number of changes has been seen, and no old worker accepts."""
    until(lambda: logged(program, rf"started .*generation {count + 1}\)"), message=lambda: program.errors)
    until(lambda: len(logged(program, "stopped listening")) >= len(logged(program, "drains: reload")))


def test_request_after_a_change_gets_new_code_though_a_stream_is_open(program: Program, site: Site) -> None:
    with program.client() as stream, program.client() as idle:
        stream.ask("/stream")
        stream.head()
        assert idle.get("/").content == b"one"
        site.deploy("two", more=STREAM)
        changed(program, 1)
        assert ask(program) == (200, "two")
        assert idle.ending().how == "fin", "an old connection gives no old code"
    until(lambda: len(children(program)) == 1)


def test_clients_that_ask_all_the_time_see_no_error_of_the_connection(program: Program, site: Site) -> None:
    seen: list[str] = []
    over = threading.Event()

    def browse() -> None:
        while not over.is_set():
            seen.append(ask(program)[1])

    threads = [threading.Thread(target=browse) for _ in range(4)]
    assert ask(program) == (200, "one")
    for thread in threads:
        thread.start()
    for number in range(3):
        site.deploy(f"version {number}", more=STREAM)
        changed(program, number + 1)
        until(lambda number=number: seen and seen[-1] == f"version {number}")  # type: ignore[misc]
    over.set()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert set(seen) <= {"one", "version 0", "version 1", "version 2"}


def test_code_that_fails_shows_why_and_the_next_change_repairs_it(program: Program, site: Site) -> None:
    assert ask(program) == (200, "one")
    for number, (change, said) in enumerate(
        [
            ({"more": "def ("}, "SyntaxError"),
            ({"more": "1 / 0"}, "ZeroDivisionError: division by zero"),
            (
                {"startup": 'return await send({"type": "lifespan.startup.failed", "message": "no database"})'},
                "no database",
            ),
            ({"more": "os._exit(3)"}, "ended before it was ready: status 3"),
        ]
    ):
        site.deploy("broken", **change)
        changed(program, number + 1)
        program.line(re.escape(said))
        until(lambda said=said: said in ask(program)[1])  # type: ignore[misc]
        status, text = ask(program)
        assert status == 503
        assert "The application is started again when a file changes." in text
    site.deploy("repaired")
    until(lambda: ask(program) == (200, "repaired"))


def test_first_code_that_fails_is_repaired(launch: Launch, loop: str, site: Site) -> None:
    site.deploy("broken", more="def (")
    program = launch(*site.serving(loop, "--reload", workers=1), "--port", "0", "--uds", str(site.folder / "s"))
    program.line("SyntaxError")
    with Client(str(site.folder / "s")) as client:
        assert client.get("/").status == 503
    site.deploy("repaired")
    until(lambda: logged(program, "serving on"))
    with Client(str(site.folder / "s")) as client:
        assert client.get("/").content == b"repaired"
    program.errors[:] = [line for line in program.errors if "Traceback" not in line]


def test_files_that_hold_no_source_change_nothing(program: Program, site: Site) -> None:
    assert ask(program) == (200, "one")
    before = children(program)
    for name in (".venv/lib/a.py", "__pycache__/b.py", "node_modules/c.py", "notes.txt"):
        path = site.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("changed")
    pause(1)  # for as long nothing may happen
    assert children(program) == before
    assert not logged(program, "reloading")
    (site.folder / "other.py").write_text("")
    changed(program, 1)


def test_signal_reloads_and_interrupt_stops(program: Program) -> None:
    assert ask(program) == (200, "one")
    program.signal(signal.SIGHUP)
    changed(program, 1)
    assert ask(program) == (200, "one")
    program.signal(signal.SIGINT)

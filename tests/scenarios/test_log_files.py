"""Logs in files, and the file of the process id, with one process and with several.

1. Under load the files are renamed and the program is signalled, as logrotate does. Lines go on in new files; none is missing, and
   none is broken.
2. The file of the process id is there once the server accepts, and gone after its end. A server that runs keeps its file; one that
   was killed does not.
3. A file that cannot be opened is one line, before anything is bound.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.scenarios.test_workers import Site, children
from tests.support.client import Client
from tests.support.crowd import Crowd
from tests.support.program import Launch, Program
from tests.support.waiting import until

LINE = r'\S+Z \S+ "(GET|POST) \S+ HTTP/1.1" 200 \d+ \S+ms #\d+( close=\w+)?( worker=[1-3])?'


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture(params=[1, 3], ids=["one process", "three workers"])
def workers(request: pytest.FixtureRequest) -> int:
    count: int = request.param
    return count


def started(launch: Launch, loop: str, site: Site, workers: int, *more: str) -> Program:
    """Start with a socket and a file for the process id in the site's folder; wait until it is written."""
    path = site.folder / "pid"
    program = launch(
        *site.serving(loop, "--uds", str(site.folder / "s"), "--pid-file", str(path), *more, workers=workers)
    )
    until(lambda: path.exists() and path.read_text() == f"{program.process.pid}\n", message=lambda: program.errors)
    return program


def test_files_renamed_under_load_miss_no_line(launch: Launch, loop: str, site: Site, workers: int) -> None:
    log, access = site.folder / "log", site.folder / "access"
    files = ("--log-file", str(log), "--access-log-file", str(access), "--access-log", "--log-level", "debug")
    program = started(launch, loop, site, workers, *files)
    with Crowd(str(site.folder / "s"), persistent=9, single=3) as crowd:
        for number in (1, 2):
            crowd.go_on()
            moved = {access.rename(site.folder / f"access.{number}"), log.rename(site.folder / f"log.{number}")}
            crowd.go_on()
            program.signal(signal.SIGUSR1)
            until(lambda moved=moved: not open_files(program) & moved)  # type: ignore[misc]
            assert {access, log} <= open_files(program)
        crowd.go_on()
    program.signal()
    assert program.wait() == 0
    assert crowd.lost == []
    lines = [line for path in sorted(site.folder.glob("access*")) for line in path.read_text().splitlines()]
    assert [line for line in lines if not re.fullmatch(LINE, line)] == []
    assert len(lines) == crowd.answers
    assert "serving on" in (site.folder / "log.1").read_text()
    assert log.read_text().endswith(" INFO stopped\n")
    assert program.output == program.errors == []


def open_files(program: Program) -> set[Path]:
    """Return the paths of all files that the processes of a program have open."""
    found = set()
    for pid in (program.process.pid, *children(program)):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found.add(entry.readlink())
    return found


def test_file_of_the_process_id_is_that_of_the_server_that_runs(
    launch: Launch, loop: str, site: Site, workers: int
) -> None:
    path = site.folder / "pid"
    first = started(launch, loop, site, workers)
    second = launch(*site.serving(loop, "--pid-file", str(path), workers=workers))
    assert second.wait() == 1
    assert len(second.errors) == 1
    assert f"of process {first.process.pid}, which runs; stop it" in second.errors[0]
    first.signal(signal.SIGKILL)
    first.wait()
    assert path.exists()
    third = started(launch, loop, site, workers)
    with Client(str(site.folder / "s")) as client:
        assert client.get("/").content == b"one"
    third.signal()
    assert third.wait() == 0
    assert not path.exists()


@pytest.mark.parametrize("option", ["log-file", "access-log-file", "pid-file"])
def test_file_that_cannot_be_made_is_one_line_before_anything_is_bound(
    launch: Launch, site: Site, workers: int, option: str
) -> None:
    with_access = ("--access-log", "--uds", str(site.folder / "s"))
    program = launch(*site.serving("asyncio", f"--{option}", "/no/such/folder/x", *with_access, workers=workers))
    assert program.wait() == 1
    (line,) = program.errors
    assert line.startswith(f"bide: --{option} must be ")
    assert "got '/no/such/folder/x'" in line
    assert not (site.folder / "s").exists()


def test_signal_is_the_applications_without_a_file(launch: Launch, loop: str, site: Site) -> None:
    site.deploy("one", more="signal.signal(signal.SIGUSR1, lambda *_: print('mine', flush=True))")
    program = launch(*site.serving(loop, workers=1))
    assert program.where
    program.signal(signal.SIGUSR1)
    program.line("mine", program.output)


def test_signal_to_a_child_of_the_application_is_the_childs(launch: Launch, loop: str, site: Site) -> None:
    fork = "child = os.fork()\nif not child:\n    time.sleep(60)\nprint(child, flush=True)"
    site.deploy("one", more=fork)
    program = started(launch, loop, site, 1, "--access-log-file", str(site.folder / "access"))
    child = int(program.line(r"^\d+$", program.output)[0])
    os.kill(child, signal.SIGUSR1)
    until(
        lambda: (
            subprocess.run(["ps", "-o", "stat=", str(child)], capture_output=True, check=False).stdout[:1]
            in (b"Z", b"")
        )
    )

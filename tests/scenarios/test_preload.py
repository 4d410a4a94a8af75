"""`--preload`: a process imports the application once for each reload, and forks the workers.

1. Reloads, an upgrade and a stop under load lose no request. Each reload imports the application once.
2. A worker that is killed is replaced without another import. If the process that forks is killed, the workers serve on.
3. An application that cannot be imported, or not in time, is handled as without it.
4. An application that starts threads as it is imported is not forked: the log names them.
"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.scenarios.test_log_files import open_files
from tests.scenarios.test_workers import Site, ask, bide, children, least_ready, logged
from tests.support.client import Client
from tests.support.crowd import Crowd
from tests.support.program import Launch, Program
from tests.support.waiting import until

WORKERS = 3

#: Code that counts the imports in a file.
COUNTS = "with open({path!r}, 'a') as imports: imports.write('x')"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    deploy(made, "one")
    return made


def deploy(site: Site, version: str) -> None:
    site.deploy(version, more=COUNTS.format(path=str(site.folder / "imports")))


def imports(site: Site) -> int:
    return len((site.folder / "imports").read_text())


def started(launch: Launch, loop: str, site: Site, *more: str) -> Program:
    return launch(*site.serving(loop, "--preload", *more, workers=WORKERS))


def workers(program: Program) -> dict[int, int]:
    """Return the process ids of the workers that became ready, by number: the last of each."""
    found = [re.search(r"worker (\d+) ready \(process (\d+)\)", line) for line in list(program.errors)]
    return {int(match[1]): int(match[2]) for match in found if match}


def test_reloads_upgrade_and_stop_lose_no_request(launch: Launch, loop: str, site: Site, tmp_path: Path) -> None:
    control = ("--control", str(tmp_path / "control"))
    program = started(launch, loop, site, *control)
    with Crowd(program.where, persistent=6, single=2, until_refused=True) as crowd:
        for number in range(2):
            crowd.go_on()
            deploy(site, f"version {number}")
            if number == 0:
                program.signal(signal.SIGHUP)
            else:
                assert bide("upgrade", *control).returncode == 0
            until(lambda number=number: len(logged(program, "serving on")) == number + 2)  # type: ignore[misc]
            assert ask(program) == f"version {number}"
            assert imports(site) == number + 2
        until(lambda: len(children(program)) == WORKERS + 1)
        assert set(workers(program).values()) & set(children(program)), "workers are the supervisor's children"
        crowd.go_on()
        program.signal()
        assert program.wait() == 0
    assert crowd.lost == []
    assert least_ready(program.errors[: program.errors.index(logged(program, "stopping")[0])]) == WORKERS
    assert not children(program)


def test_killed_worker_is_replaced_without_an_import(launch: Launch, loop: str, site: Site) -> None:
    program = started(launch, loop, site)
    assert program.where
    os.kill(workers(program)[1], signal.SIGKILL)
    program.line(r"ended after it had been ready: SIGKILL")
    until(lambda: len(logged(program, r"worker \d ready")) == WORKERS + 1)
    assert imports(site) == 1
    assert ask(program) == "one"


def test_workers_serve_on_without_the_process_that_forks(launch: Launch, loop: str, site: Site) -> None:
    program = started(launch, loop, site)
    assert program.where
    (template,) = set(children(program)) - set(workers(program).values())
    os.kill(template, signal.SIGKILL)
    until(lambda: template not in children(program))
    assert ask(program) == "one"
    os.kill(workers(program)[1], signal.SIGTERM)
    until(lambda: len(logged(program, r"worker \d ready")) == WORKERS + 1)
    assert imports(site) == 2
    program.signal()
    assert program.wait() == 0


def test_import_that_fails_is_said_once_at_the_start_and_given_up_later(launch: Launch, loop: str, site: Site) -> None:
    site.deploy("broken", more="1 / 0")
    first = started(launch, loop, site)
    assert first.wait() == 1
    assert len([line for line in first.errors if line.startswith("bide: ")]) == 1
    assert len(logged(first, "ZeroDivisionError: division by zero")) == 2, "the traceback, and the line"
    first.errors[:] = []
    deploy(site, "one")
    program = started(launch, loop, site)
    with Crowd(program.where, persistent=4) as crowd:
        site.deploy("broken", more="1 / 0")
        program.signal(signal.SIGHUP)
        program.line("reload failed: importing 'site_app' failed: ZeroDivisionError")
        os.kill(workers(program)[1], signal.SIGTERM)
        until(lambda: len(logged(program, r"worker \d ready")) == WORKERS + 1)
        crowd.go_on()
        assert ask(program) == "one", "a worker of before is forked from the code of before"
    assert crowd.lost == []
    program.errors[:] = [line for line in program.errors if "Traceback" not in line]


def test_import_that_takes_too_long_is_given_up(launch: Launch, loop: str, site: Site) -> None:
    options = site.folder / "options"
    options.touch()
    program = started(launch, loop, site, "--env-file", str(options))
    assert program.where
    site.deploy("slow", more="time.sleep(60)")
    options.write_text("BIDE_TIMEOUT_START=1")
    program.signal(signal.SIGHUP)
    program.line("reload failed: worker 4 was not ready within 1 s")
    until(lambda: len(children(program)) == WORKERS + 1)
    assert ask(program) == "one"


def test_threads_of_an_import_are_named_and_nothing_is_forked(launch: Launch, loop: str, site: Site) -> None:
    thread = "import threading\nthreading.Thread(target=time.sleep, args=(60,), name='poller', daemon=True).start()"
    site.deploy("threads", more=thread)
    program = started(launch, loop, site)
    assert program.where
    assert (
        len(logged(program, r"--preload is not possible: .* has started threads \(poller\); each worker imports it"))
        == 1
    )
    until(lambda: len(children(program)) == WORKERS)
    with Client(program.where) as client:
        assert client.get("/").content == b"threads"
    deploy(site, "two")
    program.signal(signal.SIGHUP)
    until(lambda: len(logged(program, "serving on")) == 2)
    assert imports(site) == 1, "the next code is preloaded again"


def test_process_that_forks_keeps_no_log_open(launch: Launch, loop: str, site: Site) -> None:
    """It never writes to the log again, and would keep the space of one that was removed."""
    log, pid_file = site.folder / "log", site.folder / "pid"
    program = started(launch, loop, site, "--log-file", str(log), "--pid-file", str(pid_file))
    until(pid_file.exists, message=lambda: program.errors)
    log.rename(site.folder / "log.1")
    program.signal(signal.SIGUSR1)
    until(lambda: site.folder / "log.1" not in open_files(program))
    assert log in open_files(program)


def test_worker_has_its_number_and_standard_output_is_not_doubled(launch: Launch, loop: str, site: Site) -> None:
    site.deploy("one", more="print('imported as', os.environ['BIDE_WORKER'])")
    program = started(launch, loop, site)
    assert program.where
    assert {ask(program, "/worker") for _ in range(40)} <= {"1", "2", "3"}
    program.signal()
    assert program.wait() == 0
    assert program.output == ["imported as 0"]

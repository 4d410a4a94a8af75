"""Several workers of one supervisor, real processes under real load: no request is lost by what happens to them.

1. Reloads under busy clients: none is lost, and never are fewer workers ready than are wanted.
2. A worker that is killed, crashes or ends by itself is replaced. Only what it held is lost.
3. New code that does not work: the old workers serve on, and the log says why. The next good code is taken.
4. A first start that fails is said once.
5. A stop under load loses nothing, is bounded, and a second signal makes it short.
6. A blocked event loop is seen: its stacks are printed, then it is ended.
7. If the supervisor is killed, its workers drain and leave. A new one can bind.
8. TTIN and TTOU change the number of workers. Workers are replaced after a number of requests.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.crowd import Crowd
from tests.support.program import Launch, Program
from tests.support.server import NOISE
from tests.support.tls import Authority
from tests.support.waiting import PATIENCE, pause, until

APP = """
import asyncio, os, signal, time

VERSION = b"{version}"

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            {startup}
            await send({{"type": message["type"] + ".complete"}})
            if message["type"] == "lifespan.shutdown":
                return
    path = scope["path"]
    content = VERSION
    if path == "/echo":
        content, more = b"", True
        while more:
            message = await receive()
            content += message.get("body", b"")
            more = message.get("more_body", False)
    elif path == "/pid":
        content = str(os.getpid()).encode()
    elif path == "/worker":
        content = os.environ["BIDE_WORKER"].encode()
    elif path.startswith("/sleep/"):
        await asyncio.sleep(float(path[7:]))
    elif path == "/block":
        while True:
            pass
    elif path == "/exit":
        os._exit(0)
    elif path == "/segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    length = (b"content-length", str(len(content)).encode())
    await send({{"type": "http.response.start", "status": 200, "headers": [length]}})
    await send({{"type": "http.response.body", "body": content}})
{more}
"""

WORKERS = 4
#: Reloads under load, and seconds from an answer to the next request of the same client: starting workers need
#: processors, too. Before a release: RELOADS=10 PACE=0.
RELOADS = int(os.environ.get("RELOADS", "3"))
PACE = float(os.environ.get("PACE", "0.03"))


class Site:
    """An application in a folder, whose code changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._changed = int(time.time())
        self.deploy("one")

    def deploy(self, version: str, startup: str = "pass", more: str = "") -> None:
        """Change the code."""
        made = self.folder / "site_app.new"
        made.write_text(APP.format(version=version, startup=startup, more=more))
        # Python takes code of the same size and second for the code that it has compiled.
        self._changed += 1
        os.utime(made, (self._changed, self._changed))
        made.rename(self.folder / "site_app.py")

    def serving(self, loop: str, *more: str, workers: int = WORKERS) -> list[str]:
        """Return the arguments that serve it."""
        return [
            *("serve", "site_app:app", "--app-dir", str(self.folder), "--port", "0", "--loop", loop),
            *("--workers", str(workers), "--no-access-log", *more),
        ]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def ask(program: Program, path: str = "/") -> str:
    with program.client() as client:
        return client.get(path, "Connection: close").content.decode()


def children(program: Program) -> list[int]:
    """Return the process ids of the workers that run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                status = (entry / "stat").read_text("utf-8").rpartition(")")[2].split()
            except OSError:
                continue
            if int(status[1]) == program.process.pid and status[0] != "Z":
                found.append(int(entry.name))
    return found


def logged(program: Program, pattern: str) -> list[str]:
    return [line for line in list(program.errors) if re.search(pattern, line)]


def least_ready(lines: Sequence[str], pattern: str = r"serving on") -> int:
    """Return the least number of workers that were ready and not draining, after the first start, as logged."""
    ready: set[str] = set()
    has_begun = False
    least = 1000
    for line in lines:
        if match := re.search(r"worker (\d+) .*ready \(process", line):
            ready.add(match[1])
        elif match := re.search(r"worker (\d+) \(process \d+\) (drains|ended)", line):
            ready.discard(match[1])
        has_begun = has_begun or bool(re.search(pattern, line))
        if has_begun:
            least = min(least, len(ready))
    return least


def test_reloads_under_load_lose_no_request(launch: Launch, loop: str, site: Site) -> None:
    program = launch(*site.serving(loop))
    with Crowd(program.where, pace=PACE) as crowd:
        for number in range(RELOADS):
            crowd.go_on()
            site.deploy(f"version {number}")
            program.signal(signal.SIGHUP)
            until(lambda number=number: len(logged(program, "serving on")) == number + 2)  # type: ignore[misc]
            assert ask(program) == f"version {number}"
        crowd.go_on()
    assert crowd.lost == []
    assert crowd.closes >= WORKERS * RELOADS
    assert least_ready(program.errors) == WORKERS
    program.signal()
    assert program.wait() == 0


def test_killed_worker_costs_what_it_held_and_is_replaced(launch: Launch, loop: str, site: Site) -> None:
    program = launch(*site.serving(loop))
    with Crowd(program.where, pace=PACE) as crowd:
        crowd.go_on()
        victim = children(program)[0]
        os.kill(victim, signal.SIGKILL)
        program.line(rf"\(process {victim}\) ended .*SIGKILL, perhaps out of memory")
        until(lambda: len(logged(program, r"worker \d ready")) == WORKERS + 1)
        lost = len(crowd.lost)
        crowd.go_on(2000)
        assert len(crowd.lost) == lost, "the others lose nothing"
    assert lost <= 24 + 4
    assert victim not in children(program)
    assert len(children(program)) == WORKERS


@pytest.mark.parametrize(
    ("path", "how"), [("/exit", "status 0"), ("/segv", "SIGSEGV")], ids=["ends by itself", "crashes"]
)
def test_worker_that_ends_is_named_and_replaced(launch: Launch, loop: str, site: Site, path: str, how: str) -> None:
    program = launch(*site.serving(loop, workers=2))
    assert len(children(program)) == 2 if program.where else False
    with program.client() as client:
        client.ask(path)
        assert client.ending().rest == b""
    program.line(rf"worker \d \(process \d+\) ended after it had been ready: {how}")
    until(lambda: len(logged(program, r"worker \d ready")) == 3)
    assert ask(program) == "one"


def test_worker_that_is_told_to_end_drains_and_is_replaced(launch: Launch, loop: str, site: Site) -> None:
    program = launch(*site.serving(loop))
    with Crowd(program.where, pace=PACE) as crowd:
        for victim in children(program):
            crowd.go_on()
            ready = len(logged(program, r"worker \d ready"))
            os.kill(victim, signal.SIGTERM)
            program.line(rf"\(process {victim}\) drains: signal")
            until(lambda ready=ready: len(logged(program, r"worker \d ready")) > ready)  # type: ignore[misc]
        crowd.go_on()
    assert crowd.lost == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGTTIN])
def test_signal_for_the_supervisor_does_nothing_to_a_worker(launch: Launch, site: Site, number: signal.Signals) -> None:
    program = launch(*site.serving("asyncio", workers=2))
    assert ask(program) == "one"
    before = children(program)
    for pid in before:
        os.kill(pid, number)
    for _ in range(4):
        assert ask(program) == "one"
    assert children(program) == before


BROKEN = {
    "a syntax error": ({"more": "def ("}, r"SyntaxError.*line \d+"),
    "a lifespan that fails": (
        {"startup": 'return await send({"type": "lifespan.startup.failed", "message": "no database"})'},
        "no database",
    ),
    "an import that ends the process": ({"more": "os._exit(7)"}, "ended before it was ready: status 7"),
    "an end after it was ready": (
        {"startup": "asyncio.get_running_loop().call_later(0.3, os._exit, 7)"},
        "ended after it had been ready: status 7",
    ),
}


@pytest.mark.parametrize(("change", "reason"), BROKEN.values(), ids=BROKEN)
def test_reload_to_broken_code_loses_nothing_and_the_next_one_repairs_it(
    launch: Launch, loop: str, site: Site, change: dict[str, str], reason: str
) -> None:
    program = launch(*site.serving(loop))
    with Crowd(program.where, pace=PACE) as crowd:
        crowd.go_on()
        before = children(program)
        site.deploy("two", **change)
        program.signal(signal.SIGHUP)
        program.line(rf"reload failed: .*{reason}")
        crowd.go_on()
        until(lambda: children(program) == before)
        site.deploy("three")
        program.signal(signal.SIGHUP)
        until(lambda: len(logged(program, "serving on")) == 2)
        assert ask(program) == "three"
    # While new code that ends after it was ready served, it may have had requests.
    assert crowd.lost == [] or "had been ready" in reason
    assert least_ready(program.errors) == WORKERS
    program.errors[:] = [line for line in program.errors if "Traceback" not in line]


def test_reload_to_code_that_is_never_ready_is_given_up(launch: Launch, loop: str, site: Site) -> None:
    program = launch(*site.serving(loop, "--timeout-start", "3"))
    with Crowd(program.where, persistent=4, pace=PACE) as crowd:
        crowd.go_on()
        site.deploy("two", startup="await asyncio.sleep(100)")
        program.signal(signal.SIGHUP)
        program.line(r"reload failed: worker \d was not ready within 3 s")
        crowd.go_on()
        assert ask(program) == "one"
    assert crowd.lost == []


@pytest.mark.parametrize(
    ("change", "reason"), [BROKEN["a syntax error"], BROKEN["a lifespan that fails"]], ids=["syntax", "lifespan"]
)
def test_first_start_that_fails_is_said_once(
    launch: Launch, loop: str, site: Site, change: dict[str, str], reason: str
) -> None:
    site.deploy("one", **change)
    program = launch(*site.serving(loop))
    assert program.wait() == 1
    assert len([line for line in program.errors if re.search(rf"^bide: .*{reason}", line)]) == 1
    assert sum("Traceback" in line for line in program.errors) <= 1
    assert children(program) == []
    program.errors[:] = [line for line in program.errors if "Traceback" not in line]


@pytest.mark.parametrize("trial", range(3))
def test_stop_under_load_loses_no_request(launch: Launch, loop: str, site: Site, trial: int) -> None:
    program = launch(*site.serving(loop))
    crowd = Crowd(program.where, persistent=24, single=24, until_refused=True)
    crowd.go_on(500 + 100 * trial)
    signalled = program.signal()
    assert program.wait() == 0
    took = time.monotonic() - signalled
    crowd.join()
    assert crowd.lost == []
    assert took < 1 + NOISE
    assert children(program) == []


def test_second_signal_hurries_a_stop(launch: Launch, loop: str, site: Site) -> None:
    program = launch(*site.serving(loop, workers=2))
    with program.client() as client:
        client.ask("/sleep/60")
        pause(0.3)  # until the application has it: nothing tells
        program.signal()
        program.line("drains: stop")
        signalled = program.signal()
        assert program.wait() == 0
        assert time.monotonic() - signalled < 2.5 + NOISE


def test_stop_of_what_does_not_end_is_bounded(launch: Launch, loop: str, site: Site) -> None:
    program = launch(*site.serving(loop, "--drain-timeout", "1", workers=2))
    with program.client() as client:
        client.ask("/block")
        pause(0.3)  # until the application has it: nothing tells
        signalled = program.signal()
        assert program.wait() == 0
        took = time.monotonic() - signalled
        assert 5.0 <= took < 5.5 + NOISE
    program.line("is killed: it did not end in time")
    assert children(program) == []


def test_blocked_worker_prints_its_stacks_and_is_replaced(launch: Launch, loop: str, site: Site) -> None:
    program = launch(*site.serving(loop, "--timeout-blocked", "3", workers=2))
    with program.client() as client:
        client.ask("/block")
        program.line("has not turned its event loop")
        program.line(r'File ".*site_app.py", line \d+ in app')
        program.line("has not turned its event loop for 3 s: it is ended")
        program.line("ended: SIGABRT")
        until(lambda: len(logged(program, r"worker \d ready")) == 3)
        assert ask(program) == "one"
    program.errors[:] = [line for line in program.errors if "Traceback" not in line]


def test_import_that_takes_long_is_no_blocked_loop(launch: Launch, loop: str, site: Site) -> None:
    site.deploy("one", more="time.sleep(4)")
    program = launch(*site.serving(loop, "--timeout-blocked", "1", workers=1), "--supervise", "on")
    assert ask(program) == "one"
    assert not logged(program, "has not turned")


def test_supervisor_that_was_stopped_ends_no_worker(launch: Launch, loop: str, site: Site) -> None:
    program = launch(*site.serving(loop, "--timeout-blocked", "1.5", workers=2))
    assert ask(program) == "one"
    before = children(program)
    program.signal(signal.SIGSTOP)
    pause(5)  # as long as it is stopped: that is what the test is about
    program.signal(signal.SIGCONT)
    program.line("was not run for")
    pause(1)
    assert children(program) == before
    assert not logged(program, "has not turned")


def test_workers_of_a_killed_supervisor_drain_and_leave(launch: Launch, loop: str, site: Site) -> None:
    program = launch(*site.serving(loop))
    where = program.where
    crowd = Crowd(where, until_refused=True)
    crowd.go_on()
    workers = children(program)
    assert len(workers) == WORKERS
    program.signal(signal.SIGKILL)
    port = str(where[1])
    another = launch(*site.serving(loop), "--port", port)
    crowd.join() if crowd.refused else None
    another.line("serving on")
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    crowd.end()
    assert crowd.lost == []
    with Client(where) as client:
        assert client.get("/").content == b"one"


def test_numbers_of_workers_can_be_changed(launch: Launch, loop: str, site: Site) -> None:
    program = launch(*site.serving(loop, workers=2))
    with Crowd(program.where, persistent=8, single=2, pace=PACE) as crowd:
        crowd.go_on()
        program.signal(signal.SIGTTIN)
        until(lambda: len(children(program)) == 3)
        program.signal(signal.SIGTTIN)
        until(lambda: len(children(program)) == 4)
        crowd.go_on()
        program.signal(signal.SIGTTOU)
        until(lambda: len(children(program)) == 3)
        crowd.go_on()
    assert crowd.lost == []
    assert least_ready(program.errors) == 2


def test_workers_replaced_after_some_requests_lose_none(launch: Launch, loop: str, site: Site) -> None:
    program = launch(*site.serving(loop, "--limit-worker-requests", "100"))
    with Crowd(program.where, pace=PACE) as crowd:
        until(lambda: len(logged(program, "drains: requests")) >= 2 * WORKERS or crowd.lost)
        crowd.go_on()
    assert crowd.lost == []
    assert least_ready(program.errors) == WORKERS


def bide(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bide", *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def test_reload_by_command_waits_for_its_result(launch: Launch, loop: str, site: Site, tmp_path: Path) -> None:
    control = ("--control", str(tmp_path / "control"))
    program = launch(*site.serving(loop, *control, workers=2))
    assert ask(program) == "one"
    site.deploy("two")
    done = bide("reload", *control)
    assert (done.returncode, done.stdout) == (0, "reloaded: 2 workers, generation 2\n")
    assert ask(program) == "two"
    site.deploy("three", more="def (")
    done = bide("reload", *control)
    assert done.returncode == 1
    assert re.fullmatch(r"bide: reload failed: importing 'site_app' failed: SyntaxError: .* line \d+\)\n", done.stderr)
    assert ask(program) == "two"
    shown = bide("status", *control).stdout
    assert shown.startswith(f"serving on {program.url}, process {program.process.pid}, generation 2, 2 workers wanted")
    assert "the last reload failed: importing 'site_app' failed" in shown
    figures = json.loads(bide("status", "--json", *control).stdout)["figures"]
    assert figures["opened"] == sum(figures["closed"].values()) + sum(figures["states"].values())
    program.errors[:] = [line for line in program.errors if "Traceback" not in line]


def test_control_socket_tells_figures_and_connections_and_drains(
    launch: Launch, loop: str, site: Site, tmp_path: Path
) -> None:
    control = str(tmp_path / "control")
    program = launch(*site.serving(loop, "--control", control, workers=2))

    def told(method: str, path: str) -> str:
        with Client(control) as client:
            return client.get(path, "Connection: close", method=method).content.decode()

    with program.client() as idle:
        assert idle.get("/").content == b"one"
        rows = json.loads(told("GET", "/connections"))["connections"]
        assert [(row["peer"], row["state"], row["requests"]) for row in rows] == [("127.0.0.1", "idle", 1)]
        until(lambda: 'bide_states{state="idle"} 1\n' in told("GET", "/metrics"))
        told("POST", "/drain")
        assert program.wait() == 0
    assert logged(program, "drains: stop")


def test_upgrade_in_place_keeps_process_and_connections(launch: Launch, loop: str, site: Site, tmp_path: Path) -> None:
    control = ("--control", str(tmp_path / "control"))
    pid_file = tmp_path / "pid"
    program = launch(*site.serving(loop, *control, "--pid-file", str(pid_file)))
    with Crowd(program.where, pace=PACE) as crowd:
        for number in range(2):
            crowd.go_on()
            before = json.loads(bide("status", "--json", *control).stdout)["figures"]
            site.deploy(f"version {number}")
            if number:
                program.signal(signal.SIGUSR2)
            else:
                assert bide("upgrade", *control).returncode == 0
            until(lambda number=number: len(logged(program, rf"upgraded to bide .*{WORKERS} workers adopted")) > number)  # type: ignore[misc]
            until(lambda number=number: len(logged(program, "serving on")) > number + 1)  # type: ignore[misc]
            assert ask(program) == f"version {number}"
            after = json.loads(bide("status", "--json", *control).stdout)["figures"]
            assert after["opened"] > before["opened"]
            assert after["closed"]["worker_lost"] == 0
            assert after["opened"] == sum(after["closed"].values()) + sum(after["states"].values())
            assert pid_file.read_text() == f"{program.process.pid}\n"
        crowd.go_on()
    assert crowd.lost == []
    assert least_ready(program.errors) == WORKERS
    assert len(children(program)) == WORKERS
    program.signal()
    assert program.wait() == 0
    assert not pid_file.exists()


def test_upgrade_that_could_not_run_is_refused(launch: Launch, loop: str, site: Site, tmp_path: Path) -> None:
    files = Authority.made(tmp_path).issue("workers")
    flags = [flag for name, path in files.items() for flag in (f"--{name.replace('_', '-')}", path)]
    control = ("--control", str(tmp_path / "control"))
    program = launch(*site.serving(loop, *flags, *control, workers=2))
    program.line("serving on")
    before = children(program)
    Path(files["ssl_certfile"]).write_text("broken")
    done = bide("upgrade", *control)
    assert done.returncode == 1
    assert done.stderr.startswith("bide: upgrade failed: bide: --ssl-certfile")
    program.line("upgrade refused: bide: --ssl-certfile .*; this program goes on")
    assert sorted(children(program)) == sorted(before)


def test_command_without_a_server_says_what_to_do(tmp_path: Path) -> None:
    done = bide("status", "--control", str(tmp_path / "nothing"))
    assert done.returncode == 1
    assert "--control must be the socket of a server that runs" in done.stderr


def test_hangups_in_a_row_end_with_the_newest_code(launch: Launch, loop: str, site: Site) -> None:
    program = launch(*site.serving(loop, workers=2))
    assert ask(program) == "one"
    for number in range(5):
        site.deploy(f"version {number}")
        program.signal(signal.SIGHUP)
        program.line(rf"reloading: .*generation {number + 2}\)")
    until(lambda: len(logged(program, "serving on")) == 2)
    assert ask(program) == "version 4"
    until(lambda: len(children(program)) == 2)
    program.signal(signal.SIGHUP)
    program.line(r"generation 7\)")
    program.signal()
    assert program.wait() == 0


def test_reload_reads_the_file_of_options_again(launch: Launch, loop: str, site: Site, tmp_path: Path) -> None:
    """Fewer workers, and another variable for the application; another backlog takes a restart, which is said."""
    site.deploy("one", more="VERSION += os.environ['GREETING'].encode()")
    options = tmp_path / "options"
    options.write_text("BIDE_WORKERS=4\nGREETING=hello")
    app = ("serve", "site_app:app", "--app-dir", str(site.folder), "--loop", loop)
    program = launch(*app, "--env-file", str(options), "--no-access-log", env={"BIDE_PORT": "0"})
    with Crowd(program.where, persistent=6, single=2) as crowd:
        crowd.go_on()
        assert len(children(program)) == 4
        options.write_text("BIDE_WORKERS=2\nGREETING=bye\nBIDE_BACKLOG=77")
        program.signal(signal.SIGHUP)
        program.line("--backlog changed, which takes a restart")
        program.line("serving on .* 2 workers")
        until(lambda: len(children(program)) == 2)
        assert ask(program) == "onebye"
        options.write_text("BIDE_WORKERS=none")
        program.signal(signal.SIGHUP)
        program.line("reload failed: --workers must be a whole number or auto, got 'none'; the workers of before")
        crowd.go_on()
        options.write_text("BIDE_WORKERS=3\nGREETING=again")
        program.signal(signal.SIGUSR2)
        program.line("serving on .* 3 workers")
        assert ask(program) == "oneagain", "the program that replaces this one reads the file, too"
    assert crowd.lost == []
    program.signal()
    assert program.wait() == 0


def test_supervisor_keeps_nothing_of_its_reloads(launch: Launch, loop: str, site: Site) -> None:
    program = launch(*site.serving(loop, workers=2))

    def holds() -> tuple[int, int]:
        own = Path("/proc", str(program.process.pid))
        return len(list((own / "fd").iterdir())), len(list((own / "task").iterdir()))

    def reloaded(times: int) -> None:
        program.signal(signal.SIGHUP)
        until(lambda: len(logged(program, "serving on")) == times + 1)
        until(lambda: len(children(program)) == 2)

    program.line("serving on")
    reloaded(1)
    before = holds()
    for number in range(RELOADS):
        reloaded(number + 2)
    until(lambda: holds() == before, message=lambda: (holds(), before))


def test_reload_to_another_address_loses_no_request(launch: Launch, loop: str, site: Site, tmp_path: Path) -> None:
    """The old address is served until its last worker has drained; then it refuses."""
    options = tmp_path / "options"
    options.write_text("BIDE_PORT=0")
    app = ("serve", "site_app:app", "--app-dir", str(site.folder), "--loop", loop, "--no-access-log")
    program = launch(*app, "--workers", "3", "--env-file", str(options))
    old = program.where
    crowd = Crowd(old, persistent=6, single=2, until_refused=True)
    crowd.go_on()
    options.write_text(f"BIDE_UDS={tmp_path / 'new'}\nBIDE_WORKERS=2")
    program.signal(signal.SIGHUP)
    program.line(r"serving on unix:.*new")
    crowd.join()
    assert crowd.lost == []
    assert crowd.refused == 8, "every client was served until the address refused"
    with Client(str(tmp_path / "new")) as client:
        assert client.get("/").content == b"one"
    program.signal()
    assert program.wait() == 0
    assert not (tmp_path / "new").exists()


def test_port_in_use_is_one_line_before_any_worker_starts(launch: Launch, site: Site) -> None:
    first = launch(*site.serving("asyncio", workers=2))
    port = str(first.where[1])
    second = launch(*site.serving("asyncio", workers=2), "--port", port)
    assert second.wait() == 1
    assert len([line for line in second.errors if line.startswith("bide: cannot listen")]) == 1
    assert not logged(second, "starting")


def test_unix_socket_is_removed_at_the_stop(launch: Launch, loop: str, site: Site, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    program = launch(*site.serving(loop, workers=2), "--uds", str(path))
    crowd = Crowd(program.where, until_refused=True)
    crowd.go_on()
    program.signal()
    assert program.wait() == 0
    crowd.join()
    assert crowd.lost == []
    assert not path.exists()


def test_tls_and_redirects_are_served_by_all_workers(launch: Launch, loop: str, site: Site, tmp_path: Path) -> None:
    files = Authority.made(tmp_path).issue("workers")
    flags = [flag for name, path in files.items() for flag in (f"--{name.replace('_', '-')}", path)]
    program = launch(*site.serving(loop, *flags, "--redirect-http", "0", workers=2))
    port = int(program.line(r"serving on https://\S+, http://127.0.0.1:(\d+)")[1])
    for _ in range(2):
        with Client(("127.0.0.1", port)) as client:
            assert client.get("/x", "Connection: close").status == 308
        for pid in children(program):
            os.kill(pid, signal.SIGTERM)
        until(lambda: len(logged(program, r"worker \d ready")) == 4)


def test_lines_of_several_workers_stay_whole_in_a_pipe(launch: Launch, loop: str, site: Site) -> None:
    program = launch(*site.serving(loop, "--no-rebalance"), "--access-log")
    where = program.where
    asked = 400

    def ask_much(size: int) -> None:
        with Client(where) as client:
            for _ in range(asked):
                assert client.get("/" + "x" * size).status == 200

    threads = [threading.Thread(target=ask_much, args=(size,)) for size in (1, 60, 600, 3000, 6000, 16_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    program.signal()
    assert program.wait() == 0
    line = r'\S+Z 127.0.0.1:\d+ "GET /x+(\.\.\.\(\d+ octets, cut\)\.\.\.x*)? HTTP/1.1" 200 \d+ \S+ms #\d+( close=\w+)? worker=[1-4]'
    assert [text for text in program.output if not re.fullmatch(line, text)] == []
    assert len(program.output) == asked * len(threads)


def test_worker_has_its_number(launch: Launch, loop: str, site: Site) -> None:
    program = launch(*site.serving(loop, workers=2))
    assert {ask(program, "/worker") for _ in range(40)} <= {"1", "2"}

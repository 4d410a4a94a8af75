"""The supervisor: facts from processes and signals, and the orders that follow."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from pathlib import Path
from typing import Any, cast

import pytest

from bide.channel import (
    Beat,
    Channel,
    Drain,
    Draining,
    Failed,
    Hurry,
    Ready,
    Reopen,
)
from bide.observe.log_files import LogFile
from bide.supervisor import run, upgrade
from bide.supervisor.failure_page import FailurePage
from bide.supervisor.handover import loaded
from bide.supervisor.process import Process
from bide.supervisor.settings import RELOAD_DRAIN_S
from bide.supervisor.watch import Watched
from bide.supervisor.words import Word
from bide.terms import Cause, WorkerState
from tests.support.server import Log, log
from tests.support.supervision import DRAIN_S, URL, Make, Scene, make, processors, reload, scene

__all__ = ["log", "make", "processors", "scene"]  # fixtures


def test_start_tells_each_worker_what_to_serve_and_names_the_addresses_once(scene: Scene) -> None:
    assert [process.begin.number for process in scene.processes] == [1, 2]
    begin = scene.processes[0].begin
    assert (begin.app, begin.generation) == ("module:app", 1)
    assert begin.options["workers"] == 2
    assert begin.sockets == [(scene.socket.fileno(), True)]
    assert begin.redirecting == [scene.plain.fileno()]
    one, _ = scene.processes
    one.say(Ready([URL]))
    scene.turn()
    assert not any("serving" in line for line in scene.log.messages())
    scene.start()
    assert [line for line in scene.log.messages() if "serving" in line] == [
        f"serving on {URL} (process {os.getpid()}, 2 workers)"
    ]


def test_workers_are_as_many_as_processors_if_not_said(make: Make) -> None:
    assert len(make(workers="auto").processes) == 4


def test_signals_are_taken(scene: Scene) -> None:
    scene.start()
    signal.raise_signal(signal.SIGTTIN)
    scene.turn()
    assert len(scene.processes) == 3
    scene.processes[0].status = "SIGSEGV"
    scene.log.expect("worker 1 .process 1001. ended after it had been ready: SIGSEGV")
    scene.log.expect("worker failed")
    signal.raise_signal(signal.SIGCHLD)
    scene.turn()
    assert [process.begin.number for process in scene.processes] == [1, 2, 3, 1]


def test_stop_drains_all_as_the_last_ones_and_lets_go_of_the_socket(scene: Scene, tmp_path: Path) -> None:
    one, other = scene.start()
    scene.supervisor.signalled(signal.SIGTERM)
    for process in (one, other):
        assert process.heard() == [Drain(DRAIN_S, True, Cause.STOP.value)]
    assert scene.socket.fileno() == scene.plain.fileno() == -1
    scene.supervisor.signalled(signal.SIGHUP)  # has no meaning any more
    scene.supervisor.signalled(signal.SIGINT)
    assert one.heard() == [Hurry()]
    for process in (one, other):
        assert not scene.running.done()
        scene.end(process)
    assert scene.running.done()
    assert scene.supervisor.failure == ""
    assert scene.log.messages()[-1] == "stopped"


def test_path_of_a_unix_socket_is_removed_after_the_delay(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    path.touch()
    scene = make(path=str(path), drain_delay=3.0)
    scene.start()
    scene.supervisor.signalled(signal.SIGTERM)
    scene.turn(2.9)
    assert path.exists()
    scene.turn(0.2)
    assert not path.exists()
    scene.supervisor.remove_path()


def test_beats_that_wait_to_be_read_are_read_before_a_worker_is_judged(scene: Scene) -> None:
    one, other = scene.start()
    scene.turn(2.5)
    one.say(Beat())
    other.say(Beat())
    scene.loop.remove_reader(one.channel.fileno())
    scene.turn(1.0)
    assert one.signals == []


def test_time_in_which_the_supervisor_stood_still_counts_on_no_clock(scene: Scene) -> None:
    one, other = scene.start()
    scene.log.expect("the supervisor was not run for")
    scene.loop.block(60.0)
    scene.turn(1.0)
    assert one.signals == other.signals == []


def test_number_of_workers_changes(scene: Scene) -> None:
    scene.start()
    scene.supervisor.asked(Word.MORE)
    assert len(scene.start()) == 3
    scene.turn(1.1)
    scene.supervisor.asked(Word.FEWER)
    assert scene.processes[-1].heard() == [Drain(DRAIN_S, False, Cause.SURPLUS.value)]
    assert "2 workers wanted" in scene.log.messages()


def test_reload_takes_options_as_they_are_now(scene: Scene) -> None:
    scene.start()
    scene.options |= {"workers": 3, "limit_head": 70_000, "drain_timeout": 9.0, "backlog": 81}
    scene.log.expect("^--backlog changed, which takes a restart$")
    scene.supervisor.asked(Word.RELOAD)
    scene.turn()
    *_, newest = scene.start()
    assert scene.supervisor.status()["wanted"] == 3
    assert newest.begin.options["limit_head"] == 70_000
    assert newest.begin.options["backlog"] != 81
    for _ in range(3):  # a worker proves itself for a second
        scene.turn(1.1)
        for process in scene.start():
            process.say(Beat())
    drains = [message for message in scene.processes[0].heard() if isinstance(message, Drain)]
    assert drains == [Drain(9.0, False, Cause.RELOAD.value)]


def test_reload_to_an_address_that_cannot_be_bound_fails(make: Make, tmp_path: Path) -> None:
    scene = make(redirects=False)
    scene.log.expect("^reload failed: cannot listen on .*make its folder first; the workers of before serve on$")
    scene.start()
    scene.options["uds"] = str(tmp_path / "no" / "socket")
    scene.supervisor.asked(Word.RELOAD)
    scene.turn()
    assert len(scene.processes) == 2


def test_reload_with_wrong_options_changes_nothing(scene: Scene) -> None:
    scene.start()
    scene.options["limit_head"] = -1
    said = "limit_head must be at least 256, got -1"
    scene.log.expect(f"^reload failed: {said}; the workers of before serve on$")
    waiting = scene.loop.create_task(scene.supervisor.reload())
    scene.turn()
    assert waiting.result() == said
    assert scene.supervisor.status()["reload_failed"] == said
    assert len(scene.processes) == 2
    assert scene.notifier.others()[-2:] == ["reloading", f"ready: reload failed: {said}"]
    scene.options["limit_head"] = 70_000
    scene.supervisor.asked(Word.RELOAD)
    scene.turn()
    assert len(scene.processes) == 3


def test_logs_are_opened_again_here_and_by_all_workers_during_a_stop_too(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "log"
    file = LogFile(str(path))
    for process in scene.start():
        process.heard()
    for word in (Word.REOPEN, Word.STOP, Word.REOPEN):
        if word is Word.REOPEN:
            path.unlink()
        scene.supervisor.asked(word)
        assert path.exists()
    file.close()
    for process in scene.processes:
        assert [type(message) for message in process.heard()] == [Reopen, Drain, Reopen]


# -- What an operator may ask -------------------------------------------------------------------------------------------------


def test_order_to_stop_drains(scene: Scene) -> None:
    scene.start()
    scene.supervisor.stop()
    assert scene.supervisor.status()["state"] == "stopping"


def test_server_has_a_control_socket_while_it_runs(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "control"
    scene = make(control=str(path))
    assert path.is_socket()
    scene.supervisor.stop()
    for process in scene.start():
        scene.end(process)
    scene.loop.run_until_complete(scene.running)
    assert not path.exists()


# -- systemd ------------------------------------------------------------------------------------------------------------------


def test_systemd_is_told_of_start_reload_and_stop(scene: Scene) -> None:
    assert scene.notifier.others() == []
    old = scene.start()[:]
    assert scene.notifier.others() == [f"ready: 2 workers serve on {URL}"]
    scene.log.expect("reload failed: no database")
    failed = reload(scene)
    failed.say(Failed("no database"))
    scene.end(failed, "status 1")
    assert scene.notifier.others()[1:] == ["reloading", "ready: reload failed: no database"]
    reload(scene)
    for process in old:
        scene.start()
        scene.turn(1.1)
        process.say(Draining("reload"))
        scene.turn()
    scene.start()
    scene.turn()
    assert scene.notifier.others()[3:] == ["reloading", f"ready: 2 workers serve on {URL}"]
    scene.supervisor.signalled(signal.SIGTERM)
    assert scene.notifier.others()[5:] == ["stopping"]


def test_systemd_is_told_to_wait_while_a_start_or_a_stop_goes_on(scene: Scene) -> None:
    scene.turn(3.0)
    assert scene.notifier.said.count("goes on") == 3
    scene.start()
    scene.notifier.said.clear()
    scene.turn(2.0)
    assert "goes on" not in scene.notifier.said
    scene.supervisor.signalled(signal.SIGTERM)
    scene.turn(2.0)
    assert scene.notifier.said.count("goes on") == 2


def test_sign_of_life_comes_while_a_worker_turns(make: Make) -> None:
    scene = make(watchdog=0.25)
    one, other = scene.start()
    scene.notifier.said.clear()
    scene.turn(1.0)
    assert scene.notifier.said.count("lives") == 4
    one.say(Beat())
    scene.log.expect("worker 2 .* has not turned its event loop")
    scene.turn(2.5)
    scene.log.expect("worker 1 .* has not turned its event loop")
    scene.turn(1.0)
    scene.notifier.said.clear()
    scene.turn(1.0)
    assert "lives" not in scene.notifier.said, "all are stuck"
    other.say(Beat())
    scene.turn(0.5)
    assert "lives" in scene.notifier.said


# -- Upgrade ------------------------------------------------------------------------------------------------------------------


class StubTrial:
    """A trial that ends at once."""

    pid = 5000
    reason = ""

    async def result(self) -> str:
        return self.reason


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was left for the next program, which cannot be run."""
    states: list[dict[str, Any]] = []

    def replace(state: dict[str, Any], descriptors: list[int], signals: object) -> None:
        assert all(fd >= 0 for fd in descriptors)
        states.append(json.loads(json.dumps(state)))
        raise OSError(2, "no such program")

    monkeypatch.setattr(upgrade, "replace", replace)
    monkeypatch.setattr(upgrade, "Trial", StubTrial)
    return states


def test_upgrade_leaves_all_that_is_known_to_the_next_program(
    make: Make, scene: Scene, left: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = scene.start()
    one.say(Beat({"opened": 7, "states": {"idle": 7}}, 4096))
    scene.turn()
    scene.log.expect("upgrade failed: no such program; this program goes on")
    scene.supervisor.signalled(signal.SIGUSR2)
    scene.turn(1.0)
    (state,) = left
    assert state["sockets"] == [scene.socket.fileno()]
    assert [member["pid"] for member in state["members"]] == [1001, 1002]
    monkeypatch.setattr(Process, "adopted", AdoptedProcess)
    for member in state["members"]:
        member["channel"] = os.dup(member["channel"])
    state |= {"page": os.dup(state["page"]), "sockets": [], "redirecting": []}
    following = make(state=loaded(state))
    assert following.states()[1] is WorkerState.READY
    assert [process.begin.generation for process in following.processes] == [2], "it reloads"
    assert following.supervisor.figures()["opened"] == 7
    assert "upgraded to bide" in " ".join(scene.log.messages())


class AdoptedProcess:
    """A process of the program before."""

    def __init__(self, pid: int, channel: Channel) -> None:
        self.pid = pid
        self.channel = channel

    def has_ended(self) -> bool:
        return False


def test_upgrade_whose_trial_fails_is_refused(
    scene: Scene, left: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.start()
    monkeypatch.setattr(StubTrial, "reason", "bide: it cannot run")
    scene.log.expect("upgrade refused: bide: it cannot run; this program goes on")
    assert scene.loop.run_until_complete(scene.supervisor.upgrade()) == "bide: it cannot run"
    scene.turn(1.0)
    assert left == []


def test_upgrade_during_a_stop_is_refused(scene: Scene, left: list[dict[str, Any]]) -> None:
    scene.start()
    asked = scene.loop.run_until_complete(scene.supervisor.upgrade())
    scene.supervisor.signalled(signal.SIGTERM)
    assert scene.loop.run_until_complete(scene.supervisor.upgrade()) == "the server is stopping"
    scene.turn(1.0)
    assert (asked, left) == ("", [])


# -- Development --------------------------------------------------------------------------------------------------------------


class StubPage:
    """What is shown in the place of a worker that failed."""

    def __init__(self) -> None:
        self.is_shown = False
        self.text = ""

    def show(self, sockets: object, text: str) -> None:
        self.is_shown, self.text = True, text

    def hide(self) -> None:
        self.is_shown = False

    async def close(self) -> None:
        self.hide()


def test_worker_that_fails_in_development_is_shown_until_a_file_changes(
    make: Make, tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def watch(watched: Watched, changed: object, stop: asyncio.Event) -> None:
        assert watched.folders == (str(tmp_path),)
        await stop.wait()

    monkeypatch.setattr(run, "watch", watch)
    log.expect("no database; it is started again when a file changes")
    scene = make(workers=1, reload=True, reload_dir=(str(tmp_path),))
    page = StubPage()
    scene.supervisor._failure_page = cast(FailurePage, page)
    assert scene.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), "connections wait"
    (one,) = scene.processes
    one.say(Failed("no database", "Traceback\n  its own\n"))
    scene.end(one, "status 1")
    assert (page.is_shown, len(scene.processes)) == (True, 1)
    assert page.text.startswith("Traceback\n  its own\n\nno database\n")
    scene.supervisor._changed(["a.py", "b.py"])
    scene.turn()
    assert "a.py changed, and 1 more" in scene.log.messages()
    assert (page.is_shown, len(scene.processes)) == (False, 2)
    scene.start()
    scene.supervisor._changed(["a.py"])
    scene.turn()
    assert scene.processes[1].heard() == [Drain(RELOAD_DRAIN_S, False, Cause.RELOAD.value)]
    assert len(scene.processes) == 3
    scene.supervisor.signalled(signal.SIGTERM)
    for process in scene.processes[1:]:
        scene.end(process)
    scene.supervisor._changed(["a.py"])
    scene.loop.run_until_complete(scene.running)

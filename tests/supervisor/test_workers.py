"""The workers of a supervisor: what is made of facts about them, and which orders they get."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from bide.channel import Beat, Drain, Draining, Failed, Forked, Hello, Ready
from bide.supervisor import templates as supervisor_templates, upgrade, workers
from bide.supervisor.words import Word
from bide.terms import Cause, WorkerState
from tests.support.server import Log, log
from tests.support.supervision import DRAIN_S, KILL_S, URL, Make, Scene, StubTemplate, make, processors, reload, scene

__all__ = ["log", "make", "processors", "scene"]  # fixtures


@pytest.mark.parametrize("hangup", [False, True])
def test_worker_that_ends_is_replaced_and_its_end_is_named(scene: Scene, hangup: bool) -> None:
    scene.start()
    for _ in range(6):
        scene.turn(1.0)
        for process in scene.processes:
            process.say(Beat())
    scene.log.expect(r"worker 1 \(process 1001\) ended after it had been ready: SIGKILL")
    scene.end(scene.processes[0], "SIGKILL", hangup=hangup)
    assert scene.states()[2] is WorkerState.READY
    assert len(scene.processes) == 3
    assert scene.processes[0].channel.fileno() == -1


def test_last_words_of_a_process_are_heard_before_its_end(scene: Scene) -> None:
    """The end of the process may be seen before its channel is read."""
    scene.start()
    process = scene.processes[0]
    process.say(Draining("signal"), Beat({"opened": 7}, 5, True))
    process.status = "status 0"
    scene.supervisor.reap()
    assert "worker 1 (process 1001) drains: signal" in scene.log.messages()
    assert "worker 1 (process 1001) ended: status 0" in scene.log.messages()


def test_beats_are_kept(scene: Scene) -> None:
    scene.start()
    scene.processes[0].say(Beat({"opened": 7}, 4096))
    scene.turn()
    member = scene.supervisor._workers.members[1]
    assert (member.snapshot, member.memory) == ({"opened": 7}, 4096)


def test_message_that_makes_no_sense_keeps_no_other_fact_from_being_taken(scene: Scene) -> None:
    scene.start()
    one, other = scene.processes
    scene.log.expect("Exception in callback")
    other.say(Draining("signal"))
    one.say(Ready([URL]))
    scene.turn()
    assert scene.states()[2] is WorkerState.DRAINING
    assert len(scene.processes) == 3


def test_figures_of_workers_that_ended_stay(scene: Scene) -> None:
    one, _ = scene.start()
    one.say(Beat({"opened": 7, "requests": 9, "race_lost": 0, "closed": {"drain": 4}, "states": {"idle": 3}}))
    scene.turn()
    scene.log.expect("ended after it had been ready")
    scene.log.expect("worker failed")
    scene.end(one, "SIGKILL")
    assert scene.supervisor.figures()["closed"] == {"drain": 4, "worker_lost": 3}
    assert scene.supervisor.figures()["opened"] == 7


def test_first_start_that_fails_ends_all_and_keeps_the_text(scene: Scene) -> None:
    scene.log.expect(r"the application failed:\nTraceback\n  its own")
    one, other = scene.processes
    one.say(Failed("no module named 'x'; check the name", "Traceback\n  its own\n"))
    scene.turn()
    assert other.signals == [signal.SIGTERM]
    other.say(Failed("no module named 'x'; check the name", "Traceback\n  its own\n"))
    scene.end(one, "status 1")
    scene.end(other, "status 1")
    assert scene.running.done()
    assert scene.supervisor.failure == "no module named 'x'; check the name"
    assert len(scene.processes) == 2
    assert "stopped" not in scene.log.messages()


def test_first_start_that_ends_without_a_word_says_how(scene: Scene) -> None:
    scene.log.expect("ended before it was ready: SIGSEGV")
    scene.end(scene.processes[0], "SIGSEGV")
    assert "worker 1 (process 1001) ended before it was ready: SIGSEGV" in scene.supervisor.failure


def test_process_that_the_system_cannot_start_is_a_failure(make: Make, log: Log) -> None:
    log.expect("worker . cannot start: no more processes")
    scene = make(error=OSError(11, "no more processes"))
    assert scene.running.done()
    assert scene.supervisor.failure == "the system cannot start a process: no more processes"


def test_reload_drains_an_old_worker_once_a_new_one_has_proved_itself(scene: Scene) -> None:
    scene.start()
    new = reload(scene)
    assert new.begin.generation == 2
    new.say(Ready([URL]))
    scene.turn()
    old = scene.processes[0]
    assert old.heard() == []
    scene.turn(1.0)
    assert old.heard() == [Drain(DRAIN_S, False, Cause.RELOAD.value)]
    assert "worker 1 (process 1001) drains: reload" in scene.log.messages()


def test_reload_that_fails_says_why_and_leaves_the_old_workers(scene: Scene) -> None:
    scene.start()
    new = reload(scene)
    new.say(Failed("importing 'x' failed: SyntaxError", "  x = (\n"))
    scene.log.expect(r"reload failed: importing 'x' failed: SyntaxError; the workers of before serve on\n  x = \(")
    scene.end(new, "status 1")
    assert scene.states() == {1: WorkerState.READY, 2: WorkerState.READY}
    assert len(scene.processes) == 3


def test_worker_that_is_not_ready_in_time_is_the_reason(scene: Scene) -> None:
    scene.start()
    new = reload(scene)
    for _ in range(300):
        scene.turn(1.0)
        for process in scene.processes[:2]:
            process.say(Beat())
    scene.log.expect("reload failed: worker 3 was not ready within 300 s")
    scene.turn(1.0)
    assert new.signals == [signal.SIGTERM]
    assert scene.states()[1] is WorkerState.READY


def test_failure_beside_others_says_when_the_next_start_is(scene: Scene) -> None:
    scene.start()
    scene.log.expect("ended after it had been ready")
    scene.log.expect(r"worker failed \(1 in a row\): worker 1 .* ended after it had been ready: X; next start in 0 s")
    scene.end(scene.processes[0], "X")
    scene.log.expect(r"worker failed \(2 in a row\): no database; next start in 0.5 s")
    scene.processes[-1].say(Failed("no database"))
    scene.turn()
    assert len(scene.processes) == 3
    scene.turn(0.5)
    assert len(scene.processes) == 4


def test_stop_kills_what_does_not_end(scene: Scene) -> None:
    one, other = scene.start()
    scene.supervisor.signalled(signal.SIGTERM)
    scene.turn(KILL_S - 1)
    assert one.signals == other.signals == []
    scene.log.expect("worker . .* is killed: it did not end in time")
    scene.turn(1.1)
    assert one.signals == [signal.SIGKILL]


def test_worker_that_is_blocked_prints_its_stacks_and_is_ended(scene: Scene) -> None:
    one, other = scene.start()
    scene.log.expect(
        r"worker 1 \(process 1001\) has not turned its event loop for 3 s: its stacks follow; .* after 9 s"
    )
    scene.log.expect(r"worker 1 \(process 1001\) has not turned its event loop for 9 s: it is ended")
    for _ in range(9):
        other.say(Beat())
        scene.turn(1.0)
    assert one.signals == [signal.SIGXCPU, signal.SIGABRT]
    assert other.signals == []
    assert len(scene.processes) == 3


@pytest.mark.parametrize(
    ("options", "beats", "cause"),
    [
        ({"limit_worker_requests": 100}, [Beat({"requests": 120})], Cause.REQUESTS),
        ({"limit_worker_memory": 1000}, [Beat({}, 2000), Beat({}, 2000)], Cause.MEMORY),
    ],
)
def test_worker_at_its_limit_is_replaced_before_it_drains(
    make: Make, options: dict[str, Any], beats: list[Beat], cause: Cause
) -> None:
    scene = make(**options)
    one, other = scene.start()
    one.say(*beats)
    scene.turn()
    assert len(scene.processes) == 3
    assert one.heard() == []
    scene.start()
    assert one.heard() == [Drain(DRAIN_S, False, cause.value)]
    assert other.heard() == []


def test_worker_at_its_age_is_replaced(make: Make) -> None:
    scene = make(limit_worker_age=2.0)
    one, _ = scene.start()
    scene.turn(1.7)
    one.say(Beat())
    scene.turn()
    assert len(scene.processes) == 2
    scene.turn(0.5)
    one.say(Beat())
    scene.turn()
    assert len(scene.processes) == 3


def test_worker_can_be_replaced_on_its_own(scene: Scene) -> None:
    scene.start()
    assert scene.supervisor.recycle(1)
    assert not scene.supervisor.recycle(1), "it is due already"
    assert not scene.supervisor.recycle(9)
    assert len(scene.processes) == 3


def test_reload_to_another_address_leaves_the_old_one_to_its_last_worker(make: Make, tmp_path: Path) -> None:
    scene = make(path=str(tmp_path / "one"), redirects=False)
    one, two = scene.start()
    scene.options["uds"] = str(tmp_path / "two")
    scene.supervisor.asked(Word.RELOAD)
    scene.turn()
    assert (tmp_path / "two").exists()
    for _ in range(4):
        scene.turn(1.1)
        for process in scene.start():
            process.say(Beat())
    three, four = scene.processes[2:]
    assert one.begin.sockets != three.begin.sockets == four.begin.sockets
    drains = [message for process in (one, two) for message in process.heard() if isinstance(message, Drain)]
    assert [drain.is_last for drain in drains] == [False, True]
    assert scene.socket.fileno() == -1, "the last worker's close is the end of it"
    scene.end(one)
    scene.end(two)
    scene.supervisor.asked(Word.STOP)
    scene.turn()
    assert not (tmp_path / "two").exists()


def test_last_worker_at_an_old_address_that_is_killed_is_the_end_of_it(make: Make, tmp_path: Path) -> None:
    scene = make(workers=1, redirects=False)
    scene.log.expect("ended after it had been ready")
    (one,) = scene.start()
    scene.options |= {"uds": str(tmp_path / "two")}
    scene.supervisor.asked(Word.RELOAD)
    scene.turn(0.5)
    scene.start()
    scene.turn(0.5)
    assert scene.socket.fileno() != -1
    scene.turn(0.45)
    scene.end(one, "SIGKILL")
    scene.turn(0.5)
    scene.processes[1].say(Beat())
    scene.turn()
    assert scene.socket.fileno() == -1


def test_reload_that_fails_brings_back_options_and_address(make: Make, tmp_path: Path) -> None:
    scene = make(redirects=False)
    scene.log.expect("^reload failed: no database")
    scene.start()
    scene.options |= {"uds": str(tmp_path / "two"), "workers": 5}
    scene.supervisor.asked(Word.RELOAD)
    scene.turn()
    assert scene.supervisor.status()["wanted"] == 5
    scene.processes[2].say(Failed("no database"))
    scene.turn()
    assert scene.supervisor.status()["wanted"] == 2
    assert not (tmp_path / "two").exists()
    assert scene.socket.fileno() != -1


# -- Templates ----------------------------------------------------------------------------------------------------------------


class Templates:
    """A supervisor of two workers, with templates."""

    def __init__(self, make: Make) -> None:
        self.scene = make(preload=True)

    def forked(self, place: int = -1) -> StubTemplate:
        """Have a template fork its workers, and these be ready; return it."""
        template = StubTemplate.made[place]
        template.its.send(Ready())
        for process in template.unforked():
            template.its.send(Forked(3000 + process.begin.number))
            self.scene.turn()
            process.say(Hello(process.pid), Ready([URL]))
            self.scene.turn()
        return template


@pytest.fixture
def templates(make: Make, monkeypatch: pytest.MonkeyPatch) -> Templates:
    reaped: list[list[int]] = []
    monkeypatch.setattr(supervisor_templates, "Template", StubTemplate)
    monkeypatch.setattr(workers, "reap_orphans", lambda ours, **_: reaped.append(ours))
    return Templates(make)


def test_template_forks_the_workers_of_its_generation(templates: Templates) -> None:
    scene = templates.scene
    first = templates.forked()
    assert [process.pid for process in first.processes] == [3001, 3002]
    assert scene.supervisor.status()["state"] == "serving"
    scene.supervisor.asked(Word.RELOAD)
    scene.turn()
    second = templates.forked()
    assert second is not first
    assert second.begin.generation == 2
    assert first.how == "", "it may be needed again"
    scene.turn(1.1)
    for process in second.processes:
        process.say(Beat())
    scene.turn()
    assert first.how == "not started"
    scene.supervisor.asked(Word.STOP)
    assert second.how == "not started"


def test_import_that_fails_brings_the_generation_of_before_back(templates: Templates) -> None:
    scene = templates.scene
    first = templates.forked()
    scene.log.expect("reload failed: no such module; the workers of before serve on")
    scene.supervisor.asked(Word.RELOAD)
    scene.turn()
    StubTemplate.made[1].its.send(Failed("no such module"))
    scene.turn()
    assert StubTemplate.made[1].how == "status 1"
    assert first.how == ""
    assert list(scene.states()) == [1, 2]
    scene.end(first.processes[0])
    scene.log.expect("ended after it had been ready")
    scene.log.expect("worker failed")
    scene.turn(1.0)
    assert len(first.processes) == 3, "the worker of before comes from the code of before"


def test_import_that_fails_at_the_start_ends_the_server(templates: Templates) -> None:
    scene = templates.scene
    StubTemplate.made[0].its.send(Failed("no such module"))
    scene.turn()
    scene.loop.run_until_complete(scene.running)
    assert scene.supervisor.failure == "no such module"


def test_import_that_takes_too_long_ends_its_template(make: Make, templates: Templates) -> None:
    scene = templates.scene
    templates.forked()
    scene.options["timeout_start"] = 5.0
    scene.supervisor.asked(Word.RELOAD)
    scene.log.expect("was not ready within 5 s")
    for _ in range(6):
        scene.turn(1.0)
        for process in StubTemplate.made[0].processes:
            process.say(Beat())
    scene.turn()
    assert StubTemplate.made[1].how == "not started"
    assert scene.supervisor.status()["generation"] == 1


def test_template_that_dies_takes_those_along_that_wait_for_it(templates: Templates) -> None:
    scene = templates.scene
    scene.log.expect("ended before it was ready: the process that preloads the application has ended")
    StubTemplate.made[0].is_dead = True
    scene.supervisor.reap()
    scene.turn()
    scene.loop.run_until_complete(scene.running)
    assert "the process that preloads the application has ended" in scene.supervisor.failure


def test_upgrade_waits_for_workers_that_have_no_process_yet(
    templates: Templates, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = templates.scene
    replaced: list[dict[str, Any]] = []
    monkeypatch.setattr(upgrade, "replace", lambda state, *_: replaced.append(state))
    replacing = scene.loop.create_task(scene.supervisor._replace())
    scene.turn(1.0)
    assert not replaced
    templates.forked()
    scene.turn(1.0)
    assert replacing.done()
    assert [member["pid"] for member in replaced[0]["members"]] == [3001, 3002]

"""What the log, systemd, the file for the process id and those that wait are told of a start or a reload."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import cast

from bide.channel import Draining, Failed, Ready
from bide.pid_file import PidFile
from bide.policy.recycling import WorkerLimits
from bide.policy.staffing import FOREVER, Bounds, Fleet, Worker
from bide.supervisor.announcer import STOPPING, Announcer
from bide.supervisor.fleet import Member
from bide.supervisor.process import Process
from bide.supervisor.service import Notifier
from bide.terms import WorkerState
from tests.support.loops import JumpingLoop
from tests.support.server import Log, log
from tests.support.supervision import URL, Make, Scene, StubNotifier, make, processors, reload, scene

__all__ = ["log", "make", "processors", "scene"]  # fixtures

FLEET = Fleet(Bounds(1.0, FOREVER, 3.0), wanted=1, processors=1)
READY = WorkerState.READY


def member(generation: int) -> Member:
    return Member(cast(Process, None), generation, WorkerLimits(), [f"{URL}/{generation}"])


def test_generation_is_announced_once(log: Log) -> None:
    notifier = StubNotifier(0.0)
    announcer = Announcer(cast(Notifier, notifier), None, 1)
    fleet = FLEET._replace(workers=(Worker(4, 1, 10.0, FOREVER, READY),))
    announcer.look(FLEET, {}, "", "")
    assert (announcer.announced, announcer.urls) == (0, [])
    for _ in range(2):
        announcer.look(fleet, {4: member(1)}, "", "")
    assert (announcer.announced, announcer.urls) == (1, [f"{URL}/1"])
    assert notifier.said == [f"ready: 1 workers serve on {URL}/1"]
    assert log.messages() == [f"serving on {URL}/1 (process {os.getpid()}, 1 workers)"]


def test_generation_of_the_program_before_is_not_announced_again() -> None:
    notifier = StubNotifier(0.0)
    announcer = Announcer(cast(Notifier, notifier), None, 3, announced=3, urls=[URL])
    fleet = FLEET._replace(generation=3, workers=(Worker(4, 3, 10.0, FOREVER, READY),))
    announcer.look(fleet, {4: member(3)}, "", "")
    assert (announcer.announced, announcer.urls, notifier.said) == (3, [URL], [])


def test_reload_given_up_is_told_to_those_that_wait_for_it_alone(log: Log) -> None:
    notifier = StubNotifier(0.0)
    announcer = Announcer(cast(Notifier, notifier), None, 3, announced=1, urls=[URL])
    loop = JumpingLoop()
    two, gone, three, four = (loop.create_task(announcer.ended(number)) for number in (2, 3, 3, 4))
    loop.run_for(0.01)
    gone.cancel()
    loop.run_for(0.01)
    log.expect("^reload failed: no database; the workers of before serve on\nTraceback\n  its own$")
    announcer.look(FLEET._replace(generation=1, newest=3), {}, "no database", "Traceback\n  its own\n")
    loop.run_for(0.01)
    assert two.result() == three.result() == announcer.failed_reload == "no database"
    assert gone.cancelled()
    assert not four.done()
    assert notifier.said == ["ready: reload failed: no database"]
    announcer.stopping(FLEET._replace(newest=4))
    loop.run_for(0.01)
    assert four.result() == STOPPING
    loop.close()


def test_reload_is_complete_once_no_old_worker_accepts(scene: Scene) -> None:
    old = scene.start()[:]
    reload(scene)
    for _ in range(2):
        scene.start()
        scene.turn(1.0)
    assert scene.states() == dict(zip((1, 2, 3, 4), [WorkerState.DRAINING] * 2 + [WorkerState.READY] * 2, strict=True))
    for process in old:
        assert len([line for line in scene.log.messages() if "serving on" in line]) == 1
        process.say(Draining("reload"))
        scene.turn()
    assert len([line for line in scene.log.messages() if "serving on" in line]) == 2


def test_process_id_is_written_once_all_serve(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    scene = make(pid_file=PidFile(str(path)))
    one, two = scene.processes
    one.say(Ready([URL]))
    scene.turn()
    assert not path.exists()
    two.say(Ready([URL]))
    scene.turn()
    assert path.read_text() == f"{os.getpid()}\n"


def test_reload_that_is_asked_for_ends_with_its_result(scene: Scene) -> None:
    old = scene.start()[:]
    asked = scene.loop.create_task(scene.supervisor.reload())
    for _ in range(2):
        scene.turn()
        scene.start()
        scene.turn(1.1)
    assert not asked.done()
    for process in old:
        process.say(Draining("reload"))
    scene.turn()
    assert asked.result() == ""


def test_reload_that_is_asked_for_and_fails_says_why(scene: Scene) -> None:
    scene.start()
    asked = scene.loop.create_task(scene.supervisor.reload())
    scene.turn()
    scene.log.expect("reload failed: no database")
    scene.processes[-1].say(Failed("no database"))
    scene.turn()
    assert asked.result() == "no database"
    assert scene.supervisor.status()["reload_failed"] == "no database"


def test_reload_ends_with_the_server(scene: Scene) -> None:
    scene.start()
    asked = scene.loop.create_task(scene.supervisor.reload())
    scene.turn()
    scene.supervisor.signalled(signal.SIGTERM)
    late = scene.loop.create_task(scene.supervisor.reload())
    scene.turn()
    assert asked.result() == late.result() == "the server is stopping"

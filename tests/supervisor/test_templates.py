"""The templates of a supervisor: which process comes from which of them, and how each ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest

from bide.channel import Begin, Failed, Forked, Ready, Unfit
from bide.supervisor import templates
from bide.supervisor.process import Process
from bide.supervisor.templates import Templates
from tests.support.loops import JumpingLoop
from tests.support.server import Log, log
from tests.support.supervision import StubProcess, StubTemplate

__all__ = ["log"]  # a fixture


class Scene:
    """Templates, whose processes are played.

    looks: calls to look for news.
    fresh: processes of interpreters of their own.
    """

    def __init__(self, *, preload: bool = True) -> None:
        self.loop = JumpingLoop()
        self.looks = 0
        self.fresh: list[StubProcess] = []
        self.templates = Templates(self.loop, self._look, self._new_process, preload=preload)

    def _look(self) -> None:
        self.looks += 1

    def _new_process(self, begin: Begin) -> Process:
        self.fresh.append(StubProcess(begin))
        return cast(Process, self.fresh[-1])

    def start(self, number: int, generation: int = 1) -> StubProcess:
        return cast(StubProcess, self.templates.start(Begin("module:app", {}, number, generation, [], [])))

    def say(self, generation: int, message: Any) -> Sequence[tuple[Any, Failed]]:
        """Let the template of a generation say something, and take it."""
        (template,) = (made for made in StubTemplate.made if made.begin.generation == generation)
        template.its.send(message)
        return self.templates.take()

    def close(self) -> None:
        self.loop.close()
        for template in StubTemplate.made:
            template.channel.close()
            template.its.close()
        for process in [*self.fresh, *(process for template in StubTemplate.made for process in template.processes)]:
            process.channel.close()
            process.its.close()
        StubTemplate.made.clear()


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(templates, "Template", StubTemplate)
    made = Scene()
    yield made
    made.close()


def test_without_preload_each_worker_has_an_interpreter_of_its_own() -> None:
    scene = Scene(preload=False)
    started = [scene.start(number) for number in (1, 2)]
    assert started == scene.fresh
    assert scene.templates.pids == []
    assert scene.templates.take() == []
    scene.close()


def test_each_generation_has_a_template(scene: Scene) -> None:
    one, two, three = scene.start(1), scene.start(2), scene.start(3, 2)
    assert [made.processes for made in StubTemplate.made] == [[one, two], [three]]
    assert scene.templates.pids == [2001, 2002]
    assert scene.fresh == []


def test_news_of_a_template_bring_a_look(scene: Scene) -> None:
    one = scene.start(1)
    StubTemplate.made[0].its.send(Ready())
    scene.loop.run_pass()
    assert scene.looks == 1
    assert (scene.templates.is_forking, scene.templates.take()) == (False, [])
    assert (scene.templates.is_forking, scene.say(1, Forked(4711))) == (True, [])
    assert (scene.templates.is_forking, one.pid) == (False, 4711)


def test_import_that_fails_is_returned_for_each_worker_that_waits_for_it(scene: Scene) -> None:
    scene.start(1)
    two, three = scene.start(2, 2), scene.start(3, 2)
    why = Failed("no such module", "Traceback\n")
    assert scene.say(2, why) == [(two, why), (three, why)]
    assert (two.end(), three.end()) == ("status 1", "status 1")
    assert scene.templates.pids == [2001]
    scene.loop.run_for(0.01)
    assert scene.looks == 1, "two workers have ended"


def test_application_with_threads_is_imported_by_each_worker(scene: Scene, log: Log) -> None:
    scene.start(1)
    log.expect(r"--preload is not possible: .* has started threads \(poller\); each worker imports it by itself")
    assert scene.say(1, Unfit("poller")) == []
    (template,) = StubTemplate.made
    assert [process.pid for process in template.processes] == [1001]
    assert template.how == "status 0"
    assert [scene.start(2)] == scene.fresh, "later ones, too"
    scene.start(3, 2)
    assert scene.templates.pids == [2002], "other code is tried"


def test_process_that_cannot_be_started_after_all_is_left_to_its_end(
    scene: Scene, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: StubProcess) -> None:
        raise BlockingIOError

    monkeypatch.setattr(StubProcess, "spawn", fails)
    one = scene.start(1)
    log.expect("--preload is not possible")
    assert scene.say(1, Unfit("poller")) == []
    assert one.end() == "status 0"


def test_template_that_dies_takes_those_along_that_wait_for_it(scene: Scene) -> None:
    one = scene.start(1)
    StubTemplate.made[0].is_dead = True
    assert scene.templates.take() == []
    assert one.end() == "the process that preloads the application has ended"
    assert scene.templates.pids == []


def test_template_that_failed_and_has_ended_is_dropped_once(scene: Scene) -> None:
    one = scene.start(1)
    StubTemplate.made[0].is_dead = True
    scene.say(1, Failed("no such module"))
    assert one.end() == "status 1"


def test_templates_of_other_generations_end(scene: Scene) -> None:
    one, _, three = scene.start(1), scene.start(2, 2), scene.start(3, 3)
    scene.templates.keep([2])
    assert (one.end(), three.end()) == ("not started", "not started")
    assert scene.templates.pids == [2002]
    scene.templates.drop(1)
    scene.templates.drop(2)
    assert scene.templates.pids == []

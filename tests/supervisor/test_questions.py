"""Questions to workers: who is asked, and which answers count."""

from __future__ import annotations

from bide.channel import Answer, Ready
from tests.support.server import log
from tests.support.supervision import URL, Make, Scene, make, processors, scene

__all__ = ["log", "make", "processors", "scene"]  # fixtures


def test_connections_are_asked_of_workers_that_are_ready(make: Make) -> None:
    scene = make(workers=3)
    one, two, _ = scene.processes
    one.say(Ready([URL]))
    two.say(Ready([URL]))
    scene.turn()
    row = {"peer": "192.0.2.1", "state": "idle", "requests": 1, "seconds": 0.5}
    asking = scene.loop.create_task(scene.supervisor.connections())
    scene.turn()
    (question,) = one.heard()
    (late,) = two.heard()
    one.say(Answer(question.number, [row]))
    scene.turn(1.1)
    assert asking.result() == {"connections": [{"worker": 1, **row}], "silent": [2]}
    two.say(Answer(late.number, [row]))
    scene.turn()


def test_connections_without_a_worker_are_none(scene: Scene) -> None:
    asking = scene.loop.create_task(scene.supervisor.connections())
    scene.turn()
    assert asking.result() == {"connections": [], "silent": []}

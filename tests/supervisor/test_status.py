"""What an operator is told of a server."""

from __future__ import annotations

import signal

from bide.channel import Beat
from tests.support.server import log
from tests.support.supervision import URL, Scene, make, processors, scene

__all__ = ["log", "make", "processors", "scene"]  # fixtures


def test_status_tells_of_each_worker(scene: Scene) -> None:
    assert scene.supervisor.status()["state"] == "starting"
    one, _ = scene.start()
    one.say(Beat({"opened": 7, "requests": 9, "closed": {"drain": 4}, "states": {"idle": 2, "exchange": 1}}, 4096))
    scene.turn(2.0)
    status = scene.supervisor.status()
    assert (status["state"], status["urls"], status["wanted"]) == ("serving", [URL], 2)
    assert status["figures"]["opened"] == 7
    assert status["workers"][0] == {
        "worker": 1,
        "process": 1001,
        "state": "ready",
        "generation": 1,
        "due": None,
        "age": 2.0,
        "beat_age": 2.0,
        "connections": 3,
        "requests": 9,
        "memory": 4096,
    }
    assert status["workers"][1]["beat_age"] is None
    scene.supervisor.signalled(signal.SIGTERM)
    assert scene.supervisor.status()["state"] == "stopping"

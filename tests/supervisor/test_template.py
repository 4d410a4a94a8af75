"""The process that forks workers, as the supervisor sees it: its part is played by the test, over a real channel."""

from __future__ import annotations

import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from bide.channel import Begin, Channel, Forked, Hello, Ready
from bide.errors import ConfigError
from bide.supervisor import template
from bide.supervisor.process import Process
from bide.supervisor.template import Template, become_reaper
from tests.support.waiting import until

WORKER = Begin("module:app", {}, 2, 7, [], [])


class Child:
    """The process at the other end.

    begin: what it was told.
    its: its end of the channel.
    """

    def __init__(self, begin: Begin, its: socket.socket) -> None:
        self.begin = begin
        self.its = Channel(its.dup())
        self.process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

    def passed(self) -> Channel:
        """Return the end of a worker's channel that was passed."""
        return Channel(socket.socket(fileno=self.its.passed()))


class Scene:
    """A template. processes: of workers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.children: list[Child] = []
        monkeypatch.setattr(template, "spawned", self._spawned)
        self.template = Template(WORKER)
        self.child = self.children[0]
        self.processes: list[Process] = []

    def _spawned(self, begin: Begin, its: socket.socket) -> subprocess.Popen[bytes]:
        self.children.append(Child(begin, its))
        return self.children[-1].process

    def start(self) -> Process:
        self.processes.append(self.template.start(WORKER))
        return self.processes[-1]

    def receive(self) -> list[Any]:
        return until(self.template.receive)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    made = Scene(monkeypatch)
    yield made
    made.template.end("over")
    made.child.process.returncode = None
    made.child.process.wait()
    made.child.its.close()
    for each in made.processes:
        each.channel.close()


def test_template_is_told_that_it_is_one(scene: Scene) -> None:
    assert scene.child.its.wait(1.0) == WORKER._replace(number=0, is_template=True)
    assert scene.template.pid == scene.child.process.pid
    assert not scene.template.has_ended()


def test_worker_is_forked_once_the_application_was_imported(scene: Scene) -> None:
    scene.child.its.wait(1.0)
    one = scene.start()
    assert (one.pid, scene.template.is_forking) == (0, False)
    assert scene.template.unforked() == [one]
    scene.template.ready()
    assert scene.template.is_forking
    its = scene.child.passed()
    assert its.wait(1.0) == WORKER
    its.send(Hello(1))
    assert until(one.channel.receive) == [Hello(1)]
    its.close()
    scene.child.its.send(Forked(4711))
    assert scene.receive() == [Forked(4711)]
    scene.template.forked(4711)
    assert (one.pid, scene.template.is_forking, scene.template.unforked()) == (4711, False, [])
    two = scene.start()
    assert scene.template.is_forking
    scene.child.passed().close()
    scene.template.forked(4712)
    assert two.pid == 4712


def test_workers_are_forked_one_at_a_time(scene: Scene) -> None:
    """The kernel lets only some hundred descriptors be on their way (278 were measured)."""
    scene.child.its.wait(1.0)
    one, two = scene.start(), scene.start()
    scene.template.ready()
    scene.child.passed().close()
    assert select.select([scene.child.its], [], [], 0)[0] == []
    scene.template.forked(4711)
    scene.child.passed().close()
    assert (one.pid, two.pid, scene.template.unforked()) == (4711, 0, [two])
    scene.template.forked(4712)
    assert (two.pid, scene.template.is_forking) == (4712, False)


def test_worker_of_a_template_that_has_ended_ends_with_it(scene: Scene) -> None:
    scene.template.ready()
    scene.child.its.close()
    one = scene.start()
    assert not one.has_ended()
    scene.template.end("SIGKILL")
    assert one.end() == "SIGKILL"


def test_worker_that_the_system_cannot_fork_has_ended(scene: Scene) -> None:
    scene.template.ready()
    one = scene.start()
    scene.template.forked(0)
    assert one.has_ended()
    assert one.end() == "the system cannot start a process"


def test_worker_that_is_to_end_before_it_was_forked_is_not(scene: Scene) -> None:
    scene.child.its.wait(1.0)
    one, two = scene.start(), scene.start()
    one.signal(signal.SIGTERM)
    assert one.has_ended()
    assert one.end() == "not started"
    assert scene.template.unforked() == [two]
    scene.template.ready()
    scene.child.passed().close()
    two.signal(signal.SIGTERM)
    scene.template.forked(4711)
    assert (two.pid, two.has_ended()) == (0, True), "it ends by itself: its channel will be closed"
    assert not scene.template.is_forking


def test_end_of_the_template_ends_workers_not_forked_yet(scene: Scene) -> None:
    one = scene.start()
    scene.template.end("status 1")
    assert one.end() == "status 1"
    assert scene.template.receive() == []


def test_end_of_the_template_is_seen(scene: Scene) -> None:
    scene.child.process.kill()
    until(scene.template.has_ended)
    scene.template.end("SIGKILL")


def test_messages_arrive(scene: Scene) -> None:
    scene.child.its.send(Ready())
    assert scene.receive() == [Ready([])]


def test_template_that_cannot_be_started_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise BlockingIOError

    monkeypatch.setattr(template, "spawned", fails)
    with pytest.raises(BlockingIOError):
        Template(WORKER)


def test_orphans_become_children() -> None:
    code = """
import os, time
from bide.supervisor.template import become_reaper
become_reaper()
receiving, sending = os.pipe()
if not os.fork():
    if not os.fork():
        while os.getppid() == 1 or not os.read(receiving, 1):
            pass
        os._exit(7)
    os._exit(0)
os.wait()
os.write(sending, b"x")
assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_other_systems_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ConfigError, match=r"^preload must be False on this system, got True; it needs Linux$"):
        become_reaper()

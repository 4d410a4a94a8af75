"""The process that imports an application and forks workers. Real processes; the supervisor is played by the test."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bide import Config
from bide.channel import Begin, Channel, Drain, Failed, Forked, Hello, Ready, Unfit
from bide.page import new_page
from bide.supervisor import process
from tests.support.waiting import until

APP = """
import os

{code}

async def app(scope, receive, send):
    raise RuntimeError
"""


class Scene:
    """A template, at the end that the supervisor has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.page = new_page()
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.opened: list[Channel] = []

    def start(self, code: str = "") -> None:
        (self.folder / "forked_app.py").write_text(APP.format(code=code))
        config = Config(workers=2, lifespan="off", app_dir=str(self.folder), access_log=False)
        sockets = [(self.socket.fileno(), True)]
        self.begin = Begin(
            "forked_app:app", dataclasses.asdict(config), 0, 1, sockets, page=self.page, is_template=True
        )
        ours, its = socket.socketpair()
        with its:
            self.process = process.spawned(self.begin, its)
        self.channel = Channel(ours)
        self.channel.send(self.begin)

    def said(self, channel: Channel) -> Any:
        """Wait for the next message, and return it: the test asks for one after the other."""
        (message,) = until(channel.receive)
        return message

    def ask(self, number: int) -> Channel:
        """Ask for a worker; return our end of its channel."""
        ours, its = socket.socketpair()
        self.opened.append(Channel(ours))
        self.opened[-1].send(self.begin._replace(number=number, is_template=False))
        with its:
            self.channel.pass_on(its.fileno())
        return self.opened[-1]

    def end(self) -> None:
        for channel in (*self.opened, self.channel):
            channel.close()
        self.process.wait(30)
        self.socket.close()
        os.close(self.page)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.end()


def test_workers_are_forked_as_they_are_asked_for_and_serve(scene: Scene) -> None:
    scene.start("print(os.environ['BIDE_WORKER'])")
    assert scene.said(scene.channel) == Ready([])
    for number in (1, 2):
        worker = scene.ask(number)
        forked = scene.said(scene.channel)
        assert isinstance(forked, Forked)
        said: list[Any] = []
        while Ready not in map(type, said):
            said += until(worker.receive)
        assert isinstance(said[0], Hello)
        assert said[0].pid == forked.pid != scene.process.pid
        worker.send(Drain(1.0, False, "reload"))
        until(lambda pid=forked.pid: not Path(f"/proc/{pid}").exists() or is_zombie(pid))  # type: ignore[misc]
    assert scene.process.poll() is None


def is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_import_that_fails_is_said(scene: Scene) -> None:
    scene.start("1 / 0")
    failed = scene.said(scene.channel)
    assert isinstance(failed, Failed)
    assert "ZeroDivisionError: division by zero" in failed.text
    assert "1 / 0" in failed.traceback
    assert scene.process.wait(30) == 1


def test_threads_of_an_import_are_named(scene: Scene) -> None:
    scene.start("import threading, time; threading.Thread(target=time.sleep, args=(60,), name='poller').start()")
    assert scene.said(scene.channel) == Unfit("poller")
    assert scene.process.wait(30) == 0


def test_objects_of_the_import_are_left_out_of_collections(scene: Scene) -> None:
    scene.start("import atexit, gc; atexit.register(lambda: open('frozen', 'w').write(str(gc.get_freeze_count())))")
    scene.said(scene.channel)
    worker = scene.ask(1)
    scene.said(scene.channel)
    assert isinstance(until(worker.receive)[0], Hello)
    worker.close()
    scene.opened.remove(worker)
    frozen = Path("frozen")
    until(lambda: frozen.exists() and frozen.read_text())
    assert int(frozen.read_text()) > 1000
    frozen.unlink()


def test_signals_for_the_supervisor_do_nothing_and_its_end_is_the_templates(scene: Scene) -> None:
    scene.start()
    scene.said(scene.channel)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1):
        scene.process.send_signal(number)
    worker = scene.ask(1)
    assert isinstance(scene.said(scene.channel), Forked)
    assert isinstance(until(worker.receive)[0], Hello)
    scene.channel.close()
    assert scene.process.wait(30) == 0

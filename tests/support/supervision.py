"""A supervisor in the time of a loop that jumps: its processes are played by the test, which speaks over real channels."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from typing import Any, ClassVar, Protocol, cast

import pytest

from bide import Config
from bide.channel import Begin, Channel, Hello, Ready
from bide.supervisor import settings
from bide.supervisor.process import Process
from bide.supervisor.run import Supervisor
from bide.supervisor.service import Notifier
from bide.supervisor.settings import supervisor_settings
from bide.terms import WorkerState
from tests.support.loops import JumpingLoop
from tests.support.server import Log, log

__all__ = ["log"]  # a fixture

URL = "http://127.0.0.1:8000"
DRAIN_S = 25.0
KILL_S = DRAIN_S + 4.0


class StubProcess:
    """A worker's process.

    begin: what it was told to serve.
    signals: that it was sent.
    """

    def __init__(self, begin: Begin) -> None:
        self.begin = begin
        ours, its = socket.socketpair()
        self.channel = Channel(ours)
        self.its = Channel(its)
        self.pid = 1000 + begin.number
        self.signals: list[signal.Signals] = []
        self.status: str | None = None

    def spawn(self) -> None:
        self.pid = 1000 + self.begin.number

    def has_ended(self) -> bool:
        return self.status is not None

    def end(self) -> str:
        assert self.status is not None
        return self.status

    def signal(self, number: signal.Signals) -> None:
        self.signals.append(number)

    def say(self, *messages: Any) -> None:
        for message in messages:
            self.its.send(message)

    def heard(self) -> list[Any]:
        """Return what the supervisor has said since the last time."""
        return self.its.receive()


class StubNotifier:
    """Keeps what systemd would be told."""

    environment: dict[str, str] = {}  # noqa: RUF012  # never changed

    def __init__(self, watchdog: float) -> None:
        self.watchdog = watchdog
        self.said: list[str] = []

    def ready(self, status: str) -> None:
        self.said.append(f"ready: {status}")

    def reloading(self) -> None:
        self.said.append("reloading")

    def stopping(self) -> None:
        self.said.append("stopping")

    def goes_on(self) -> None:
        self.said.append("goes on")

    def lives(self) -> None:
        self.said.append("lives")

    def others(self) -> list[str]:
        """Return what was said but signs of life."""
        return [said for said in self.said if said not in ("lives", "goes on")]


class StubTemplate:
    """The process that forks workers. made: all of them."""

    made: ClassVar[list[StubTemplate]] = []

    def __init__(self, begin: Begin) -> None:
        self.begin = begin
        ours, its = socket.socketpair()
        self.channel, self.its = Channel(ours), Channel(its)
        self.pid = 2000 + begin.generation
        self.processes: list[StubProcess] = []
        self.asked: list[int] = []
        self.is_forking = False
        self.how = ""
        self.is_dead = False
        StubTemplate.made.append(self)

    def start(self, begin: Begin) -> StubProcess:
        self.processes.append(StubProcess(begin))
        self.processes[-1].pid = 0
        return self.processes[-1]

    def receive(self) -> list[Any]:
        return self.channel.receive()

    def ready(self) -> None:
        self.is_forking = True

    def forked(self, pid: int) -> None:
        self.is_forking = False
        self.unforked()[0].pid = pid

    def has_ended(self) -> bool:
        return self.is_dead

    def unforked(self) -> list[StubProcess]:
        return [process for process in self.processes if not process.pid]

    def end(self, how: str) -> None:
        self.how = how
        for process in self.unforked():
            process.status = how
        self.channel.close()
        self.its.close()


class Scene:
    """A supervisor of two workers.

    processes: all that it has started.
    options: that a reload reads.
    """

    def __init__(self, loop: JumpingLoop, log: Log, **options: Any) -> None:
        self.loop = loop
        self.log = log
        self.processes: list[StubProcess] = []
        self.error: OSError | None = options.pop("error", None)
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.plain = socket.socket()
        self.notifier = StubNotifier(options.pop("watchdog", 0.0))
        path = options.pop("path", None)
        state = options.pop("state", None)
        pid_file = options.pop("pid_file", None)
        redirecting = [self.plain] if options.pop("redirects", True) else []
        self.options = {"workers": 2, "timeout_blocked": 9.0, "uds": path, "control": "none"} | options
        self.supervisor = Supervisor(
            "module:app",
            supervisor_settings(self._read()),
            [self.socket],
            redirecting,
            read=self._read,
            is_ours=True,
            had_terminal=False,
            notifier=cast(Notifier, self.notifier),
            pid_file=pid_file,
            state=state,
            new_process=self._start,
            clock=loop.time,
        )
        self.running = loop.create_task(self.supervisor.run())
        self.turn()

    def _read(self) -> Config:
        return Config(**self.options)

    def _start(self, begin: Begin) -> Process:
        if self.error is not None:
            raise self.error
        self.processes.append(StubProcess(begin))
        return cast(Process, self.processes[-1])

    def turn(self, seconds: float = 0.01) -> None:
        """Let the supervisor run for a while, in which workers that are ready beat."""
        self.loop.run_for(seconds)

    def states(self) -> dict[int, WorkerState]:
        return {worker.number: worker.state for worker in self.supervisor._fleet.workers}

    def start(self) -> list[StubProcess]:
        """Have all processes say that they are ready."""
        for process in self.processes:
            if self.states()[process.begin.number] is WorkerState.STARTING:
                process.say(Hello(process.pid), Ready([URL]))
        self.turn()
        return self.processes

    def end(self, process: StubProcess, status: str = "status 0", *, hangup: bool = False) -> None:
        """Let a process end. hangup: whether its channel is seen to close before."""
        process.its.close()
        if hangup:
            self.turn()
        process.status = status
        self.supervisor.reap()
        self.turn()


class Make(Protocol):
    """Makes a supervisor and runs it; options are those of bide.Config, or of the scene."""

    def __call__(self, **options: Any) -> Scene: ...


@pytest.fixture
def make(log: Log) -> Iterator[Make]:
    made: list[Scene] = []
    loop = JumpingLoop()

    def new(**options: Any) -> Scene:
        made.append(Scene(loop, log, **options))
        return made[-1]

    yield new
    loop.close()
    for scene in made:
        scene.supervisor.close_sockets()
        scene.socket.close()
        scene.plain.close()
        for member in scene.supervisor._workers.members.values():
            member.process.channel.close()
        for process in scene.processes:
            process.its.close()
            process.channel.close()
    for template in StubTemplate.made:
        template.channel.close()
        template.its.close()
        for process in template.processes:
            process.its.close()
            process.channel.close()
    StubTemplate.made.clear()


@pytest.fixture
def scene(make: Make) -> Scene:
    return make()


@pytest.fixture(autouse=True)
def processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "processors", lambda: 4)


def reload(scene: Scene) -> StubProcess:
    """Ask for a reload, and return the first new process."""
    scene.supervisor.signalled(signal.SIGHUP)
    scene.turn()
    return scene.processes[-1]

"""A worker's end of the channel: what it says, and which orders it obeys. The supervisor is played by the test."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bide import Config
from bide.channel import (
    Answer,
    Ask,
    Beat,
    Begin,
    Channel,
    ChannelError,
    Drain,
    Draining,
    Failed,
    Hello,
    Hurry,
    Ready,
    Reopen,
)
from bide.observe.log_files import LogFile
from bide.page import new_page
from bide.server.server import loop_factory
from bide.server.signals import Signals
from bide.server.supervised import SupervisedWorker
from bide.worker.settings import WorkerSettings
from tests.support.apps import hello
from tests.support.client import request
from tests.support.server import Log, log, loop
from tests.support.waiting import PATIENCE

__all__ = ["log", "loop"]  # fixtures

OPTIONS: dict[str, Any] = {"workers": 2, "lifespan": "off", "access_log": False, "timeout_blocked": 0.6}


class Supervisor:
    """The other end of a worker's channel, and a client's way in."""

    def __init__(self, **options: Any) -> None:
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.where = self.socket.getsockname()
        its, ours = socket.socketpair()
        self.channel, self.its = Channel(ours), Channel(its)
        config = Config(**(OPTIONS | options))
        descriptor = os.dup(self.socket.fileno())
        self.page = new_page()
        begin = Begin("module:app", dataclasses.asdict(config), 2, 1, [(descriptor, True)], page=self.page)
        self.worker = SupervisedWorker(begin, self.its, WorkerSettings(config), Signals())
        self.said: list[Any] = []

    async def said_of(self, kind: type[Any]) -> Any:
        """Wait for a message of a kind."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for message in self.said:
                    if isinstance(message, kind):
                        self.said.remove(message)
                        return message
                self.said += self.channel.receive()
                await asyncio.sleep(0.005)

    async def get(self) -> bytes:
        """Ask for something on a connection of its own; return the answer."""
        reader, writer = await asyncio.open_connection(*self.where)
        writer.write(request("/", "Connection: close"))
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer


def play(loop: str, part: Callable[[Supervisor], Awaitable[None]], **options: Any) -> Supervisor:
    """Run a worker beside what the supervisor does; return once the worker has ended."""
    supervisor = Supervisor(**options)

    async def both() -> None:
        serving = asyncio.ensure_future(supervisor.worker.serve(hello, "asgi"))
        await part(supervisor)
        async with asyncio.timeout(PATIENCE):
            await serving

    try:
        with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
            runner.run(both())
        supervisor.its.close()
        with contextlib.suppress(ChannelError):  # after the last message
            while True:
                supervisor.said += supervisor.channel.receive()
    finally:
        for each in (supervisor.its, supervisor.channel, supervisor.socket):
            each.close()
        os.close(supervisor.page)
    return supervisor


def test_worker_says_that_it_is_ready_and_beats(loop: str) -> None:
    async def part(supervisor: Supervisor) -> None:
        port = supervisor.where[1]
        assert await supervisor.said_of(Ready) == Ready([f"http://127.0.0.1:{port}"])
        assert await supervisor.get()
        for _ in range(3):
            beat = await supervisor.said_of(Beat)
            assert not beat.is_final
            assert beat.memory > 1 << 20
        supervisor.channel.send(Drain(5.0, False, "reload"))

    supervisor = play(loop, part)
    assert isinstance(supervisor.said[-1], Beat)
    assert supervisor.said[-1].is_final
    assert supervisor.said[-1].snapshot["opened"] == 1
    assert sum(supervisor.said[-1].snapshot["closed"].values()) == 1
    assert Draining("reload") in supervisor.said


@pytest.mark.parametrize("is_last", [True, False])
def test_drain_ends_the_worker_and_leaves_the_queue_to_others(loop: str, is_last: bool) -> None:
    """Without other workers, connections in the queue are served; otherwise they are left."""

    async def part(supervisor: Supervisor) -> None:
        await supervisor.said_of(Ready)
        supervisor.channel.send(Drain(5.0, is_last, "reload"))
        await supervisor.said_of(Draining)
        if not is_last:
            with socket.create_connection(supervisor.where):  # it is queued: the test has the socket open
                pass

    play(loop, part, drain_delay=0.1)


def test_end_of_the_supervisor_drains_the_worker(loop: str, log: Log) -> None:
    log.expect("the supervisor is gone: the worker drains")

    async def part(supervisor: Supervisor) -> None:
        await supervisor.said_of(Ready)
        supervisor.channel.close()

    began = time.monotonic()
    play(loop, part, drain_delay=20.0)
    assert time.monotonic() - began < 20.0, "it waits for no delay"


def test_connections_are_told(loop: str) -> None:
    async def part(supervisor: Supervisor) -> None:
        await supervisor.said_of(Ready)
        _, writer = await asyncio.open_connection(*supervisor.where)
        async with asyncio.timeout(PATIENCE):
            while not (rows := await listed(supervisor, 10)):
                pass
        assert rows[0] | {"seconds": 0.0} == {"peer": "127.0.0.1", "state": "new", "requests": 0, "seconds": 0.0}
        assert 0.0 <= rows[0]["seconds"] < PATIENCE
        assert await listed(supervisor, 0) == []
        writer.close()
        supervisor.channel.send(Drain(5.0, False, "reload"))

    async def listed(supervisor: Supervisor, limit: int) -> list[dict[str, Any]]:
        supervisor.channel.send(Ask(limit, limit))
        answer = await supervisor.said_of(Answer)
        assert answer.number == limit
        return list(answer.connections)

    play(loop, part)


def test_logs_are_opened_again(loop: str, tmp_path: Path) -> None:
    path = tmp_path / "log"

    async def part(supervisor: Supervisor) -> None:
        await supervisor.said_of(Ready)
        path.unlink()
        supervisor.channel.send(Reopen())
        await supervisor.get()
        async with asyncio.timeout(PATIENCE):
            while not path.exists() or not path.read_text():
                await supervisor.get()
        supervisor.channel.send(Drain(5.0, False, "reload"))

    play(loop, part, access_log=True, access_log_file=str(path))
    assert path.read_text().endswith(" worker=2\n")
    assert LogFile.opened == (), "the end closes the file"


def test_hurry_cuts_what_is_unfinished(loop: str, log: Log) -> None:
    log.expect("1 unfinished connections closed at the second signal")
    with socket.socket() as client:

        async def part(supervisor: Supervisor) -> None:
            await supervisor.said_of(Ready)
            client.connect(supervisor.where)
            client.sendall(b"GET / HTTP/1.1\r\n")
            while (await supervisor.said_of(Beat)).snapshot["states"]["head"] == 0:
                pass
            supervisor.channel.send(Drain(20.0, False, "reload"))
            await supervisor.said_of(Draining)
            supervisor.channel.send(Hurry())

        play(loop, part)


# -- The process --------------------------------------------------------------------------------------------------------------


def run_process(begin: Begin | None) -> tuple[int, list[Any]]:
    """Run a worker's process until its end; return its status, and what it said."""
    ours, its = socket.socketpair()
    channel = Channel(ours)
    if begin is None:
        channel.close()
    else:
        channel.send(begin)
    with its:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "bide.worker", "module:app", "2"],
            env=os.environ | {"BIDE_CHANNEL": str(its.fileno())},
            pass_fds=[its.fileno(), *([begin.page] if begin else [])],
            timeout=PATIENCE,
            check=False,
        )
    said: list[Any] = []
    if begin is not None:
        said = channel.receive()
        channel.close()
    return done.returncode, said


def test_process_without_a_supervisor_ends() -> None:
    assert run_process(None) == (1, [])


def test_process_that_cannot_load_its_application_says_why_and_ends() -> None:
    options = dataclasses.asdict(Config(workers=2, app_dir="/nowhere/at/all"))
    page = new_page()
    status, (greeting, failed) = run_process(Begin("nothing:app", options, page=page))
    os.close(page)
    assert status == 1
    assert isinstance(greeting, Hello)
    assert failed == Failed("--app-dir must be an existing folder, got '/nowhere/at/all'", "")

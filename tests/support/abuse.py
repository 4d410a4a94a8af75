"""Runs a server in a process of its own, which can be asked for its figures, and tells what the kernel knows of its sockets.

`python -m tests.support.abuse OPTIONS`, where OPTIONS is a JSON object, serves `app` below and answers each line on its standard
input with a line of JSON: a snapshot, and what the process holds. End of input stops it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from bide import Server
from bide.observe.snapshot import Snapshot
from bide.server.server import loop_factory
from tests.support.apps import Message, Receive, Send, answer, slow
from tests.support.client import Client, Where
from tests.support.server import Served
from tests.support.waiting import LOOK, PATIENCE, pause, until

ROOT: Final = Path(__file__).resolve().parent.parent.parent
PIECE: Final = 65536
CACHED: Final = bytes(50_000_000)
#: Room for what an allocator keeps: growth below that is no leak.
FEW: Final = 5_000_000

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = resource.getpagesize()
_LISTEN: Final = "0A"


# -- Applications -------------------------------------------------------------------------------------------------------


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Answer as the path says.

    `/large/OCTETS`: that many octets, in pieces. `/whole/OCTETS`: the same in one. `/cached`: an object that is always the same.
    `/endless`: events without end. `/read/SECONDS`: the size of the body, with a pause after each piece. `/told/...`: as without it, once
    standard error has said `begun /told/...`. The rest: as `apps.slow` does.
    """
    path = scope["path"]
    if path.startswith("/told/"):
        print("begun", path, file=sys.stderr, flush=True)
        path = path.removeprefix("/told")
    if path.startswith("/large/"):
        left = int(path.rpartition("/")[2])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % left)]})
        piece = bytes(PIECE)
        while left > PIECE:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            left -= PIECE
        await send({"type": "http.response.body", "body": bytes(left)})
    elif path.startswith("/cached"):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = path == "/cached/chunked"
        await send({"type": "http.response.body", "body": CACHED, "more_body": more})
        if more:
            await send({"type": "http.response.body", "body": b""})
    elif path.startswith("/whole/"):
        await answer(send, bytes(int(path.rpartition("/")[2])))
    elif path == "/endless":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        while True:
            await send({"type": "http.response.body", "body": b"data: on\n\n", "more_body": True})
            await asyncio.sleep(0.05)
    elif path.startswith("/read/"):
        size = 0
        more = True
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
            await asyncio.sleep(float(path.rpartition("/")[2]))
        await answer(send, b"%d" % size)
    else:
        await slow({**scope, "path": path}, receive, send)


# -- What the kernel knows ----------------------------------------------------------------------------------------------


def _rows(where: Where) -> Iterator[list[str]]:
    """Yield the kernel's row of each socket that is bound to this address. The port alone might be in use at other addresses, too."""
    assert not isinstance(where, str)
    host, port = where
    own = f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:  # noqa: PTH123
        next(table)
        for line in table:
            row = line.split(None, 10)
            if row[1] == own:
                yield row


def kernel_sockets(where: Where) -> int:
    """Return the number of connections to this address that are accepted and not closed."""
    return sum(row[3] != _LISTEN and row[9] != "0" for row in _rows(where))


def queued(where: Where) -> int:
    """Return how many connections to this address wait to be accepted."""
    return sum(int(row[4].partition(":")[2], 16) for row in _rows(where) if row[3] == _LISTEN)


def add_up(snapshot: Snapshot) -> bool:
    """Whether each connection opened is in a state or has ended for a reason, and none for an internal error."""
    closed, states = snapshot["closed"], snapshot["states"]
    return snapshot["opened"] == sum(closed.values()) + sum(states.values()) and not closed["internal_error"]


def ended(snapshot: Snapshot) -> dict[str, int]:
    """Return the reasons that occurred."""
    return {reason: count for reason, count in snapshot["closed"].items() if count}


def balanced(server: Served) -> Snapshot:
    """Wait until server and kernel count the same connections; return the server's snapshot. Its counters add up at any time."""

    def look() -> Snapshot | None:
        snapshot = server.snapshot()
        assert add_up(snapshot), snapshot
        return snapshot if sum(snapshot["states"].values()) == kernel_sockets(server.where) else None

    found = until(look, message=server.snapshot)
    assert found is not None
    return found


# -- Many clients -------------------------------------------------------------------------------------------------------


def room(wanted: int) -> int:
    """Return `wanted`, or the number of connections that the descriptor limit allows, if that is less.

    The server keeps a reserve, and is to be under no pressure. The soft limit of this process is raised to the hard one.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard * 8 // 10 - 500)


@contextlib.contextmanager
def crowd(where: Where, count: int) -> Iterator[list[socket.socket]]:
    """Open `count` connections from several addresses, each with one request answered, and close them at the end."""
    assert not isinstance(where, str)
    clients: list[socket.socket] = []
    try:
        while len(clients) < count:
            batch = []
            for number in range(len(clients), min(count, len(clients) + 100)):
                client = socket.socket()
                clients.append(client)
                batch.append(client)
                client.settimeout(PATIENCE)
                client.bind((f"127.0.0.{2 + number % 5}", 0))
                client.connect(where)
                client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            for client in batch:
                assert client.recv(4096).startswith(b"HTTP/1.1 200")
        yield clients
    finally:
        for client in clients:
            client.close()


# -- A server in a process of its own -----------------------------------------------------------------------------------


class Report(Snapshot):
    """A snapshot and more.

    memory: resident memory, octets.
    sweep: duration of one sweep, seconds.
    tasks: tasks of the event loop.
    descriptors: open file descriptors.
    """

    memory: int
    sweep: float
    tasks: int
    descriptors: int


class Child:
    """A server in a process of its own.

    nofile: its descriptor limit, 0 for the highest allowed. The other options are those of bide.Config.
    """

    def __init__(self, loop: str, *, nofile: int = 0, **options: Any) -> None:
        """Start it."""
        given = {"port": 0, "access_log": False, "lifespan": "off", "drain_idle": 0.0, "timeout_linger": 0.5, **options}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.abuse", json.dumps({"loop": loop, "nofile": nofile, **given})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._in, self._out, self._err = self.process.stdin, self.process.stdout, self.process.stderr
        self.errors: list[str] = []
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()
        self._proc = f"/proc/{self.process.pid}"
        line = self._out.readline()
        assert line, self.errors
        self.where: Where = ("127.0.0.1", int(line))

    def _read_errors(self) -> None:
        for line in self._err:
            self.errors.append(line.rstrip("\n"))  # noqa: PERF402, RUF100  # line by line, as they come

    def client(self, **options: Any) -> Client:
        """Connect."""
        return Client(self.where, **options)

    def begun(self, path: str) -> None:
        """Wait until a request for this path, `/told/...`, is with the application."""
        until(lambda: f"begun {path}" in self.errors)

    def ask(self) -> Report:
        """Return its figures of this moment."""
        self._in.write("\n")
        self._in.flush()
        line = self._out.readline()
        assert line, self.errors
        found: Report = json.loads(line)
        return found

    def until(self, condition: Callable[[Report], object], timeout: float = PATIENCE) -> Report:
        """Wait until a report meets the condition; return that report.

        The wait begins anew whenever connections have opened or ended: thousands of them take their time on a busy machine.
        """
        progress: tuple[int, int] | None = None
        deadline = 0.0
        while True:
            found = self.ask()
            if condition(found):
                return found
            now = (found["opened"], sum(found["closed"].values()))
            if now != progress:
                progress = now
                deadline = time.monotonic() + timeout
            assert time.monotonic() < deadline, f"the condition did not come true within {timeout:g} s. {found}"
            pause(LOOK)

    def empty(self) -> Report:
        """Wait until no connection is left, neither for the server nor for the kernel."""
        return self.until(lambda now: not sum(now["states"].values()) and not kernel_sockets(self.where))

    def memory(self) -> int:
        """Return its resident memory, octets."""
        with open(f"{self._proc}/statm", encoding="ascii") as statm:  # noqa: PTH123
            return int(statm.read().split()[1]) * _PAGE

    def cpu(self) -> float:
        """Return the processor time it has used, seconds."""
        with open(f"{self._proc}/stat", encoding="ascii") as stat:  # noqa: PTH123
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def load(self, seconds: float) -> float:
        """Return the share of a processor that it uses in the next seconds."""
        before, started = self.cpu(), time.monotonic()
        pause(seconds)
        return (self.cpu() - before) / (time.monotonic() - started)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it. Unless the test has failed: check that its counters add up, that it has logged no error, and that its status is 0."""
        try:
            if kind is None:
                assert add_up(self.ask())
        finally:
            self.stop()
        if kind is None:
            assert not [line for line in self.errors if "Traceback" in line or " ERROR " in line], self.errors
            assert self.process.returncode == 0, self.errors

    def stop(self) -> None:
        """End it."""
        if not self._in.closed:
            with contextlib.suppress(BrokenPipeError):
                self._in.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self._reader.join(5)
            self._out.close()
            self._err.close()


async def _serve(options: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    async with Server(app, **options) as server:
        worker = server.worker

        def asked() -> None:
            if not os.read(0, 1024):
                loop.remove_reader(0)
                over.set()
                return
            gc.collect()
            started = time.perf_counter()
            worker.register.sweep(time.monotonic(), 0.0)
            sweep = time.perf_counter() - started
            with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123
                memory = int(statm.read().split()[1]) * _PAGE
            more = {"memory": memory, "sweep": sweep, "tasks": len(asyncio.all_tasks())}
            print(
                json.dumps({**worker.snapshot(), **more, "descriptors": len(list(Path("/proc/self/fd").iterdir()))}),
                flush=True,
            )

        loop.add_reader(0, asked)
        print(server.url.rpartition(":")[2], flush=True)
        await over.wait()


def main() -> None:
    """Serve until standard input ends."""
    options = json.loads(sys.argv[1])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = options.pop("nofile") or hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
    options["close_for"] = tuple(options.get("close_for", ()))
    with asyncio.Runner(loop_factory=loop_factory(options.pop("loop"))) as runner:
        runner.run(_serve(options))


if __name__ == "__main__":
    main()

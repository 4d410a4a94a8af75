"""Runs a server and measures it.

CPU time and memory of all its processes come from /proc, and the load from wrk. Idle connections
are opened here.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench.servers import HERE, Server, prepare
from bench.work import MEMORY, START, Row

Sample = dict[str, float]
TICK = os.sysconf("SC_CLK_TCK")
PATIENCE_S = 20.0  # time that a server may take to answer
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]


class Failed(Exception):
    """Raised if a server fails, or answers otherwise than expected."""


@contextmanager
def failing() -> Iterator[None]:
    """Turn errors of the connection to a server into Failed."""
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        raise Failed(f"{type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class Effort:
    """Says how much to measure.

    rounds: rounds of each row.
    seconds: seconds of load in each round.
    idle: number of idle connections.
    warm: seconds of load before each measurement.
    """

    rounds: int
    seconds: int
    idle: int
    warm: int = 1


class Answer(NamedTuple):
    """Holds the parts of a response that are compared."""

    status: int
    content_type: str
    body: bytes
    closes: bool


@dataclass(frozen=True)
class Running:
    """Represents a server that runs.

    folder: scratch folder.
    started: monotonic time of its start, seconds.
    """

    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    started: float

    @property
    def log(self) -> Path:
        """The file with the server's output."""
        return self.folder / "output.log"

    def cpu(self) -> float:
        """Return the CPU seconds of all its processes and threads, ended ones included."""
        return sum(sum(map(int, stat[11:15])) for stat in tree(self.process.pid).values()) / TICK

    def memory(self) -> dict[str, int]:
        """Return its memory in octets: resident (rss), and with shared pages divided (pss)."""
        total = {"rss": 0, "pss": 0}
        for pid in tree(self.process.pid):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                key = line.partition(":")[0].lower()
                if key in total:
                    total[key] += int(line.split()[1]) * 1024
        return total

    def ask(self, request: bytes) -> Answer:
        """Return the answer to a request."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as client:
            client.sendall(request.replace(b"@", b"1"))
            response = http.client.HTTPResponse(client, method=request.split()[0].decode())
            response.begin()
            content_type = (response.getheader("Content-Type") or "").partition(";")[0]
            return Answer(response.status, content_type, response.read(), response.will_close)

    def wait(self, request: bytes) -> float:
        """Return the seconds from the start to the first answer."""
        while True:
            try:
                self.ask(request)
                return time.monotonic() - self.started
            except (OSError, http.client.HTTPException) as error:
                if self.process.poll() is not None:
                    last = self.log.read_text(errors="replace").strip().splitlines() or ["silent"]
                    reason = last[-1].replace(f"{HERE.parent}/", "")  # no paths in results
                    raise Failed(f"ended with code {self.process.returncode}: {reason}") from error
                if time.monotonic() - self.started > PATIENCE_S:
                    raise Failed(f"no answer in {PATIENCE_S:.0f} seconds") from error
                time.sleep(0.001)


def tree(root: int) -> dict[int, list[str]]:
    """Return `root` and its descendants: process id -> fields of `stat` after the name."""
    stats = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            stats[int(entry.parent.name)] = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
    family = {root} & stats.keys()
    while more := {pid for pid, stat in stats.items() if int(stat[1]) in family} - family:
        family |= more
    return {pid: stats[pid] for pid in family}


def used() -> float:
    """Return the CPU seconds of all processes on the server's core, without interrupts."""
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{SERVER_CORE} "))
    user, nice, system = map(int, line.split()[1:4])
    return (user + nice + system) / TICK


@contextmanager
def running(server: Server, app: str, python: str, *, logged: bool = False, once: bool = False) -> Iterator[Running]:
    """Run a server on its core. At the end, kill all its processes, also after an error."""
    with failing(), tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        folder, port = Path(name), free_port()
        prepare(folder, port, logged=logged)
        argv = server.argv(python, app, port, folder, logged=logged, once=once)
        output = stack.enter_context((folder / "output.log").open("wb"))
        started = time.monotonic()
        process = subprocess.Popen(
            ["taskset", "--cpu-list", str(SERVER_CORE), *argv],
            cwd=HERE.parent,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield Running(process, port, folder, started)
        finally:
            for pid in tree(process.pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            process.wait()


def free_port() -> int:
    """Return an unused port of the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def wrk(server: Running, request: bytes, seconds: int, *, connections: int = 64, times: int = 1) -> Sample:
    """Load a server, and return wrk's figures and the CPU time of each request.

    request: each @ in it becomes a number that counts up.
    seconds: duration of the load.
    connections: number of connections.
    times: number of requests that are sent at once.
    """
    file = server.folder / "request"
    file.write_bytes(request)
    argv = ["wrk", "--threads=1", f"--connections={connections}", f"--duration={seconds}s", "--timeout=10s"]
    argv += [f"--script={HERE / 'work.lua'}", f"http://127.0.0.1:{server.port}"]
    argv += ["--", str(file), str(times), str(connections)]
    before, core = server.cpu(), used()
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    cpu, core = server.cpu() - before, used() - core
    if done.returncode:
        raise Failed(f"wrk: {done.stderr.strip() or done.stdout.strip()}")
    seen: Sample = json.loads(done.stdout.splitlines()[-1])
    if not seen["requests"] or seen["refused"]:
        raise Failed(f"{seen['requests']} answers, {seen['refused']} not 2xx or 3xx; {seen['errors']} socket errors")
    kept = {key: seen[key] for key in ("p50_us", "p99_us", "requests", "errors")}
    if SERVER_CORE != LOAD_CORE:
        kept["others"] = max(0.0, core - cpu) / seen["seconds"]  # share of other processes
    return {"cpu_us": cpu / seen["requests"] * 1e6, "rps": seen["requests"] / seen["seconds"], **kept}


def load(server: Running, row: Row, effort: Effort) -> Sample:
    """Measure under load: CPU time per request, throughput, latency."""
    server.wait(row.request)
    wrk(server, row.request, effort.warm, connections=row.connections, times=row.times)
    sample = wrk(server, row.request, effort.seconds, connections=row.connections, times=row.times)
    if row.logged and server.log.read_bytes().count(b"\n") < 0.9 * sample["requests"]:
        raise Failed("its access log lacks lines")
    return sample


def idle(server: Running, row: Row, effort: Effort) -> Sample:
    """Measure memory per idle connection that carried one request.

    This is the growth between a quarter of the connections and all of them.
    """
    few = effort.idle // 4
    server.wait(row.request)
    with ExitStack() as stack:
        hold(stack, server, row.request, few)
        before = server.memory()
        hold(stack, server, row.request, effort.idle - few)
        return {key: (now - before[key]) / (effort.idle - few) for key, now in server.memory().items()}


def hold(stack: ExitStack, server: Running, request: bytes, number: int) -> None:
    """Open `number` connections, each with one request, that stay until `stack` is closed."""
    for _ in range(number):
        client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S))
        client.sendall(request)
        if not client.recv(65_536):
            raise Failed("closed a connection instead of answering")
    time.sleep(0.5)


def start(server: Running, row: Row, effort: Effort) -> Sample:
    """Measure the time from the start of the process to the first answer."""
    return {"start_ms": server.wait(row.request) * 1e3, "cpu_ms": server.cpu() * 1e3}


KINDS: dict[str, Callable[[Running, Row, Effort], Sample]] = {MEMORY: idle, START: start}


def measure(server: Server, row: Row, python: str, effort: Effort) -> Sample:
    """Start a server, measure the figure of the row, and stop it."""
    with running(server, row.app, python, logged=row.logged, once=row.once) as process:
        return KINDS.get(row.figure, load)(process, row, effort)


def check(server: Server, row: Row, python: str) -> None:
    """Raise Failed unless the server gives the answer that the row expects."""
    with running(server, row.app, python, logged=row.logged, once=row.once) as process:
        process.wait(row.request)
        answer, expected = process.ask(row.request), Answer(200, row.content_type, row.answer, row.once)
        if answer != expected:
            wrong = ", ".join(key for key in Answer._fields if getattr(answer, key) != getattr(expected, key))
            raise Failed(f"unexpected {wrong}: {answer.status} {answer.content_type} {answer.body[:40]!r}")

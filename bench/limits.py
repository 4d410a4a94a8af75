"""Holds timed figures to their limits, which depend on the machine and its load: no test can.

    python -m bench.limits [--loop uvloop] [--connections 20000]

Prints each figure beside its limit. The exit status is 1 if a figure is over its limit. The limits
are several times what a machine of its own shows: a figure above one is a fault of bide, or a
machine that is busy with something else.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from bench.machine import remarks
from bide.server.server import loop_factory
from bide.terms import CloseReason
from bide.transport import sockets
from bide.transport.listeners import Listener
from bide.transport.polled import PolledWire
from bide.transport.poller import Poller
from bide.wire import Receiver, Wire
from tests.support.abuse import Child, crowd, ended, queued, room
from tests.support.client import Client, request
from tests.support.waiting import until

# Connections that are ended to find the median of the time between the look and the FIN.
ENDED: Final = 200
# Descriptors of a server that runs out of them, and its clients.
DESCRIPTORS: Final = 256
CLIENTS: Final = 400
# Connections that time out together, and how long they may be idle, seconds.
TOGETHER: Final = 4_000
IDLE: Final = 1.5


class Figure(NamedTuple):
    """value, limit: in `unit`."""

    name: str
    value: float
    limit: float
    unit: str

    @property
    def is_over(self) -> bool:
        """Whether it is over its limit."""
        return self.value > self.limit


# -- The window between the last look at an idle connection and its FIN ----------------------------


class Ear(Receiver):
    """Hears the facts of a wire, and does nothing about them."""

    def octets_received(self, data: bytes) -> None:
        """Octets came."""

    def ready(self) -> None:
        """It was from the start."""

    def introduced(self) -> None:
        """No PROXY header comes."""

    def rejected(self, reason: CloseReason, detail: str, is_plain: bool) -> None:
        """No TLS is spoken."""

    def go_on(self) -> None:
        """Nothing was deferred."""

    def eof_received(self) -> None:
        """The peer sends no more."""

    def write_paused(self) -> None:
        """More is written than the peer takes."""

    def write_resumed(self) -> None:
        """The peer takes octets again."""

    def flushed(self) -> None:
        """The sending side is shut."""

    def lost(self) -> None:
        """The wire is no more."""

    def fail_internal(self) -> None:
        """The transport failed."""


async def _window() -> float:
    """Return the median time, in milliseconds, of the look for octets with the FIN after it."""
    wires: asyncio.Queue[Wire] = asyncio.Queue()

    def accept(wire: Wire) -> Receiver:
        wires.put_nowait(wire)
        return Ear()

    def wake(fd: int, resting: Receiver) -> PolledWire:
        raise NotImplementedError

    loop = asyncio.get_running_loop()
    poller = Poller(loop)
    poller.serve(accept, wake)
    (sock,) = sockets.tcp("127.0.0.1", 0)
    host, port = sock.getsockname()
    listener = Listener(loop, sock, ENDED, poller, ours=True)
    listener.accept()
    took = []
    for _ in range(ENDED):
        with Client((host, port)):
            wire = await wires.get()
            started = time.perf_counter()
            done = wire.half_close_if_quiet()
            took.append((time.perf_counter() - started) * 1000)
            assert done
            wire.abort()
            await asyncio.sleep(0)
    listener.close()
    poller.close()
    return statistics.median(took)


def window(loop: str) -> Iterator[Figure]:
    """What arrives between the look and the FIN is lost."""
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        yield Figure("from the last look at an idle connection to its FIN, median", runner.run(_window()), 0.05, "ms")


# -- A server that has nothing to do ---------------------------------------------------------------


def without_descriptors(loop: str) -> Iterator[Figure]:
    """A server that cannot accept for want of descriptors waits; it does not look all the time."""
    with Child(loop, nofile=DESCRIPTORS) as server:
        with contextlib.ExitStack() as stack:
            for _ in range(CLIENTS):
                stack.enter_context(server.client()).get()
            yield Figure("CPU at rest, after shedding", 100 * server.load(2.0), 5.0, "%")
        server.empty()
        with contextlib.ExitStack() as stack:
            for _ in range(CLIENTS):
                stack.enter_context(server.client()).send(b"GET / HT")
            server.until(lambda now: not now["accepting"])
            until(lambda: queued(server.where) > 0)
            yield Figure("CPU at rest, every descriptor held, others in the queue", 100 * server.load(2.0), 5.0, "%")
        server.empty()


# -- A busy client among others --------------------------------------------------------------------


def latencies(client: Client, seconds: float) -> list[float]:
    """Ask for some seconds; return how long each answer took, sorted, milliseconds."""
    took = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.perf_counter()
        client.get()
        took.append((time.perf_counter() - started) * 1000)
    return sorted(took)


def among_idle(loop: str, connections: int) -> Iterator[Figure]:
    """Thousands of idle connections cost hardly anything; a busy client keeps its latency."""
    with Child(loop, backlog=4096, timeout_idle_least=75.0) as server, crowd(server.where, connections):
        server.until(lambda now: now["states"]["idle"] == connections)
        among = f"among {connections:,} idle connections"
        yield Figure(f"a sweep, {among}", server.ask()["sweep"] * 1000, 100.0, "ms")
        yield Figure(f"CPU at rest, {among}", 100 * server.load(3.0), 5.0, "%")
        with server.client() as client:
            took = latencies(client, 2.0)
        yield Figure(f"a request, {among}, median", took[len(took) // 2], 10.0, "ms")
        yield Figure(f"a request, {among}, longest", took[-1], 500.0, "ms")


def among_ending(loop: str) -> Iterator[Figure]:
    """All connections time out in the same moment, as after a deployment in front of the server."""
    connections = min(TOGETHER, room(TOGETHER))
    with (
        Child(loop, backlog=4096, timeout_idle=IDLE, timeout_idle_least=IDLE) as server,
        crowd(server.where, connections),
    ):
        with server.client() as client:
            took = latencies(client, IDLE + 1.0)
        server.until(lambda now: ended(now).get("idle_timeout") == connections)
        yield Figure(f"a request, while {connections:,} connections time out, longest", took[-1], 1500.0, "ms")


def among_slow(loop: str) -> Iterator[Figure]:
    """Clients that do not go on hold nobody up: within a head, or while they do not read."""
    with Child(loop, timeout_head=60.0) as server, contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(server.client()).send(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 8000)
        for _ in range(5):
            stack.enter_context(server.client(receive_buffer=4096)).send(request("/large/50000000"))
        with server.client() as client:
            took = latencies(client, 2.0)
        yield Figure("a request, beside 100 half heads and 5 that do not read, longest", took[-1], 500.0, "ms")


def figures(loop: str, connections: int) -> Iterator[Figure]:
    """Measure."""
    yield from window(loop)
    yield from without_descriptors(loop)
    yield from among_idle(loop, connections)
    yield from among_ending(loop)
    yield from among_slow(loop)


def main() -> int:
    """Print the figures, and return 1 if one is over its limit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--connections", type=int, default=20_000)
    parser.add_argument("--loop", choices=["uvloop", "asyncio"])
    chosen = parser.parse_args()
    for remark in remarks():
        print(remark)
    over = 0
    print(f"{'loop':8}{'figure':68}{'value':>12}{'limit':>12}")
    for loop in [chosen.loop] if chosen.loop else ["uvloop", "asyncio"]:
        for figure in figures(loop, min(chosen.connections, room(chosen.connections))):
            value, limit = (f"{number:.3f} {figure.unit}" for number in (figure.value, figure.limit))
            print(f"{loop:8}{figure.name:68}{value:>12}{limit:>12}{'  OVER' if figure.is_over else ''}", flush=True)
            over += figure.is_over
    if over:
        print(f"{over} over the limit")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())

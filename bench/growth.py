"""Measures how the cost grows with the work: connections, fields, bodies, pieces.

A line that turns upwards is a cliff.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from bench.measure import PATIENCE_S, Failed, Running, hold, running, wrk
from bench.servers import Server
from bench.work import get, post

Cost = Callable[[Running, int, int], float]  # server, size, seconds -> CPU time in microseconds
SERVERS = ("bide", "granian", "uvicorn", "gunicorn[fast]", "limit")
STATUS = b"HTTP/1.1 200 "


@dataclass(frozen=True)
class Series:
    """Describes one plot: a cost at growing sizes.

    across: the quantity that grows.
    per: the unit that the CPU time is divided by.
    sizes: values of the quantity.
    cost: measures one size.
    app: application to serve.
    limit: whether the server `limit`, which parses nothing, can take part.
    """

    name: str
    title: str
    across: str
    per: str
    sizes: tuple[int, ...]
    cost: Cost
    app: str = "bench.apps:minimal"
    limit: bool = False


def busy(server: Running, size: int, seconds: int) -> float:
    """Load `size` connections, all busy."""
    return wrk(server, get(), seconds, connections=size)["cpu_us"]


def among_idle(server: Running, size: int, seconds: int) -> float:
    """Load 64 connections among `size` idle ones."""
    with ExitStack() as stack:
        hold(stack, server, get(), size)
        return wrk(server, get(), seconds)["cpu_us"]


def fields(server: Running, size: int, seconds: int) -> float:
    """Send heads of `size` fields, each but Host with a new value."""
    return wrk(server, get(*(f"X-Trace-{number}: span-{number}-@" for number in range(size - 1))), seconds)["cpu_us"]


def bodies(server: Running, size: int, seconds: int) -> float:
    """Send bodies of `size` octets."""
    return wrk(server, post("/", b"x" * size), seconds, connections=8)["cpu_us"]


def segments(server: Running, size: int, seconds: int) -> float:
    """Send a body of 64 KB in `size` segments."""
    request = post("/", b"x" * 65_536)
    step = 65_536 // size
    body = len(request) - 65_536
    pieces = [request[:body], *(request[start : start + step] for start in range(body, len(request), step))]
    return repeated(server, pieces, 1, size, seconds)


def chunks(server: Running, size: int, seconds: int) -> float:
    """Send a body in `size` chunks of one octet, all at once."""
    head = b"POST / HTTP/1.1\r\nHost: bench.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    return repeated(server, [head + b"1\r\nx\r\n" * size + b"0\r\n\r\n"], 1, size, seconds)


def dribble(server: Running, size: int, seconds: int) -> float:
    """Send a head of `size` octets, octet by octet."""
    request = get("X-Long: ")
    request = request[:-4] + b"x" * (size - len(request)) + request[-4:]
    return repeated(server, [request[place : place + 1] for place in range(len(request))], 1, size, seconds)


def pipelined(server: Running, size: int, seconds: int) -> float:
    """Send `size` requests without waiting for the answers."""
    return repeated(server, [get() * size], size, size, seconds)


COUNT = "bench.apps:count"
CONNECTIONS, IDLE, FIELDS, PARTS = (1, 8, 64, 512, 4096), (0, 64, 512, 4096), (1, 3, 10, 30, 100), (1, 16, 256, 4096)
BODIES = (0, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
CHUNKS, HEADS, REQUESTS = (10, 100, 1_000, 10_000, 100_000), (64, 256, 1024, 4096, 7500), (1, 10, 100, 1_000, 10_000)
GROWTH = (
    Series("busy", "Connections, all busy", "connections", "request", CONNECTIONS, busy, limit=True),
    Series("idle", "64 busy connections among idle ones", "idle", "request", IDLE, among_idle, limit=True),
    Series("fields", "Fields in the head, no value seen before", "fields", "request", FIELDS, fields, limit=True),
    Series("bodies", "Body of the request", "octets", "request", BODIES, bodies, COUNT),
    Series("segments", "Body of 64 KB in small segments", "segments", "segment", PARTS, segments, COUNT),
    Series("chunks", "Chunks of one octet", "chunks", "chunk", CHUNKS, chunks, COUNT),
    Series("dribble", "Head that arrives octet by octet", "octets", "octet", HEADS, dribble),
    Series("pipelined", "Requests pipelined", "requests", "request", REQUESTS, pipelined),
)


def repeated(server: Running, pieces: list[bytes], answers: int, size: int, seconds: int) -> float:
    """Send pieces repeatedly on one connection. Return the CPU time for each of `size` parts."""
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setblocking(False)
        before, end, times = server.cpu(), time.monotonic() + seconds, 0
        while time.monotonic() < end:
            exchange(client, pieces, answers)
            times += 1
        return (server.cpu() - before) / (times * size) * 1e6


def exchange(client: socket.socket, pieces: Iterable[bytes], answers: int) -> None:
    """Send pieces one after the other, and read until all answers have arrived."""
    octets, found = b"", 0

    def read() -> None:
        nonlocal octets, found
        data = client.recv(65_536)
        if not data:
            raise Failed(f"closed the connection after {found} of {answers} answers")
        octets += data
        found += octets.count(STATUS)
        octets = octets[1 - len(STATUS) :]  # may hold the beginning of a status line

    for piece in pieces:
        left = memoryview(piece)
        while left:
            readable, writable, _ = select.select([client], [client], [], PATIENCE_S)
            if readable:
                read()
            if writable:
                left = left[client.send(left) :]
    while found < answers:
        if not select.select([client], [], [], PATIENCE_S)[0]:
            raise Failed(f"stuck after {found} of {answers} answers")
        read()


def grow(series: Series, server: Server, python: str, seconds: int) -> tuple[dict[int, float], str]:
    """Return (size -> cost, why it ended early or ""), on one run of the server."""
    costs: dict[int, float] = {}
    try:
        with running(server, series.app, python) as process:
            process.wait(get())
            series.cost(process, series.sizes[0], 1)
            for size in series.sizes:
                costs[size] = series.cost(process, size, seconds)
                time.sleep(0.2)  # so that the server can clean up after the closed connections
    except Failed as failure:
        return costs, f"at {series.sizes[len(costs)]:,} {series.across}: {failure}"
    return costs, ""

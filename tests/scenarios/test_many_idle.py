"""Idle connections by the thousand: little memory each, a process at rest, and nobody else notices them.

1. As many connections as the descriptor limit allows, 20,000 at most, each with one request answered, from several addresses.
2. Each costs about 2 KB of memory on uvloop. The process hardly uses the processor, and a sweep takes some milliseconds.
3. A busy client among them keeps its latency.
4. They time out together, without holding the busy client up for long, and everything is as before.

The bounds here are generous, for a machine that is shared. `python -m bench.idle` prints the figures.
"""

import sys
import time

import pytest

from tests.support.abuse import Child, crowd, ended, room
from tests.support.client import Client

WANTED = 20_000
#: Fewer prove nothing.
ENOUGH = 2_000
#: Octets for each, a tenth above what they are to be. Half of it is the event loop's.
MOST = {"uvloop": 2_250, "asyncio": 3_400 if sys.version_info >= (3, 12) else 2_800}


def slowest(client: Client, seconds: float) -> tuple[float, float]:
    """Ask for so long; return the median latency and the longest, seconds."""
    took = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        started = time.perf_counter()
        assert client.get().status == 200
        took.append(time.perf_counter() - started)
    took.sort()
    return took[len(took) // 2], took[-1]


def test_many_idle_connections(loop: str) -> None:
    connections = room(WANTED)
    if connections < ENOUGH:
        pytest.skip(f"the descriptor limit allows only {connections} connections: raise it (ulimit -n)")
    with Child(loop, backlog=4096, timeout_idle_least=75.0) as server:
        with crowd(server.where, 200):
            pass
        before = server.empty()
        with crowd(server.where, connections):
            server.until(lambda now: now["states"]["idle"] == connections)
            after = server.ask()
            assert (after["memory"] - before["memory"]) / connections < MOST[loop]
            assert after["sweep"] < 0.1
            assert server.load(2.0) < 0.05
            with server.client() as busy:
                typical, longest = slowest(busy, 1.0)
            assert typical < 0.01
            assert longest < 0.5
        after = server.empty()
        assert ended(after) == {"client_eof_idle": connections + 201}
        assert after["descriptors"] == before["descriptors"]


def test_they_end_together(loop: str) -> None:
    """All of them run out in the same moment, as after a deployment in front of us."""
    connections = min(4_000, room(4_000))
    if connections < ENOUGH:
        pytest.skip(f"the descriptor limit allows only {connections} connections: raise it (ulimit -n)")
    with (
        Child(loop, backlog=4096, timeout_idle=1.5, timeout_idle_least=1.5) as server,
        crowd(server.where, connections),
    ):
        with server.client() as busy:
            _, longest = slowest(busy, 2.5)
            assert longest < 1.5
        server.until(lambda now: ended(now).get("idle_timeout") == connections)
        assert server.ask()["race_lost"] == 0


def test_what_one_crowd_leaves_the_next_one_takes(loop: str) -> None:
    """Memory that was given back inside the process may stay with it, but it is used again."""
    with Child(loop, backlog=4096) as server:
        held = []
        for _ in range(5):
            with crowd(server.where, 1_000):
                pass
            held.append(server.empty()["memory"])
        assert held[-1] - held[1] < 1_000_000

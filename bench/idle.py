"""Measures the cost of many idle connections: memory, CPU time, sweeps, and a busy client's delay.

    python -m bench.idle [--connections 20000] [--loop uvloop]

Serves in a separate process. Prints one row of figures for each loop. If the descriptor limit is
too low, it makes fewer connections.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import Final, NamedTuple

from bench.machine import describe
from tests.support.abuse import Child, crowd, room

REQUESTS: Final = 2000
REST_S: Final = 5.0  # time over which the CPU share at rest is measured


class Figures(NamedTuple):
    """Holds the figures for one event loop. Times in milliseconds.

    memory: octets for each connection.
    cpu: share of a processor at rest.
    sweep: median time of a sweep.
    alone: median time of a request without idle connections.
    typical, late: median and 99th percentile of a request among them.
    """

    loop: str
    connections: int
    memory: float
    cpu: float
    sweep: float
    alone: float
    typical: float
    late: float


def latencies(server: Child) -> list[float]:
    """Return the milliseconds that each of REQUESTS requests of one client took, sorted."""
    took = []
    with server.client() as client:
        for _ in range(REQUESTS):
            started = time.perf_counter()
            client.get()
            took.append((time.perf_counter() - started) * 1000)
    return sorted(took)


def measure(loop: str, connections: int) -> Figures:
    """Measure one event loop with `connections` idle connections."""
    with Child(loop, backlog=4096, timeout_idle_least=75.0) as server:
        with crowd(server.where, 200):
            pass
        before = server.empty()
        alone = latencies(server)
        with crowd(server.where, connections):
            server.until(lambda now: now["states"]["idle"] == connections)
            after = server.ask()
            memory = (after["memory"] - before["memory"]) / connections
            cpu = server.load(REST_S)
            sweep = statistics.median(server.ask()["sweep"] for _ in range(9)) * 1000
            among = latencies(server)
    return Figures(
        loop,
        connections,
        memory,
        cpu,
        sweep,
        alone[len(alone) // 2],
        among[len(among) // 2],
        among[len(among) * 99 // 100],
    )


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--connections", type=int, default=20_000)
    parser.add_argument("--loop", choices=["uvloop", "asyncio"])
    chosen = parser.parse_args()
    connections = room(chosen.connections)
    if connections < chosen.connections:
        print(f"the descriptor limit allows {connections:,} of {chosen.connections:,} connections")
    for name, value in describe().items():
        print(f"{name}: {value}")
    print(
        "| loop | idle connections | octets each | CPU at rest | a sweep"
        " | request alone | among them | its 99th percentile |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for loop in [chosen.loop] if chosen.loop else ["uvloop", "asyncio"]:
        row = measure(loop, connections)
        print(
            f"| {row.loop} | {row.connections:,} | {row.memory:,.0f} | {row.cpu:.2%} | {row.sweep:.1f} ms"
            f" | {row.alone:.3f} ms | {row.typical:.3f} ms | {row.late:.3f} ms |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

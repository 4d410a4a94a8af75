"""Runs the benchmark: makes environments, checks answers, measures servers, writes the report."""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench import machine, report
from bench.environments import Environment, environments
from bench.growth import GROWTH, SERVERS as GROWING, Series, grow
from bench.measure import LOAD_CORE, Effort, Failed, Sample, check, measure
from bench.servers import HERE, SERVERS, Server
from bench.work import QUICK, ROWS, Row

FULL, SHORT = Effort(rounds=5, seconds=1, idle=8000), Effort(rounds=3, seconds=2, idle=2000)
QUICK_SERVERS = ("bide", "granian", "uvicorn", "limit")
RESULTS = HERE / "results"  # of a full run; other runs write into "local" below it
GROWTH_ROUNDS, GROWTH_SECONDS = 1, 1  # at most: growth is about the shape, not the figure
MAX_CONNECTIONS = 4096  # at once, besides the idle ones

Environments = dict[str, Environment]
Failures = dict[str, dict[str, str]]  # row, server: reason


def main() -> int:
    """Run the command."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))
    if options.what == "report":
        if not (file := options.output / report.JSON).exists():
            sys.exit(f"bench: {file} does not exist yet; run python -m bench first")
        report.write(json.loads(file.read_text()), options.output)
        return 0
    rows = [row for row in ROWS if row.name in options.rows]
    growth = [series for series in GROWTH if series.name in options.growth]
    made = environments(options.python)
    needed = {"compiled", *(row.build for row in rows)} if options.what == "run" else set(made)
    made = {name: environment for name, environment in made.items() if name in needed}
    for environment in made.values():
        try:
            environment.make()
        except subprocess.CalledProcessError as error:
            sys.exit(f"bench: could not make {environment.folder}: {error}")
    if options.what == "setup":
        return 0
    if not shutil.which("wrk"):
        sys.exit("bench: wrk is missing; install it (Debian, Ubuntu: apt-get install wrk)")
    os.sched_setaffinity(0, {LOAD_CORE})
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    needed_files = max(options.idle, MAX_CONNECTIONS) + 100
    if files < needed_files:
        sys.exit(f"bench: the descriptor limit must be at least {needed_files}, got {files}; raise it (ulimit -n)")
    effort = Effort(options.rounds, options.seconds, options.idle)
    results: report.Results = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "environments": {name: environment.versions for name, environment in made.items()},
        "effort": asdict(effort),
        "remarks": machine.remarks(),
        "rows": [],
        "growth": [],
    }
    print("\n".join(["bide and its peers", *report.about(results), *results["remarks"]]))
    servers = [server for server in SERVERS if server.name in options.servers]
    failures = agree(rows, servers, made)
    for row in rows:
        results["rows"].append(compare(row, servers, failures[row.name], made[row.build].python, effort))
        print(report.show(results["rows"][-1]), flush=True)
    for series in growth:
        results["growth"].append(follow(series, servers, made["compiled"].python, effort))
        print(report.show_growth(results["growth"][-1]), flush=True)
    report.write(results, options.output)
    print(f"\nwritten to {options.output}")
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    rows, growth, servers = ([one.name for one in table] for table in (ROWS, GROWTH, SERVERS))
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        choices=("run", "setup", "report"),
        default="run",
        help="run: measure; setup: only make the environments; report: only write the report again from its JSON",
    )
    parser.add_argument("--quick", action="store_true", help="three rows, four servers: under three minutes")
    parser.add_argument("--rows", type=choice(rows), help="rows to measure, or none: " + ",".join(rows))
    parser.add_argument("--growth", type=choice(growth), help="series to measure, or none: " + ",".join(growth))
    parser.add_argument("--servers", type=choice(servers), help="servers to measure: " + ",".join(servers))
    parser.add_argument("--rounds", type=int, help="rounds of each row")
    parser.add_argument("--seconds", type=int, help="seconds of load in each round")
    parser.add_argument("--idle", type=int, help="number of idle connections")
    parser.add_argument("--python", help="interpreter of the compiled bide and of the other servers")
    parser.add_argument("--output", type=Path, help="folder for the results")
    options = parser.parse_args()
    chosen = options.rows is not None or options.growth is not None
    whole = not (options.quick or chosen or options.servers or options.rounds or options.seconds or options.idle)
    effort = SHORT if options.quick else FULL
    options.output = options.output or (RESULTS if whole else RESULTS / "local")
    options.rows = options.rows or ([] if chosen else QUICK if options.quick else rows)
    options.growth = options.growth or ([] if chosen or options.quick else growth)
    options.servers = options.servers or (QUICK_SERVERS if options.quick else servers)
    options.rounds = options.rounds or effort.rounds
    options.seconds = options.seconds or effort.seconds
    options.idle = options.idle or effort.idle
    return options


def choice(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a reader of lists of known names."""

    def read(text: str) -> list[str]:
        names = [] if text == "none" else text.split(",")
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
        return names

    return read


def agree(rows: Sequence[Row], servers: Sequence[Server], made: Environments) -> Failures:
    """Ask every server for every answer. Return the wrong answers: row -> server -> fault."""
    failures: Failures = {row.name: {} for row in rows}
    asked = [(row, server) for row in rows for server in servers if server.name in row.servers]
    for row, server in asked:
        progress(f"checking answers, {row.name}: {server.name}")
        try:
            check(server, row, made[row.build].python)
        except Failed as failure:
            failures[row.name][server.name] = str(failure)
    progress("")
    print(f"answers: {len(asked)} checked, {sum(map(len, failures.values()))} wrong")
    return failures


def compare(row: Row, servers: Sequence[Server], failed: dict[str, str], python: str, effort: Effort) -> report.Results:
    """Measure a row, without the servers that gave a wrong answer."""
    servers = [server for server in servers if server.name in row.servers and server.name not in failed]
    samples: dict[str, list[Sample]] = {server.name: [] for server in servers}
    for server in alternating(servers, effort.rounds, row.name):
        if server.name not in failed:
            try:
                samples[server.name].append(measure(server, row, python, effort))
            except Failed as failure:
                failed[server.name] = str(failure)
                del samples[server.name]
    keep = {"name": row.name, "title": row.title, "build": row.build, "goals": row.goals}
    return keep | {"figure": row.figure, "samples": samples, "failed": failed}


def follow(series: Series, servers: Sequence[Server], python: str, effort: Effort) -> report.Results:
    """Measure a series of sizes."""
    failed: dict[str, str] = {}
    samples: dict[str, list[dict[str, float]]] = {}
    servers = [server for server in servers if server.name in GROWING and (server.asgi or series.limit)]
    for server in alternating(servers, min(effort.rounds, GROWTH_ROUNDS), series.name):
        costs, failure = grow(series, server, python, min(effort.seconds, GROWTH_SECONDS))
        samples.setdefault(server.name, []).append({str(size): cost for size, cost in costs.items()})
        if failure:
            failed[server.name] = failure
    keep = {"name": series.name, "title": series.title, "across": series.across, "per": series.per}
    return keep | {"sizes": series.sizes, "samples": samples, "failed": failed}


def alternating(servers: Sequence[Server], rounds: int, what: str) -> Iterator[Server]:
    """Yield every server in every round. Each round begins with another server."""
    for number in range(rounds):
        first = number % max(1, len(servers))
        for server in [*servers[first:], *servers[:first]]:
            progress(f"{what}, round {number + 1} of {rounds}: {server.name}")
            yield server
    progress("")


def progress(text: str) -> None:
    """Show the current step on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("bench: interrupted")

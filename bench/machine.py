"""Describes the machine of a measurement: processor, kernel, versions, load."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

from bench.measure import CORES, LOAD_CORE, SERVER_CORE

BUSY_LOAD = 0.5  # load average above which other processes are likely to disturb


def describe() -> dict[str, str]:
    """Return the facts that a reader needs to judge the figures."""
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "processor": cpu[1] if cpu else platform.machine(),
        "cores": str(len(CORES)),
        "memory": f"{int(memory[1]) / 2**20:.0f} GiB" if memory else "unknown",
        "kernel": platform.release(),
        "pinned": f"server on core {SERVER_CORE}, load on core {LOAD_CORE}",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "nginx": version("nginx", "-v"),
        "wrk": version("wrk", "-v"),
    }


def remarks() -> list[str]:
    """Return the reasons to doubt figures from this machine."""
    found = []
    if SERVER_CORE == LOAD_CORE:
        found.append("only one core: server and load share it, so only CPU time means anything")
    if (busy := os.getloadavg()[0]) > BUSY_LOAD:
        found.append(f"the machine was busy before the run (load {busy:.2f}): trust quieter runs more")
    return found


def version(*command: str) -> str:
    """Return the version number that a command prints."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "missing"
    number = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
    return number[0] if number else "unknown"

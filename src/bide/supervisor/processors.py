"""Counts the processors that this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/")


def processors(root: Path = _ROOT) -> int:
    """Return the number of processors: those that the process may run on, or those that the quota
    of its control group amounts to, rounded up, if that is less.

    root: where /proc and /sys are.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(count, _quota(root))))


def _quota(root: Path) -> float:
    """Return the quota of the control group, and of those above it, in processors."""
    least = math.inf
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        group = path.strip("/")
        while True:
            if number == "0" and not controllers:  # version 2: "100000 100000" or "max 100000"
                values = _text(root / "sys/fs/cgroup" / group / "cpu.max").split()
            elif "cpu" in controllers.split(","):
                folder = root / "sys/fs/cgroup/cpu" / group
                values = [_text(folder / "cpu.cfs_quota_us").strip(), _text(folder / "cpu.cfs_period_us").strip()]
            else:
                break
            if len(values) == 2 and values[0].isdecimal() and values[1].isdecimal() and int(values[1]):
                least = min(least, int(values[0]) / int(values[1]))
            if not group:
                break
            group = group.rpartition("/")[0]
    return least


def _text(path: Path) -> str:
    """Return what a file holds; "" if it cannot be read."""
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""

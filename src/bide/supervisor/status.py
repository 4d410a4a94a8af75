"""Describes a server as plain values, for an operator."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Mapping
from typing import Any

from bide.policy.staffing import Fleet, Worker
from bide.supervisor.announcer import Announcer
from bide.supervisor.fleet import Member


def status_of(
    fleet: Fleet, members: Mapping[int, Member], announcer: Announcer, figures: Mapping[str, Any], now: float
) -> dict[str, Any]:
    """Return what is known of the server.

    members: its workers, by number.
    announcer: knows what was said of the last start or reload.
    figures: of all workers.
    now: instant of the fleet's clock, seconds.
    """
    return {
        "version": importlib.metadata.version("bide"),
        "process": os.getpid(),
        "urls": announcer.urls,
        "state": "stopping" if fleet.is_stopping else "serving" if announcer.announced else "starting",
        "generation": fleet.generation,
        "wanted": fleet.wanted,
        "reload_failed": announcer.failed_reload or None,
        "workers": [
            _worker(worker, members[worker.number], now) for worker in fleet.workers if worker.number in members
        ],
        "figures": figures,
    }


def _worker(worker: Worker, member: Member, now: float) -> dict[str, Any]:
    return {
        "worker": worker.number,
        "process": member.process.pid,
        "state": worker.state.value,
        "generation": worker.generation,
        "due": None if worker.due is None else worker.due.value,
        "age": round(now - worker.started, 1),
        "beat_age": round(now - member.beat_at, 1) if member.beat_at else None,
        "connections": sum(member.snapshot.get("states", {}).values()),
        "requests": member.snapshot.get("requests", 0),
        "memory": member.memory,
    }

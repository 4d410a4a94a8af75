"""Keeps what is known of each worker beyond what decides about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bide.policy.recycling import WorkerLimits
from bide.supervisor.process import Process


@dataclass
class Member:
    """Holds what is known of a worker.

    process: its process.
    generation: number of the reload that it was started for.
    limits: at which it is replaced.
    urls: that its clients connect to.
    snapshot: its figures as of its last beat.
    memory: resident octets as of its last beat.
    beat_at: when its last beat arrived.
    accepts: whether it may accept connections; not once it has said that it drains.
    """

    process: Process
    generation: int
    limits: WorkerLimits
    urls: list[str] = field(default_factory=list)
    snapshot: Mapping[str, Any] = field(default_factory=dict)
    memory: int = 0
    beat_at: float = 0.0
    accepts: bool = True

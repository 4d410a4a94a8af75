"""Turns the configuration into what the supervisor needs of it. No other module here reads it."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from bide.config import Config
from bide.policy.recycling import WorkerLimits
from bide.policy.staffing import FOREVER, Bounds
from bide.supervisor.processors import processors
from bide.transport.sockets import Listening


class SupervisorSettings(NamedTuple):
    """Holds the values that a supervisor is made with.

    options: all options, for the workers.
    listening: where to listen.
    redirect_http: port for plain HTTP, which is redirected to https; None for none.
    wanted: number of workers.
    processors: number of workers that may start at the same time.
    bounds: of the states of a worker.
    drain_delay: seconds for which workers go on accepting after the signal to stop.
    limits: at which a worker is replaced.
    control: path of the control socket, "auto" or "none".
    """

    options: dict[str, Any]
    listening: Listening
    redirect_http: int | None
    wanted: int
    processors: int
    bounds: Bounds
    drain_delay: float
    limits: WorkerLimits
    control: str


def supervisor_settings(config: Config) -> SupervisorSettings:
    """Return the values for a supervisor."""
    available = processors()
    return SupervisorSettings(
        dataclasses.asdict(config),
        Listening(
            config.host,
            config.port,
            config.uds,
            config.uds_mode,
            config.uds_owner,
            config.uds_group,
            config.fd,
            config.backlog,
        ),
        config.redirect_http,
        config.workers or available,
        available,
        Bounds(config.timeout_start, config.timeout_blocked or FOREVER, config.drain_timeout),
        config.drain_delay,
        WorkerLimits(config.limit_worker_requests, config.limit_worker_age, config.limit_worker_memory),
        config.control,
    )

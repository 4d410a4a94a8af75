"""Turns the configuration into what the supervisor needs of it. No other module here reads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from bide.config import STANDARD, Config
from bide.policy.recycling import WorkerLimits
from bide.policy.staffing import FOREVER, Bounds
from bide.supervisor.processors import processors
from bide.supervisor.watch import Watched
from bide.transport.sockets import Listening

# For the requests of an old worker to end when a file has changed, in seconds.
RELOAD_DRAIN_S: Final = 0.5


# Options that say where to listen; who may use the Unix socket there.
_ADDRESS: Final = ("host", "port", "uds")
_ACCESS: Final = ("uds_mode", "uds_owner", "uds_group")

# Options that only a restart changes: they are the supervisor's own.
_TAKE_RESTART: Final = (
    "fd",
    "backlog",
    "redirect_http",
    "env_file",
    "pid_file",
    "control",
    "preload",
    "reload",
    "reload_dir",
    "reload_include",
    "reload_exclude",
    "reload_delay",
)


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
    pid_file: path of the file for the process id; None for none.
    preload: whether workers are forked from a process that has imported the application.
    watched: files whose change replaces the worker, in development; None otherwise.
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
    pid_file: str | None
    preload: bool
    watched: Watched | None


def supervisor_settings(config: Config) -> SupervisorSettings:
    """Return the values for a supervisor."""
    available = processors()
    return SupervisorSettings(
        dataclasses.asdict(config)
        | {name: _absolute(getattr(config, name)) for name in ("log_file", "access_log_file")}
        | {"supervise": "on"},  # a reload may leave a single worker
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
        _bounds(config),
        config.drain_delay,
        WorkerLimits(config.limit_worker_requests, config.limit_worker_age, config.limit_worker_memory),
        config.control,
        config.pid_file,
        config.preload,
        _watched(config),
    )


def renewed(before: SupervisorSettings, config: Config, *, may_move: bool) -> tuple[SupervisorSettings, list[str]]:
    """Return the values after the options were read again, and the options that take a restart.

    Those stay as they were. Raises ConfigError if they do not fit the others.

    may_move: whether other sockets can take the place of those that are bound.
    """
    after = supervisor_settings(config)
    fixed = list(_TAKE_RESTART)
    if not may_move:
        fixed += _ADDRESS
    if not may_move or not has_moved(before, after):
        fixed += _ACCESS
    kept = [name for name in fixed if after.options[name] != before.options[name]]
    config = dataclasses.replace(config, **{name: before.options[name] for name in kept})
    return supervisor_settings(config), kept


def has_moved(before: SupervisorSettings, after: SupervisorSettings) -> bool:
    """Return whether the address to listen on is another one."""
    return any(before.options[name] != after.options[name] for name in _ADDRESS)


def address(settings: SupervisorSettings) -> dict[str, Any]:
    """Return the options that say where to listen."""
    return {name: settings.options[name] for name in _ADDRESS}


def at_address(settings: SupervisorSettings, options: Mapping[str, Any]) -> SupervisorSettings:
    """Return the values with another address, of which `options` tell. Raises ConfigError."""
    return supervisor_settings(Config(**(settings.options | dict(options))))


def _absolute(path: str | None) -> str | None:
    """Return the path of a log file from the root: a deployment may give workers another folder."""
    return path if path is None or path == STANDARD else str(Path(path).absolute())


def _bounds(config: Config) -> Bounds:
    """Return how long the states of a worker may last.

    In development a debugger may stop the worker for any time, and nobody waits for an old one.
    """
    if config.reload:
        return Bounds(config.timeout_start, FOREVER, RELOAD_DRAIN_S)
    return Bounds(config.timeout_start, config.timeout_blocked or FOREVER, config.drain_timeout)


def _watched(config: Config) -> Watched | None:
    if not config.reload:
        return None
    given = config.reload_dir or (config.app_dir or ".",)
    folders = tuple(str(Path(folder).resolve()) for folder in given)
    return Watched(folders, tuple(config.reload_include), tuple(config.reload_exclude), config.reload_delay)

"""Serves status and orders over a Unix socket that only its owner may use."""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, final

from bide.config import Config
from bide.errors import ListenError
from bide.observe import prometheus
from bide.worker.settings import WorkerSettings
from bide.worker.worker import Worker

_log = logging.getLogger("bide")

#: Values of `--control` that are no path.
AUTO: Final = "auto"
NONE: Final = "none"

_FOLDER: Final = "bide"
# Access for the owner only.
_FOLDER_MODE: Final = 0o700
_SOCKET_MODE: Final = "600"


class Controlled(Protocol):
    """What the orders are for."""

    def status(self) -> dict[str, Any]:
        """Return what is known of the server, as plain values."""

    async def reload(self) -> str:
        """Reload; return why it failed, "" if it did not."""

    async def upgrade(self) -> str:
        """Replace the program; return why not, "" if it will be."""

    def figures(self) -> dict[str, Any]:
        """Return the figures of all workers, including workers that have ended."""

    async def connections(self) -> dict[str, Any]:
        """Return what is known of the open connections."""

    def stop(self) -> None:
        """Drain all workers, then end; the second time, without waiting."""

    def recycle(self, number: int) -> bool:
        """Replace a worker; return whether there is one of that number."""


@final
class Control:
    """Serves the control socket, by bide itself."""

    def __init__(self, path: str, controlled: Controlled) -> None:
        """Keep the path. Raises ConfigError."""
        self._controlled = controlled
        config = Config(
            uds=path, uds_mode=_SOCKET_MODE, lifespan="off", access_log=False, drain_idle=0.0, drain_timeout=1.0
        )
        self._worker = Worker(WorkerSettings(config), self._serve)

    async def start(self) -> None:
        """Listen. Raises ListenError."""
        await self._worker.start()

    async def stop(self) -> None:
        """Stop listening, and remove the socket."""
        await self._worker.stop()

    async def _serve(
        self,
        scope: Any,  # noqa: ANN401
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        kind = "application/json"
        if (scope["method"], scope["path"]) == ("GET", "/metrics"):
            status, kind, text = 200, prometheus.MEDIA_TYPE, prometheus.text_of(self._controlled.figures())
        else:
            status, answer = await self._answer(scope["method"], scope["path"])
            text = f"{json.dumps(answer)}\n"
        content = text.encode()
        fields = [(b"content-type", kind.encode()), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": content})

    async def _answer(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        match method, path.strip("/").split("/"):
            case "GET", ["status"]:
                return 200, self._controlled.status()
            case "GET", ["connections"]:
                return 200, await self._controlled.connections()
            case "POST", ["drain"]:
                self._controlled.stop()
                return 202, {}
            case "POST", ["reload"]:
                reason = await self._controlled.reload()
                return (500, {"error": reason}) if reason else (200, self._controlled.status())
            case "POST", ["upgrade"]:
                reason = await self._controlled.upgrade()
                return (500, {"error": reason}) if reason else (202, {})
            case "POST", ["workers", number, "recycle"] if number.isdecimal():
                if self._controlled.recycle(int(number)):
                    return 202, {}
                return 404, {"error": f"there is no worker {number} that is ready"}
            case _:
                return 404, {"error": f"there is no {method} {path}"}


async def opened_control(option: str, controlled: Controlled) -> Control | None:
    """Return the control socket, open; None for none. Raises ListenError if it was asked for.

    option: of `--control`: a path, AUTO or NONE.
    """
    try:
        path = path_of(option, os.environ, os.getpid())
        if path is None:
            return None
        control = Control(path, controlled)
        await control.start()
    except (OSError, ListenError) as error:
        if option != AUTO:
            raise
        _log.warning("no control socket: %s", error)
        return None
    return control


def path_of(option: str, environment: Mapping[str, str], pid: int) -> str | None:
    """Return the path of the control socket; None for none.

    option: of `--control`: a path, AUTO or NONE.
    pid: of the supervisor.
    """
    if option == NONE:
        return None
    if option != AUTO:
        return option
    runtime = environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]  # systemd's, of one service
    if runtime and _is_private(Path(runtime)):
        return str(Path(runtime) / "control")
    home = environment.get("XDG_RUNTIME_DIR", "")  # of all programs of a user
    if home and _is_private(Path(home)):
        folder = Path(home) / _FOLDER
        folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        return str(folder / str(pid))
    return None


def known_paths(environment: Mapping[str, str]) -> list[str]:
    """Return where control sockets of servers may be."""
    paths = []
    runtime = environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if runtime:
        paths.append(Path(runtime) / "control")
    home = environment.get("XDG_RUNTIME_DIR", "")
    if home:
        paths += sorted((Path(home) / _FOLDER).glob("*"))
    return [str(path) for path in paths if path.is_socket()]


def _is_private(folder: Path) -> bool:
    """Return whether nobody else may write into a folder."""
    try:
        found = folder.stat()
    except OSError:
        return False
    return found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & (stat.S_IWGRP | stat.S_IWOTH)

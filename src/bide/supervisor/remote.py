"""Asks a server over its control socket."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final, final

from bide.errors import StartError


@final
class _Connection(http.client.HTTPConnection):
    """Connects to a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("bide")
        self._path = path

    def connect(self) -> None:
        """Connect. Raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self._path)


def ask(path: str, method: str, target: str) -> tuple[int, Any]:
    """Return (status, answer). Waits as long as the server takes. Raises StartError."""
    connection = _Connection(path)
    try:
        connection.request(method, target)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise StartError(f"--control must be the socket of a server that runs, got {path!r}: {error}") from error
    finally:
        connection.close()


def only(paths: Sequence[str]) -> str:
    """Return the path of the only server that runs. Raises StartError."""
    living = [path for path in paths if _is_living(path)]
    if len(living) == 1:
        return living[0]
    if living:
        raise StartError(f"--control must name one of {len(living)} servers: {', '.join(living)}")
    raise StartError("no control socket of a server found; name it: --control PATH")


def _is_living(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == 0


_COLUMNS: Final = ("worker", "process", "state", "generation", "age", "connections", "requests", "memory")


def described(status: Mapping[str, Any]) -> str:
    """Return a status as lines for people: the server, then a table of its workers."""
    first = (
        f"{status['state']} on {', '.join(status['urls'])}, process {status['process']}, "
        f"generation {status['generation']}, {status['wanted']} workers wanted, bide {status['version']}"
    )
    rows = [_COLUMNS, *(tuple(str(worker[name]) for name in _COLUMNS) for worker in status["workers"])]
    widths = [max(len(row[place]) for row in rows) for place in range(len(_COLUMNS))]
    table = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    failed = [f"the last reload failed: {status['reload_failed']}"] if status["reload_failed"] else []
    return "\n".join([first, *failed, *table])

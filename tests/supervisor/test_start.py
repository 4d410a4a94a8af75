"""The start of a supervisor: which sockets it serves on, and what keeps it from starting."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from bide import Config
from bide.errors import ApplicationError, ListenError
from bide.supervisor.run import Supervisor
from bide.supervisor.settings import supervisor_settings
from bide.supervisor.start import supervise
from tests.support.server import Log, log

__all__ = ["log"]  # a fixture

SETTINGS = supervisor_settings(Config(port=0, workers=2))


def test_address_in_use_is_tried_for_a_while(monkeypatch: pytest.MonkeyPatch, log: Log) -> None:
    log.expect("stop the server that uses it, or choose another; trying again for 3 s")
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = supervisor_settings(Config(workers=2, port=other.getsockname()[1]))
        with pytest.raises(ListenError, match="in use"):
            supervise("module:app", taken, Config)
    assert sum(slept) == pytest.approx(2.9)


def test_address_of_redirects_that_cannot_be_bound_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    settings = SETTINGS._replace(
        listening=SETTINGS.listening._replace(uds=str(path), host="192.0.2.1"), redirect_http=80
    )
    with pytest.raises(ListenError, match="cannot listen on 192"):
        supervise("module:app", settings, Config)


def test_files_that_cannot_be_watched_are_named_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ApplicationError, match="--reload-dir must be an existing folder, got '/nowhere/at/all'"):
        supervise("module:app", supervisor_settings(Config(reload=True, reload_dir=("/nowhere/at/all",))), Config)


def test_other_error_of_an_address_is_raised_at_once() -> None:
    with pytest.raises(ListenError, match="cannot listen on 192"):
        supervise("module:app", supervisor_settings(Config(workers=2, host="192.0.2.1")), Config)


def test_application_that_fails_is_raised(monkeypatch: pytest.MonkeyPatch, log: Log) -> None:
    async def fails(self: Supervisor) -> None:
        self._workers.failure = "no such thing"

    monkeypatch.setattr(Supervisor, "run", fails)
    with pytest.raises(ApplicationError, match="no such thing"):
        supervise("module:app", SETTINGS, Config)

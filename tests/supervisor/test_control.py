"""The control socket: who may use it, what it answers, and where it is."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bide.errors import ListenError, StartError
from bide.supervisor.control import AUTO, NONE, Control, known_paths, opened_control, path_of
from bide.supervisor.remote import _Connection, ask
from tests.support.server import Log, log

__all__ = ["log"]  # a fixture


class StubSupervisor:
    """What the orders are for.

    failure: why a reload fails.
    recycled: numbers of workers.
    stops: orders to stop.
    """

    def __init__(self) -> None:
        self.failure = ""
        self.recycled: list[int] = []
        self.stops = 0

    def status(self) -> dict[str, Any]:
        return {"state": "serving"}

    async def reload(self) -> str:
        await asyncio.sleep(0)
        return self.failure

    async def upgrade(self) -> str:
        return self.failure

    def figures(self) -> dict[str, Any]:
        return {"opened": 7}

    async def connections(self) -> dict[str, Any]:
        return {"connections": [{"worker": 1}], "silent": [2]}

    def stop(self) -> None:
        self.stops += 1

    def recycle(self, number: int) -> bool:
        self.recycled.append(number)
        return number < 3


def play(path: Path, supervisor: StubSupervisor, part: Callable[[], Any]) -> Any:
    """Run the control socket while `part` runs in a thread; return its result."""

    async def both() -> Any:
        control = Control(str(path), supervisor)
        await control.start()
        try:
            return await asyncio.to_thread(part)
        finally:
            await control.stop()

    return asyncio.run(both())


@pytest.mark.parametrize(
    ("method", "target", "status", "answer"),
    [
        ("GET", "/status", 200, {"state": "serving"}),
        ("GET", "/connections", 200, {"connections": [{"worker": 1}], "silent": [2]}),
        ("POST", "/metrics", 404, {"error": "there is no POST /metrics"}),
        ("POST", "/reload", 200, {"state": "serving"}),
        ("POST", "/upgrade", 202, {}),
        ("POST", "/workers/2/recycle", 202, {}),
        ("POST", "/workers/3/recycle", 404, {"error": "there is no worker 3 that is ready"}),
        ("POST", "/workers/x/recycle", 404, {"error": "there is no POST /workers/x/recycle"}),
        ("GET", "/reload", 404, {"error": "there is no GET /reload"}),
        ("POST", "/status", 404, {"error": "there is no POST /status"}),
    ],
)
def test_order_is_answered(tmp_path: Path, method: str, target: str, status: int, answer: Any) -> None:
    path = tmp_path / "control"
    assert play(path, StubSupervisor(), lambda: ask(str(path), method, target)) == (status, answer)


def test_metrics_are_text(tmp_path: Path) -> None:
    path = tmp_path / "control"

    def scrape() -> tuple[str | None, bytes]:
        connection = _Connection(str(path))
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.getheader("content-type"), content

    kind, content = play(path, StubSupervisor(), scrape)
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    assert content.endswith(b"\nbide_opened_total 7\n")


def test_order_to_drain_is_passed_on(tmp_path: Path) -> None:
    path = tmp_path / "control"
    supervisor = StubSupervisor()
    assert play(path, supervisor, lambda: ask(str(path), "POST", "/drain")) == (202, {})
    assert supervisor.stops == 1


@pytest.mark.parametrize("target", ["/reload", "/upgrade"])
def test_order_that_fails_says_why(tmp_path: Path, target: str) -> None:
    path = tmp_path / "control"
    supervisor = StubSupervisor()
    supervisor.failure = "SyntaxError"
    assert play(path, supervisor, lambda: ask(str(path), "POST", target)) == (500, {"error": "SyntaxError"})


def test_socket_is_its_owners_alone_and_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "control"
    assert play(path, StubSupervisor(), lambda: stat.S_IMODE(path.stat().st_mode)) == 0o600
    assert not path.exists()


def test_path_that_cannot_be_used_raises(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ListenError):
        play(tmp_path / "file", StubSupervisor(), lambda: None)
    with pytest.raises(StartError, match="--control must be the socket of a server that runs"):
        ask(str(tmp_path / "file"), "GET", "/status")


def opened(option: str) -> Control | None:
    """Return the control socket of an option, closed again."""

    async def both() -> Control | None:
        control = await opened_control(option, StubSupervisor())
        if control is not None:
            await control.stop()
        return control

    return asyncio.run(both())


def test_socket_that_was_asked_for_must_open(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ListenError):
        opened(str(tmp_path / "file"))
    assert opened(str(tmp_path / "other")) is not None
    assert opened(NONE) is None


def test_socket_of_a_runtime_folder_need_not_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Log) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    (tmp_path / "control").touch()
    log.expect("no control socket: cannot listen on .*/control")
    assert opened(AUTO) is None


def test_path_that_is_given_is_taken(tmp_path: Path) -> None:
    assert path_of("/x/y", {}, 7) == "/x/y"
    assert path_of(NONE, {"RUNTIME_DIRECTORY": str(tmp_path)}, 7) is None


def test_path_is_in_a_private_runtime_folder_or_nowhere(tmp_path: Path) -> None:
    service, home = tmp_path / "service", tmp_path / "home"
    for folder in (service, home):
        folder.mkdir(mode=0o755)
    both = {"RUNTIME_DIRECTORY": f"{service}:/other", "XDG_RUNTIME_DIR": str(home)}
    assert path_of(AUTO, both, 7) == str(service / "control")
    service.chmod(0o775)
    assert path_of(AUTO, both, 7) == str(home / "bide" / "7")
    assert stat.S_IMODE((home / "bide").stat().st_mode) == 0o700
    home.chmod(0o777)
    assert path_of(AUTO, both, 7) is None
    assert path_of(AUTO, {}, 7) is None
    assert path_of(AUTO, {"RUNTIME_DIRECTORY": "/nowhere/at/all"}, 7) is None


def test_known_paths_are_sockets(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    environment = {"RUNTIME_DIRECTORY": str(tmp_path), "XDG_RUNTIME_DIR": str(home)}
    path = path_of(AUTO, {"XDG_RUNTIME_DIR": str(home)}, 7)
    assert path is not None
    (home / "bide" / "8").touch()
    assert known_paths(environment) == known_paths({}) == []
    assert play(Path(path), StubSupervisor(), lambda: known_paths(environment)) == [path]

"""A worker from start to stop, in the time of a loop that jumps: its sockets are real and unused, its wires are stand-ins."""

import asyncio
import io
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import pytest

from bide import Config
from bide.errors import ApplicationError, LifespanError, ListenError
from bide.page import Page, new_page
from bide.session.session import Session
from bide.terms import CloseReason, State
from bide.worker import pressure
from bide.worker.settings import Draining, WorkerSettings
from bide.worker.share import Share
from bide.worker.worker import Worker
from tests.support.apps import App, Lifespan, Message, Receive, Send, hello
from tests.support.client import request
from tests.support.loops import JumpingLoop
from tests.support.stage import GET, StubWire

#: Seconds between sweeps that the longest clocks allow.
TICK: Final = 0.5

OPTIONS: Final[dict[str, Any]] = {"lifespan": "off", "access_log": False, "drain_idle": 0.0}


class LiveWire(StubWire):
    """Obeys orders to end, and reports that it did, in the next passes of the event loop. Its peer closes once it sees an end."""

    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop
        self.session: Session

    def half_close(self, last: bytes) -> None:
        super().half_close(last)
        self._loop.call_soon(self.session.flushed)
        self._loop.call_soon(self.session.eof_received)

    def release(self) -> None:
        super().release()
        self._loop.call_soon(self.session.lost)

    def abort(self) -> None:
        super().abort()
        self._loop.call_soon(self.session.lost)


class Scene:
    """A worker that listens where nobody connects.

    socket: its only listening socket.
    """

    def __init__(self, loop: JumpingLoop, app: App = hello, **options: Any) -> None:
        self.loop = loop
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.swept: list[float] = []
        self.page: Page | None = None
        share = None
        if options.pop("shares", False):
            self.descriptor = new_page()
            self.page = Page(self.descriptor, 1)
            share = Share([self.socket], self.swept.append, self.page)
        self.worker = Worker(WorkerSettings(Config(**(OPTIONS | options))), app, [self.socket], share=share)

    @property
    def is_listening(self) -> bool:
        return bool(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))

    def start(self) -> None:
        self.loop.run_until_complete(self.worker.start())
        self.worker.context.clock = self.worker.admission._clock = self.loop.time

    def stop(self) -> float:
        """Stop the worker; return the seconds that it took, to the millisecond."""
        before = self.loop.time()
        self.loop.run_until_complete(self.worker.stop())
        return round(self.loop.time() - before, 3)

    def connect(self) -> LiveWire:
        """Accept a connection."""
        wire = LiveWire(self.loop)
        assert self.worker._poller is not None
        session = self.worker._poller.accept(wire)
        assert isinstance(session, Session)
        wire.session = session
        return wire

    def ask(self, wire: LiveWire, octets: bytes = GET) -> bytes:
        """Send octets on a connection, and return what is written within some passes of the event loop."""
        wire.written = b""
        wire.session.octets_received(octets)
        self.loop.run_for(0.0)
        self.loop.run_for(0.0)
        return wire.written


class Make(Protocol):
    """Makes a worker that has not started; options are those of bide.Config."""

    def __call__(self, app: App = hello, **options: Any) -> Scene: ...


@pytest.fixture
def make(loop: JumpingLoop) -> Iterator[Make]:
    made: list[Scene] = []

    def new(app: App = hello, **options: Any) -> Scene:
        made.append(Scene(loop, app, **options))
        return made[-1]

    yield new
    for scene in made:
        if scene.worker._started and scene.socket.fileno() >= 0:
            scene.stop()
        scene.socket.close()
        if scene.page is not None:
            scene.page.close()
            os.close(scene.descriptor)


@pytest.fixture
def start(make: Make) -> Make:
    """Makes a worker, and starts it; it is stopped when the test is over."""

    def new(app: App = hello, **options: Any) -> Scene:
        scene = make(app, **options)
        scene.start()
        return scene

    return new


@pytest.fixture
def scene(start: Make) -> Scene:
    """Return a worker that has started."""
    return start()


# -- The start --------------------------------------------------------------------------------------------------------------


QUESTIONS: Final[dict[str, Callable[[Worker], object]]] = {
    "urls": lambda worker: worker.urls,
    "context": lambda worker: worker.context,
    "register": lambda worker: worker.register,
    "admission": lambda worker: worker.admission,
    "snapshot": lambda worker: worker.snapshot(),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_question_before_the_start_is_an_error(make: Make, question: str) -> None:
    scene = make()
    with pytest.raises(RuntimeError, match="the server has not started"):
        QUESTIONS[question](scene.worker)


def test_worker_that_has_started_tells_where_it_listens(scene: Scene) -> None:
    host, port = scene.socket.getsockname()
    assert scene.worker.urls == [f"http://{host}:{port}"]
    assert len(scene.worker.register) == 0
    assert not scene.worker.admission.is_paused
    scene.stop()
    assert scene.worker.urls == [f"http://{host}:{port}"], "still, after the stop"


def test_worker_starts_the_application_before_it_listens(make: Make) -> None:
    made: list[Scene] = []
    listening: list[bool] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        listening.append(made[0].is_listening)
        await Lifespan()(scope, receive, send)

    made.append(make(app, lifespan="on"))
    made[0].start()
    assert [*listening, made[0].is_listening] == [False, True]


def test_worker_whose_application_cannot_start_leaves_nothing_open(make: Make) -> None:
    scene = make(Lifespan("startup"), lifespan="on")
    with pytest.raises(LifespanError, match="no luck today"):
        scene.start()
    assert scene.socket.fileno() == -1
    with pytest.raises(RuntimeError, match="the server has not started"):
        scene.worker.snapshot()


def test_worker_that_cannot_listen_leaves_nothing_open_and_has_the_application_clean_up(loop: JumpingLoop) -> None:
    seen: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.sleep(3.0)
        seen.append("clean")
        await send({"type": "lifespan.shutdown.complete"})

    good = socket.create_server(("127.0.0.1", 0))
    bad = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # datagrams are not listened for
    worker = Worker(WorkerSettings(Config(**(OPTIONS | {"lifespan": "on"}))), app, [good, bad])
    with pytest.raises(ListenError):
        loop.run_until_complete(worker.start())
    assert (good.fileno(), bad.fileno()) == (-1, -1)
    assert seen == ["clean"], "it has time for that"
    with pytest.raises(RuntimeError, match="the server has not started"):
        worker.snapshot()


def test_worker_listens_where_its_settings_say(loop: JumpingLoop, tmp_path: Path) -> None:
    path = str(tmp_path / "bide.sock")
    inherited = socket.create_server(("127.0.0.1", 0))
    port = inherited.getsockname()[1]
    found = []
    for where in ({"uds": path}, {"fd": inherited.detach()}, {"host": "127.0.0.1", "port": 0}):
        worker = Worker(WorkerSettings(Config(**(OPTIONS | where))), hello)
        loop.run_until_complete(worker.start())
        found += worker.urls
        loop.run_until_complete(worker.stop())
    assert found[:2] == [f"unix:{path}", f"http://127.0.0.1:{port}"]
    assert found[2].startswith("http://127.0.0.1:")
    assert not found[2].endswith(":0"), "the port that was given by the system"


@pytest.mark.parametrize("lifespan", ["auto", "off"])
def test_wsgi_application_is_served_without_a_lifespan(loop: JumpingLoop, lifespan: str) -> None:
    """It is never called with a scope."""

    def app(environ: Any, start_response: Any) -> Any:
        raise AssertionError("called")

    settings = WorkerSettings(Config(**(OPTIONS | {"lifespan": lifespan, "port": 0, "threads": 3})))
    worker = Worker(settings, app, interface="wsgi")
    loop.run_until_complete(worker.start())
    loop.run_for(2 * TICK)
    assert worker.snapshot()["threads"] == 0, "they start as they are needed"
    loop.run_until_complete(worker.stop())


def test_lifespan_that_is_demanded_of_a_wsgi_application_raises() -> None:
    with pytest.raises(ApplicationError, match="--lifespan must be auto or off for a WSGI application, got on"):
        Worker(WorkerSettings(Config(lifespan="on")), hello, interface="wsgi")


@pytest.mark.parametrize(("given", "is_removed"), [("uds", True), ("fd", False), ("sockets", False)])
def test_path_of_a_unix_socket_is_removed_by_the_worker_that_made_it(
    loop: JumpingLoop, tmp_path: Path, given: str, is_removed: bool
) -> None:
    """A socket that was given to the worker may have other listeners, and its path is theirs."""
    path = tmp_path / "bide.sock"
    options: dict[str, Any] = {"uds": str(path)}
    sockets = None
    if given != "uds":
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(path))
        sock.listen()
        options = {"fd": sock.detach()} if given == "fd" else {}
        sockets = [sock] if given == "sockets" else None
    worker = Worker(WorkerSettings(Config(**(OPTIONS | options))), hello, sockets)
    loop.run_until_complete(worker.start())
    assert path.exists()
    loop.run_until_complete(worker.stop())
    assert path.exists() is not is_removed


# -- Connections ------------------------------------------------------------------------------------------------------------


def test_connection_accepted_is_served_by_the_application(scene: Scene) -> None:
    wire = scene.connect()
    written = scene.ask(wire)
    assert written.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nDate: " in written
    assert written.endswith(b"\r\n\r\nhello\n")


def test_snapshot_counts_open_connections_and_those_that_have_closed(scene: Scene) -> None:
    first, second = scene.connect(), scene.connect()
    scene.ask(first)
    scene.ask(second)
    scene.ask(second)
    second.session.eof_received()
    scene.loop.run_for(0.0)
    shown = scene.worker.snapshot()
    assert (shown["opened"], shown["requests"]) == (2, 3)
    assert shown["closed"][CloseReason.CLIENT_EOF_IDLE.value] == 1
    assert {state: count for state, count in shown["states"].items() if count} == {State.IDLE.value: 1}
    assert shown["accepting"] is True
    assert shown["effective_idle_timeout"] == Config().timeout_idle


@pytest.mark.parametrize(
    ("options", "path", "content"),
    [
        ({}, "/health", b"hello\n"),
        ({"health_path": "/health"}, "/health", b"ok\n"),
        ({"health_path": "/health"}, "/", b"hello\n"),
    ],
)
def test_health_check_is_answered_by_the_server_if_it_has_a_path(
    start: Make, options: dict[str, Any], path: str, content: bytes
) -> None:
    scene = start(**options)
    assert scene.ask(scene.connect(), request(path)).endswith(b"\r\n\r\n" + content)


@pytest.mark.parametrize("limit", [{"limit_connections": 1, "limit_overflow": 1}, {"limit_connections_per_peer": 1}])
def test_connection_that_is_refused_is_answered_by_the_server(start: Make, limit: dict[str, Any]) -> None:
    scene = start(**limit)
    scene.connect()  # it is new: not to be shed
    assert scene.ask(scene.connect()).startswith(b"HTTP/1.1 503 ")


# -- The sweep --------------------------------------------------------------------------------------------------------------


def test_sweep_ends_idle_connections_in_time(loop: JumpingLoop, start: Make) -> None:
    scene = start(timeout_idle=10.0)
    wire = scene.connect()
    scene.ask(wire)
    loop.run_for(9.9)
    assert wire.orders == []
    loop.run_for(0.1 + TICK)
    assert wire.orders[0] == "half_close"


def test_sweep_renews_the_date(scene: Scene) -> None:
    scene.worker.context.common_fields.set(b"Date: long ago\r\n")
    wire = scene.connect()
    assert b"Date: long ago\r\n" in scene.ask(wire)
    scene.loop.run_for(TICK)
    assert b"Date: long ago\r\n" not in scene.ask(wire)


def test_sweep_under_pressure_holds_idle_connections_for_less(loop: JumpingLoop, start: Make) -> None:
    scene = start(limit_connections=10, timeout_idle=75.0, timeout_idle_least=5.0)
    wires = [scene.connect() for _ in range(10)]
    for wire in wires[:9]:
        scene.ask(wire)
    loop.run_for(TICK)
    shown = scene.worker.snapshot()
    assert shown["pressure"] >= 0.9
    assert shown["effective_idle_timeout"] == 5.0
    loop.run_for(5.0 + TICK)
    assert {wire.orders[0] for wire in wires[:9]} == {"half_close"}


@pytest.mark.parametrize(
    ("advertises", "field"), [(True, b"\r\nKeep-Alive: timeout=29\r\n"), (False, b"\r\nKeep-Alive: ")]
)
def test_sweep_keeps_the_advertised_timeout_if_it_is_wanted(start: Make, advertises: bool, field: bytes) -> None:
    scene = start(timeout_idle=30.0, advertise_keep_alive=advertises)
    assert (field in scene.ask(scene.connect())) is advertises


def test_sweep_under_pressure_announces_close_to_clients_that_rarely_reuse(loop: JumpingLoop, start: Make) -> None:
    scene = start(limit_connections=10)
    for _ in range(4):
        scene.worker.context.clients.peers.learn("192.0.2.1", 1)
    wires = [scene.connect() for _ in range(10)]
    assert b"\r\nConnection: close\r\n" not in scene.ask(wires[0])
    loop.run_for(TICK)
    assert b"\r\nConnection: close\r\n" in scene.ask(wires[1])


def test_sweep_that_is_late_says_since_when_octets_may_wait(scene: Scene) -> None:
    context = scene.worker.context
    scene.loop.run_for(TICK / 2)
    assert context.unread_since > scene.loop.time(), "none wait"
    blocked_at = scene.loop.time()
    scene.loop.block(10 * TICK)
    scene.loop.run_for(0.0)
    assert blocked_at <= context.unread_since <= blocked_at + TICK
    scene.loop.run_for(TICK)
    assert context.unread_since > scene.loop.time()


def test_sweep_that_finds_no_descriptors_sheds_idle_connections(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = scene.connect()
    scene.ask(wire)
    scene.loop.run_for(TICK)
    assert wire.orders == []
    with monkeypatch.context() as patch:
        patch.setattr(pressure, "lowest_descriptor", lambda: 1_000_000)
        scene.loop.run_for(TICK)
    assert wire.orders == ["half_close", "release"]


# -- The stop ---------------------------------------------------------------------------------------------------------------


async def never(scope: Message, receive: Receive, send: Send) -> None:
    """Wait until the client leaves, and do not answer."""
    while (await receive())["type"] != "http.disconnect":
        pass


def test_stop_ends_listening_connections_and_the_application(start: Make) -> None:
    app = Lifespan()
    scene = start(app, lifespan="on")
    wire = scene.connect()
    scene.ask(wire)
    scene.stop()
    assert scene.socket.fileno() == -1
    assert wire.orders[-1] == "release"
    assert scene.worker.snapshot()["closed"][CloseReason.DRAIN.value] == 1
    assert app.seen == ["startup", "shutdown"]


def test_stop_ends_the_sweep(scene: Scene) -> None:
    scene.stop()
    last = scene.worker.context.unread_since
    scene.loop.run_for(10 * TICK)
    assert scene.worker.context.unread_since == last


def test_stop_of_a_busy_worker_takes_its_timeout(start: Make) -> None:
    scene = start(never, drain_timeout=5.0)
    wire = scene.connect()
    assert scene.ask(wire) == b""
    assert 5.0 <= scene.stop() < 5.0 + TICK
    assert wire.written.startswith(b"HTTP/1.1 503 ")
    assert scene.worker.snapshot()["closed"][CloseReason.DRAIN_DEADLINE.value] == 1


@pytest.mark.parametrize("forced_after", [0.0, 2.0])
def test_stop_that_is_forced_takes_no_longer(loop: JumpingLoop, start: Make, forced_after: float) -> None:
    scene = start(never, drain_timeout=5.0)
    scene.ask(scene.connect())
    if forced_after:
        loop.call_later(forced_after, scene.worker.force_stop)
    else:
        scene.worker.force_stop()
    assert forced_after <= scene.stop() < forced_after + TICK


def test_connections_accepted_while_a_stop_is_expected_announce_it(start: Make) -> None:
    scene = start()
    before = scene.connect()
    scene.worker.expect_stop()
    assert b"Connection: close" in scene.ask(scene.connect())
    assert b"Connection: close" not in scene.ask(before), "it is told once the event loop sees the signal"


# -- The access log ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_access_log_goes_to_standard_output(start: Make, monkeypatch: pytest.MonkeyPatch, log_format: Any) -> None:
    stdout = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stdout)
    scene = start(access_log=True, log_format=log_format)
    scene.ask(scene.connect())
    scene.stop()
    (line,) = stdout.getvalue().splitlines()
    if log_format == "json":
        assert json.loads(line)["status"] == 200
    else:
        assert '"GET / HTTP/1.1" 200 6' in line


def test_access_log_is_written_by_the_end_of_the_stop(
    loop: JumpingLoop, start: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer of the last moment has its line, though the event loop may not turn again."""
    stdout = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stdout)
    scene = start(access_log=True)
    access_log = scene.worker.context.access_log
    assert access_log is not None

    async def stop() -> str:
        with monkeypatch.context() as patch:
            patch.setattr(access_log, "_schedule", lambda _: None)
            access_log.record(None, "GET", b"/last", 1, 200, 0, 0.0, 1, None)
        await scene.worker.stop()
        return stdout.getvalue()

    assert "/last" in loop.run_until_complete(stop())


@pytest.mark.parametrize(("access_log", "has_stdout"), [(False, True), (True, False)])
def test_access_log_is_left_out_if_it_is_off_or_has_no_output(
    start: Make, monkeypatch: pytest.MonkeyPatch, access_log: bool, has_stdout: bool
) -> None:
    stdout = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stdout if has_stdout else None)
    scene = start(access_log=access_log)
    assert scene.ask(scene.connect()).endswith(b"hello\n")
    scene.stop()
    assert stdout.getvalue() == ""


# -- Beside other workers -----------------------------------------------------------------------------------------------------


def test_sweeps_are_reported_to_what_workers_share(start: Make, loop: JumpingLoop) -> None:
    scene = start(shares=True)
    loop.run_for(4 * TICK + TICK / 2)
    assert len(scene.swept) == 5
    assert scene.swept == sorted(scene.swept)


def test_stop_beside_other_workers_leaves_the_listening_socket_at_once(start: Make, loop: JumpingLoop) -> None:
    scene = start(shares=True, drain_delay=5.0)
    other = socket.socket(fileno=os.dup(scene.socket.fileno()))
    with other:
        before = loop.time()
        loop.run_until_complete(scene.worker.stop(is_last=False))
        assert loop.time() - before < 1.0
        assert scene.socket.fileno() == -1
        assert other.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        with socket.create_connection(other.getsockname()):  # is queued for the others: no filter keeps it out
            pass


def test_stop_takes_the_time_that_it_is_given(start: Make, loop: JumpingLoop) -> None:
    scene = start(shares=True, drain_timeout=50.0)
    scene.connect()
    before = loop.time()
    loop.run_until_complete(scene.worker.stop(Draining(0.0, 100.0, 0.0, 0.0, 3.0)))
    assert 3.0 <= loop.time() - before < 5.5


def test_surplus_of_connections_is_given_up_by_announced_closes(start: Make, loop: JumpingLoop) -> None:
    scene = start(shares=True)
    assert scene.page is not None
    wires = [scene.connect() for _ in range(4)]
    for wire in wires:
        scene.ask(wire)
    other = Page(scene.descriptor, 2)
    scene.page.clear(2)
    other.sweep(time.monotonic() + 60.0)
    scene.page.settle(True)
    loop.run_for(TICK)
    says_close = [b"\r\nConnection: close\r\n" in scene.ask(wire) for wire in wires]
    assert says_close.count(True) == 2
    other.close()

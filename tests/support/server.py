"""Runs a server in a thread with a loop of its own, and checks what must hold of every server when its test is over.

Of each server that `serve` starts: connections opened = ends counted by reason + connections in the register; at its end no
connection, task or socket is left; nothing above INFO was logged that the test did not ask for.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import os
import random
import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from bide import Server
from bide.observe.counters import Counters
from bide.observe.snapshot import Snapshot
from bide.server.server import loop_factory
from bide.session.session import Session
from bide.terms import CloseReason
from tests.support.apps import App
from tests.support.client import Client, Where
from tests.support.waiting import PATIENCE, until
from tests.support.wsgi_apps import WsgiApp

T = TypeVar("T")

#: What tests allow for a busy machine, seconds. Bounds from below are exact, bounds from above are generous.
NOISE = 5.0


class Log(logging.Handler):
    """Collects what bide and asyncio log, each record once."""

    def __init__(self) -> None:
        """Collect everything."""
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
        self.records: list[logging.LogRecord] = []
        self.asked_for: list[str] = []
        self.allowed: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record."""
        self.records.append(record)

    def expect(self, pattern: str) -> None:
        """Declare that warnings or errors match this pattern: at least one does."""
        self.asked_for.append(pattern)

    def allow(self, pattern: str) -> None:
        """Declare that warnings or errors may match this pattern: on a busy machine, say."""
        self.allowed.append(pattern)

    def messages(self, level: int = logging.DEBUG, name: str = "") -> list[str]:
        """Return the messages of at least this level, of loggers whose name begins with `name`."""
        return [
            record.getMessage()
            for record in list(self.records)
            if record.levelno >= level and record.name.startswith(name)
        ]

    def check(self) -> None:
        """Check that all warnings and errors were expected, and that all expected ones were logged."""
        loud = [record for record in self.records if record.levelno >= logging.WARNING]
        for pattern in self.asked_for:
            assert any(re.search(pattern, record.getMessage()) for record in loud), f"not logged: {pattern}"
        unexpected = [
            self.format(record)
            for record in loud
            if not any(re.search(pattern, record.getMessage()) for pattern in self.asked_for + self.allowed)
        ]
        assert not unexpected, "logged: " + "\n".join(unexpected)


@contextlib.contextmanager
def logged() -> Iterator[Log]:
    """Collect the log while the block runs."""
    log = Log()
    loggers = [logging.getLogger(name) for name in ("bide", "asyncio")]
    before = [(logger.level, logger.propagate, list(logger.handlers)) for logger in loggers]
    for logger in loggers:
        logger.handlers[:] = [log]
        logger.propagate = False
    loggers[0].setLevel(logging.DEBUG)
    loggers[1].setLevel(logging.WARNING)
    try:
        yield log
    finally:
        for logger, (level, propagate, handlers) in zip(loggers, before, strict=True):
            logger.setLevel(level)
            logger.propagate = propagate
            logger.handlers[:] = handlers


class Served:
    """A server that runs in a thread.

    url, where: its first address.
    log: the log since the test began.
    journal: the access log.
    """

    def __init__(self, app: App | WsgiApp, kind: str, log: Log, options: dict[str, Any]) -> None:
        """Start it. `kind`: "uvloop" or "asyncio"."""
        self.log = log
        self.server: Server
        self.loop: asyncio.AbstractEventLoop
        self.journal = io.StringIO()
        self._connected = 0  # by `client`
        self._app = app
        self._options = options
        self._stop: asyncio.Event
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._left: list[str] = []
        self._thread = threading.Thread(target=self._run, args=(kind,), name=f"server-{kind}", daemon=True)
        self._thread.start()
        self._ready.wait()
        self._raise()

    # -- Questions ------------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The first address, as a URL."""
        return self.server.url

    @property
    def where(self) -> Where:
        """The first address, as `Client` takes it."""
        url = self.url
        if url.startswith("unix:"):
            return url.removeprefix("unix:")
        host, _, port = url.partition("//")[2].rpartition(":")
        return host.strip("[]"), int(port)

    def client(
        self,
        *,
        source: str | None = None,
        timeout: float = PATIENCE,
        receive_buffer: int | None = None,
        send_buffer: int | None = None,
    ) -> Client:
        """Connect."""
        self._connected += 1
        return Client(
            self.where, source=source, timeout=timeout, receive_buffer=receive_buffer, send_buffer=send_buffer
        )

    def call(self, function: Callable[[], T]) -> T:
        """Call `function` in the server's thread; directly if this is that thread, or if the server has stopped."""
        if threading.current_thread() is self._thread or not self._thread.is_alive():
            return function()

        async def within() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(within(), self.loop).result(PATIENCE)

    def until(self, condition: Callable[[], T], timeout: float = PATIENCE) -> T:
        """Wait until `condition`, which is called in the server's thread, returns something true, and return that."""
        return until(lambda: self.call(condition), timeout, self.snapshot)

    def snapshot(self) -> Snapshot:
        """Return the server's figures of this moment."""
        return self.call(self.server.worker.snapshot)

    def states(self) -> dict[str, int]:
        """Return the number of connections in each state."""
        return self.snapshot()["states"]

    def sessions(self) -> list[Session]:
        """Return the open connections that are not parked."""
        return self.call(lambda: [session for session in self.server.worker.register if isinstance(session, Session)])

    @property
    def open(self) -> int:
        """Connections that are open."""
        return self.call(lambda: len(self.server.worker.register))

    def ends(self, *, wait: bool = True) -> dict[str, int]:
        """Return the number of connections that ended for each reason; with `wait`, once all that were made have."""
        if wait:
            self.until(lambda: not self.open and self.counters.opened >= max(1, self._connected))
        return self.call(
            lambda: {reason.value: count for reason, count in self.counters.closed.items() if count},
        )

    def await_client_eof(self) -> None:
        """Wait until the server has read the EOF of a client that it still owes an answer."""
        self.until(lambda: any(session.connection.input_ended for session in self.sessions()))

    @property
    def counters(self) -> Counters:
        """What is counted."""
        return self.server.worker.context.counters

    def access_log(self, count: int) -> list[str]:
        """Wait for `count` lines of the access log, check that there are no more, and return them. The server needs `access_log=True`."""
        self.until(lambda: self.journal.getvalue().count("\n") >= count)
        lines = self.call(self.journal.getvalue).splitlines()
        assert len(lines) == count, lines
        return lines

    def explained(self) -> list[tuple[int, str]]:
        """Return (requests, reason) of each connection whose end is in the log."""
        matches = (re.search(r"requests=(\d+) close=(\w+)", line) for line in self.log.messages(name="bide.connection"))
        return sorted((int(match[1]), match[2]) for match in matches if match)

    # -- Running --------------------------------------------------------------------------------------------------------

    def _run(self, kind: str) -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory(kind)) as runner:
                runner.run(self._serve())
        except BaseException as error:
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = Server(self._app, **self._options)
        with contextlib.redirect_stdout(self.journal):  # only until it has started: it keeps the stream
            await server.__aenter__()
        self.server = server
        self._ready.set()
        await self._stop.wait()
        self._balance()
        await server.__aexit__(None, None, None)
        self._balance()
        await asyncio.sleep(0)
        self._left = [repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        if self.open:
            self._left.append(f"{self.open} connections")

    def _balance(self) -> None:
        counters = self.counters
        assert counters.opened == sum(counters.closed.values()) + self.open
        assert not counters.closed[CloseReason.INTERNAL_ERROR]

    def _raise(self) -> None:
        if self._error is not None:
            self._thread.join()
            raise self._error

    def drain(self) -> None:
        """Tell it to stop, and do not wait for it."""
        with contextlib.suppress(RuntimeError):  # it has stopped
            self.loop.call_soon_threadsafe(self._stop.set)

    def stop(self) -> None:
        """Stop it, and check what must hold."""
        if self._thread.is_alive():
            self.drain()
            self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the server does not stop"
        self._raise()
        assert not self._left, f"left over: {self._left}"


class Serve(Protocol):
    """Starts a server. Options are those of bide.Config."""

    def __call__(self, app: App | WsgiApp, **options: Any) -> Served:
        """Start."""


#: Options of every server that `serve` starts, unless it is told otherwise.
OPTIONS: dict[str, Any] = {
    "port": 0,
    "access_log": False,
    "lifespan": "off",
    "drain_idle": 0.0,
    "drain_timeout": 5.0,
    "timeout_linger": 1.0,
}


def visited_by_many(
    server: Served, visit: Callable[[Client, random.Random], None], seed: int, connections: int, clients: int = 8
) -> None:
    """Have clients visit at the same time, and check that all connections have ended. connections: of each client, one after another."""

    def run(number: int) -> None:
        chance = random.Random(1000 * seed + number)
        for _ in range(connections):
            with server.client() as client:
                visit(client, chance)

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(run, range(clients)))
    assert sum(server.ends().values()) == clients * connections


def sockets() -> set[str]:
    """Return the sockets that this process has open."""
    found = set()
    with contextlib.suppress(OSError):
        for entry in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                link = os.readlink(entry)  # noqa: PTH115  # what it names is no path
                if link.startswith("socket:"):
                    found.add(link)
    return found


def has_ipv6() -> bool:
    """Whether this machine has an IPv6 address to listen on."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")


@pytest.fixture(params=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest) -> str:
    """The kind of event loop: a test that asks for it runs on each."""
    kind: str = request.param
    if kind == "uvloop":
        pytest.importorskip("uvloop")
    return kind


@pytest.fixture
def log() -> Iterator[Log]:
    """Collect what bide and asyncio log. At the end, nothing above INFO was logged that the test did not expect."""
    with logged() as log:
        yield log
        log.check()


@pytest.fixture
def serve(loop: str, log: Log) -> Iterator[Serve]:
    """Start servers, which are checked at the end as the module says."""
    before = sockets()
    started: list[Served] = []

    def start(app: App | WsgiApp, **options: Any) -> Served:
        served = Served(app, loop, log, OPTIONS | options)
        started.append(served)
        return served

    yield start
    for served in started:
        served.stop()
    left = sockets() - before
    assert not left, f"{len(left)} sockets were left open"

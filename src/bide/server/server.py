"""Runs a worker: `run` until a signal, `Server` within a program that has its own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
import os
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, final

from bide import env_file
from bide.config import Config, ContextFactory, configured
from bide.errors import ApplicationError, ConfigError, Stopped
from bide.gateway.application import AnyApplication, Interface
from bide.observe import log_setup
from bide.pid_file import PidFile
from bide.server.loading import interface_of, load, require_no_import
from bide.server.signals import LEAVE, Signals, leave_within
from bide.supervisor.settings import supervisor_settings
from bide.supervisor.start import supervise
from bide.worker.cleanup import STARTUP_GRACE
from bide.worker.settings import ProgramSettings, WorkerSettings, program_settings
from bide.worker.worker import Worker

_log = logging.getLogger("bide")


@final
class Server:
    """Serves an application within an `async with` statement.

    Use it as `async with Server(app, port=0) as server: ... server.url`. Keyword arguments are
    those of `bide.config.Config`, and `ssl_context_factory` as in `run`.

    Raises ConfigError or ApplicationError; on entry ListenError or LifespanError. Before entry,
    `url`, `urls` and the worker's properties raise RuntimeError. They stay readable after the stop.

    On exit the server drains. If the exit is cancelled, it stops at once. If the entry is
    cancelled, the application may complete its startup within STARTUP_GRACE, then clean up. A
    second cancellation cancels the startup.
    """

    def __init__(
        self,
        app: AnyApplication,
        *,
        sockets: Sequence[socket.socket] | None = None,
        ssl_context_factory: ContextFactory | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        config = configured(options)
        program = program_settings(config)
        interface = interface_of(app, repr(app), program.interface)
        if program.is_supervised:
            raise ConfigError(
                f"workers must be 1 without limits in a Server, got {program.workers}; use bide.run for several workers"
            )
        self._worker = Worker(WorkerSettings(config, ssl_context_factory), app, sockets, interface=interface)

    @property
    def url(self) -> str:
        """The first of `urls`."""
        return self._worker.urls[0]

    @property
    def urls(self) -> list[str]:
        """URLs that clients connect to: one for each address."""
        return self._worker.urls

    @property
    def worker(self) -> Worker:
        """The worker, which holds counters and connections."""
        return self._worker

    async def __aenter__(self) -> Self:
        starting = asyncio.ensure_future(self._worker.start())
        cancelled = await _end_of(starting, starting.cancel, self._worker.force_stop)
        if cancelled is None:
            starting.result()
            return self
        if not starting.cancelled() and starting.exception() is None:  # the start was complete by then
            await self.__aexit__(None, None, None)
        raise cancelled

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stopping = asyncio.ensure_future(self._worker.stop())
        cancelled = await _end_of(stopping, self._worker.force_stop, self._worker.force_stop)
        stopping.result()
        if cancelled is not None:
            raise cancelled


async def _end_of(
    work: asyncio.Task[None], first: Callable[[], object], again: Callable[[], object]
) -> asyncio.CancelledError | None:
    """Wait until `work` ends, even if the wait is cancelled; return the last cancellation, or None.

    first: called when the wait is cancelled.
    again: called when it is cancelled again, as a cancel scope of anyio's does in each pass of the
        event loop.
    """
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait((work,))
        except asyncio.CancelledError as cancelling:
            (first if cancelled is None else again)()
            cancelled = cancelling
    return cancelled


def run(
    app: AnyApplication | str,
    *,
    ssl_context_factory: ContextFactory | None = None,
    **options: Any,  # noqa: ANN401
) -> None:
    """Serve until a signal of SIGNALS, then drain.

    A second signal stops at once; a third ends the process. Signals are handled only in the main
    thread. Sets up logging. The process ends without threads of the application that outlive the
    drain. With several workers, a supervisor runs them, as `bide.supervisor.run` describes.

    Raises ApplicationError, ListenError, LifespanError or ConfigError.

    app: the application, or "module:attribute" to import it from.
    ssl_context_factory: makes the context of TLS. It is called with the Config and with a function
        that returns the context of its options; again once a file that these name has changed.
    options: keyword arguments of `bide.config.Config`.
    """

    def read() -> Config:
        config = configured(options)
        path = options.get("env_file")
        if path is not None:
            env_file.load(path)
            config = configured(options)  # which may find more in the environment now
        return config

    run_configured(app, read(), read, ssl_context_factory)


def run_configured(
    app: AnyApplication | str,
    config: Config,
    read: Callable[[], Config],
    ssl_context_factory: ContextFactory | None = None,
) -> None:
    """Serve as `run` does. The environment is that of `env_file` already.

    read: returns the options as they are at a reload. Raises ConfigError.
    """
    require_no_import()
    program, settings = _checked(config, ssl_context_factory)
    if program.is_supervised:
        if not isinstance(app, str):
            raise ApplicationError(
                "the application must be given as 'module:attribute' to several workers, got an object; "
                "each worker imports it"
            )
        if ssl_context_factory is not None:
            raise ConfigError(
                "ssl_context_factory must be left out for several workers: they are other processes; "
                "set ssl_certfile, or run one worker"
            )

        def read_again() -> Config:
            again = read()
            _checked(again)
            return again

        supervise(app, supervisor_settings(config), read_again)
        return
    with Signals(reopens_logs=program.reopens_logs) as signals:  # first of all: process 1 gets no unhandled signal
        pid_file = None if program.pid_file is None else PidFile(program.pid_file)
        run_program(app, program, functools.partial(serve, settings, signals, pid_file), signals)


def _checked(
    config: Config, ssl_context_factory: ContextFactory | None = None
) -> tuple[ProgramSettings, WorkerSettings]:
    """Return the settings, and log as they say. Raises ConfigError."""
    program = program_settings(config)
    log_setup.configure(program.log_level, program.log_format, path=program.log_file)
    return program, WorkerSettings(config, ssl_context_factory)


def run_program(
    app: AnyApplication | str,
    program: ProgramSettings,
    serving: Callable[[AnyApplication, Interface], Coroutine[Any, Any, None]],
    signals: Signals,
) -> None:
    """Load the application, and serve it on an event loop of its own until a signal.

    serving: returns what serves an application of an interface.
    """
    runner = asyncio.Runner(loop_factory=loop_factory(program.loop))
    stopped = "stopped before the application was loaded"
    try:
        name = repr(app)
        if isinstance(app, str):
            app = load(app, program.factory, program.app_dir)
        interface = interface_of(app, name, program.interface)
        stopped = "stopped"
        main = serving(app, interface)
        try:
            runner.run(main)
        finally:
            signals.leaving()
            if inspect.getcoroutinestate(main) == inspect.CORO_CREATED:  # another event loop runs
                main.close()
            error = sys.exception()
            closed = leave_within(LEAVE, None if isinstance(error, Stopped) else error)
            runner.close()
            closed.set()
    except Stopped:
        signals.leaving()  # one more signal has nothing left to end
        _log.info(stopped)


async def serve(
    settings: WorkerSettings, signals: Signals, pid_file: PidFile | None, app: AnyApplication, interface: Interface
) -> None:
    """Serve until a signal, as `run` describes."""
    worker = Worker(settings, app, interface=interface)
    stop = asyncio.Event()
    if not await start(worker, signals, stop):
        return
    if settings.forwarding is not None and settings.forwarding.hops:
        _log.info(
            "forwarded fields of every peer are believed (--forwarded-allow-ips *): "
            "entry %d from the right is the client",
            settings.forwarding.hops,
        )
    if pid_file is not None:
        pid_file.write()
    try:
        _log.info("serving on %s (process %d)", ", ".join(worker.urls), os.getpid())
        await stop.wait()
        _log.info("stopping: every response now says close; a second signal stops at once")
        await worker.stop()
    finally:
        if pid_file is not None:
            pid_file.remove()
    if signals.interrupted:
        _log.warning("application interrupted: it had blocked the event loop for %g s after a signal", STARTUP_GRACE)
    _log.info("stopped")


async def start(worker: Worker, signals: Signals, stop: asyncio.Event) -> bool:
    """Start a worker; return False if a signal stopped it before it served.

    stop: set at the first signal; at the second one, the stop is forced.
    """

    def signalled() -> None:
        if stop.is_set():
            worker.force_stop()
        stop.set()

    signals.starting(signalled, worker.expect_stop)
    starting = asyncio.ensure_future(worker.start())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait((starting,))
    stopping.cancel()
    if starting.cancelled() or (signals.interrupted and starting.exception() is not None):
        if signals.interrupted:
            _log.warning("startup interrupted: it had blocked the event loop for %g s after a signal", STARTUP_GRACE)
        _log.info("stopped before serving")
        return False
    await starting
    signals.serving()
    return True


def loop_factory(kind: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the factory of the event loop; None for asyncio's own.

    Raises ApplicationError if `kind` is "uvloop" and it is not installed.
    """
    if kind == "asyncio":
        return None
    with contextlib.suppress(ImportError):
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
        return factory
    if kind == "uvloop":
        raise ApplicationError("--loop must be auto or asyncio without uvloop, got 'uvloop'; install uvloop")
    return None

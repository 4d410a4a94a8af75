"""Runs a worker: `run` as a program does, until a signal; `Server` within a program that has its own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Self, final

from bide.config import Config
from bide.gateway.asgi import Application
from bide.observe import logs
from bide.worker.loading import ApplicationError, load, require_asgi
from bide.worker.worker import Worker

_log = logging.getLogger("bide")

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

#: What is left of an application behind the drain gets that long to end, seconds.
LEAVE: Final = 1.0


@final
class Server:
    """`async with Server(app, port=0) as server: ... server.url`. Keyword arguments are those of `bide.config.Config`.

    Raises ConfigError and ApplicationError, and on entry ListenError or LifespanError. On leaving, it drains. Its addresses can be
    read, and its worker asked, from entry on, and still when it has stopped; before, they raise RuntimeError.
    """

    def __init__(self, app: Application, *, sockets: Sequence[socket.socket] | None = None, **options: Any) -> None:  # noqa: ANN401
        require_asgi(app, repr(app))
        self._worker = Worker(Config(**options), app, sockets)

    @property
    def url(self) -> str:
        """Where clients connect to: the first address that is listened on."""
        return self._worker.urls[0]

    @property
    def urls(self) -> list[str]:
        """All of them."""
        return self._worker.urls

    @property
    def worker(self) -> Worker:
        """The worker: counters and connections."""
        return self._worker

    async def __aenter__(self) -> Self:
        await self._worker.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._worker.stop()


def run(app: Application | str, **options: Any) -> None:  # noqa: ANN401
    """Serve until SIGINT or SIGTERM, then drain; a second signal stops at once. Keyword arguments as those of Config.

    app: the application, or "module:attribute" to import it from. Raises ApplicationError, ListenError, LifespanError, ConfigError.
    Sets up logging. If threads of the application do not end behind the drain, the process ends without them. In another thread than
    the main one no signal can be heard.
    """
    config = Config(**options)
    logs.configure(config.log_level, config.log_format)
    runner = asyncio.Runner(loop_factory=loop_factory(config.loop))
    if isinstance(app, str):
        app = load(app, config.factory, config.app_dir)
    else:
        require_asgi(app, repr(app))
    with _handlers_kept():
        try:
            runner.run(serve(config, app))
        finally:
            closed = leave_within(LEAVE)
            runner.close()
            closed.set()


def _is_main_thread() -> bool:
    """Whether this is the thread that may handle signals."""
    return threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """Put the program's signal handlers back at the end."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        if _is_main_thread():
            for number, handler in before.items():
                if handler is not None:  # None: set by something other than Python
                    signal.signal(number, handler)


async def serve(config: Config, app: Application) -> None:
    """Serve until a signal; see `run`."""
    worker = Worker(config, app)
    stop = asyncio.Event()

    def signalled() -> None:
        if stop.is_set():
            worker.hurry()
        stop.set()

    loop = asyncio.get_running_loop()
    if _is_main_thread():
        for number in _SIGNALS:
            loop.add_signal_handler(number, signalled)
    starting = asyncio.ensure_future(worker.start())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        _log.info("stopped before the application had started")
        starting.cancel()
        await asyncio.wait((starting,))
        return
    stopping.cancel()
    await starting
    _log.info("serving on %s (process %d)", ", ".join(worker.urls), os.getpid())
    await stop.wait()
    _log.info("stopping: every response now says close; a second signal stops at once")
    await worker.stop()
    _log.info("stopped")


def leave_within(seconds: float, status: int = 0) -> threading.Event:
    """End the process after that time, unless the event that is returned is set before.

    Threads that an application has started cannot be ended from outside, and tasks that swallow their cancellation neither: the
    interpreter would wait for them without bound.
    """
    done = threading.Event()

    def watch() -> None:
        if not done.wait(seconds):
            _log.warning("threads or tasks of the application do not end: the process ends without them")
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
            os._exit(status)

    threading.Thread(target=watch, name="bide-leave", daemon=True).start()
    return done


def loop_factory(kind: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop, or None for asyncio's own. Raises ApplicationError where uvloop is not installed."""
    if kind == "asyncio":
        return None
    with contextlib.suppress(ImportError):
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
        return factory
    if kind == "uvloop":
        raise ApplicationError("uvloop is not installed; install it, or leave out --loop")
    return None

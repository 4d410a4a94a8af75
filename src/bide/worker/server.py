"""Runs a worker: `run` as a program does, until a signal; `Server` within a program that has its own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self, final

from bide.config import Config
from bide.gateway.asgi import Application
from bide.worker.worker import Worker

_log = logging.getLogger("bide")

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class ApplicationError(Exception):
    """The application cannot be had; the message says what to do."""


@final
class Server:
    """`async with Server(app, port=0) as server: ... server.url`. Keyword arguments are those of `bide.config.Config`.

    Raises ListenError, LifespanError or ConfigError on entry. On leaving, it drains.
    """

    def __init__(self, app: Application, *, sockets: Sequence[socket.socket] | None = None, **options: Any) -> None:  # noqa: ANN401
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
    """
    config = Config(**options)
    application = load(app, config.factory, config.app_dir) if isinstance(app, str) else app
    with asyncio.Runner(loop_factory=loop_factory(config.loop)) as runner:
        runner.run(serve(config, application))


async def serve(config: Config, app: Application) -> None:
    """Serve until a signal; see `run`."""
    worker = Worker(config, app)
    stop = asyncio.Event()

    def signalled() -> None:
        if stop.is_set():
            worker.hurry()
        stop.set()

    loop = asyncio.get_running_loop()
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


def load(name: str, factory: bool, app_dir: str) -> Application:
    """Import the application `name`, "module:attribute"; the attribute is "app" if not given. Raises ApplicationError."""
    module_name, _, attributes = name.partition(":")
    if not module_name:
        raise ApplicationError(f"{name!r} names no module; name the application as module:attribute")
    for folder in ("", os.path.abspath(app_dir) if app_dir else ""):  # noqa: PTH100  # the one that was asked for comes first
        if folder not in sys.path:
            sys.path.insert(0, folder)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise ApplicationError(
                f"importing {module_name!r} failed: {_said(error)}; install what it needs"
            ) from error
        raise ApplicationError(
            f"there is no module {module_name!r}; check its name, or give its folder as --app-dir"
        ) from error
    except Exception as error:
        raise ApplicationError(f"importing {module_name!r} failed: {_said(error)}") from error
    for attribute in (attributes or "app").split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            raise ApplicationError(
                f"module {module_name!r} has no attribute {attribute!r}; name the application as module:attribute"
            ) from error
    if factory:
        try:
            found = found()
        except Exception as error:
            raise ApplicationError(f"the factory {name!r} failed: {_said(error)}") from error
    if not callable(found):
        raise ApplicationError(f"{name!r} is not an ASGI application: it cannot be called")
    application: Application = found
    return application


def _said(error: Exception) -> str:
    """Return an error on one line, with the line of the application's code that raised it."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) or not frames:  # the former names its line itself
        return text
    return f"{text} ({frames[-1].filename}, line {frames[-1].lineno})"


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

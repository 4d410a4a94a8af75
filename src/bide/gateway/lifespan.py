"""Tells an ASGI application that the server starts and stops: https://asgi.readthedocs.io/en/latest/specs/lifespan.html."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, Literal, final

from bide.errors import LifespanError
from bide.gateway.asgi import Application, Message, Scope

_log = logging.getLogger("bide.error")

Mode = Literal["auto", "on", "off"]

_VERSION: Final = {"version": "3.0", "spec_version": "2.0"}


@final
class Lifespan:
    """One application's lifespan. `state`: what it leaves for its requests, or None where it has no lifespan."""

    def __init__(self, app: Application, mode: Mode) -> None:
        """`mode`: "auto" goes on without where the application does not know lifespans, "on" fails then, "off" says nothing."""
        self._app = app
        self._mode = mode
        self._told: asyncio.Queue[Message] = asyncio.Queue()
        self._started: asyncio.Future[None] | None = None
        self._stopped: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self.state: dict[str, Any] | None = None

    async def startup(self) -> None:
        """Start the application. Raises LifespanError where it says that it failed, or where mode is "on" and it has none."""
        if self._mode == "off":
            return
        loop = asyncio.get_running_loop()
        self._started = loop.create_future()
        self._stopped = loop.create_future()
        self.state = {}
        self._told.put_nowait({"type": "lifespan.startup"})
        self._task = loop.create_task(self._run(), name="bide-lifespan")
        await self._started

    async def shutdown(self) -> None:
        """Tell the application to clean up, and wait until it has."""
        if self._task is None or self._stopped is None:
            return
        if not self._task.done():
            self._told.put_nowait({"type": "lifespan.shutdown"})
            await self._stopped
        await asyncio.wait([self._task])

    def cancel(self) -> None:
        """Wait for the application no longer."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        assert self._started is not None
        assert self._stopped is not None
        scope: Scope = {"type": "lifespan", "asgi": _VERSION.copy(), "state": self.state}
        try:
            await self._app(scope, self._told.get, self._take)
        except BaseException as error:  # of the application: whatever it is, the server's start must not hang on it
            if not self._started.done():
                self._without(error)
            elif not isinstance(error, asyncio.CancelledError):
                _log.exception("the application failed in its lifespan")
        finally:
            for waiting in (self._started, self._stopped):
                if not waiting.done():
                    waiting.set_result(None)

    def _without(self, error: BaseException) -> None:
        """The application failed before it had started: it may know no lifespans."""
        assert self._started is not None
        self.state = None
        if self._mode == "auto" and isinstance(error, Exception):
            if self._told.empty():  # the application had taken the startup event, so it knows lifespans
                _log.warning("the application failed at startup, and is served without a lifespan: %r", error)
            else:
                _log.debug("the application has no lifespan: %r", error)
            self._started.set_result(None)
        else:
            failed = LifespanError(f"the application failed at startup: {error!r}")
            failed.__cause__ = error
            self._started.set_exception(failed)

    async def _take(self, message: Message) -> None:
        assert self._started is not None
        assert self._stopped is not None
        kind = message["type"]
        detail = message.get("message", "")
        if kind == "lifespan.startup.complete" and not self._started.done():
            self._started.set_result(None)
        elif kind == "lifespan.startup.failed" and not self._started.done():
            self._started.set_exception(
                LifespanError(f"the application failed at startup: {detail or 'it gave no reason'}")
            )
        elif kind == "lifespan.shutdown.complete" and not self._stopped.done():
            self._stopped.set_result(None)
        elif kind == "lifespan.shutdown.failed" and not self._stopped.done():
            _log.error("the application failed at shutdown: %s", detail)
            self._stopped.set_result(None)
        else:
            raise RuntimeError(f"unexpected event {kind!r} in a lifespan")

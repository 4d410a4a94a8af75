"""Tells an ASGI application when the server starts or stops.

https://asgi.readthedocs.io/en/latest/specs/lifespan.html
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any, Final, Literal, final

from bide.errors import LifespanError, Stopped
from bide.gateway.application import Application, Message, Scope

_log = logging.getLogger("bide.error")

Mode = Literal["auto", "on", "off"]

_VERSION: Final = {"version": "3.0", "spec_version": "2.0"}

# The consequence of a lifespan that is over too soon. uvicorn goes on, too.
_GOES_ON: Final = "the server goes on, and no clean-up will run when it stops"


@final
class Lifespan:
    """Runs one application's lifespan.

    The application's answers hold whether or not the server still waits for them.

    state: state that the application keeps for its requests; None if it has no lifespan.
    """

    def __init__(self, app: Application, mode: Mode) -> None:
        """Keep the application and the mode.

        mode: "off" sends no events. If the application has no lifespan, "auto" serves it without;
            "on" fails.
        """
        self._app = app
        self._mode = mode
        self._told: asyncio.Queue[Message] = asyncio.Queue()
        self._startup_over = asyncio.Event()
        self._startup_complete = False
        self._shutdown_over = asyncio.Event()
        self._failure: LifespanError | None = None
        self._is_stopping = False
        self._is_cancelled = False
        self._task: asyncio.Task[None] | None = None
        self.state: dict[str, Any] | None = None

    @property
    def is_starting(self) -> bool:
        """Whether the application was told to start, and has not answered."""
        return self._task is not None and not self._startup_over.is_set()

    @property
    def has_started(self) -> bool:
        """Whether the application has said that its startup is complete."""
        return self._startup_complete

    async def startup(self) -> None:
        """Start the application.

        Raises LifespanError if the startup fails, or if mode is "on" and there is no lifespan.
        """
        if self._mode == "off":
            return
        self.state = {}
        self._told.put_nowait({"type": "lifespan.startup"})
        self._task = asyncio.get_running_loop().create_task(self._run(), name="bide-lifespan")
        await self.started()
        if self._failure is not None:
            raise self._failure

    async def started(self) -> None:
        """Wait until the application has answered the startup, or has ended."""
        await self._startup_over.wait()

    async def shutdown(self) -> None:
        """Send the shutdown event once the application has started; wait until it has ended."""
        if self._task is None:
            return
        self._is_stopping = True
        if not self._task.done():
            self._told.put_nowait({"type": "lifespan.shutdown"})
            await self._shutdown_over.wait()
        await asyncio.wait([self._task])

    def cancel(self) -> None:
        """Cancel the lifespan's task, if there is one."""
        if self._task is not None:
            self._is_cancelled = True
            self._task.cancel()

    async def _run(self) -> None:
        scope: Scope = {"type": "lifespan", "asgi": _VERSION.copy(), "state": self.state}
        try:
            await self._app(scope, self._told.get, self._take)
        except BaseException as error:  # whatever the application raises, the server's start must not hang
            self._raised(error)
        else:
            if self._startup_over.is_set():
                self._ended()
        finally:
            self._startup_over.set()
            self._shutdown_over.set()

    def _raised(self, error: BaseException) -> None:
        """Take the news that the application raised `error`.

        If the application reported a failure before, that failure is in the log.
        """
        if not self._startup_over.is_set():
            self._without(error)
        elif self._is_ended_by_server():
            pass
        elif self._shutdown_over.is_set():
            _log.debug("the application raised after its answer to the shutdown", exc_info=True)
        elif isinstance(error, asyncio.CancelledError):
            self._ended()
        elif self._failure is not None:
            _log.exception("the application failed at startup")
        else:
            self._failed(repr(error), traceback=True)

    def _without(self, error: BaseException) -> None:
        """Take the news that the application failed before its startup was complete."""
        self.state = None
        if self._is_stopping:
            if not (self._is_ended_by_server() or isinstance(error, asyncio.CancelledError)):
                _log.error("the application failed at startup: %r", error)
        elif self._mode == "auto" and isinstance(error, Exception):
            if self._told.empty():  # the application had taken the startup event, so it has a lifespan
                _log.warning("the application failed at startup, and is served without a lifespan: %r", error)
            else:
                _log.debug("the application has no lifespan: %r", error)
        else:
            self._failure = LifespanError(f"the application failed at startup: {error!r}")
            self._failure.__cause__ = error

    async def _take(self, message: Message) -> None:
        kind = message["type"]
        detail = message.get("message") or "it gave no reason"
        if kind == "lifespan.startup.complete" and not self._startup_over.is_set():
            self._startup_complete = True
            self._startup_over.set()
        elif kind == "lifespan.startup.failed" and not self._startup_over.is_set():
            self._failure = LifespanError(f"the application failed at startup: {detail}")
            if self._is_stopping and not self._is_ended_by_server():  # `startup` is no longer awaited
                _log.error("%s", self._failure)
            self._startup_over.set()
        elif kind == "lifespan.shutdown.complete" and self._may_shut_down():
            self._ended()
            self._shutdown_over.set()
        elif kind == "lifespan.shutdown.failed" and self._may_shut_down():
            if not self._is_ended_by_server():
                self._failed(detail)
            self._shutdown_over.set()
        else:
            raise RuntimeError(f"unexpected event {kind!r} in a lifespan")

    def _may_shut_down(self) -> bool:
        """Return whether the application may answer the shutdown now."""
        return self._startup_over.is_set() and not self._shutdown_over.is_set()

    def _is_ended_by_server(self) -> bool:
        """Return whether the server ended the application: its failure is then expected."""
        return self._is_cancelled or isinstance(sys.exception(), Stopped)

    def _ended(self) -> None:
        """Take the news that the application ended its lifespan without failure."""
        if not (self._is_stopping or self._shutdown_over.is_set() or self._failure is not None):
            _log.warning("the application ended its lifespan while serving; %s", _GOES_ON)

    def _failed(self, detail: str, *, traceback: bool = False) -> None:
        """Take the news that the application failed after its startup."""
        if self._is_stopping:
            _log.error("the application failed at shutdown: %s", detail, exc_info=traceback)
        else:
            _log.error(
                "the application failed its lifespan while serving: %s; %s", detail, _GOES_ON, exc_info=traceback
            )

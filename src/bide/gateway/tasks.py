"""Keeps the tasks in which an application runs."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import sys
from collections.abc import Coroutine
from typing import Any, Final, final

# Whether tasks start eagerly, which spares a request that never waits a pass of the event loop.
_EAGER: Final = sys.version_info >= (3, 12)
# A name of this module is found faster than an attribute of another module.
_Task: Final[Any] = asyncio.Task


class Call:
    """Is what one call of the application is given. The application's coroutine must take it from
    `running` at its end.

    task: the application's task.
    """

    __slots__ = ("task",)

    task: asyncio.Task[None] | None


@final
class ApplicationTasks:
    """Starts a task for each call of the application.

    running: the calls that have not ended.
    """

    __slots__ = ("_context", "_loop", "running")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # A request may be started within the task of another request. It must not see context
        # variables that are set there.
        self._context = contextvars.copy_context()
        self.running: set[Call] = set()

    def start(self, call: Call, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run the coroutine of a call, which is in `running` already, as a task."""
        # Without a name given, asyncio would count and format one for each task.
        if _EAGER:
            call.task = _Task(
                coroutine, loop=self._loop, name="bide-request", context=self._context.copy(), eager_start=True
            )
        else:
            call.task = _Task(coroutine, loop=self._loop, name="bide-request", context=self._context.copy())

    def cancel(self) -> None:
        """Cancel the tasks that have not ended."""
        for call in list(self.running):
            task = call.task
            if task is not None:
                # A task that has not begun to run never reaches its own `finally`.
                task.add_done_callback(functools.partial(self._ended, call))
                task.cancel()

    def _ended(self, call: Call, _task: object) -> None:
        self.running.discard(call)

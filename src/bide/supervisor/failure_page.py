"""Answers in the place of a worker that failed in development, so that the browser shows why."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, final

from bide.config import Config
from bide.worker.settings import Draining, WorkerSettings
from bide.worker.worker import Worker

# Options that concern the worker which failed: nothing of them may keep the page from being shown.
_OVERRIDDEN: Final[dict[str, Any]] = {
    "lifespan": "off",
    "interface": "asgi",
    "access_log": False,
    "health_path": "",
    "redirect_http": None,
    "reload": False,
    "workers": 1,
    "limit_worker_requests": 0,
    "limit_worker_age": 0.0,
    "limit_worker_memory": 0,
    "supervise": "auto",
}

# Requests that have begun may end; other connections end at once.
_DRAINING: Final = Draining(delay=0.0, idle=0.0, streams=0.0, tunnels=0.0, timeout=0.5)


@final
class FailurePage:
    """Serves on the sockets of the worker while it is shown."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Keep the options of the worker."""
        self._settings = WorkerSettings(Config(**{**options, **_OVERRIDDEN}))
        self._text = b""
        self._hidden = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_shown(self) -> bool:
        """Whether it is shown."""
        return self._task is not None and not self._hidden.is_set()

    def show(self, sockets: Sequence[socket.socket], text: str) -> None:
        """Answer each request with 503 and a text, until `hide`."""
        self._text = text.encode("utf-8", "backslashreplace")
        if not self.is_shown:
            self._hidden = asyncio.Event()
            copies = [sock.dup() for sock in sockets]
            self._task = asyncio.get_running_loop().create_task(self._serve(copies, self._hidden, self._task))

    def hide(self) -> None:
        """Leave the sockets to a worker."""
        self._hidden.set()

    async def close(self) -> None:
        """Hide it, and wait until it is gone."""
        self.hide()
        if self._task is not None:
            await self._task

    async def _serve(
        self, copies: Sequence[socket.socket], hidden: asyncio.Event, before: asyncio.Task[None] | None
    ) -> None:
        if before is not None:
            await before
        worker = Worker(self._settings, self._answer, copies)
        await worker.start()
        await hidden.wait()
        await worker.stop(_DRAINING, is_last=False)

    async def _answer(
        self,
        scope: Any,  # noqa: ANN401
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            return
        fields = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(self._text)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": 503, "headers": fields})
        await send({"type": "http.response.body", "body": self._text})

"""Serves ASGI 3 applications over HTTP: https://asgi.readthedocs.io/en/latest/specs/www.html (specification version 2.3)."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from threading import get_ident
from typing import Any, Final, final
from urllib.parse import quote, unquote

from bide.errors import DisconnectedError
from bide.exchange import DONE, Exchange, Gateway
from bide.gateway.asgi_coroutines import flowing, may_send_in_vain, receive, run, send, turn

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
# It takes the three; but asgiref, Starlette and Litestar each type them in a way that excludes the others'.
Application = Callable[..., Awaitable[None]]

# Not 2.4, where `send` is what tells that the client is gone: frameworks then do not listen for `http.disconnect`, and a stream that
# waits for something to send is never told.
_VERSION: Final = {"version": "3.0", "spec_version": "2.3"}
_EXTENSIONS: Final[dict[str, dict[str, Any]]] = {"http.response.early_hint": {}}

# Sends in vain before others get their turn: a loop that awaits nothing else would keep its listener from running.
_SENDS_PER_TURN: Final = 32

#: Whether tasks start eagerly, which spares a request that never waits a pass of the event loop.
EAGER: Final = sys.version_info >= (3, 12)
# Found at once, as names of this module.
_Task: Final[Any] = asyncio.Task
_thread_here: Final = get_ident


@final
class AsgiGateway(Gateway):
    """Starts a task of the application for each exchange."""

    def __init__(
        self,
        app: Application,
        loop: asyncio.AbstractEventLoop,
        root_path: str = "",
        state: dict[str, Any] | None = None,
    ) -> None:
        """`state`: what the application's lifespan left for its requests; each gets a shallow copy."""
        self._app = app
        self._loop = loop
        self._root_path = root_path
        self._raw_root_path = quote(root_path).encode()
        self._state = state
        # What is filled in for each request. To copy it is the quickest way to a dictionary of this size.
        self._scope: dict[str, Any] = {
            "type": "http",
            "asgi": _VERSION,
            "http_version": "1.1",
            "method": "",
            "scheme": "",
            "path": "",
            "raw_path": b"",
            "query_string": b"",
            "root_path": root_path,
            "headers": [],
            "client": None,
            "server": None,
            "extensions": _EXTENSIONS,
        }
        # A request may be started from within another one's task, and must not see the variables that are set there.
        self._context = contextvars.copy_context()
        self._loop_thread = _thread_here()
        self._running: set[AsgiExchange] = set()

    def start(self, exchange: Exchange) -> None:
        """Begin to serve `exchange`."""
        request = exchange.request
        path = request.path
        text = path.decode("ascii")
        if "%" in text:
            text = unquote(text)
        if self._root_path and path != b"*":
            text = self._root_path + text
            path = self._raw_root_path + path
        scope = self._scope.copy()
        scope["asgi"] = _VERSION.copy()
        scope["method"] = request.method.upper()  # the specification asks for it
        scope["scheme"] = exchange.scheme
        scope["path"] = text
        scope["raw_path"] = path
        scope["query_string"] = request.query
        scope["headers"] = request.fields
        scope["client"] = exchange.peer
        scope["server"] = exchange.local
        if request.minor:
            extensions = _EXTENSIONS.copy()
        else:
            scope["http_version"] = "1.0"
            extensions = {}
        if request.accepts_trailers:
            extensions["http.response.trailers"] = {}
        scope["extensions"] = extensions
        if self._state is not None:
            scope["state"] = self._state.copy()
        cycle = AsgiExchange(exchange, self._loop_thread)
        self._running.add(cycle)
        # The name is given because asyncio would otherwise count and format one for each task.
        if EAGER:
            cycle.task = _Task(
                run(self._app, cycle, scope, self._running),
                loop=self._loop,
                name="bide-request",
                context=self._context.copy(),
                eager_start=True,
            )
        else:
            cycle.task = _Task(
                run(self._app, cycle, scope, self._running),
                loop=self._loop,
                name="bide-request",
                context=self._context.copy(),
            )

    @property
    def running(self) -> int:
        """Tasks of the application that have not ended."""
        return len(self._running)

    def cancel(self) -> None:
        """Cancel them."""
        for cycle in list(self._running):
            task = cycle.task
            if task is not None:
                # One that has not begun to run never comes to its own `finally`.
                task.add_done_callback(functools.partial(self._ended, cycle))
                task.cancel()

    def _ended(self, cycle: AsgiExchange, _task: object) -> None:
        self._running.discard(cycle)

    def drain(self) -> None:
        """Applications are not told: ASGI has no event for it."""


@final
class AsgiExchange:
    """What the application holds of one exchange: `receive` and `send`."""

    __slots__ = (
        "_loop_thread",
        "_sent_in_vain",
        "body_delivered",
        "disconnect_delivered",
        "exchange",
        "grace_until",
        "receivers_waiting",
        "task",
    )

    def __init__(self, exchange: Exchange, thread: int) -> None:
        """`thread`: the event loop's."""
        self._loop_thread = thread
        self.exchange = exchange
        self.task: asyncio.Task[None] | None = None
        self.body_delivered = False
        self.receivers_waiting = 0  # calls of `receive`
        self.disconnect_delivered = False
        self.grace_until = 0.0  # until when sends that nobody takes are ignored, once there is one
        self._sent_in_vain = 0

    def receive(self) -> Awaitable[Message]:
        """Return the next `http.request`, or `http.disconnect` once the client has left or the exchange is over."""
        return receive(self)

    def send(self, message: Message) -> Awaitable[None]:
        """Take an `http.response.*` event. If nobody takes what it holds, see `may_send_in_vain`.

        This is no coroutine function, which would cost each request 3 % more: it acts before it is awaited.
        """
        if _thread_here() != self._loop_thread:  # for `run_coroutine_threadsafe(send(message), loop)`
            return send(self, message)
        event = message if isinstance(message, dict) else dict(message)
        kind: str = event["type"]
        exchange = self.exchange
        try:
            if kind == "http.response.body":
                body = event.get("body", b"")
                if type(body) is not bytes:
                    body = bytes(memoryview(body))
                if event.get("more_body"):  # whatever is true: compiled, only a bool would be taken for one
                    flows = exchange.send(body, True)
                    return flows if flows is DONE else flowing(self, flows)
                return exchange.send(body, False)
            if kind == "http.response.start":
                exchange.respond(event["status"], event.get("headers", ()), bool(event.get("trailers")))
            elif kind == "http.response.trailers":
                exchange.send_trailers(event.get("headers", ()), bool(event.get("more_trailers")))
            elif kind == "http.response.early_hint":
                exchange.inform(103, [(b"link", link) for link in event.get("links", ())])
            else:
                raise ValueError(f"{kind!r} is not an event of an HTTP response")
        except DisconnectedError:
            # The error has no name here: a frame that holds the error whose traceback holds the frame would keep, until the
            # garbage collector comes by, everything that the application holds.
            if not may_send_in_vain(self):
                raise
            if self.is_others_turn():
                return turn()
        return DONE

    def is_others_turn(self) -> bool:
        """Whether others are to run before the application goes on to send in vain.

        Not each time: its listener cancels it as a rule, and that must find it at an `await` of its own. A cancellation that falls
        into a `send` leaves the generator whose content is sent suspended, and unclosed.
        """
        self._sent_in_vain += 1
        return self._sent_in_vain % _SENDS_PER_TURN == 0

"""Serves ASGI 3 applications, by version 2.3 of the specification.

https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from threading import get_ident
from typing import Any, Final, final
from urllib.parse import quote, unquote

from bide.errors import DisconnectedError
from bide.exchange import DONE, Exchange, Gateway
from bide.gateway.application import Application, Message
from bide.gateway.asgi_coroutines import flowing, may_send_in_vain, receive, run, send, send_path, turn
from bide.gateway.asgi_websocket import AsgiWebSocket, answer_refused
from bide.gateway.asgi_websocket_coroutines import run as run_websocket
from bide.gateway.tasks import ApplicationTasks, Call
from bide.message import Request
from bide.websocket.handshake import Refusal, examine, is_asked_for

# Not 2.4: there a failing `send` tells that the client is gone, and frameworks do not listen for
# `http.disconnect`. A stream that waits for something to send would never be told.
_VERSION: Final = {"version": "3.0", "spec_version": "2.3"}
_EXTENSIONS: Final[dict[str, dict[str, Any]]] = {
    "http.response.early_hint": {},
    "http.response.pathsend": {},
}

# Ignored sends before other tasks get their turn. A loop that awaits nothing else would keep its
# listener from running.
_SENDS_PER_TURN: Final = 32

# A name of this module is found faster than an attribute of another module.
_thread_here: Final = get_ident


def _add_tls(exchange: Exchange, extensions: dict[str, dict[str, Any]]) -> None:
    """Add ASGI's TLS extension, if the connection speaks TLS.

    A front end may speak it in place of the connection; nothing is known of that.
    """
    security = exchange.security()
    if security is not None:
        extensions["tls"] = {
            "server_cert": security.server_certificate,
            "client_cert_chain": security.client_chain.copy(),
            "client_cert_name": security.client_name,
            "client_cert_error": None,  # with an error, the handshake would have failed
            "tls_version": security.version,
            "cipher_suite": security.cipher_suite,
        }


@final
class AsgiGateway(Gateway):
    """Starts a task of the application for each exchange."""

    def __init__(
        self,
        app: Application,
        loop: asyncio.AbstractEventLoop,
        root_path: str = "",
        state: dict[str, Any] | None = None,
        *,
        websockets: bool = True,
        deflates: bool = True,
    ) -> None:
        """Keep the values that every scope is made from.

        root_path: path below which the application is mounted.
        state: state of the application's lifespan; each request gets a shallow copy.
        websockets: whether requests for a WebSocket are served as such.
        deflates: whether messages may be compressed (RFC 7692).
        """
        self._app = app
        self._websockets = websockets
        self._deflates = deflates
        self._root_path = root_path
        self._raw_root_path = quote(root_path).encode()
        self._state = state
        # Template of each request's scope. A copy is the fastest way to a dictionary of this size.
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
        self._loop_thread = _thread_here()
        self._tasks = ApplicationTasks(loop)

    def start(self, exchange: Exchange) -> None:
        """Begin to serve `exchange`."""
        request = exchange.request
        if request.upgrade and self._websockets and is_asked_for(request):
            self._start_websocket(exchange, request)
            return
        scope = self._scope_of(exchange, request)
        scope["method"] = request.method.upper()  # as the ASGI specification demands
        if request.minor:
            extensions = _EXTENSIONS.copy()
        else:
            scope["http_version"] = "1.0"
            extensions = {"http.response.pathsend": {}}
        if request.accepts_trailers:
            extensions["http.response.trailers"] = {}
        if exchange.scheme == "https":
            _add_tls(exchange, extensions)
        scope["extensions"] = extensions
        call = AsgiExchange(exchange, self._loop_thread)
        tasks = self._tasks
        tasks.running.add(call)
        tasks.start(call, run(self._app, call, scope, tasks.running))

    def _start_websocket(self, exchange: Exchange, request: Request) -> None:
        """Serve a request that asks for a WebSocket."""
        handshake = examine(request, self._deflates)
        if isinstance(handshake, Refusal):
            answer_refused(exchange, handshake)
            return
        scope = self._scope_of(exchange, request)
        del scope["method"]
        scope["type"] = "websocket"
        scope["scheme"] = "wss" if exchange.scheme == "https" else "ws"
        # What other servers pass, and what Socket.IO looks for.
        scope["headers"] = [*request.fields, (b"connection", b"upgrade"), (b"upgrade", request.upgrade)]
        scope["subprotocols"] = handshake.subprotocols
        scope["extensions"] = {"websocket.http.response": {}}
        if exchange.scheme == "https":
            _add_tls(exchange, scope["extensions"])
        call = AsgiWebSocket(exchange, handshake, self._loop_thread)
        tasks = self._tasks
        tasks.running.add(call)
        tasks.start(call, run_websocket(self._app, call, scope, tasks.running))

    def _scope_of(self, exchange: Exchange, request: Request) -> dict[str, Any]:
        """Return the part of a scope that HTTP and WebSocket share."""
        path = request.path
        text = path.decode("ascii")
        if "%" in text:
            text = unquote(text)
        scope = self._scope.copy()
        root_path, raw_root_path = self._root_path, self._raw_root_path
        if exchange.prefix:
            raw_root_path = exchange.prefix
            scope["root_path"] = root_path = unquote(raw_root_path.decode("ascii"))
        if root_path and path != b"*":
            text = root_path + text
            path = raw_root_path + path
        scope["asgi"] = _VERSION.copy()
        scope["scheme"] = exchange.scheme
        scope["path"] = text
        scope["raw_path"] = path
        scope["query_string"] = request.query
        scope["headers"] = request.fields
        scope["client"] = exchange.client
        scope["server"] = exchange.local
        if self._state is not None:
            scope["state"] = self._state.copy()
        return scope

    @property
    def running(self) -> int:
        """Tasks of the application that have not ended."""
        return len(self._tasks.running)

    def cancel(self) -> None:
        """Cancel the tasks of the application that have not ended."""
        self._tasks.cancel()

    def drain(self) -> None:
        """Do nothing: ASGI has no event for a drain."""


@final
class AsgiExchange(Call):
    """Gives the application `receive` and `send` of one exchange.

    body_delivered: whether the application has received the whole request body.
    disconnect_delivered: whether the application has received `http.disconnect`.
    grace_until: loop time in seconds until which sends to a client that is gone are ignored; 0.0
        before the first such send.
    receivers_waiting: number of calls of `receive` that wait.
    """

    __slots__ = (
        "_loop_thread",
        "_sent_in_vain",
        "body_delivered",
        "disconnect_delivered",
        "exchange",
        "grace_until",
        "receivers_waiting",
    )

    def __init__(self, exchange: Exchange, thread: int) -> None:
        """`thread`: identifier of the event loop's thread."""
        self._loop_thread = thread
        self.exchange = exchange
        self.task = None
        self.body_delivered = False
        self.receivers_waiting = 0
        self.disconnect_delivered = False
        self.grace_until = 0.0
        self._sent_in_vain = 0

    def receive(self) -> Awaitable[Message]:
        """Return the next `http.request`.

        Returns `http.disconnect` once the client has left or the exchange is over.
        """
        return receive(self)

    def event(self) -> Message | None:
        """Return the next event for `receive`; None if it has yet to come."""
        exchange = self.exchange
        if not exchange.over:
            if not self.body_delivered:
                body = exchange.take()
                complete = exchange.body_complete
                if body or complete:
                    self.body_delivered = complete
                    return {"type": "http.request", "body": body, "more_body": not complete}
            if not exchange.client_left:
                return None
        self.disconnect_delivered = True
        exchange.disconnect_delivered()
        return {"type": "http.disconnect"}

    def send(self, message: Message) -> Awaitable[None]:
        """Take an `http.response.*` event. `may_send_in_vain` says what happens if the client is
        gone.

        The call acts before it is awaited. A coroutine function would cost each request 3 % more.
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
                if event.get("more_body"):  # any true value; compiled `exchange.send` takes only a bool
                    flows = exchange.send(body, True)
                    return flows if flows is DONE else flowing(self, flows)
                return exchange.send(body, False)
            if kind == "http.response.start":
                exchange.respond(event["status"], event.get("headers", ()), bool(event.get("trailers")))
            elif kind == "http.response.pathsend":
                return send_path(self, event["path"])
            elif kind == "http.response.trailers":
                exchange.send_trailers(event.get("headers", ()), bool(event.get("more_trailers")))
            elif kind == "http.response.early_hint":
                exchange.inform(103, [(b"link", link) for link in event.get("links", ())])
            else:
                raise ValueError(f"{kind!r} is not an event of an HTTP response")
        except DisconnectedError:
            # The error has no name here. Its traceback holds this frame: the cycle would keep
            # everything that the application holds until a garbage collection.
            if not may_send_in_vain(self):
                raise
            if self.is_others_turn():
                return turn()
        return DONE

    def is_others_turn(self) -> bool:
        """Return whether other tasks run before the application goes on with sends that are
        ignored.

        They do not run after each send. The application's listener usually cancels the stream,
        which must then be at an `await` of its own. A cancellation within `send` leaves the
        content's generator suspended and unclosed.
        """
        self._sent_in_vain += 1
        return self._sent_in_vain % _SENDS_PER_TURN == 0

"""Serves ASGI's `websocket` scope, by version 2.3 of the specification.

https://asgi.readthedocs.io/en/latest/specs/www.html#websocket
"""

from __future__ import annotations

from collections.abc import Awaitable
from threading import get_ident
from typing import Any, Final, final

from bide.errors import DisconnectedError, Misuse
from bide.exchange import DONE, Exchange, WebSocket
from bide.gateway.application import Message
from bide.gateway.asgi_websocket_coroutines import flowing, may_send_in_vain, receive, send
from bide.gateway.tasks import Call
from bide.websocket.handshake import Handshake, Refusal

_NORMAL: Final = 1000  # close code (RFC 6455, 7.4.1)
_ABNORMAL: Final = 1006  # the connection ended without a Close frame

_thread_here: Final = get_ident  # a name of this module is found faster


def answer_refused(exchange: Exchange, refusal: Refusal) -> None:
    """Answer a request that is no valid handshake."""
    content = refusal.detail + b"\n"
    exchange.respond(
        refusal.status,
        [
            *refusal.fields,
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(content)),
        ],
        False,
    )
    exchange.send(content, False)


@final
class AsgiWebSocket(Call):
    """Gives the application `receive` and `send` of one WebSocket.

    websocket: None until the application accepts.
    disconnect_delivered: whether the application has received `websocket.disconnect`.
    grace_until, receivers_waiting: as of `bide.gateway.asgi.AsgiExchange`.
    """

    __slots__ = (
        "_handshake",
        "_has_closed",
        "_has_connected",
        "_is_denied",
        "_loop_thread",
        "disconnect_delivered",
        "exchange",
        "grace_until",
        "receivers_waiting",
        "websocket",
    )

    def __init__(self, exchange: Exchange, handshake: Handshake, thread: int) -> None:
        """thread: identifier of the event loop's thread."""
        self.exchange = exchange
        self.task = None
        self.websocket: WebSocket | None = None
        self.disconnect_delivered = False
        self.grace_until = 0.0
        self.receivers_waiting = 0
        self._handshake = handshake
        self._has_connected = False  # the application has received `websocket.connect`
        self._has_closed = False  # the application has sent `websocket.close`
        self._is_denied = False  # it has begun a response instead of a WebSocket
        self._loop_thread = thread

    def receive(self) -> Awaitable[Message]:
        """Return the next event: `websocket.connect`, `.receive`, at last `.disconnect`."""
        return receive(self)

    def event(self) -> Message | None:
        """Return the next event; None if it has yet to come."""
        if not self._has_connected:
            self._has_connected = True
            return {"type": "websocket.connect"}
        websocket = self.websocket
        if websocket is None:
            exchange = self.exchange
            if not (exchange.over or exchange.client_left):
                return None
            self.disconnect_delivered = True
            exchange.disconnect_delivered()
            return {"type": "websocket.disconnect", "code": _ABNORMAL, "reason": ""}
        message = websocket.take()
        if message is not None:
            if isinstance(message, str):
                return {"type": "websocket.receive", "text": message}
            return {"type": "websocket.receive", "bytes": message}
        if not websocket.over:
            return None
        self.disconnect_delivered = True
        return {"type": "websocket.disconnect", "code": websocket.code, "reason": websocket.reason}

    def changed(self) -> Awaitable[None]:
        """Wait until there may be another event."""
        return self.exchange.changed() if self.websocket is None else self.websocket.changed()

    def send(self, message: Message) -> Awaitable[None]:
        """Take a `websocket.*` event. The call acts before it is awaited."""
        if _thread_here() != self._loop_thread:  # for `run_coroutine_threadsafe(send(message), loop)`
            return send(self, message)
        event = message if isinstance(message, dict) else dict(message)
        try:
            if self.websocket is None:
                return self._answer(event)
            return self._send(self.websocket, event)
        except DisconnectedError:
            if not may_send_in_vain(self):
                raise
        return DONE

    def _send(self, websocket: WebSocket, event: dict[str, Any]) -> Awaitable[None]:
        """Take an event after `websocket.accept`."""
        kind: str = event["type"]
        if kind == "websocket.send":
            message: Any = event.get("text")
            content: Any = event.get("bytes")
            if (message is None) is (content is None):
                raise ValueError("websocket.send must have either text or bytes")
            if message is None:
                message = content if type(content) is bytes else bytes(memoryview(content))
            flows = websocket.send(message)
            return flows if flows is DONE else flowing(self, flows)
        if kind == "websocket.close":
            self._has_closed = True
            websocket.close(event.get("code") or _NORMAL, event.get("reason") or "")
            return DONE
        raise Misuse(f"{kind!r} cannot follow websocket.accept")

    def _answer(self, event: dict[str, Any]) -> Awaitable[None]:
        """Take an event before `websocket.accept`, or instead of it."""
        kind: str = event["type"]
        exchange = self.exchange
        if kind == "websocket.http.response.start":
            exchange.respond(event["status"], event.get("headers", ()), False)
            self._is_denied = True
        elif kind == "websocket.http.response.body":
            body = event.get("body", b"")
            if type(body) is not bytes:
                body = bytes(memoryview(body))
            flows = exchange.send(body, bool(event.get("more_body")))
            return flows if flows is DONE else flowing(self, flows)
        elif self._is_denied:
            raise Misuse(f"{kind!r} cannot follow websocket.http.response.start")
        elif kind == "websocket.accept":
            self.websocket = exchange.accept(self._handshake, event.get("subprotocol"), event.get("headers", ()))
        elif kind == "websocket.close":
            exchange.respond(403, [(b"content-length", b"0")], False)
            exchange.send(b"", False)
        else:
            raise Misuse(f"{kind!r} cannot come before websocket.accept")
        return DONE

    def finished(self, failed: bool) -> None:
        """Take the fact that the application has returned, or failed."""
        if self.websocket is not None:
            self.websocket.finished(failed)
        elif not self.exchange.over:
            self.exchange.finished()

    @property
    def is_over(self) -> bool:
        """Whether nothing more can be sent."""
        return self.exchange.over if self.websocket is None else self.websocket.over

    @property
    def is_given_up(self) -> bool:
        """Whether the client has ended it: the application may then stop, by any exception."""
        if self.websocket is not None:
            return self.websocket.over and not self._has_closed
        return self.exchange.client_left or (self.exchange.over and not self.exchange.complete)

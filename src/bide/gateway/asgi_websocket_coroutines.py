"""Holds the coroutines of ASGI's `websocket` scope, which stay interpreted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from time import monotonic
from typing import TYPE_CHECKING

from bide.errors import DisconnectedError, Stopped
from bide.gateway.application import SEND_GRACE, Application, Message, Scope, target

if TYPE_CHECKING:
    from bide.gateway.asgi_websocket import AsgiWebSocket
    from bide.gateway.tasks import Call

_log = logging.getLogger("bide.error")


async def run(app: Application, call: AsgiWebSocket, scope: Scope, running: set[Call]) -> None:
    """Run the application."""
    failed = False
    try:
        await app(scope, call.receive, call.send)
    except (asyncio.CancelledError, Stopped):
        if not call.is_over:
            _log.warning("WebSocket %s: cancelled before its end", target(scope))
    except BaseException as error:
        failed = True
        if call.is_given_up:
            _log.debug("WebSocket %s: ended by %r after its client had left", target(scope), error)
        else:
            _log.exception("WebSocket %s: the application failed", target(scope))
    else:
        if call.websocket is None and not (call.is_over or call.is_given_up):
            _log.error("WebSocket %s: the application returned without an answer to the handshake", target(scope))
    finally:
        call.finished(failed)
        running.discard(call)


async def receive(call: AsgiWebSocket) -> Message:
    """Wait for the next event, and return it."""
    while True:
        event = call.event()
        if event is not None:
            return event
        call.receivers_waiting += 1
        try:
            await call.changed()
        finally:
            call.receivers_waiting -= 1


async def send(call: AsgiWebSocket, message: Message) -> None:
    """Send once this is awaited, thus in the event loop's thread."""
    await call.send(message)


async def flowing(call: AsgiWebSocket, flows: Awaitable[None]) -> None:
    """Wait until the client has taken enough of the output, or is gone."""
    try:
        await flows
    except DisconnectedError:
        if not may_send_in_vain(call):
            raise


def may_send_in_vain(call: AsgiWebSocket) -> bool:
    """Return whether a send to a client that is gone is ignored, as
    `bide.gateway.asgi_coroutines.may_send_in_vain` says of HTTP.
    """
    now = monotonic()
    if not call.grace_until:
        call.grace_until = now + SEND_GRACE
    return call.receivers_waiting > 0 and now < call.grace_until

"""Holds the coroutines of the ASGI gateway: the application's run, `receive`, and a `send` that
waits.

Coroutines stay interpreted, here and in `bide.session.exchange_coroutines`. Coroutines of mypyc
pass exceptions on in a form that Python 3.12 deprecates.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Awaitable
from time import monotonic
from typing import TYPE_CHECKING

from bide.errors import DisconnectedError, Stopped
from bide.exchange import Exchange
from bide.gateway.application import SEND_GRACE, Application, Message, Scope, target

if TYPE_CHECKING:
    from bide.gateway.asgi import AsgiExchange
    from bide.gateway.tasks import Call

_log = logging.getLogger("bide.error")


async def run(app: Application, asgi: AsgiExchange, scope: Scope, running: set[Call]) -> None:
    """Run the application. Each run is a task of its own, so that its context variables are too."""
    exchange = asgi.exchange
    try:
        await app(scope, asgi.receive, asgi.send)
    except (asyncio.CancelledError, Stopped):
        if not _given_up(exchange):
            _log.warning("%s %s: cancelled before its response was complete", scope["method"], target(scope))
    except BaseException as error:
        if _given_up(exchange) and (not exchange.complete or isinstance(error, DisconnectedError)):
            # An application may end by any exception once its client has left or has the whole
            # response. The access log has the reason.
            _log.debug("%s %s: ended by %r after its client had left", scope["method"], target(scope), error)
        else:
            _log.exception("%s %s: the application failed", scope["method"], target(scope))
    else:
        if not (exchange.complete or _given_up(exchange)):
            _log.error(
                "%s %s: the application returned before its response was complete", scope["method"], target(scope)
            )
    finally:
        if not exchange.over:
            exchange.finished()
        running.discard(asgi)


async def receive(asgi: AsgiExchange) -> Message:
    """Wait for the next event, and return it."""
    while True:
        event = asgi.event()
        if event is not None:
            return event
        asgi.receivers_waiting += 1
        try:
            await asgi.exchange.changed()
        finally:
            asgi.receivers_waiting -= 1


async def send(asgi: AsgiExchange, message: Message) -> None:
    """Send once this is awaited, thus in the event loop's thread."""
    await asgi.send(message)


async def send_path(asgi: AsgiExchange, path: str) -> None:
    """Send a whole file as the content of the response.

    Raises OSError if the file cannot be opened, ValueError if `path` is not that of a regular file.
    """
    # A named pipe without a writer must not block the event loop.
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(file)
        if not os.path.isabs(path) or not stat.S_ISREG(status.st_mode):  # noqa: PTH117  # on each request
            raise ValueError(f"path must be the absolute path of a regular file, got {path!r}")
        await asgi.exchange.send_file(file, 0, status.st_size, False)
    except DisconnectedError:
        pass  # no loop of sends needs to be ended: what follows the file is the application's own work
    finally:
        os.close(file)


async def flowing(asgi: AsgiExchange, flows: Awaitable[None]) -> None:
    """Wait until the client has taken enough of the output, or is gone."""
    try:
        await flows
    except DisconnectedError:
        if not may_send_in_vain(asgi):
            raise


def may_send_in_vain(asgi: AsgiExchange) -> bool:
    """Return whether a send to a client that is gone is ignored, as in ASGI 2.3; otherwise it
    raises, as in 2.4.

    An application that listens for `http.disconnect` ends by that event, so its work after the
    response is still done. To any other application the exception is the only sign. A response that
    is complete with its head (to HEAD, for example) is not an early end.

    After `SEND_GRACE` every such send raises, so that an endless loop of sends ends.
    """
    now = monotonic()
    if not asgi.grace_until:
        asgi.grace_until = now + SEND_GRACE
    is_listening = asgi.disconnect_delivered or asgi.receivers_waiting > 0
    return (is_listening or asgi.exchange.complete) and now < asgi.grace_until


async def turn() -> None:
    """Let other tasks run."""
    await asyncio.sleep(0)


def _given_up(exchange: Exchange) -> bool:
    """Return whether no client waits for the response: the application may then stop."""
    return exchange.over or exchange.client_left

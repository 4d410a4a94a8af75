"""What the ASGI gateway awaits: the application's run, its `receive`, and its `send` where that cannot be done at once.

Coroutines stay interpreted, here and in `bide.session.exchange_coroutines`: mypyc's hand exceptions on in a form that Python 3.12 deprecates.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from time import monotonic
from typing import TYPE_CHECKING, Final

from bide.errors import DisconnectedError, Stopped
from bide.exchange import Exchange

if TYPE_CHECKING:
    from bide.gateway.asgi import Application, AsgiExchange, Message, Scope

_log = logging.getLogger("bide.error")

# For so long an application that hears of it by `receive` may go on sending to a client that is gone, seconds. nginx reads as long for a
# client that may be gone (lingering_timeout).
_PATIENCE: Final = 5.0


async def run(app: Application, cycle: AsgiExchange, scope: Scope, running: set[AsgiExchange]) -> None:
    """Run the application. Each run is a task of its own, so context variables stay its own."""
    exchange = cycle.exchange
    try:
        await app(scope, cycle.receive, cycle.send)
    except (asyncio.CancelledError, Stopped):
        if not _given_up(exchange):
            _log.warning("%s %s: cancelled before its response was complete", scope["method"], _target(scope))
    except BaseException as error:
        if _given_up(exchange) and not exchange.complete:
            # What an application raises when its client has left is its way to end.
            _log.info("%s %s: ended by %r after its client had left", scope["method"], _target(scope), error)
        else:
            _log.exception("%s %s: the application failed", scope["method"], _target(scope))
    else:
        if not (exchange.complete or _given_up(exchange)):
            _log.error(
                "%s %s: the application returned before its response was complete", scope["method"], _target(scope)
            )
    finally:
        if not exchange.over:
            exchange.finished()
        running.discard(cycle)


async def receive(cycle: AsgiExchange) -> Message:
    """Return the next `http.request`, or `http.disconnect` once the client has left or the exchange is over."""
    exchange = cycle.exchange
    while not exchange.over:
        if not cycle.body_given:
            body = exchange.take()
            complete = exchange.body_complete
            if body or complete:
                cycle.body_given = complete
                return {"type": "http.request", "body": body, "more_body": not complete}
        if exchange.client_left:
            break
        cycle.listeners += 1
        try:
            await exchange.changed()
        finally:
            cycle.listeners -= 1
    cycle.told = True
    return {"type": "http.disconnect"}


async def send(cycle: AsgiExchange, message: Message) -> None:
    """Send from where this is awaited."""
    await cycle.send(message)


async def flowing(cycle: AsgiExchange, flows: Awaitable[None]) -> None:
    """Wait until the client's side has taken enough for more, or is gone."""
    try:
        await flows
    except DisconnectedError as error:
        await in_vain(cycle, error)


async def in_vain(cycle: AsgiExchange, error: DisconnectedError) -> None:
    """The application sent something to a client that is gone.

    If it listens for `http.disconnect`, that is how it ends, and for a while nothing else happens, as 2.3 has it: what it does behind the
    response is still done. Otherwise raises `error`, as 2.4 has it: it would not hear of it in any other way.
    """
    now = monotonic()
    if not cycle.patience:
        cycle.patience = now + _PATIENCE
    if not (cycle.told or cycle.listeners) or now >= cycle.patience:
        raise error
    await asyncio.sleep(0)  # its listener's turn


def _target(scope: Scope) -> str:
    """Return the path for the log: as sent, since what is decoded may hold line breaks."""
    path: bytes = scope["raw_path"]
    return path.decode("ascii")


def _given_up(exchange: Exchange) -> bool:
    """Whether nobody waits for the response any more: to stop is then no failure of the application."""
    return exchange.over or exchange.client_left

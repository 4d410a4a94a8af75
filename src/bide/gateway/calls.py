"""What the ASGI gateway awaits: the application's run, and its `receive`.

Coroutines stay interpreted, here and in `bide.worker.waiting`: mypyc's hand exceptions on in a form that Python 3.12 deprecates.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from bide.exchange import Exchange

if TYPE_CHECKING:
    from bide.gateway.asgi import Application, Cycle, Message, Scope

_log = logging.getLogger("bide.error")


async def run(app: Application, cycle: Cycle, scope: Scope, running: set[Cycle]) -> None:
    """Run the application. Each run is a task of its own, so context variables stay its own."""
    exchange = cycle.exchange
    try:
        await app(scope, cycle.receive, cycle.send)
    except asyncio.CancelledError:
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
        exchange.finished()
        running.discard(cycle)


async def receive(cycle: Cycle) -> Message:
    """Return the next `http.request`, or `http.disconnect` once the client has left or the exchange is over."""
    exchange = cycle.exchange
    while not exchange.over:
        if not cycle.body_given:
            body = exchange.take()
            complete = exchange.body_complete
            if body or complete:
                cycle.body_given = complete
                return {"type": "http.request", "body": body, "more_body": not complete}
        elif exchange.client_left:
            break
        await exchange.changed()
    return {"type": "http.disconnect"}


def _target(scope: Scope) -> str:
    """Return the path for the log: as sent, since what is decoded may hold line breaks."""
    path: bytes = scope["raw_path"]
    return path.decode("ascii")


def _given_up(exchange: Exchange) -> bool:
    """Whether nobody waits for the response any more: to stop is then no failure of the application."""
    return exchange.over or exchange.client_left

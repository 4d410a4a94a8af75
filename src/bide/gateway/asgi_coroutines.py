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


# Seconds for which an application that hears of it by `receive` may go on sending to a client that is gone. nginx reads as long for a
# client that may be gone (lingering_timeout).
_SEND_GRACE: Final = 5.0


async def run(app: Application, cycle: AsgiExchange, scope: Scope, running: set[AsgiExchange]) -> None:
    """Run the application. Each run is a task of its own, so context variables stay its own."""
    exchange = cycle.exchange
    try:
        await app(scope, cycle.receive, cycle.send)
    except (asyncio.CancelledError, Stopped):
        if not _given_up(exchange):
            _log.warning("%s %s: cancelled before its response was complete", scope["method"], _target(scope))
    except BaseException as error:
        if _given_up(exchange) and (not exchange.complete or isinstance(error, DisconnectedError)):
            # What an application raises when its client has left, or awaits nothing more, is its way to end. The access log has the
            # reason.
            _log.debug("%s %s: ended by %r after its client had left", scope["method"], _target(scope), error)
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
        if not cycle.body_delivered:
            body = exchange.take()
            complete = exchange.body_complete
            if body or complete:
                cycle.body_delivered = complete
                return {"type": "http.request", "body": body, "more_body": not complete}
        if exchange.client_left:
            break
        cycle.receivers_waiting += 1
        try:
            await exchange.changed()
        finally:
            cycle.receivers_waiting -= 1
    cycle.disconnect_delivered = True
    exchange.disconnect_delivered()
    return {"type": "http.disconnect"}


async def send(cycle: AsgiExchange, message: Message) -> None:
    """Send from where this is awaited."""
    await cycle.send(message)


async def flowing(cycle: AsgiExchange, flows: Awaitable[None]) -> None:
    """Wait until the client's side has taken enough for more, or is gone."""
    try:
        await flows
    except DisconnectedError:
        if not may_send_in_vain(cycle):
            raise


def may_send_in_vain(cycle: AsgiExchange) -> bool:
    """Return whether a send that nobody takes does nothing, as ASGI 2.3 has it; otherwise it raises, as 2.4 has it.

    An application that listens for `http.disconnect` ends by that event, and what it does after the response is still done. One that
    does not would not hear of the end in any other way. A response that is complete with its head (to HEAD, say) is no end at all.
    But a loop that sends for ever must end some day.
    """
    now = monotonic()
    if not cycle.grace_until:
        cycle.grace_until = now + _SEND_GRACE
    is_listening = cycle.disconnect_delivered or cycle.receivers_waiting > 0
    return (is_listening or cycle.exchange.complete) and now < cycle.grace_until


async def turn() -> None:
    """Let others run."""
    await asyncio.sleep(0)


def _target(scope: Scope) -> str:
    """Return the path for the log: as sent, since what is decoded may hold line breaks."""
    path: bytes = scope["raw_path"]
    return path.decode("ascii")


def _given_up(exchange: Exchange) -> bool:
    """Whether nobody waits for the response any more: to stop is then no failure of the application."""
    return exchange.over or exchange.client_left

"""What an exchange awaits: content from the client, and that the client takes what was written. See `bide.gateway.calls`."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bide.worker.served import ServedExchange


async def changed(exchange: ServedExchange) -> None:
    """See `bide.exchange.Exchange.changed`; the body clock runs while the body is incomplete."""
    if exchange.over:
        return
    session = exchange.session
    if exchange.body_complete:
        await exchange.news()
    elif not exchange.connection.has_content:
        exchange.await_body()
        try:
            await exchange.news()
        finally:
            if not exchange.over:
                session.body_awaited = False
                if exchange.body is not None:
                    exchange.body.left_off = monotonic()
                session.settle()


async def flowing(exchange: ServedExchange) -> None:
    """Give others their turn, or wait until the client takes what was written."""
    await asyncio.sleep(0)
    while exchange.session.stuck and not exchange.over:
        await exchange.news()
    exchange.require_open()

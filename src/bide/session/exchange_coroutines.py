"""Waits for an exchange: for content from the client, and until the client takes what was written.

Coroutines stay interpreted; `bide.gateway.asgi_coroutines` says why.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bide.session.exchange import ServedExchange


async def changed(exchange: ServedExchange) -> None:
    """See `bide.exchange.Exchange.changed`; the body clock runs while the body is incomplete."""
    if exchange.over:
        return
    if exchange.body_complete:
        await exchange.news()
    elif not exchange.connection.has_content:
        exchange.await_body()
        try:
            await exchange.news()
        finally:
            exchange.await_body_no_more()


async def flowing(exchange: ServedExchange) -> None:
    """Give others their turn, or wait until the client takes what was written."""
    await asyncio.sleep(0)
    while exchange.carrier.is_write_paused and not exchange.over and not exchange.is_let_go():
        await exchange.flow_news()
    if not exchange.complete:  # by another task of the application
        exchange.require_open()

"""Waits for an exchange: for content, or for the client to take the output.

Coroutines stay interpreted; `bide.gateway.asgi_coroutines` says why.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bide.session.exchange import FileTransfer, ServedExchange


async def changed(exchange: ServedExchange) -> None:
    """Wait for news, as `bide.exchange.Exchange.changed` says.

    The body clock runs if the body is incomplete.
    """
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
    """Give other tasks their turn, then wait until the client takes the output."""
    await asyncio.sleep(0)
    while exchange.carrier.is_write_paused and not exchange.over and not exchange.is_let_go():
        await exchange.flow_news()
    if not exchange.complete:  # another task may have completed it
        exchange.require_open()


async def sending_file(exchange: ServedExchange, transfer: FileTransfer) -> None:
    """Send the rest of a file, at the pace at which the client takes it."""
    while True:
        await flowing(exchange)
        if exchange.advance(transfer):
            return

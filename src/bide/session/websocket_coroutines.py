"""Holds the coroutines of a served WebSocket: waiting for messages, and for the client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bide.errors import DisconnectedError

if TYPE_CHECKING:
    from bide.session.websocket import ServedWebSocket


async def changed(websocket: ServedWebSocket) -> None:
    """Wait for a message, or for the end."""
    if not websocket.has_news:
        await websocket.news()


async def flowing(websocket: ServedWebSocket) -> None:
    """Give other tasks their turn, then wait until the client takes the output."""
    await asyncio.sleep(0)
    while websocket.is_stuck:
        await websocket.flow_news()
    if websocket.over:
        raise DisconnectedError("the client is gone")

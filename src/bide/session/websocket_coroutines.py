"""Holds the coroutine of a served WebSocket, which waits for the client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bide.errors import DisconnectedError

if TYPE_CHECKING:
    from bide.session.websocket import ServedWebSocket


async def flowing(websocket: ServedWebSocket) -> None:
    """Give other tasks their turn, then wait until the client takes the output."""
    await asyncio.sleep(0)
    while websocket.is_stuck:
        await websocket.flow_news()
    if websocket.over:
        raise DisconnectedError("the client is gone")

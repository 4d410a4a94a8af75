"""Holds the bounds of a WebSocket."""

from __future__ import annotations

from typing import final


@final
class WebSocketLimits:
    """Bounds what one WebSocket holds. `bide.config` describes each.

    max_size: octets of a message.
    max_queue: messages that wait for the application.
    buffer: octets that wait in all; a message may be longer alone.
    """

    __slots__ = ("buffer", "max_queue", "max_size")

    def __init__(self, max_size: int, max_queue: int, buffer: int) -> None:
        self.max_size = max_size
        self.max_queue = max_queue
        self.buffer = buffer

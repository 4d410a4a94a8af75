"""Holds the bounds of a WebSocket."""

from __future__ import annotations

from typing import NamedTuple


class WebSocketLimits(NamedTuple):
    """Bounds what one WebSocket holds. `bide.config` describes each.

    max_size: octets of a message.
    max_queue: messages that wait for the application.
    buffer: octets that wait in all; a message may be longer alone.
    """

    max_size: int
    max_queue: int
    buffer: int

"""Holds response heads for their first content until the pass of the event loop is over.

A head and its content leave in one write if the application gives both in one pass, as nearly all
do. A head without content is still written after the pass: an event stream opens with it.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import final

from bide.exchange import Exchange


class HeadHolder(Exchange):
    """An exchange that may hold a head."""

    __slots__ = ()

    @abstractmethod
    def release_head(self) -> None:
        """Write a held head without its content."""


@final
class HeldHeads:
    """Keeps the exchanges of one worker whose heads were given in this pass.

    given: exchanges. The caller must call `schedule` before it adds the first.
    """

    __slots__ = ("_loop", "given")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.given: list[HeadHolder] = []

    def schedule(self) -> None:
        """Schedule the release of all held heads for the end of the pass."""
        self._loop.call_soon(self._pass_over)

    def _pass_over(self) -> None:
        given, self.given = self.given, []
        for exchange in given:
            if not exchange.over:
                exchange.release_head()

"""Response heads that wait for their first content, until the pass of the event loop is over.

A head and its content leave in one write if the application gives both in one pass, as nearly all do. A head whose content is not
ready yet is news for the client all the same: an event stream opens with it.
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
        """Write a head that is held without waiting for content any longer."""


@final
class HeldHeads:
    """The exchanges of one worker whose heads were given in this pass.

    given: exchanges; `schedule` is called before the first is added.
    """

    __slots__ = ("_loop", "given")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.given: list[HeadHolder] = []

    def schedule(self) -> None:
        """Have what is held released when the pass is over."""
        self._loop.call_soon(self._pass_over)

    def _pass_over(self) -> None:
        given, self.given = self.given, []
        for exchange in given:
            if not exchange.over:
                exchange.release_head()

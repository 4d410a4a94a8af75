"""Response heads that wait for their first content, until the pass of the event loop is over.

A head and its content leave in one write if the application gives both in one pass, as nearly all do. A head whose content is not
ready yet is news for the client all the same: an event stream opens with it.
"""

from __future__ import annotations

import asyncio
from typing import final

from bide.session.carrier import Carrier


@final
class HeldHeads:
    """The sessions of one worker that hold a head in this pass."""

    __slots__ = ("_holding", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._holding: list[Carrier] = []

    def hold(self, carrier: Carrier) -> None:
        """Take a session that holds a head."""
        holding = self._holding
        if not holding:
            self._loop.call_soon(self._pass_over)
        holding.append(carrier)

    def _pass_over(self) -> None:
        holding, self._holding = self._holding, []
        for carrier in holding:
            carrier.release_head()

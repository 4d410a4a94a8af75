"""Runs a WSGI application on the event loop's thread (`--threads 0`)."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import final

from bide.gateway.file_wrapper import FilePart
from bide.gateway.wsgi_call import WsgiCall


@final
class LoopCall(WsgiCall):
    """Gives the response to the exchange at once.

    `write` cannot wait for the client. What it gives beyond the client's pace is held in memory.
    """

    __slots__ = ()

    def _put(self, content: bytes, more: bool) -> Awaitable[None]:
        exchange = self.exchange
        if not self._has_begun:
            exchange.respond(self._status, self._fields, False)
        return exchange.send(content, more)

    def _put_file(self, part: FilePart) -> Awaitable[None]:
        exchange = self.exchange
        if not self._has_begun:
            exchange.respond(self._status, self._fields, False)
        return exchange.send_file(part.descriptor, part.offset, part.octets, False)

    def _is_cut(self) -> bool:
        return self.exchange.over and not self._is_whole

"""Runs a WSGI application on the event loop's thread (`--threads 0`)."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable
from typing import IO, final

from bide.exchange import DONE, Exchange
from bide.gateway.application import WsgiApplication
from bide.gateway.file_wrapper import FilePart
from bide.gateway.wsgi_call import Environ, WsgiCall, forget
from bide.gateway.wsgi_coroutines import flush_written


@final
class LoopCall(WsgiCall):
    """Gives the response to the exchange at once.

    `write` cannot wait for the client. If the client has not taken what was sent, the rest goes
    into an unnamed file, which is sent once the application has returned.
    """

    __slots__ = ("_held", "_is_last_held", "_stuck")

    def __init__(self, app: WsgiApplication, exchange: Exchange, environ: Environ) -> None:
        super().__init__(app, exchange, environ)
        self._stuck: Awaitable[None] = DONE  # what `write` should have waited for
        self._held: IO[bytes] | None = None  # content that was written since
        self._is_last_held = False  # it completes the response

    def _put(self, content: bytes, more: bool) -> Awaitable[None]:
        if self._stuck is not DONE and self._iterator is None:
            if self._held is None:
                self._held = tempfile.TemporaryFile()  # noqa: SIM115  # `_drop_written` closes it
            self._held.write(content)
            self._is_last_held = not more
            return DONE
        exchange = self.exchange
        if not self._has_begun:
            exchange.respond(self._status, self._fields, False)
        return exchange.send(content, more)

    def _put_file(self, part: FilePart) -> Awaitable[None]:
        exchange = self.exchange
        if not self._has_begun:
            exchange.respond(self._status, self._fields, False)
        return exchange.send_file(part.descriptor, part.offset, part.octets, False)

    def _written(self, flows: Awaitable[None]) -> None:
        if flows is not DONE:
            forget(self._stuck)
            self._stuck = flows

    def _flush_written(self) -> Awaitable[None]:
        if self._held is None:
            return self._stuck
        return flush_written(self._stuck, self.exchange, self._held, not self._is_last_held)

    def _drop_written(self) -> None:
        forget(self._stuck)
        self._stuck = DONE
        if self._held is not None:
            self._held.close()

    def _is_cut(self) -> bool:
        return self.exchange.over and not self._is_whole

"""Holds the coroutines of the WSGI gateway: what its calls wait for on the event loop.

Coroutines stay interpreted; `bide.gateway.asgi_coroutines` says why.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Awaitable, Callable
from typing import IO, Final

from bide.errors import DisconnectedError
from bide.exchange import DONE, Exchange

_log = logging.getLogger("bide.error")

# Octets of a request body held in memory; a longer body goes into a file. (waitress: 512 KiB)
_BODY_IN_MEMORY_OCTETS: Final = 1 << 18


async def complete(
    flows: Awaitable[None], go_on: Callable[[], Awaitable[None]], give_up: Callable[[BaseException], None]
) -> None:
    """Wait for `flows`, then for what `go_on` returns each time, until that is DONE.

    give_up: called with the exception if a wait fails.
    """
    while flows is not DONE:
        try:
            await flows
        except BaseException as error:
            give_up(error)
            return
        flows = go_on()


async def flush_written(stuck: Awaitable[None], exchange: Exchange, held: IO[bytes], more: bool) -> None:
    """Send content that the application wrote before its client had taken earlier content.

    stuck: ends once the client has taken what was sent before.
    held: the content.
    more: whether the application has more to send.
    """
    await stuck
    held.flush()
    await exchange.send_file(held.fileno(), 0, held.tell(), more)


async def feed(exchange: Exchange, answer: Callable[[], bool]) -> None:
    """Wait for request content until `answer` has been given some."""
    while not answer():
        await exchange.changed()


async def receive(exchange: Exchange, limit: int, refuse: Callable[[Exchange], None]) -> IO[bytes] | None:
    """Return the whole request body, as a file whose position is its end.

    Return None if the application is not to be called: the body has more than `limit` octets, and
    `refuse` was called, or it cannot become complete.
    """
    body = tempfile.SpooledTemporaryFile(_BODY_IN_MEMORY_OCTETS)  # noqa: SIM115  # the caller closes it
    try:
        if await _receive(exchange, body, limit):
            return body
        if not exchange.over:
            refuse(exchange)
    except (DisconnectedError, asyncio.CancelledError):
        pass
    except OSError:
        _log.exception("a request body could not be stored")
    body.close()
    return None


async def _receive(exchange: Exchange, body: IO[bytes], limit: int) -> bool:
    """Write the whole request body to `body`; return False if it has more than `limit` octets.

    Raises DisconnectedError if the body cannot become complete, OSError if it cannot be stored.
    """
    left = limit
    while exchange.request.length <= limit:
        content = exchange.take()
        left -= len(content)
        if left < 0:
            break
        body.write(content)
        if exchange.body_complete:
            return True
        if exchange.over or exchange.client_left:
            raise DisconnectedError("the client is gone")
        await exchange.changed()
    return False

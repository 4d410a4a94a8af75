"""Serves WSGI applications (PEP 3333).

https://peps.python.org/pep-3333/
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import io
from collections.abc import Awaitable
from typing import Any, Final, final

from bide.exchange import DONE, Exchange, Gateway
from bide.gateway.application import WsgiApplication
from bide.gateway.environ import Environs
from bide.gateway.threads import Threads
from bide.gateway.wsgi_call import forget
from bide.gateway.wsgi_coroutines import complete, receive_and_run
from bide.gateway.wsgi_input import WsgiInput
from bide.gateway.wsgi_loop import LoopCall
from bide.gateway.wsgi_threads import Crossing, ThreadCall

_TOO_LARGE: Final = b"the request body is too large\n"


@final
class WsgiGateway(Gateway):
    """Calls the application for each exchange: on threads, or on the event loop's thread."""

    def __init__(
        self,
        app: WsgiApplication,
        loop: asyncio.AbstractEventLoop,
        root_path: str = "",
        *,
        threads: Threads | None,
        limit_body: int,
        has_processes: bool = False,
    ) -> None:
        """Keep the values that every call is made from.

        root_path: path below which the application is mounted.
        threads: what calls the application; None to call it on the event loop's thread.
        limit_body: octets of a request body that is received before such a call.
        has_processes: whether other processes serve the same application.
        """
        self._app = app
        self._loop = loop
        self._threads = threads
        self._limit_body = limit_body
        self._environs = Environs(root_path, has_threads=threads is not None, has_processes=has_processes)
        # Context variables that a call sets must not be seen by another.
        self._context = contextvars.copy_context()
        self._crossings: set[Crossing] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, exchange: Exchange) -> None:
        """Begin to serve `exchange`."""
        if self._threads is not None:
            self._start_on_thread(exchange, self._threads)
            return
        context = self._context.copy()
        if not exchange.body_complete:
            task = self._loop.create_task(
                receive_and_run(exchange, self._limit_body, self._call, _refuse), name="bide-request", context=context
            )
            self._tasks.add(task)
            task.add_done_callback(functools.partial(self._ended, exchange))
            return
        call = self._call(exchange, io.BytesIO(exchange.take()))
        flows = context.run(call.run)
        if flows is not DONE:
            task = self._loop.create_task(
                complete(flows, call.go_on, call.give_up), name="bide-request", context=context
            )
            self._tasks.add(task)
            task.add_done_callback(functools.partial(self._completed, call, flows))
        elif not exchange.over:
            exchange.finished()

    # -- On threads --------------------------------------------------------------------------------

    def _start_on_thread(self, exchange: Exchange, threads: Threads) -> None:
        crossing = Crossing(threads, self._loop, exchange, self._context.copy(), self._crossings.discard)
        environ = self._environs.of(exchange)
        content = exchange.take()
        environ["wsgi.input"] = io.BytesIO(content) if exchange.body_complete else WsgiInput(content, crossing.receive)
        call = ThreadCall(self._app, exchange, environ)
        call.crosses_by(crossing)
        self._crossings.add(crossing)
        crossing.begin(call)

    # -- On the event loop's thread ----------------------------------------------------------------

    def _call(self, exchange: Exchange, body: Any) -> LoopCall:  # noqa: ANN401  # any file
        """Make a call. body: the request body, a binary file."""
        environ = self._environs.of(exchange)
        environ["wsgi.input"] = body
        return LoopCall(self._app, exchange, environ)

    def _completed(self, call: LoopCall, flows: Awaitable[None], task: asyncio.Task[None]) -> None:
        if not call.has_ended:  # cancelled before it ran
            forget(flows)
            call.give_up(asyncio.CancelledError())
        self._ended(call.exchange, task)

    def _ended(self, exchange: Exchange, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not exchange.over:
            exchange.finished()

    # -- The stop ----------------------------------------------------------------------------------

    @property
    def running(self) -> int:
        """Calls of the application that have not ended; once they are cancelled, threads too."""
        calls = len(self._tasks) + len(self._crossings)
        if self._threads is not None and self._threads.is_ending:
            return max(calls, self._threads.count)
        return calls

    def cancel(self) -> None:
        """Cancel the calls: each is told when it next reads or writes, or at once if it waits."""
        for task in list(self._tasks):
            task.cancel()
        for crossing in list(self._crossings):
            crossing.cancel()
        if self._threads is not None:
            self._threads.end()

    def drain(self) -> None:
        """Do nothing: WSGI has no event for a drain."""


def _refuse(exchange: Exchange) -> None:
    """Answer a request whose body is too large (RFC 9110, 15.5.14)."""
    exchange.respond(413, [(b"content-type", b"text/plain; charset=utf-8")], False)
    exchange.send(_TOO_LARGE, False)

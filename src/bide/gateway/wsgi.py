"""Serves WSGI applications (PEP 3333).

https://peps.python.org/pep-3333/
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import io
from collections.abc import Awaitable
from typing import IO, Any, Final, final

from bide.exchange import DONE, Exchange, Gateway
from bide.gateway.application import WsgiApplication
from bide.gateway.environ import Environs, tell_length
from bide.gateway.threads import Threads
from bide.gateway.wsgi_call import Environ, forget
from bide.gateway.wsgi_coroutines import complete, receive
from bide.gateway.wsgi_input import WsgiInput
from bide.gateway.wsgi_loop import LoopCall
from bide.gateway.wsgi_threads import Crossing, ThreadCall
from bide.message import CHUNKED

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
        limit_body: octets of a request body that is received before the call.
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
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, exchange: Exchange) -> None:
        """Begin to serve `exchange`.

        A body is read while it comes if a thread can wait for it. A chunked one is received first,
        since an application must be told its length.
        """
        threads = self._threads
        if not exchange.body_complete and (threads is None or exchange.request.length == CHUNKED):
            task = self._loop.create_task(receive(exchange, self._limit_body, _refuse), name="bide-receive")
            self._tasks.add(task)
            task.add_done_callback(functools.partial(self._received, exchange))
            return
        content = exchange.take()
        if threads is None:
            self._call_on_loop(exchange, io.BytesIO(content), len(content))
            return
        crossing = self._crossing(exchange, threads)
        body = io.BytesIO(content) if exchange.body_complete else WsgiInput(content, crossing.receive)
        self._call_on_thread(crossing, self._environ(exchange, body, len(content)), None)

    def _received(self, exchange: Exchange, task: asyncio.Task[IO[bytes] | None]) -> None:
        self._tasks.discard(task)
        body = None if task.cancelled() else task.result()
        if body is None:
            if not exchange.over:
                exchange.finished()
            return
        octets = body.tell()
        body.seek(0)
        if self._threads is None:
            self._call_on_loop(exchange, body, octets)
        else:
            self._call_on_thread(self._crossing(exchange, self._threads), self._environ(exchange, body, octets), body)

    def _environ(self, exchange: Exchange, body: Any, octets: int) -> Environ:  # noqa: ANN401  # any file
        """Make the environ of a call.

        body: the request body, a binary file.
        octets: their number.
        """
        environ = self._environs.of(exchange)
        environ["wsgi.input"] = body
        if exchange.request.length == CHUNKED:
            tell_length(environ, octets)
        return environ

    # -- On threads --------------------------------------------------------------------------------

    def _crossing(self, exchange: Exchange, threads: Threads) -> Crossing:
        crossing = Crossing(threads, self._loop, exchange, self._context.copy(), self._crossings.discard)
        self._crossings.add(crossing)
        return crossing

    def _call_on_thread(self, crossing: Crossing, environ: Environ, body: IO[bytes] | None) -> None:
        """Have a thread call the application. body: a file that the thread closes."""
        call = ThreadCall(self._app, crossing.exchange, environ)
        call.crosses_by(crossing)
        crossing.begin(call, body)

    # -- On the event loop's thread ----------------------------------------------------------------

    def _call_on_loop(self, exchange: Exchange, body: IO[bytes], octets: int) -> None:
        """Call the application.

        body: a file, which is closed at the end.
        octets: its size.
        """
        context = self._context.copy()
        call = LoopCall(self._app, exchange, self._environ(exchange, body, octets))
        flows = context.run(call.run)
        if flows is DONE:
            self._ended(call, body)
            return
        task = self._loop.create_task(complete(flows, call.go_on, call.give_up), name="bide-request", context=context)
        self._tasks.add(task)
        task.add_done_callback(functools.partial(self._completed, call, flows, body))

    def _completed(self, call: LoopCall, flows: Awaitable[None], body: IO[bytes], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not call.has_ended:  # cancelled before it ran
            forget(flows)
            call.give_up(asyncio.CancelledError())
        self._ended(call, body)

    def _ended(self, call: LoopCall, body: IO[bytes]) -> None:
        body.close()
        if not call.exchange.over:
            call.exchange.finished()

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

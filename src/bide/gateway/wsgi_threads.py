"""Runs a WSGI application on a thread, while its exchange stays with the event loop.

What crosses is bounded both ways. Each side writes its own attributes and reads those of the other.
A side first writes, then wakes the other; it clears its alarm before it reads. So no wake-up is
lost.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import IO, Final, final

from bide.errors import DisconnectedError
from bide.exchange import DONE, Exchange
from bide.gateway.file_wrapper import FilePart
from bide.gateway.threads import Job, Threads
from bide.gateway.wsgi_call import UNDECLARED, WsgiCall
from bide.gateway.wsgi_coroutines import complete, feed

# Octets of content that a thread may give before the client's buffer has space for them. The thread
# then sleeps until half of them have left.
_WINDOW_OCTETS: Final = 1 << 18
_LOW_WATER_OCTETS: Final = 1 << 17


@final
class Crossing(Job):
    """Carries content between the thread of one call and its exchange."""

    __slots__ = (
        "_alarm",
        "_answered",
        "_asked",
        "_body",
        "_call",
        "_context",
        "_ended",
        "_fields",
        "_given",
        "_has_begun",
        "_has_ended",
        "_in_hand",
        "_incoming",
        "_is_body_over",
        "_is_done",
        "_is_endless",
        "_is_feeding",
        "_is_sending",
        "_is_told",
        "_loop",
        "_pieces",
        "_runs_on",
        "_status",
        "_taken",
        "_threads",
        "exchange",
        "is_cut",
    )

    def __init__(
        self,
        threads: Threads,
        loop: asyncio.AbstractEventLoop,
        exchange: Exchange,
        context: contextvars.Context,
        ended: Callable[[Crossing], None],
    ) -> None:
        """Carry for `exchange`. `begin` must follow.

        context: context that the call runs in.
        ended: called once the call has ended, on the event loop's thread.
        """
        self._threads = threads
        self._loop = loop
        self.exchange = exchange
        self._context = context
        self._ended = ended
        self._call: WsgiCall | None = None
        self._body: IO[bytes] | None = None  # for the thread to close
        # Written by the thread.
        self._status = 0
        self._fields: list[tuple[bytes, bytes]] = []
        self._is_endless = False
        self._given = 0  # octets of content
        self._asked = 0  # times that request content was asked for
        self._is_done = False
        self._runs_on: threading.Thread | None = None
        self._alarm: threading.Lock | None = None  # the thread sleeps until the loop releases it
        # Written by the event loop.
        self.is_cut = False  # nothing that is given leaves any more
        self._taken = 0  # octets of content
        self._in_hand = 0  # octets of the piece that waits for space
        self._answered = 0
        self._incoming = b""
        self._is_body_over = exchange.body_complete
        self._has_begun = False
        self._is_sending = False  # a task waits until the client takes more
        self._is_feeding = False  # a task waits for request content
        self._has_ended = False
        # Written by both.
        self._pieces: deque[tuple[bytes | FilePart, bool]] = deque()
        self._is_told = False  # the loop was told, and has not looked yet

    def begin(self, call: WsgiCall, body: IO[bytes] | None = None) -> None:
        """Have a thread run `call`. body: a file that the thread closes at the end."""
        self._call = call
        self._body = body
        self._threads.give(self)

    # -- On the thread -----------------------------------------------------------------------------

    def run(self, thread: threading.Thread) -> None:
        call = self._call
        exchange = self.exchange
        # Nobody wants the answer of a request whose client has left while it waited for a thread.
        if call is not None and not (self.is_cut or exchange.over or exchange.client_left):
            self._runs_on = thread
            self._context.run(call.run)
        if self._body is not None:
            self._body.close()
        self._is_done = True
        self._tell()

    def respond(self, status: int, fields: list[tuple[bytes, bytes]], is_endless: bool) -> None:
        """Give the head of the response, which leaves with the first content.

        is_endless: whether the response has no end in sight, since its length is not declared.
        """
        self._status = status
        self._fields = fields
        self._is_endless = is_endless

    def send(self, content: bytes, more: bool, is_last_news: bool) -> None:
        """Give content; wait while too much of it is ahead of the client.

        Raises DisconnectedError if the response is cut.

        is_last_news: whether `run` returns at once, and can tell of this, too.
        """
        self._pieces.append((content, more))
        self._given += len(content)
        if not is_last_news:
            self._tell()
        if more and self._given - self._taken > _WINDOW_OCTETS:
            while self._given - self._taken > _LOW_WATER_OCTETS and not self.is_cut:
                self._sleep()
        if self.is_cut:
            raise DisconnectedError("the client is gone")

    def send_file(self, part: FilePart) -> None:
        """Give a part of a file, which completes the content; wait until it is sent.

        Raises DisconnectedError if the response is cut.
        """
        self._pieces.append((part, False))
        self._given += part.octets
        self._tell()
        while self._given != self._taken and not self.is_cut:
            self._sleep()
        if self.is_cut:
            raise DisconnectedError("the client is gone")

    def receive(self) -> bytes:
        """Wait for request content, and return it; b"" at the end of the body.

        Raises DisconnectedError if the body will never be complete.
        """
        if self._is_body_over:
            return b""
        self._asked += 1
        self._tell()
        while self._answered != self._asked and not self.is_cut:
            self._sleep()
        content = self._incoming
        self._incoming = b""
        if not content and not self._is_body_over:
            raise DisconnectedError("the request body will never be complete")
        return content

    def _tell(self) -> None:
        if not self._is_told:
            self._is_told = True
            self._threads.tell(self)

    def _sleep(self) -> None:
        """Sleep until the event loop wakes this thread. The caller then looks, and may sleep again.

        The first call only sets up the alarm: what happened before could not ring it.
        """
        if self._alarm is None:
            alarm = threading.Lock()
            alarm.acquire()
            self._alarm = alarm
        else:
            self._alarm.acquire()

    # -- On the event loop's thread ----------------------------------------------------------------

    def settle(self) -> None:
        self._is_told = False  # first: what is told from now on brings another call
        if self._has_ended:
            return
        if not self._is_sending:
            flows = self._go_on()
            if flows is not DONE:
                self._is_sending = True
                sending = self._loop.create_task(complete(flows, self._go_on, self.cut), name="bide-send")
                sending.add_done_callback(self._sent)
        if self._asked != self._answered and not self._is_feeding and not self._answer():
            self._is_feeding = True
            feeding = self._loop.create_task(feed(self.exchange, self._answer), name="bide-receive")
            feeding.add_done_callback(self._fed)
        if self._is_done and not self._is_sending:
            self._end()

    def cancel(self) -> None:
        """Tell the thread that the server is stopping; name it after its request, for the log."""
        self.cut(DisconnectedError("the server is stopping"))
        if self._runs_on is not None and not self._is_done:
            request = self.exchange.request
            self._runs_on.name = f"{request.method} {request.path.decode('ascii')}"

    def cut(self, error: BaseException) -> None:
        """Send nothing more, since `error` was raised; tell the thread."""
        if not self.is_cut:
            self.is_cut = True
            if self._call is not None and not isinstance(error, DisconnectedError):
                self._call.log_failure(error)
        self._pieces.clear()
        self._wake()

    def _go_on(self) -> Awaitable[None]:
        """Send what was given; return DONE, or what to wait for before this is called again."""
        self._taken += self._in_hand
        self._in_hand = 0
        exchange = self.exchange
        pieces = self._pieces
        if exchange.client_left and self._is_endless and not (pieces and not pieces[-1][1]):
            self.cut(DisconnectedError("the client is gone"))
        if self.is_cut:
            pieces.clear()
            return DONE
        flows: Awaitable[None] = DONE
        try:
            while pieces and flows is DONE:
                content, more = pieces.popleft()
                if not self._has_begun:
                    exchange.respond(self._status, self._fields, False)
                    self._has_begun = True
                if isinstance(content, FilePart):
                    octets = content.octets
                    flows = exchange.send_file(content.descriptor, content.offset, octets, more)
                else:
                    octets = len(content)
                    flows = exchange.send(content, more)
                if flows is DONE:
                    self._taken += octets
                else:
                    self._in_hand = octets
        except Exception as error:
            self.cut(error)
        if self._given - self._taken <= _LOW_WATER_OCTETS:
            self._wake()
        return flows

    def _sent(self, _task: asyncio.Task[None]) -> None:
        self._is_sending = False
        self.settle()

    def _answer(self) -> bool:
        """Give request content to the thread, which waits for it; return False if there is none."""
        exchange = self.exchange
        if not exchange.over:
            content = exchange.take()
            is_over = exchange.body_complete
            if not (content or is_over or exchange.client_left):
                return False
            self._incoming = content
            self._is_body_over = is_over
        self._answered = self._asked
        self._wake()
        return True

    def _fed(self, _task: asyncio.Task[None]) -> None:
        self._is_feeding = False
        self.settle()  # the thread may have asked again before this was known

    def _wake(self) -> None:
        """Wake the thread, if it sleeps or is about to. Only the event loop does."""
        alarm = self._alarm
        if alarm is not None and alarm.locked():
            alarm.release()

    def _end(self) -> None:
        self._has_ended = True
        self._call = None  # it refers to this object
        if not self.exchange.over:
            self.exchange.finished()
        self._ended(self)


@final
class ThreadCall(WsgiCall):
    """Gives the response to the event loop."""

    __slots__ = ("_crossing",)

    _crossing: Crossing

    def _put(self, content: bytes, more: bool) -> Awaitable[None]:
        crossing = self._crossing
        if not self._has_begun:
            crossing.respond(self._status, self._fields, self._declared == UNDECLARED)
        # What is neither iterated nor closed is followed by the end of the call.
        crossing.send(content, more, not more and isinstance(self._result, list | tuple))
        return DONE

    def _put_file(self, part: FilePart) -> Awaitable[None]:
        crossing = self._crossing
        if not self._has_begun:
            crossing.respond(self._status, self._fields, False)
        crossing.send_file(part)
        return DONE

    def _written(self, flows: Awaitable[None]) -> None:
        pass  # the thread has waited

    def _flush_written(self) -> Awaitable[None]:
        return DONE

    def _drop_written(self) -> None:
        pass

    def _is_cut(self) -> bool:
        return self._crossing.is_cut or (self.exchange.over and not self._is_whole)

    def crosses_by(self, crossing: Crossing) -> None:
        """Take what carries the response. To be called before the call runs."""
        self._crossing = crossing

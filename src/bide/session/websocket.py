"""Serves one WebSocket: its queue, its clocks, its closing handshake and the reason of its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final, final

from bide.errors import DisconnectedError, Misuse
from bide.exchange import DONE, TunnelEnd, WebSocket
from bide.session.carrier import Carrier
from bide.session.context import SessionContext
from bide.session.waiters import Waiters, complete, joined
from bide.session.websocket_coroutines import flowing
from bide.terms import Clock, CloseReason
from bide.websocket.handshake import Handshake

if TYPE_CHECKING:
    from bide.websocket.messages import Messages

# Octets that are made into messages at a time, so that the queue is checked in between. The rest of
# a longer frame comes with them: a frame in 16 pieces takes twice the time.
_PIECE: Final = 1 << 16

# Octets sent before other tasks get their turn: about a millisecond's work.
_FAIR_OCTETS: Final = 1 << 20

# Close codes (RFC 6455, 7.4.1; 1012 is registered with IANA).
_NORMAL: Final = 1000
_ABNORMAL: Final = 1006  # never sent: the connection ended without a Close frame
_INTERNAL_ERROR: Final = 1011
_SERVICE_RESTART: Final = 1012

# A name of the module is found faster than a member of an Enum through its class.
_PING: Final = Clock.WS_PING
_PONG: Final = Clock.WS_PONG
_CLOSE: Final = Clock.WS_CLOSE


@final
class ServedWebSocket(WebSocket):
    """Serves one WebSocket of a session, as `bide.exchange.WebSocket` describes."""

    __slots__ = (
        "_carrier",
        "_clock",
        "_context",
        "_end",
        "_ending",
        "_messages",
        "_senders",
        "_sent",
        "_unread",
        "_waiters",
    )

    def __init__(self, carrier: Carrier, context: SessionContext, handshake: Handshake) -> None:
        from bide.websocket.messages import Messages  # imports `websockets`, at the first WebSocket

        self._carrier = carrier
        self._context = context
        self._messages: Messages = Messages(context.websocket_limits.max_size, handshake.deflate)
        self._end: TunnelEnd
        self._unread = b""  # received, but not yet made into messages, since the queue is full
        self._clock: Clock | None = _PING
        self._ending: CloseReason | None = None  # why it ends; None while it is open
        self._waiters: Waiters | None = None
        self._senders: Waiters | None = None
        self._sent = 0  # octets sent since other tasks had their turn
        self.messages_received = 0
        self.messages_sent = 0
        self.over = False
        self.code = _ABNORMAL
        self.reason = ""

    # -- What the gateway asks ---------------------------------------------------------------------

    def take(self) -> str | bytes | None:
        messages = self._messages
        if not messages.received:
            return None
        message: str | bytes = messages.take()
        if self._clock is None and len(messages.received) <= self._context.websocket_limits.max_queue // 2:
            self._read(b"")
        return message

    def changed(self) -> Awaitable[None]:
        return DONE if self.has_news else self._news()

    def send(self, message: str | bytes) -> Awaitable[None]:
        if self.over:
            if self._ending is CloseReason.WEBSOCKET_APPLICATION_CLOSE:
                raise Misuse("the WebSocket is closed")
            raise DisconnectedError("the client is gone")
        self._messages.send(message)
        self.messages_sent += 1
        self._write()
        self._sent += len(message)
        if self._carrier.is_write_paused or self._sent > _FAIR_OCTETS:
            self._sent = 0
            return flowing(self)
        return DONE

    def close(self, code: int, reason: str) -> None:
        if self.over:
            if self._ending is CloseReason.WEBSOCKET_APPLICATION_CLOSE:
                raise Misuse("the WebSocket is closed already")
            return  # the client was faster
        self._close(code, reason, CloseReason.WEBSOCKET_APPLICATION_CLOSE)

    def finished(self, failed: bool) -> None:
        if self.over:
            return
        if failed:
            self._close(_INTERNAL_ERROR, "", CloseReason.WEBSOCKET_APPLICATION_FAILED)
        else:
            self._close(_NORMAL, "", CloseReason.WEBSOCKET_APPLICATION_CLOSE)

    # -- What the session reports ------------------------------------------------------------------

    def opened(self, end: TunnelEnd) -> None:
        self._end = end

    def octets_received(self, data: bytes) -> None:
        if self._clock is _PONG:  # any octet proves that the client is alive
            self._clock = _PING
        self._read(data)

    def eof_received(self) -> None:
        if self._ending is None:
            self._over(_ABNORMAL, "", CloseReason.WEBSOCKET_EOF)
        self._end.end(self.loss)

    def write_paused(self) -> None:
        pass

    def write_resumed(self) -> None:
        if self._messages.output:
            self._write()
        self._wake_senders()

    def drain(self) -> None:
        """Close the WebSocket, since the server is stopping: the client may connect anew."""
        if not self.over:
            self._close(_SERVICE_RESTART, "", CloseReason.DRAIN)

    def closed(self) -> None:
        if self._ending is None:
            self._over(_ABNORMAL, "", CloseReason.CLIENT_RESET)
        self._unread = b""
        self._context.counters.websocket_ended(self.code, self.messages_received, self.messages_sent)

    @property
    def clock(self) -> Clock | None:
        return self._clock

    def expired(self) -> None:
        if self._clock is _PING:
            self._clock = _PONG
            self._messages.ping()
            self._write()
        elif self._clock is _PONG:
            self._close(_INTERNAL_ERROR, "ping timeout", CloseReason.WEBSOCKET_PING_TIMEOUT)
            self._end.end(self.loss)
        else:  # the client has not answered the Close frame
            self._end.end(self.loss)

    @property
    def loss(self) -> CloseReason:
        return CloseReason.CLIENT_RESET if self._ending is None else self._ending

    # -- Reading -----------------------------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        """Make messages of octets, until the queue is full; what is left over waits unread."""
        if self._unread:
            data = self._unread + data
            self._unread = b""
        messages = self._messages
        known = len(messages.received)
        position = 0
        is_full = self._is_full()
        while position < len(data) and not is_full:
            piece = data
            if len(data) > _PIECE:
                lacking: int = messages.lacking
                piece = data[position : position + max(_PIECE, lacking)]
            position += len(piece)
            messages.receive(piece)
            if messages.output:
                self._write()
            is_full = self._is_full()
        if position < len(data):
            self._unread = data[position:]
        if self.over:
            messages.drop()
        elif len(messages.received) > known:
            self.messages_received += len(messages.received) - known
            self._wake()
        if messages.closed_by is not None:
            self._answered(messages.closed_by, CloseReason.WEBSOCKET_CLIENT_CLOSE)
        elif messages.rejected is not None:
            self._answered(messages.rejected, CloseReason.WEBSOCKET_REJECTED)
        elif not self.over:
            self._pause_or_resume(is_full)

    def _is_full(self) -> bool:
        """Return whether as many messages wait as may."""
        messages = self._messages
        limits = self._context.websocket_limits
        waiting: int = len(messages.received)
        size: int = messages.size
        return not self.over and (waiting >= limits.max_queue or (waiting > 0 and size >= limits.buffer))

    def _pause_or_resume(self, is_full: bool) -> None:
        """Pause reading while the queue is full. No clock runs then: a pong could not be read."""
        if is_full:
            self._clock = None
            self._end.pause_reading()
        elif self._clock is None:
            self._clock = _PING
            self._end.resume_reading()

    # -- Writing -----------------------------------------------------------------------------------

    def _write(self) -> None:
        """Write the frames that wait. While the client takes no output, only its last ping is
        answered: its pings must not fill the memory.
        """
        messages = self._messages
        output: list[bytes] = messages.output
        if self._carrier.is_write_paused and messages.holds_only_pongs:
            messages.keep_last_pong()
            return
        messages.output = []
        self._end.write(output[0] if len(output) == 1 else b"".join(output))

    # -- Ending ------------------------------------------------------------------------------------

    def _close(self, code: int, reason: str, ending: CloseReason) -> None:
        """Send a Close frame, and wait for the client's for as long as its clock allows."""
        messages = self._messages
        messages.close(code, reason)
        self._write()
        messages.drop()
        self._over(code, reason, ending)
        self._clock = _CLOSE
        self._end.resume_reading()
        if self._unread:
            self._read(b"")

    def _answered(self, closed: tuple[int, str], ending: CloseReason) -> None:
        """End, since both have sent a Close frame, or since the client broke the protocol."""
        if self._ending is None:
            self._over(closed[0], closed[1], ending)
        self._unread = b""
        self._end.end(self.loss)

    def _over(self, code: int, reason: str, ending: CloseReason) -> None:
        self.over = True
        self.code = code
        self.reason = reason
        self._ending = ending
        self._wake()
        self._wake_senders()

    # -- Waiting -----------------------------------------------------------------------------------

    @property
    def has_news(self) -> bool:
        """Whether a message waits, or the WebSocket is over."""
        waiting: int = len(self._messages.received)
        return waiting > 0 or self.over

    @property
    def is_stuck(self) -> bool:
        """Whether the client does not take the output."""
        return self._carrier.is_write_paused and not self.over

    def _news(self) -> asyncio.Future[None]:
        """Return a future that `_wake` completes."""
        waiter = self._context.loop.create_future()
        self._waiters = joined(self._waiters, waiter)
        return waiter

    def flow_news(self) -> asyncio.Future[None]:
        """Return a future that completes once the client takes the output."""
        sender = self._context.loop.create_future()
        self._senders = joined(self._senders, sender)
        return sender

    def _wake(self) -> None:
        """Wake the calls that wait for a message."""
        waiters, self._waiters = self._waiters, None
        complete(waiters)

    def _wake_senders(self) -> None:
        senders, self._senders = self._senders, None
        complete(senders)

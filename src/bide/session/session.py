"""One connection: the protocol core between its wire and the gateway.

Facts come from the wire, the application and the sweep. After every fact `settle` does the same few things: write, obey the order
to end, read or pause, set the deadline.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from time import monotonic
from typing import Final, final

from bide.http1.connection import COMPLETE, Connection
from bide.http1.lifetime import CLOSED, CLOSING, EXCHANGE, IDLE, LINGER, NEW
from bide.message import Request
from bide.observe.access_log import peer_name
from bide.policy.clocks import CLOCKS, FOREVER, running
from bide.session.context import SessionContext
from bide.session.durations import Durations
from bide.session.exchange import GATHERED, ServedExchange
from bide.session.progress import SendProgress
from bide.terms import AGE_LIMIT, DRAIN, REFUSED, REQUEST_LIMIT, Address, Clock, CloseMode, CloseReason, State
from bide.wire import CLOSED_WIRE, Receiver, Wire

_log = logging.getLogger("bide.connection")

# Pipelined requests answered in one go before others get their turn: about a millisecond's work.
_FAIR_REQUESTS: Final = 32

# Members of an Enum are found slowly through its class, other modules' functions a little so, and at once by a name of the module.
_FIRST_OCTET: Final = Clock.FIRST_OCTET
_BODY: Final = Clock.BODY
_SEND: Final = Clock.SEND
_IDLE: Final = Clock.IDLE
_LINGER: Final = Clock.LINGER
_handled: Final = sys.exception
_LINGER_MODE: Final = CloseMode.LINGER
_RELEASE: Final = CloseMode.RELEASE

# How long an idle connection is listened to after its half-close, seconds.
_LISTEN: Final = 1.0

# Idle connections that ended so, unannounced, may have crossed a request on its way.
_UNANNOUNCED: Final = frozenset({CloseReason.FIRST_OCTET_TIMEOUT, CloseReason.IDLE_TIMEOUT, CloseReason.DRAIN})

# Ends that answer something other than a request.
_NO_REQUEST: Final = frozenset({CloseReason.HEAD_REJECTED, CloseReason.HEAD_TIMEOUT})


@final
class Session(Receiver):
    """See the module.

    connection: what stands for the connection, or None while it is at rest: idle, and nothing held. Most connections are idle most
        of the time, and then they should be small.
    served: requests that were served before it was at rest.
    deadline: the instant at which the running clock ends.
    """

    __slots__ = (
        "_clock",
        "_exchange",
        "_linger_until",
        "_mode",
        "_race_counted",
        "_refused",
        "_reprieved",
        "_retires",
        "_sending",
        "_serving",
        "_shared",
        "_slow",
        "_wire",
        "body_awaited",
        "connection",
        "deadline",
        "gathers",
        "local",
        "peer",
        "reading",
        "served",
        "shed_before",
        "stuck",
    )

    def __init__(self, shared: SessionContext, wire: Wire) -> None:
        self._shared = shared
        self._wire = wire
        retirement = shared.durations.retirement()
        self._retires = None if retirement is None else (monotonic() + retirement[0], retirement[1])
        self.connection: Connection | None = None
        self.served = 0
        self.peer: Address | None = wire.peer()
        self.local: Address | None = wire.local()
        self._exchange: ServedExchange | None = None
        self._serving = False  # within `_serve`, which writes what was answered when it is through
        self.reading = True
        self._mode: CloseMode | None = None  # how the end was ordered, once it was
        self._linger_until = FOREVER
        self._race_counted = False
        self._refused = False  # there is no room for it: what it asks is answered 503
        self.shed_before = False
        # What is written and not taken by the client. `stuck`: the wire says so. `_slow`: it was found when a clock ran out.
        self.stuck = False
        self._slow = False
        self.body_awaited = False  # the application waits for content that has not arrived
        self.gathers = False  # content has left in this pass of the event loop
        self._sending: SendProgress | None = None
        self._clock: Clock | None = None
        self._reprieved = False
        self.deadline = FOREVER
        self._start_clock(_FIRST_OCTET)
        shared.register.add(self)
        shared.counters.opened += 1
        shared.door.entered(self, wire.descriptor())

    def _roused(self) -> Connection:
        """Return what stands for the connection, which may have been at rest."""
        connection = self.connection
        if connection is None:
            connection = self.connection = self._shared.lend(self.served)
        return connection

    @property
    def durations(self) -> Durations:
        return self._shared.durations

    @property
    def unread_since(self) -> float:
        return self._shared.unread_since

    # -- What the wire reports ------------------------------------------------------------------------------------------

    def octets_received(self, data: bytes) -> None:
        connection = self.connection
        if connection is None:
            connection = self.connection = self._shared.lend(self.served)
        try:
            request = connection.receive(data)
            if request is not None:
                self._serve(connection, request)
            else:
                self._took(connection, data)
        except Exception:
            self.fail_internal()

    def _took(self, connection: Connection, data: bytes) -> None:
        """Octets came that did not complete a request's head."""
        exchange = self._exchange
        if exchange is not None:
            deadline = exchange.content_came(len(data))
            if self._clock is _BODY:
                self.deadline = deadline
                self._reprieved = False
        elif connection.state is LINGER:
            self._lingered(connection, data)
        elif connection.is_quiet:
            self._reprieved = False  # what comes next may be a request
        self.settle()

    def eof_received(self) -> None:
        try:
            self._took_eof()
        except Exception:
            self.fail_internal()

    def _took_eof(self) -> None:
        connection = self._roused()
        connection.receive_eof()
        if connection.state is LINGER:
            self._wire.release()
        elif connection.state is EXCHANGE:  # it may only have half-closed, and then the answer is owed
            self._wire.probe_peer()
            self._shared.register.unread.add(self)
            self.watch_peer(monotonic())
        self.settle()

    def write_paused(self) -> None:
        self.stuck = True
        self.settle()

    def write_resumed(self) -> None:
        self.stuck = False
        if self._exchange is not None:
            self._exchange.wake()
            self.settle()
        else:
            self._go_on()

    def flushed(self) -> None:
        self.stuck = False
        connection = self._roused()
        if connection.state is CLOSING:
            connection.half_closed()
            if connection.input_ended:
                self._wire.release()
        self.settle()

    def lost(self) -> None:
        connection = self._roused()
        shared = self._shared
        shared.register.remove(self)
        connection.lost()
        if self._exchange is not None:
            self._conclude(self._exchange)
        reason = connection.reason
        assert reason is not None
        shared.counters.ended(reason, connection.served)
        shared.reception.peers.learn(self.host, connection.served)
        shared.door.left(self)
        self._wire = CLOSED_WIRE
        if _log.isEnabledFor(logging.DEBUG):
            detail = f" ({connection.detail})" if connection.detail else ""
            _log.debug(
                "%s: ended, requests=%d close=%s%s", peer_name(self.peer), connection.served, reason.value, detail
            )

    # -- What the application does, through its exchange ----------------------------------------------------------------

    def answered(self, exchange: ServedExchange) -> None:
        """Octets of a response are ready to be written; it may be complete."""
        connection = exchange.connection
        try:
            if connection.state is EXCHANGE:
                self.settle()
                return
            exchange.complete = connection.progress == COMPLETE
            self._conclude(exchange)
            if self._serving:
                return
            if connection.pipelined:
                if _handled() is None:
                    self._go_on()
                    return
                # What starts within an `except` block of the application's, and fails, would blame its exception.
                self._shared.loop.call_soon(self._go_on)
            self.settle()
        except Exception:
            self.fail_internal()

    def gather(self) -> None:
        """The first content of this pass has left; what follows may wait for more until the next."""
        if not self.gathers:
            self.gathers = True
            self._shared.loop.call_soon(self._end_gathering)

    def _end_gathering(self) -> None:
        self.gathers = False
        try:
            self.settle()
        except Exception:
            self.fail_internal()

    def new_waiter(self) -> asyncio.Future[None]:
        return self._shared.loop.create_future()

    # -- What the worker decides ----------------------------------------------------------------------------------------

    def deadline_reached(self, now: float) -> None:
        """The running clock has run out. Octets that have arrived count, read or not: they get a sweep's time to be read."""
        clock = self._clock
        assert clock is not None
        connection = self._roused()
        state = connection.state
        if state is LINGER:
            # A reset could destroy what is still on its way; octets that came in time and wait to be read would cause one.
            if now < self._linger_until and (self._wire.unsent() or self._wire.octets_waiting()):
                self._linger_on(now)
                return
            connection.expire(clock)
            self._wire.release()
            self.deadline = FOREVER
            return
        if state is CLOSING:
            connection.expire(clock)
            self._give_up(connection)
            return
        if clock is _IDLE and self._wire.unsent():
            self._slow = True  # the last response is still on its way: no idle connection yet
            self.settle()
            return
        if clock is _IDLE or clock is _FIRST_OCTET:
            if self._wire.half_close_if_quiet():
                self._mode = _LINGER_MODE
            elif not self._reprieved:
                self._reprieved = True
                return
        elif clock is not _SEND and not self._reprieved and self._wire.octets_waiting():
            self._reprieved = True
            return
        connection.expire(clock)
        if self._mode is _LINGER_MODE:
            connection.half_closed()
        self.settle()

    def watch_output(self, now: float) -> None:
        """Look how what was written comes along."""
        sending = self._sending
        if sending is None:
            return
        unsent = self._wire.unsent()
        sending.look(now, unsent, self._shared.unread_since)
        self.deadline = self._send_deadline(sending)
        if self._slow and not unsent:
            self._slow = False
            self.settle()

    def watch_peer(self, now: float) -> None:
        """Look whether a client from which nothing is read is still there."""
        if self._wire.peer_gone():
            self._wire.abort()
        elif self._exchange is not None and self._exchange.connection.input_ended:
            self._exchange.watch_client(now)

    def refuse(self) -> None:
        """There is no room for this connection: what it asks is answered 503, and it ends. It is to ask soon, and not to stay."""
        self._refused = True
        self.deadline = min(self.deadline, monotonic() + self.durations.by_clock[_LINGER])
        self._shared.attentive = True
        self._roused().add_facts(REFUSED)

    def shed(self) -> bool:
        """End an idle connection to make room, unless it has just asked something; return whether it was done.

        One that lingers is let go: it has ended, and its client has the whole answer.
        """
        if self.state is LINGER:
            self.shed_before = True
            self._wire.release()
            return True
        if not self._wire.half_close_if_quiet():
            return False
        self.shed_before = True
        self._mode = _RELEASE
        self._roused().shed()
        self.settle()
        self._wire.release()
        return True

    def fail_internal(self) -> None:
        """Something of ours failed: say so in the log, and end this connection only."""
        _log.exception("%s: bide failed; please report this", peer_name(self.peer))
        self._roused().fail_internal()
        self._wire.abort()

    def announce(self) -> None:
        """The worker is stopping: announce close on every response."""
        if self.connection is not None:  # one at rest will see it when it is roused
            self.connection.add_facts(DRAIN)

    def drain(self, idle_until: float) -> None:
        """Wait for another request no longer than that."""
        if self.is_waiting:
            self.deadline = min(self.deadline, idle_until)

    def stop(self) -> None:
        """End now, finished or not."""
        connection = self._roused()
        if connection.state is LINGER:
            self._wire.release()
        else:
            connection.stop()
            if self._mode is None:
                self.settle()
            else:
                self._give_up(connection)

    @property
    def state(self) -> State:
        """Where the connection is in its life."""
        if self.connection is not None:
            return self.connection.state
        return IDLE if self.served else NEW

    @property
    def requests(self) -> int:
        """How many have been begun."""
        return self.served if self.connection is None else self.connection.served

    @property
    def is_idle(self) -> bool:
        """Whether the idle clock runs."""
        return self._clock is _IDLE

    @property
    def is_waiting(self) -> bool:
        """Whether nothing is owed to the client, and no part of a request is there."""
        return self.state is IDLE or self.state is NEW

    @property
    def idle_since(self) -> float:
        """Of a waiting connection: since when."""
        clock = self._clock
        return self.deadline - self._shared.durations.by_clock[clock] if clock is not None else self.deadline

    @property
    def host(self) -> str:
        """The peer's address, without its port."""
        return self.peer[0] if self.peer is not None else ""

    def may_be_shed(self, now: float, newcomer: float) -> bool:
        """Whether the connection is at rest, and not new by less than `newcomer` seconds; or lingers for nothing but politeness."""
        connection = self.connection
        if connection is None or ((self._clock is _IDLE or self._clock is _FIRST_OCTET) and connection.is_quiet):
            if self._refused:  # it leaves soon by itself, and is to be told why if it asks
                return False
            return self.requests > 0 or now - self.idle_since >= newcomer
        return connection.state is LINGER and not self.shed_before and not self._wire.unsent()

    # -- Within ---------------------------------------------------------------------------------------------------------

    def _give_up(self, connection: Connection) -> None:
        """Wait no longer for the client to take the last octets."""
        self.deadline = FOREVER
        self._end(connection)

    def settle(self) -> None:
        """Bring the wire, the exchange and the clock in line with the connection's state."""
        connection = self.connection
        if connection is None:
            return
        if self._exchange is not None and connection.state is not EXCHANGE:
            self._conclude(self._exchange)
        if connection.state is CLOSING and self._mode is None:
            self._end(connection)
        elif connection.output and connection.state is not CLOSED:
            self._write(connection)
        if connection.wants_pause == self.reading:
            self.reading = not connection.wants_pause
            if self.reading:
                self._wire.resume_reading()
                if not connection.input_ended:
                    self._shared.register.unread.discard(self)
            else:
                self._wire.pause_reading()
                self._shared.register.unread.add(self)
        clock = CLOCKS[connection.state]
        if self.body_awaited or self.stuck or self._slow:
            clock = running(connection.state, self.body_awaited, self.stuck or self._slow)
        if clock is not self._clock:
            self._start_clock(clock)
        if clock is _IDLE and connection.may_park:
            self.served = connection.served
            self.connection = None
            self._shared.give_back(connection)

    def _write(self, connection: Connection) -> None:
        if connection.bulk is not None:
            self._wire.write_pieces(connection.take_pieces())
            return
        output = connection.output
        connection.output = b""
        self._wire.write(output)

    def _serve(self, connection: Connection, request: Request | None) -> None:
        """Serve a request, and those pipelined behind it as far as they are answered at once."""
        self._serving = True
        shared = self._shared
        turns = 0
        while request is not None:
            now = monotonic()
            if self._clock is _IDLE:
                shared.counters.gap(now - self.deadline + shared.durations.idle)
            if self._sending is not None:
                self._start_clock(None)
            self._clock = None  # the application's time is its own
            self.deadline = FOREVER
            self._exchange = exchange = ServedExchange(self, connection, request, now)
            if not shared.attentive or not self._attended(exchange):
                shared.gateway.start(exchange)
            if not exchange.over:
                self._serving = False
                if connection.output or connection.wants_pause == self.reading or self._slow:
                    self.settle()
                return
            turns += 1
            if connection.bulk_size + len(connection.output) >= GATHERED:
                self._write(connection)
            if self.stuck:
                break
            if turns == _FAIR_REQUESTS:
                shared.loop.call_soon(self._go_on)
                break
            request = connection.next_request()
        self._serving = False
        self.settle()

    def _attended(self, exchange: ServedExchange) -> bool:
        """Note what the server itself has to say to a request; return whether it has answered it."""
        shared = self._shared
        connection = exchange.connection
        if self._retires is not None:
            if exchange.begun >= self._retires[0]:
                connection.add_facts(AGE_LIMIT)
            if connection.served >= self._retires[1]:
                connection.add_facts(REQUEST_LIMIT)
        reception = shared.reception
        connection.add_facts(reception.facts(self.peer, exchange.request))
        answer = reception.answer(exchange.request, shared.standing, self._refused)
        if answer is None:
            return False
        exchange.respond(answer.status, answer.fields, False)
        exchange.send(answer.content, False)
        return True

    def _go_on(self) -> None:
        """Serve what was pipelined behind the last request, unless the client does not take its answers."""
        try:
            if self._exchange is None and self.connection is not None and not self.stuck:
                self._serve(self.connection, self.connection.next_request())
            else:
                self.settle()
        except Exception:
            self.fail_internal()

    def _conclude(self, exchange: ServedExchange) -> None:
        """The exchange is over: the response is complete, or never will be."""
        self._exchange = None
        self.body_awaited = False
        self._clock = None  # the idle clock begins anew
        exchange.over = True
        exchange.wake()
        if self._shared.access_log is not None:
            self._record(exchange.connection, exchange.request, monotonic() - exchange.begun)

    def _record(self, connection: Connection, request: Request | None, seconds: float) -> None:
        """Have a line of the log written of a response, and of the request that it answers, if it is known."""
        access_log = self._shared.access_log
        assert access_log is not None
        number = connection.served
        method, target, minor = "-", b"-", 1
        if request is None:
            number += 1
        else:
            method, target, minor = request.method, request.target, request.minor
        access_log.record(
            self.peer, method, target, minor, connection.status, connection.sent, seconds, number, connection.reason
        )

    def _end(self, connection: Connection) -> None:
        """Give the order to end."""
        if self._shared.access_log is not None and self._mode is None and connection.status:
            request = connection.unserved
            if request is not None or connection.reason in _NO_REQUEST:
                self._record(connection, request, 0.0)
        mode = connection.close_mode()
        self._mode = mode
        if mode is _LINGER_MODE and connection.bulk is None:
            last, connection.output = connection.output, b""
            self._wire.half_close(last)
            return
        if connection.output:
            self._write(connection)
        if mode is _LINGER_MODE:
            self._wire.half_close(b"")
        elif mode is _RELEASE:
            self._wire.release()
        else:
            self._wire.abort()

    def _start_clock(self, clock: Clock | None) -> None:
        if self._sending is not None:
            self._sending = None
            self._shared.register.stuck.discard(self)
        self._clock = clock
        self._reprieved = False
        durations = self._shared.durations
        if clock is _IDLE:
            self.deadline = monotonic() + durations.idle
        elif clock is None:
            self.deadline = FOREVER
        elif clock is _BODY:
            assert self._exchange is not None
            self.deadline = self._exchange.body_deadline()
        elif clock is _SEND:
            self._sending = SendProgress(monotonic(), self._wire.unsent())
            self._shared.register.stuck.add(self)
            self.deadline = self._send_deadline(self._sending)
        else:
            now = monotonic()
            self.deadline = now + durations.by_clock[clock]
            if clock is _LINGER:
                self._linger_until = now + durations.linger_total
                if self._roused().reason in _UNANNOUNCED:  # nothing was owed: listen just for requests that were lost
                    self.deadline = min(self.deadline, now + _LISTEN)

    def _send_deadline(self, sending: SendProgress) -> float:
        durations = self._shared.durations
        return sending.deadline(durations.by_clock[_SEND], durations.grace, durations.send_rate)

    def _linger_on(self, now: float) -> None:
        self.deadline = min(now + self._shared.durations.by_clock[_LINGER], self._linger_until)

    def _lingered(self, connection: Connection, data: bytes) -> None:
        """Octets came after the end: they are dropped, and counted where they may be a request that was lost. Empty lines are none."""
        self._linger_on(monotonic())
        if (
            connection.announced is None
            and connection.reason in _UNANNOUNCED
            and not self._race_counted
            and data.strip(b"\r\n")
        ):
            self._race_counted = True
            self._shared.counters.lost_race()

"""Turns facts from the wire, the application or the sweep into orders for one connection.

Every fact ends in `settle`. It writes, ends the wire, pauses reading, starts a clock and parks the
connection, as the state requires.
"""

from __future__ import annotations

import logging
import sys
from typing import Final, final

from bide.exchange import Tunnel
from bide.http1.connection import Connection
from bide.http1.lifetime import CLOSED, CLOSING, EXCHANGE, HANDSHAKE, IDLE, LINGER, NEW, TUNNEL
from bide.http1.writer import HELD
from bide.message import Request
from bide.observe.access_log import TunnelSummary, peer_name
from bide.policy.clocks import CLOCKS, FOREVER, OnExpiry, on_expiry, running
from bide.semantics.forwarded import Origin
from bide.session.clock import ClockedCarrier
from bide.session.context import SessionContext
from bide.session.exchange import MAX_GATHERED, ServedExchange
from bide.session.parked import ParkedSession
from bide.session.tunnel import CarriedTunnel
from bide.terms import AGE_LIMIT, DRAIN, REFUSED, REQUEST_LIMIT, Address, Clock, CloseMode, CloseReason, Security, State
from bide.wire import CLOSED_WIRE, Wire

_log = logging.getLogger("bide.connection")

# Pipelined requests answered at a time before other connections get their turn: about a
# millisecond's work.
_FAIR_REQUESTS: Final = 32

# A name of the module is found faster than a member of an Enum through its class, or a function of
# another module.
_HANDSHAKE: Final = Clock.HANDSHAKE
_FIRST_OCTET: Final = Clock.FIRST_OCTET
_BODY: Final = Clock.BODY
_IDLE: Final = Clock.IDLE
_LINGER_CLOCK: Final = Clock.LINGER
_TUNNEL_CLOCK: Final = Clock.TUNNEL
_PING_CLOCK: Final = Clock.WS_PING
_handled: Final = sys.exception
_LINGER: Final = CloseMode.LINGER
_RELEASE: Final = CloseMode.RELEASE
_ABORT: Final = CloseMode.ABORT

# Seconds for which an idle connection is read after its half-close.
_READ_AFTER_IDLE_S: Final = 1.0

# Reasons of idle ends. If the end was not announced, a request may have been on its way.
_UNANNOUNCED: Final = frozenset({CloseReason.FIRST_OCTET_TIMEOUT, CloseReason.IDLE_TIMEOUT, CloseReason.DRAIN})

# Reasons of ends whose response answers no complete request.
_NO_REQUEST: Final = frozenset({CloseReason.HEAD_REJECTED, CloseReason.HEAD_TIMEOUT, CloseReason.TLS_REJECTED})

# Clocks whose expiry the tunnel acts on.
_TUNNELS_OWN: Final = frozenset({Clock.WS_PING, Clock.WS_PONG, Clock.WS_CLOSE})

# A place that is none.
_NONE: Final = -1

# States in which part of a request or of a response is outstanding.
_UNFINISHED: Final = frozenset(
    {State.HANDSHAKE, State.HEAD, State.EXCHANGE, State.DISCARD, State.TUNNEL, State.CLOSING}
)


@final
class Session(ClockedCarrier):
    """Serves one accepted connection, from accept to `lost`.

    connection: the protocol object.
    """

    __slots__ = (
        "_has_race_counted",
        "_is_trailing",
        "_is_trusted",
        "_limits",
        "_mode",
        "_received",
        "_recent_place",
        "_tunnel",
        "connection",
    )

    def __init__(self, context: SessionContext, wire: Wire, parked: ParkedSession | None = None) -> None:
        """Begin with a new connection, or go on with one that was parked."""
        self._context = context
        self._wire = wire
        self._exchange = None
        self._tunnel: CarriedTunnel | None = None
        self.is_reading = True
        self.is_write_paused = False
        self.is_gathering = False
        self.is_serving = False
        self._received: Request | None = None  # to be served once other connections were read
        self._recent_place = _NONE  # where the pool remembers that it became idle
        self._is_trailing = False  # the last response was still on its way when the idle clock expired
        self._mode: CloseMode | None = None  # how the wire was ended; None before
        self._has_race_counted = False
        self._is_trusted: bool | None = None  # whether the peer's forwarded fields are; None: not asked yet
        self._sending = None
        # Loop time and number of requests at which close is announced.
        self._limits: tuple[float, float] | None
        if parked is None:
            self.connection = context.pool.take(context.facts, 0)
            self.peer = wire.peer()
            self.local = wire.local()
            self.scheme = wire.scheme
            if wire.is_ready:
                self._start_clock(_FIRST_OCTET)
            else:
                self.connection.handshake_begins()
                self._start_clock(_HANDSHAKE)
            drawn = context.draw_limits()
            self._limits = None if drawn is None else (self._since + drawn[0], drawn[1])
        else:
            self.connection = context.pool.take(context.facts, parked.served)
            self.peer = parked.peer
            self.local = parked.local
            self.scheme = parked.scheme
            self._clock = _IDLE
            self._since = parked.since
            self.deadline = parked.deadline
            self._is_reprieved = False
            self._limits = parked.limits

    # -- Facts that the wire reports ---------------------------------------------------------------

    def ready(self) -> None:
        self.connection.ready()
        self.settle()
        if self._context.facts & DRAIN:
            self.shorten_wait(self._context.idle.longest)

    def introduced(self) -> None:
        wire = self._wire
        self.peer = wire.peer()
        self.local = wire.local()
        self.scheme = wire.scheme
        self._context.manager.introduced(self)

    def rejected(self, reason: CloseReason, detail: str, is_plain: bool) -> None:
        if self.connection.state is HANDSHAKE:  # later, it is the debug log's
            self._context.handshake_rejected(self.peer, reason, detail)
        self.connection.rejected(reason, detail, is_plain)
        self.settle()

    def octets_received(self, data: bytes) -> None:
        if self._received is not None:
            self.go_on()
        connection = self.connection
        try:
            request = connection.receive(data)
            if request is None:
                self._octets_taken(connection, data)
            elif self._wire.defers():
                self._received = request
            else:
                self._serve(connection, request)
        except Exception:
            self.fail_internal()

    def go_on(self) -> None:
        request = self._received
        self._received = None
        # What came after the request, or another connection's application, may have been first.
        if request is None or self.connection.state is not EXCHANGE:
            return
        try:
            self._serve(self.connection, request)
        except Exception:
            self.fail_internal()

    def _octets_taken(self, connection: Connection, data: bytes) -> None:
        """Take the news that `data` came, which did not complete a request's head."""
        exchange = self._exchange
        if exchange is not None:
            deadline = exchange.content_came(len(data))
            if self._clock is _BODY:
                self.deadline = deadline
                self._is_reprieved = False
        elif self._tunnel is not None:
            self._tunnel.tunnel.octets_received(data)
            self._renew_tunnel()
        elif connection.state is LINGER:
            self._octets_dropped(connection, data)
        elif connection.is_quiet:
            self._is_reprieved = False  # the next octets may be a request
        self.settle()

    def _octets_dropped(self, connection: Connection, data: bytes) -> None:
        """Linger on, since octets came after the end.

        After an unannounced idle end they count as a lost request, unless they are empty lines.
        """
        self._linger_on(self._context.clock())
        if (
            connection.announced is None
            and connection.reason in _UNANNOUNCED
            and not self._has_race_counted
            and data.strip(b"\r\n")
        ):
            self._has_race_counted = True
            self._context.counters.lost_race()

    def eof_received(self) -> None:
        if self._received is not None:
            self.go_on()
        try:
            self._eof_taken()
        except Exception:
            self.fail_internal()

    def _eof_taken(self) -> None:
        connection = self.connection
        if self._tunnel is not None:
            self._tunnel.tunnel.eof_received()
        connection.receive_eof()
        if connection.state is LINGER:
            self._end_wire(connection, _RELEASE)
        elif connection.state is EXCHANGE:  # it may be a half-close, and then the response is owed
            self._wire.probe_peer()
            self._context.manager.reading_stopped(self)
            self.watch_peer(self._context.clock())
        self.settle()

    def write_paused(self) -> None:
        self.is_write_paused = True
        if self._tunnel is not None:
            self._tunnel.tunnel.write_paused()
        self.settle()

    def write_resumed(self) -> None:
        self.is_write_paused = False
        if self._tunnel is not None:
            self._tunnel.tunnel.write_resumed()
            self.settle()
        elif self._exchange is not None:
            self._exchange.wake()
            self.settle()
        else:
            self._serve_next()

    def flushed(self) -> None:
        self.is_write_paused = False
        connection = self.connection
        if connection.state is CLOSING:
            connection.half_closed()
            if connection.input_ended:
                self._end_wire(connection, _RELEASE)
        self.settle()

    def lost(self) -> None:
        connection = self.connection
        is_unsent = self.is_write_paused or self._is_trailing
        if self._tunnel is not None and not is_unsent and connection.state is TUNNEL:
            connection.close_tunnel(self._tunnel.tunnel.loss)
        connection.lost(is_unsent)
        if self._exchange is not None:
            self._conclude(self._exchange)
        self._end_tunnel()
        reason = connection.reason
        assert reason is not None
        if self._recent_place != _NONE:
            self._context.pool.forget(self._recent_place)
        self._context.manager.closed(self, reason, connection.served)
        self._wire = CLOSED_WIRE
        if _log.isEnabledFor(logging.DEBUG):
            detail = f" ({connection.detail})" if connection.detail else ""
            _log.debug(
                "%s: ended, requests=%d close=%s%s", peer_name(self.peer), connection.served, reason.value, detail
            )

    # -- Facts that the application reports, through its exchange ----------------------------------

    def answered(self) -> None:
        connection = self.connection
        try:
            if connection.state is EXCHANGE:
                self.settle()
                return
            if self._exchange is not None:
                self._conclude(self._exchange)
            if self.is_serving:
                return
            if connection.pipelined:
                if _handled() is None:
                    self._serve_next()
                    return
                # Within an `except` block of the application, a failure of the next request would
                # name that exception as its context.
                self._context.loop.call_soon(self._serve_next)
            self.settle()
        except Exception:
            self.fail_internal()

    def release_head(self) -> None:
        try:
            self.connection.release_head()
            self.answered()
        except Exception:
            self.fail_internal()

    def send_file(self, file: int, offset: int, count: int) -> int:
        return self._wire.send_file(self.connection.take_output(), file, offset, count)

    def switched(self, tunnel: Tunnel, received: bytes) -> None:
        exchange = self._exchange
        assert exchange is not None
        self._exchange = None
        exchange.ended()
        self._tunnel = carried = CarriedTunnel(self, tunnel, exchange.request, exchange.client, exchange.begun)
        self.settle()
        try:
            tunnel.opened(carried)
            if received and self._tunnel is not None:
                tunnel.octets_received(received)
        except Exception:
            self.fail_internal()

    def tunnel_written(self, data: bytes) -> None:
        self.connection.sent += len(data)
        self._wire.write(data)
        if self._clock is _TUNNEL_CLOCK:
            self._start_clock(_TUNNEL_CLOCK)

    def _renew_tunnel(self) -> None:
        """Restart the clock that waits for the client's octets; leave any other clock alone."""
        clock = self._clock
        if clock is _PING_CLOCK or clock is _TUNNEL_CLOCK:
            self._start_clock(clock)

    def tunnel_reading(self, is_wanted: bool) -> None:
        connection = self.connection
        connection.tunnel_reading(is_wanted)
        self.settle()

    def tunnel_closed(self, reason: CloseReason) -> None:
        connection = self.connection
        if connection.state is TUNNEL:
            connection.close_tunnel(reason)
            self.settle()

    def content_left(self) -> None:
        if not self.is_gathering:
            self.is_gathering = True
            self._context.loop.call_soon(self._pass_over)

    def _pass_over(self) -> None:
        """Write the content that was gathered in the last pass of the event loop."""
        self.is_gathering = False
        try:
            self.settle()
        except Exception:
            self.fail_internal()

    # -- Orders of the worker ----------------------------------------------------------------------

    def deadline_reached(self, now: float) -> None:
        if not self._has_expired(now):
            return
        clock = self._clock
        assert clock is not None
        connection = self.connection
        if connection.state is LINGER:
            if now < self._linger_until() and self._on_expiry(clock) is not OnExpiry.EXPIRE:
                self._linger_on(now)
                return
            connection.expire(clock)
            self._end_wire(connection, _RELEASE)
        elif connection.state is CLOSING:
            connection.expire(clock)
            self._end_wire(connection, connection.close_mode(self._wire.can_half_close))
        else:
            match self._on_expiry(clock):
                case OnExpiry.WAIT:
                    self._is_reprieved = True
                case OnExpiry.SEND:
                    self._is_trailing = True
                    self.settle()
                case OnExpiry.EXPIRE:
                    self._expire(connection, clock)

    def _on_expiry(self, clock: Clock) -> OnExpiry:
        unsent = (clock is _IDLE or clock is _LINGER_CLOCK) and self._wire.unsent() > 0
        return on_expiry(clock, unsent, self._wire.octets_waiting(), self._is_reprieved)

    def _expire(self, connection: Connection, clock: Clock) -> None:
        """End the open connection whose clock has expired."""
        if clock is _IDLE or clock is _FIRST_OCTET:
            # The FIN follows the last check at once. If octets came before, they are read first.
            if self._end_if_quiet(_LINGER):
                connection.expire(clock)
                connection.half_closed()
                self.settle()
                return
            if not self._is_reprieved:
                self._is_reprieved = True
                return
        tunnel = self._tunnel
        if tunnel is not None and clock in _TUNNELS_OWN:
            self._clock = None  # it begins anew, if it still is the tunnel's
            tunnel.tunnel.expired()
        else:
            connection.expire(clock)
        self.settle()

    def watch_output(self, now: float) -> None:
        sending = self._sending
        if sending is None:
            return
        unsent = self._wire.unsent()
        sending.look(now, unsent, self._context.unread_since)
        self.deadline = self._send_deadline(sending)
        if self._is_trailing and not unsent:
            self._is_trailing = False
            self.settle()

    def watch_peer(self, now: float) -> None:
        if self._wire.peer_gone():
            self._end_wire(self.connection, _ABORT)
        elif self._exchange is not None and self._exchange.connection.input_ended:
            self._exchange.eof_watched(now)

    def refuse(self) -> None:
        self.deadline = min(self.deadline, self._context.clock() + self._context.durations.by_clock[_LINGER_CLOCK])
        self.connection.add_facts(REFUSED)

    def shed(self) -> bool:
        if self.state is LINGER:  # the client has the whole response
            self._end_wire(self.connection, _RELEASE)
            return True
        if not self._end_if_quiet(_RELEASE):
            return False
        connection = self.connection
        connection.shed()
        self.settle()
        self._end_wire(connection, _RELEASE)
        return True

    def announce_drain(self) -> None:
        self.connection.add_facts(DRAIN)

    def drain_tunnel(self) -> None:
        if self._tunnel is not None:
            self._tunnel.drain()

    def end_stream(self) -> None:
        if self._exchange is not None:
            self._exchange.end_stream()

    def shorten_wait(self, seconds: float) -> None:
        if self.state is IDLE or self.state is NEW:
            self.deadline = min(self.deadline, self._context.clock() + seconds)

    def stop(self) -> None:
        connection = self.connection
        if connection.state is LINGER:
            self._end_wire(connection, _RELEASE)
        else:
            self.drain_tunnel()  # its protocol may have a word for it
            connection.stop()
            if self._mode is None:
                self.settle()
            else:
                self._end_wire(connection, connection.close_mode(self._wire.can_half_close))

    def fail_internal(self) -> None:
        _log.exception("%s: bide failed; please report this", peer_name(self.peer))
        connection = self.connection
        connection.fail_internal()
        self._end_wire(connection, _ABORT)

    # -- Questions of the worker -------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self.connection.state

    @property
    def requests(self) -> int:
        return self.connection.served

    @property
    def host(self) -> str:
        return self.peer[0] if self.peer is not None else ""

    @property
    def is_unfinished(self) -> bool:
        return self.is_write_paused or self.state in _UNFINISHED

    def may_be_shed(self, now: float, newcomer: float) -> bool:
        connection = self.connection
        if self._clock is _HANDSHAKE:
            return not connection.is_refused and now - self._since >= newcomer
        if (self._clock is _IDLE or self._clock is _FIRST_OCTET) and connection.is_quiet:
            if connection.is_refused:  # it ends soon by itself, after its 503
                return False
            return self.requests > 0 or now - self._since >= newcomer
        return connection.state is LINGER and self._mode is not _RELEASE and not self._wire.unsent()

    def security(self) -> Security | None:
        return self._wire.security()

    # -- Serving -----------------------------------------------------------------------------------

    def _serve(self, connection: Connection, request: Request | None) -> None:
        """Serve a request, then the requests pipelined after it while each is answered at once."""
        self.is_serving = True
        context = self._context
        turns = 0
        while request is not None:
            now = context.clock()
            if self._clock is _IDLE:
                context.counters.gap(now - self._since)
            if self._sending is not None:
                self._stop_sending()
            if request.dropped is not None:
                self._log_dropped(request.dropped)
            self._clock = None  # no clock limits the application
            self.deadline = FOREVER
            self._exchange = exchange = ServedExchange(self, context, connection, request, now)
            if self._limits is not None:
                self._check_limits(connection, self._limits, now)
            if request.is_forwarded and (origin := self._told(request)) is not None:
                exchange.origin_told(origin)
            if context.clients.may_apply:
                connection.add_facts(context.clients.facts(exchange.client, self.peer, request))
                if connection.may_move:
                    connection.add_facts(context.clients.take_surplus())
            context.gateway.start(exchange)
            if not exchange.over:
                self.is_serving = False
                if connection.progress == HELD:
                    exchange.hold_head()
                if connection.output or connection.wants_pause == self.is_reading or self._is_trailing:
                    self.settle()
                return
            turns += 1
            if connection.bulk_size + len(connection.output) >= MAX_GATHERED:
                self._write(connection)
            if self.is_write_paused:
                break
            if turns == _FAIR_REQUESTS:
                context.loop.call_soon(self._serve_next)
                break
            request = connection.next_request()
        self.is_serving = False
        self.settle()

    def _check_limits(self, connection: Connection, limits: tuple[float, float], now: float) -> None:
        if now >= limits[0]:
            connection.add_facts(AGE_LIMIT)
        if connection.served >= limits[1]:
            connection.add_facts(REQUEST_LIMIT)

    def _told(self, request: Request) -> Origin | None:
        """Return what a trusted front end tells of the client; None if the peer is none."""
        forwarding = self._context.forwarding
        if forwarding is None:
            return None
        if self._is_trusted is None:
            self._is_trusted = forwarding.trusts(self.peer)
        return forwarding.origin(self.peer, self.scheme, request.fields) if self._is_trusted else None

    def _log_dropped(self, names: list[bytes]) -> None:
        """Write to the debug log which fields of a request the application does not get."""
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug(
                "%s: fields dropped, names=%s; the application does not get them (--underscore-fields)",
                peer_name(self.peer),
                b",".join(names).decode("ascii"),
            )

    def _serve_next(self) -> None:
        """Serve requests that are pipelined, unless the client does not take its responses."""
        try:
            if self._exchange is None and not self.is_write_paused:
                self._serve(self.connection, self.connection.next_request())
            else:
                self.settle()
        except Exception:
            self.fail_internal()

    def _conclude(self, exchange: ServedExchange) -> None:
        """End the exchange, whose response is complete, or never will be."""
        self._exchange = None
        self._clock = None  # the idle clock begins anew
        exchange.ended()
        if self._context.access_log is not None:
            seconds = self._context.clock() - exchange.begun
            self._record(exchange.connection, exchange.request, exchange.client, seconds)

    def _record(
        self,
        connection: Connection,
        request: Request | None,
        client: Address | None,
        seconds: float,
        tunnel: TunnelSummary | None = None,
    ) -> None:
        """Write a line of the access log for a response, and the tunnel that it opened.

        request: the request that it answers; None if that is unknown.
        client: address of the client.
        seconds: time since the request's head was complete.
        """
        access_log = self._context.access_log
        assert access_log is not None
        number = connection.served
        method, target, minor = "-", b"-", 1
        if request is None:
            number += 1
        else:
            method, target, minor = request.method, request.target, request.minor
        access_log.record(
            client,
            method,
            target,
            minor,
            connection.status,
            connection.sent,
            seconds,
            number,
            connection.reason,
            tunnel,
            None if client is self.peer else self.peer,
        )

    # -- Settling ----------------------------------------------------------------------------------

    def settle(self) -> None:
        connection = self.connection
        state = connection.state
        exchange = self._exchange
        if exchange is not None and state is not EXCHANGE:
            self._conclude(exchange)
            exchange = None
        if state is CLOSING and self._mode is None:
            self._end_tunnel()
            self._end(connection)
            state = connection.state
        elif (output := connection.output) and state is not CLOSED:
            if connection.bulk is None:  # as `_write`, inlined to save two calls for each request
                connection.output = b""
                self._wire.write(output)
            else:
                self._write(connection)
        if connection.wants_pause == self.is_reading:
            self._pause_or_resume(connection)
        clock = CLOCKS[state]
        if self.is_write_paused or self._is_trailing or exchange is not None:
            is_body_awaited = exchange is not None and exchange.is_body_awaited
            clock = running(state, is_body_awaited, self.is_write_paused or self._is_trailing)
        elif clock is _TUNNEL_CLOCK and self._tunnel is not None:
            clock = self._tunnel.tunnel.clock
        if clock is not self._clock:
            self._start_clock(clock)
            if clock is _LINGER_CLOCK and connection.reason in _UNANNOUNCED:
                # No response was owed: read only to notice lost requests.
                self.deadline = min(self.deadline, self._since + _READ_AFTER_IDLE_S)
        if clock is _IDLE and self._recent_place == _NONE:
            self._recent_place = self._context.pool.became_idle(self)

    def park(self) -> None:
        self._recent_place = _NONE
        context = self._context
        connection = self.connection
        if not connection.may_park or self._clock is not _IDLE or self.is_gathering:
            return
        descriptor = self._wire.descriptor()
        parked = ParkedSession(
            context,
            descriptor,
            self.peer,
            self.local,
            self.scheme,
            connection.served,
            self._since,
            self.deadline,
            self._limits,
        )
        if self._wire.rest(parked):
            context.manager.replaced(self, parked)
            self._wire = CLOSED_WIRE
            self.connection = context.pool.nobody
            context.pool.put(connection)

    def _write(self, connection: Connection) -> None:
        if connection.bulk is None:
            self._wire.write(connection.take_output())
        else:
            self._wire.write_pieces(connection.take_pieces())

    def _pause_or_resume(self, connection: Connection) -> None:
        self.is_reading = not connection.wants_pause
        if self.is_reading:
            self._wire.resume_reading()
            if not connection.input_ended:
                self._context.manager.reading_resumed(self)
        else:
            self._wire.pause_reading()
            self._context.manager.reading_stopped(self)

    def _linger_on(self, now: float) -> None:
        """Restart the linger clock, within the bound of `linger_total`."""
        self.deadline = min(now + self._context.durations.by_clock[_LINGER_CLOCK], self._linger_until())

    # -- Ending ------------------------------------------------------------------------------------

    def _end_tunnel(self) -> None:
        """Tell the tunnel, if there is one, that the connection closes."""
        if self._tunnel is not None:
            carried, self._tunnel = self._tunnel, None
            carried.ended()
            if self._context.access_log is not None:
                seconds = self._context.clock() - carried.begun
                self._record(self.connection, carried.request, carried.client, seconds, carried.summary)

    def _end(self, connection: Connection) -> None:
        """End the wire of a connection that has just begun to close."""
        if self._context.access_log is not None and connection.status:
            request = connection.unserved
            if request is not None or connection.reason in _NO_REQUEST:
                origin = None if request is None else self._told(request)
                self._record(connection, request, self.peer if origin is None else origin.client, 0.0)
        self._end_wire(connection, connection.close_mode(self._wire.can_half_close))

    def _end_wire(self, connection: Connection, mode: CloseMode) -> None:
        """Order the end of the wire. Only this and `_end_if_quiet` do."""
        if self._mode is not None:  # the first way to end was not reached, or is abandoned
            self.deadline = FOREVER
        self._mode = mode
        if mode is _LINGER:
            if connection.bulk is not None:
                self._write(connection)
            self._wire.half_close(connection.take_output())
            return
        if connection.output:
            self._write(connection)
        if mode is _RELEASE:
            self._wire.release()
        else:
            self._wire.abort()

    def _end_if_quiet(self, mode: CloseMode) -> bool:
        """Shut the sending side unless octets have arrived or are unsent; return whether it did."""
        if not self._wire.half_close_if_quiet():
            return False
        self._mode = mode
        return True

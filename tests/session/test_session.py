"""Serves one connection between stand-ins for wire and gateway: orders, exchanges and clocks.

1. At rest a connection is small, wakes whatever happens to it, and has forgotten nothing that counts.
2. The protocol machine that it borrows while awake has served others before, and remembers nothing of them.
3. In each state one clock runs. What has arrived when it runs out still counts.
4. What fails in one connection ends that one.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from bide.errors import DisconnectedError, Misuse
from bide.exchange import Exchange
from bide.policy.clocks import FOREVER
from bide.session.parked import ParkedSession
from bide.session.session import Session
from bide.terms import DRAIN, Clock, CloseReason, State
from tests.support.client import chunked, request
from tests.support.server import logged
from tests.support.stage import GET, HALF, LINGER_TOTAL, POST, SECONDS, Act, Stage, StubWire, fail, hello

#: Idle connections that keep their protocol objects.
MOST_RECENT = 256

# -- At rest ----------------------------------------------------------------------------------------------------------------


def test_session_after_an_exchange_is_at_rest(stage: Stage) -> None:
    session, wire = stage.connect()
    assert (session.state, session.requests) == (State.NEW, 0)
    for count in (1, 2, 3):
        wire.written = b""
        session.octets_received(GET)
        assert wire.written.startswith(b"HTTP/1.1 200 OK\r\n")
        assert wire.written.endswith(b"\r\n\r\nhello\n")
        assert (session.state, session.requests) == (State.IDLE, count)
    assert wire.orders == []
    connection = session.connection
    session.park()
    ((old, parked),) = stage.manager.stand_ins
    assert (old, wire.resting) == (session, parked)
    assert (parked.state, parked.requests) == (State.IDLE, 3)
    assert stage.context.pool.free == [connection]


def shaking_hands(stage: Stage) -> tuple[Session, StubWire]:
    wire = StubWire()
    wire.shakes_hands = True
    return Session(stage.context, wire), wire


def test_handshake_has_a_clock_of_its_own_and_the_first_octet_one_after_it(stage: Stage) -> None:
    session, _ = shaking_hands(stage)
    assert (session.state, session.requests) == (State.HANDSHAKE, 0)
    assert session.deadline == stage.now + SECONDS[Clock.HANDSHAKE]
    stage.now += 1.0
    session.ready()
    assert (session.state, session.requests) == (State.NEW, 0)
    assert session.deadline == stage.now + SECONDS[Clock.FIRST_OCTET]
    session.octets_received(GET)
    assert session.requests == 1


def test_handshake_that_is_complete_during_a_drain_waits_no_longer_than_others(stage: Stage) -> None:
    session, _ = shaking_hands(stage)
    stage.context.add_facts(DRAIN)
    stage.context.idle.shorten(2.0)
    session.ready()
    assert session.deadline <= stage.now + 2.0


@pytest.mark.parametrize(("is_plain", "written"), [(False, b""), (True, b"HTTP/1.1 400 ")])
def test_handshake_that_fails_ends_the_connection(stage: Stage, is_plain: bool, written: bytes) -> None:
    session, wire = shaking_hands(stage)
    session.rejected(CloseReason.TLS_REJECTED, "no shared cipher", is_plain)
    assert wire.written.startswith(written)
    assert (b"https" in wire.written) == is_plain
    session.flushed()
    session.lost()
    assert stage.ends == [CloseReason.TLS_REJECTED]


def test_peer_that_a_header_tells_is_the_sessions(stage: Stage) -> None:
    session, wire = shaking_hands(stage)
    wire.peer = lambda: ("192.0.2.9", 5000)  # type: ignore[method-assign]
    session.introduced()
    assert (session.peer, session.host) == (("192.0.2.9", 5000), "192.0.2.9")
    assert stage.manager.introductions == [session]


def test_failed_handshakes_make_one_line_a_minute(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "bide.connection")

    def fail() -> None:
        session, _ = shaking_hands(stage)
        session.rejected(CloseReason.PROXY_HEADER_REJECTED, "no PROXY header", False)

    for seconds in (0.0, 59.9, 0.2, 1.0):
        stage.now += seconds
        fail()
    session, _, _ = stage.begun()
    stage.now += 61.0
    session.rejected(CloseReason.TLS_REJECTED, "bad record mac", False)  # its handshake was complete
    line = "192.0.2.1:4000: handshake failed, close=proxy_header_rejected (no PROXY header); "
    assert caplog.messages == [line + "further ones go to the debug log for 60 s"] * 2


def test_record_that_is_not_valid_cuts_the_response(stage: Stage) -> None:
    session, wire, _ = stage.begun()
    session.rejected(CloseReason.TLS_REJECTED, "bad record mac", False)
    assert wire.orders[-1] == "abort"
    session.lost()
    assert stage.ends == [CloseReason.TLS_REJECTED]


def test_request_is_served_once_other_connections_were_read(stage: Stage) -> None:
    session, wire = stage.connect()
    wire.is_deferring = True
    session.octets_received(GET)
    assert stage.gateway.exchanges == []
    session.go_on()
    assert wire.written.endswith(b"\r\n\r\nhello\n")
    session.go_on()
    assert len(stage.gateway.exchanges) == 1


@pytest.mark.parametrize("then", [lambda session: session.octets_received(GET), lambda session: session.eof_received()])
def test_whatever_comes_before_a_deferred_request_is_served_has_it_served_first(
    stage: Stage, then: Callable[[Session], object]
) -> None:
    session, wire = stage.connect()
    wire.is_deferring = True
    session.octets_received(GET)
    then(session)
    assert len(stage.gateway.exchanges) >= 1
    assert wire.written.startswith(b"HTTP/1.1 200 OK\r\n")
    wire.is_deferring = False
    session.go_on()
    assert wire.written.count(b"HTTP/1.1 200 OK") == session.requests


def test_deferred_request_of_a_connection_that_was_stopped_is_not_served(stage: Stage) -> None:
    """The application of another connection, served first, may have stopped the server."""
    session, wire = stage.connect()
    wire.is_deferring = True
    session.octets_received(GET)
    session.stop()
    session.go_on()
    assert stage.gateway.exchanges == []
    assert wire.written.startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize("octets", [GET + HALF, GET + b"\r"])
def test_session_with_octets_held_is_not_at_rest(stage: Stage, octets: bytes) -> None:
    session, _ = stage.connect()
    session.octets_received(octets)
    session.park()
    assert stage.manager.stand_ins == []
    assert session.requests == 1


def half_a_head(session: Session, wire: StubWire) -> None:
    session.octets_received(HALF)
    assert session.state is State.HEAD


def shed(session: Session, wire: StubWire) -> None:
    assert session.shed()


def run_out(session: Session, wire: StubWire) -> None:
    session.deadline_reached(session.deadline)


@pytest.mark.parametrize(
    ("rouse", "state", "orders", "reason"),
    [
        (half_a_head, State.HEAD, [], CloseReason.CLIENT_INCOMPLETE),
        (lambda session, _: session.eof_received(), State.CLOSING, ["release"], CloseReason.CLIENT_EOF_IDLE),
        (shed, State.CLOSING, ["half_close", "release"], CloseReason.SHED),
        (lambda session, _: session.stop(), State.CLOSING, ["half_close"], CloseReason.DRAIN),
        (run_out, State.LINGER, ["half_close"], CloseReason.IDLE_TIMEOUT),
        (lambda session, _: session.fail_internal(), State.CLOSING, ["abort"], CloseReason.INTERNAL_ERROR),
        (lambda session, _: None, State.IDLE, [], CloseReason.CLIENT_EOF_IDLE),
    ],
)
def test_session_at_rest_that_is_roused_ends_for_one_reason(
    stage: Stage, rouse: Callable[[Session, StubWire], None], state: State, orders: list[str], reason: CloseReason
) -> None:
    """Whatever wakes it: it has served two requests, and ends for one reason."""
    session, wire = stage.idle(served=2)
    with logged():
        rouse(session, wire)
    assert (session.state, session.requests) == (state, 2)
    assert wire.orders == orders
    session.lost()
    assert session.state is State.CLOSED
    assert stage.ends == [reason]
    assert stage.manager.requests == 2


def test_request_octet_by_octet_rouses_and_is_answered(stage: Stage) -> None:
    session, wire = stage.idle()
    for octet in GET:
        session.octets_received(bytes([octet]))
    assert wire.written.endswith(b"hello\n")
    assert (session.state, session.requests) == (State.IDLE, 2)


# -- Lent and given back ----------------------------------------------------------------------------------------------------


def refuse(exchange: Exchange) -> None:
    exchange.respond(413, [(b"content-length", b"0")], False)
    exchange.send(b"", False)


def stream(exchange: Exchange) -> None:
    exchange.inform(103, [(b"link", b"</a>")])
    exchange.respond(200, [(b"trailer", b"x")], True)
    exchange.send(b"pieces", True)
    exchange.send(b"", False)
    exchange.send_trailers([(b"x", b"1")], False)


def read(exchange: Exchange) -> None:
    assert exchange.take()
    hello(exchange)


def echo(exchange: Exchange) -> None:
    content = exchange.take()
    exchange.respond(200, [(b"content-length", b"%d" % len(content))], False)
    exchange.send(content, False)


def give_up(exchange: Exchange) -> None:
    exchange.finished()


def misuse(exchange: Exchange) -> None:
    exchange.respond(200, [(b"content-length", b"1")], False)
    with pytest.raises(Misuse):
        exchange.send(b"too long", False)
    exchange.finished()


def draining(exchange: Exchange) -> None:
    """Have the worker told to stop once the head has left, so that close is not announced."""
    exchange.respond(200, [(b"content-length", b"6")], False)
    exchange.send(b"hel", True)
    exchange.carrier.announce_drain()  # type: ignore[attr-defined]
    exchange.send(b"lo\n", False)


PASTS: Final[dict[str, tuple[Act, bytes]]] = {
    "a request": (hello, GET),
    "an old client": (hello, request("/", "Connection: keep-alive", version="1.0")),
    "a body nobody read": (hello, POST),
    "a body refused": (refuse, POST),
    "a body read": (read, POST),
    "a chunked body": (read, request("/", "Transfer-Encoding: chunked", method="POST") + chunked(b"a" * 100, b"b")),
    "a body that was expected": (read, request("/", "Expect: 100-continue", method="POST", body=b"body")),
    "a head only": (hello, request("/", method="HEAD")),
    "a stream": (stream, GET),
    "a failure": (give_up, GET),
    "a misuse": (misuse, GET),
    "many at once": (hello, GET * 40 + POST),
    "empty lines": (hello, b"\r\n\r\n" + GET),
    "a drain": (draining, GET),
}


@pytest.mark.parametrize("octets", [GET, GET + HALF, POST, b"rubbish\r\n\r\n", request("/", version="1.0"), HALF])
@pytest.mark.parametrize("past", PASTS)
def test_connection_used_before_serves_like_a_fresh_one(
    loop: asyncio.AbstractEventLoop, stage: Stage, past: str, octets: bytes
) -> None:
    """The next connection is answered, and ends, like the first of all."""
    act, before = PASTS[past]
    stage.gateway.act = act
    session, _ = stage.connect()
    session.octets_received(before)
    for _ in range(3):  # pipelined requests are answered in batches
        session.write_resumed()
    loop.run_until_complete(asyncio.sleep(0))  # content that is gathered is written once the pass is over
    session.park()
    assert len(stage.context.pool.free) == 1, "the next connection gets its protocol object"

    fresh = Stage(loop)
    stage.gateway.act = fresh.gateway.act = echo
    outcomes = []
    for each in (stage, fresh):
        session, wire = each.connect()
        session.octets_received(octets)
        state = session.state
        session.eof_received()
        outcomes.append((wire.written, state, session.state, session.requests, wire.orders))
        session.lost()
    assert outcomes[0] == outcomes[1]
    assert stage.ends == fresh.ends


def test_session_whose_wire_cannot_rest_stays(stage: Stage) -> None:
    session, wire = stage.idle()
    wire.may_rest = False
    session.park()
    assert (stage.manager.stand_ins, stage.context.pool.free) == ([], [])
    session.octets_received(GET)
    assert wire.written.endswith(b"hello\n")


def test_session_that_was_parked_does_nothing_more(stage: Stage) -> None:
    """A call that was scheduled before may still come."""
    session, wire = stage.idle()
    session.park()
    session.settle()
    session.park()
    assert len(stage.manager.stand_ins) == 1
    assert (wire.written, wire.orders) == (b"", [])


def test_session_that_is_active_again_and_again_is_parked_seldom(stage: Stage) -> None:
    """Each keeps its protocol object until 256 others have become idle."""
    session, _ = stage.connect()
    for _ in range(1_000):
        session.octets_received(GET)
    for _ in range(MOST_RECENT):
        assert stage.manager.stand_ins == []
        stage.connect()[0].octets_received(GET)
    assert [old for old, _ in stage.manager.stand_ins] == [session]


def test_session_that_is_active_when_told_to_park_stays(stage: Stage) -> None:
    session, wire, exchange = stage.begun()
    session.park()
    hello(exchange)
    assert wire.written.endswith(b"hello\n")
    assert session.requests == 1


def test_sessions_at_once_have_a_connection_each(stage: Stage) -> None:
    one, one_wire, one_exchange = stage.begun(request("/one"))
    other, other_wire, other_exchange = stage.begun(request("/other"))
    assert one.connection is not other.connection
    hello(other_exchange)
    assert one_wire.written == b""
    hello(one_exchange)
    assert one_wire.written == other_wire.written


@pytest.mark.parametrize("octets", [request("/", "Connection: close"), request("/", version="1.0"), b"rubbish\r\n\r\n"])
def test_connection_that_ends_is_not_given_back(stage: Stage, octets: bytes) -> None:
    session, wire = stage.connect()
    session.octets_received(octets)
    assert wire.orders == ["half_close"]
    session.flushed()
    session.octets_received(GET)
    assert wire.written.count(b"HTTP/1.1") == 1
    session.park()
    session.lost()
    session.park()
    assert stage.context.pool.free == []


def test_lost_session_is_not_told_to_park(stage: Stage) -> None:
    """Nothing keeps it, so it is gone at once."""
    session, _ = stage.idle()
    session.eof_received()
    session.lost()
    assert session not in stage.context.pool._recent


def test_drain_is_seen_by_a_session_once_it_wakes(stage: Stage) -> None:
    """A session at rest is told nothing, and knows of the drain when it wakes."""
    session, wire = stage.idle()
    session.park()
    ((_, parked),) = stage.manager.stand_ins
    assert isinstance(parked, ParkedSession)
    stage.context.add_facts(DRAIN)
    parked.announce_drain()
    session = Session(stage.context, wire, parked)
    session.octets_received(GET)
    assert b"\r\nConnection: close\r\n" in wire.written
    session.lost()
    assert stage.ends == [CloseReason.DRAIN]


# -- Clocks -----------------------------------------------------------------------------------------------------------------


def test_clock_of_a_new_connection(stage: Stage) -> None:
    assert stage.seconds_left(stage.connect()[0]) == SECONDS[Clock.FIRST_OCTET]


def refusal(exchange: Exchange) -> None:
    assert exchange.is_refused
    hello(exchange)


def test_clock_of_one_that_is_refused(stage: Stage) -> None:
    stage.context.durations.by_clock[Clock.LINGER] = 20.0
    session, wire = stage.connect()
    session.refuse()
    assert stage.seconds_left(session) == 20.0
    stage.gateway.act = refusal
    session.octets_received(GET)
    assert b"\r\nConnection: close\r\n" in wire.written
    session.lost()
    assert stage.ends == [CloseReason.REFUSED]


def test_clock_of_a_head_is_not_renewed_by_octets(stage: Stage) -> None:
    session, _ = stage.connect()
    session.octets_received(HALF)
    assert stage.seconds_left(session) == SECONDS[Clock.HEAD]
    before = session.deadline
    session.octets_received(b" a")
    assert session.deadline == before


def test_clock_of_an_idle_session_begins_anew_after_each_exchange(stage: Stage) -> None:
    session, _ = stage.idle()
    assert stage.seconds_left(session) == SECONDS[Clock.IDLE]
    before = session.deadline
    stage.now += 1.0
    session.octets_received(GET)
    assert session.deadline == before + 1.0, "it begins anew"


def test_clock_while_the_application_works_is_none(stage: Stage) -> None:
    session, _, exchange = stage.begun()
    assert session.deadline == FOREVER
    hello(exchange)
    assert stage.seconds_left(session) == SECONDS[Clock.IDLE]


def test_clock_of_a_body_runs_while_it_is_awaited(loop: asyncio.AbstractEventLoop, stage: Stage) -> None:
    session, _, exchange = stage.begun(POST[:-4])
    assert session.deadline == FOREVER, "nobody waits for it"

    async def wait() -> None:
        waiting = asyncio.ensure_future(exchange.changed())
        await asyncio.sleep(0)
        assert stage.seconds_left(session) == SECONDS[Clock.BODY]
        session.octets_received(b"bo")
        await waiting
        assert session.deadline == FOREVER
        assert exchange.take() == b"bo"

    loop.run_until_complete(wait())


def test_clock_of_a_body_stops_when_it_is_complete_and_not_when_the_application_wakes(
    loop: asyncio.AbstractEventLoop, stage: Stage
) -> None:
    """A sweep may come in between, and a slow rate would end the connection."""
    session, _, exchange = stage.begun(POST[:-4])

    async def wait() -> None:
        waiting = asyncio.ensure_future(exchange.changed())
        await asyncio.sleep(0)
        stage.now += SECONDS[Clock.BODY] / 2
        session.octets_received(POST[-4:])
        assert session.deadline == FOREVER
        session.deadline_reached(stage.now)
        await waiting
        assert exchange.take() == POST[-4:]

    loop.run_until_complete(wait())
    assert session.connection.reason is None


def test_clock_of_a_body_awaited_by_two_runs_until_both_stop(loop: asyncio.AbstractEventLoop, stage: Stage) -> None:
    """One of them gives up: the other still waits."""
    session, _, exchange = stage.begun(POST[:-4])

    async def wait() -> None:
        first, second = asyncio.ensure_future(exchange.changed()), asyncio.ensure_future(exchange.changed())
        await asyncio.sleep(0)
        before = session.deadline
        first.cancel()
        await asyncio.wait((first,))
        assert session.deadline == before
        second.cancel()
        await asyncio.wait((second,))
        assert session.deadline == FOREVER

    loop.run_until_complete(wait())


@pytest.mark.parametrize("blocked", [False, True])
def test_body_read_late_is_judged_by_when_it_may_have_come(loop: asyncio.AbstractEventLoop, blocked: bool) -> None:
    """The rate is judged by when the octets may have come, not by when a loop that was blocked has read them."""
    stage = Stage(loop, rate_grace=0.0, body_rate=1e9)
    session, _, exchange = stage.begun(POST[:-4])
    before = stage.now

    async def wait() -> None:
        waiting = asyncio.ensure_future(exchange.changed())
        await asyncio.sleep(0)
        stage.now += 1.0
        if blocked:
            stage.context.loop_looked_at(before)
        session.octets_received(b"b")
        assert (session.deadline > before + SECONDS[Clock.BODY] / 2) == blocked
        await waiting

    loop.run_until_complete(wait())


def test_clock_of_a_discarded_body_is_discard(stage: Stage) -> None:
    session, _ = stage.connect()
    session.octets_received(POST[:-4])
    assert session.state is State.DISCARD
    assert stage.seconds_left(session) == SECONDS[Clock.DISCARD]
    session.octets_received(b"body")
    assert session.requests == 1
    assert stage.seconds_left(session) == SECONDS[Clock.IDLE]


def test_clock_of_stuck_output_is_send(stage: Stage) -> None:
    session, wire, exchange = stage.begun()
    exchange.respond(200, [], False)
    wire.held = 1000
    session.write_paused()
    assert stage.seconds_left(session) == SECONDS[Clock.SEND]
    assert session in stage.manager.stalled
    session.write_resumed()
    assert session.deadline == FOREVER
    assert not stage.manager.stalled


def test_clocks_of_the_end_are_send_then_linger(stage: Stage) -> None:
    session, wire = stage.connect()
    session.octets_received(request("/", "Connection: close"))
    assert (session.state, stage.seconds_left(session)) == (State.CLOSING, SECONDS[Clock.SEND])
    session.flushed()
    assert (session.state, stage.seconds_left(session)) == (State.LINGER, SECONDS[Clock.LINGER])
    stage.run_out(session)
    assert wire.orders == ["half_close", "release"]
    assert session.deadline == FOREVER


def test_end_of_a_wire_that_cannot_half_close_is_a_release(stage: Stage) -> None:
    session, wire = stage.connect()
    wire.half_closes = False
    session.octets_received(request("/", "Connection: close"))
    assert wire.orders == ["release"]


def test_flush_that_takes_too_long(stage: Stage) -> None:
    session, wire = stage.connect()
    session.octets_received(request("/", "Connection: close"))
    stage.run_out(session)
    assert wire.orders == ["half_close", "abort"]
    session.lost()
    assert stage.ends == [CloseReason.CLIENT_CLOSE_OPTION], "the first reason wins"


def test_linger_with_output_unacknowledged_goes_on(stage: Stage) -> None:
    session, wire = stage.connect()
    session.octets_received(request("/", "Connection: close"))
    session.flushed()
    wire.held = 10
    for _ in range(3):
        before = session.deadline
        session.deadline_reached(before)
        assert session.deadline == before + SECONDS[Clock.LINGER]
    session.deadline_reached(session.deadline + LINGER_TOTAL)
    assert wire.orders == ["half_close", "release"]


def test_linger_with_octets_waiting_goes_on_up_to_its_total(stage: Stage) -> None:
    """They came in time, and to close before they are read would reset the connection; but not for ever."""
    session, wire = stage.connect()
    session.octets_received(request("/", "Connection: close"))
    session.flushed()
    wire.waiting = True
    for _ in range(3):
        stage.run_out(session)
        assert wire.orders == ["half_close"]
    session.octets_received(b"x")
    assert stage.seconds_left(session) == SECONDS[Clock.LINGER]
    session.deadline_reached(session.deadline + LINGER_TOTAL)
    assert wire.orders == ["half_close", "release"]


def test_head_beyond_its_clock_is_answered_408(stage: Stage) -> None:
    session, wire = stage.connect()
    session.octets_received(HALF)
    stage.run_out(session)
    assert wire.written.startswith(b"HTTP/1.1 408 ")
    assert wire.orders == ["half_close"]


@pytest.mark.parametrize("before", [b"", GET, HALF])
def test_clock_over_with_octets_waiting_is_reprieved_once(stage: Stage, before: bytes) -> None:
    """The kernel holds octets, and the loop was busy. The clock runs out only if they are unread a sweep later, too."""
    session, wire = stage.connect()
    if before:
        session.octets_received(before)
    wire.waiting = True
    stage.run_out(session)
    assert wire.orders == []
    session.octets_received(b" a\r\n\r\n" if before == HALF else GET)
    assert wire.written.endswith(b"hello\n")
    stage.run_out(session)
    assert wire.orders == []
    stage.run_out(session)
    assert wire.orders == ["half_close"]


@pytest.mark.parametrize("before", [b"", GET])
def test_clock_over_with_octets_waiting_is_reprieved_again_after_a_read(stage: Stage, before: bytes) -> None:
    """The octets read in the time of grace were an empty line. The loop was blocked again, and now a request waits."""
    session, wire = stage.connect()
    session.octets_received(before or b"\r\n")
    wire.waiting = True
    for _ in range(3):
        stage.run_out(session)
        assert wire.orders == []
        session.octets_received(b"\r\n")
    stage.run_out(session)
    stage.run_out(session)  # nothing was read: that is not the loop's fault
    assert wire.orders == ["half_close"]


def test_idle_clock_over_with_output_unsent_becomes_send(stage: Stage) -> None:
    session, wire = stage.idle()
    wire.held = 10
    stage.run_out(session)
    assert wire.orders == []
    assert stage.seconds_left(session) == SECONDS[Clock.SEND]
    wire.held = 0
    session.watch_output(stage.now)
    assert stage.seconds_left(session) == SECONDS[Clock.IDLE]


def test_empty_line_after_an_idle_end_is_not_counted_as_lost(stage: Stage) -> None:
    session, _ = stage.idle()
    stage.run_out(session)
    session.octets_received(b"\r\n")
    assert stage.context.counters.race_lost == 0


def test_request_after_an_idle_end_is_counted_as_lost_once(stage: Stage) -> None:
    session, _ = stage.idle()
    stage.run_out(session)
    with logged() as log:
        session.octets_received(GET)
        session.octets_received(GET)
    assert stage.context.counters.race_lost == 1
    assert len(log.messages(logging.WARNING)) == 1


# -- Shedding ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("busy", ["waiting", "held"])
def test_shed_with_a_busy_wire_is_refused(stage: Stage, busy: str) -> None:
    session, wire = stage.idle()
    setattr(wire, busy, 1)
    assert not session.shed()
    assert wire.orders == []
    assert session.state is State.IDLE
    session.octets_received(GET)
    assert wire.written.endswith(b"hello\n")


def test_who_may_be_shed(stage: Stage) -> None:
    now = stage.now
    assert stage.idle()[0].may_be_shed(now, 1.0)
    new, _ = stage.connect()
    assert not new.may_be_shed(now, 1.0), "its request may be on the way"
    assert new.may_be_shed(now + 2.0, 1.0)
    assert not stage.begun()[0].may_be_shed(now + 2.0, 1.0)
    new.octets_received(HALF)
    assert not new.may_be_shed(now + 2.0, 1.0)
    stuck, _, exchange = stage.begun()
    stuck.write_paused()
    hello(exchange)
    assert not stuck.may_be_shed(now + 2.0, 1.0)
    refused, _ = stage.connect()
    refused.refuse()
    assert not refused.may_be_shed(now + 2.0, 1.0)
    pipelined, _, exchange = stage.begun(GET + GET)
    pipelined.write_paused()
    hello(exchange)
    assert pipelined.state is State.IDLE
    assert not pipelined.may_be_shed(now + 2.0, 1.0)


@pytest.mark.parametrize("served", [0, 1])
@pytest.mark.parametrize("octets", [b"\r", b"\r\n", b"\r\n\r"])
def test_session_with_an_empty_line_received_may_be_shed(stage: Stage, served: int, octets: bytes) -> None:
    session, wire = stage.idle(served) if served else stage.connect()
    session.octets_received(octets)
    now = stage.now
    assert session.may_be_shed(now, 1.0) == bool(served)
    assert session.may_be_shed(now + 2.0, 1.0)
    assert session.shed()
    assert wire.orders == ["half_close", "release"]
    session.lost()
    assert stage.ends == [CloseReason.SHED]


# -- Exchanges --------------------------------------------------------------------------------------------------------------


def test_failure_of_the_wire_during_send_aborts_and_is_logged(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection ends at once, and the log says so."""
    session, wire, exchange = stage.begun()
    monkeypatch.setattr(wire, "write", fail)
    exchange.respond(200, [], False)
    with logged() as log:
        exchange.send(b"x", False)
        log.expect("bide failed")
    assert wire.orders == ["abort"]
    session.lost()
    assert stage.ends == [CloseReason.INTERNAL_ERROR]


def test_send_that_waits_while_another_completes_the_response_returns(
    loop: asyncio.AbstractEventLoop, stage: Stage
) -> None:
    session, _, exchange = stage.begun()

    async def wait() -> None:
        exchange.respond(200, [], False)
        session.write_paused()
        waiting = asyncio.ensure_future(exchange.send(b"one", True))
        await asyncio.sleep(0)
        exchange.send(b"two", False)
        session.write_resumed()
        await waiting

    loop.run_until_complete(wait())


def test_loss_within_an_exchange_ends_it(stage: Stage) -> None:
    session, _, exchange = stage.begun()
    session.lost()
    assert exchange.over
    assert not exchange.complete
    assert stage.ends == [CloseReason.CLIENT_RESET]
    with pytest.raises(DisconnectedError):
        exchange.respond(200, [], False)
    exchange.finished()  # says nothing


def test_client_gone_without_a_report_is_told_and_aborted(stage: Stage) -> None:
    session, wire, exchange = stage.begun()
    session.eof_received()
    assert wire.orders == ["probe"]
    assert session in stage.manager.unread
    session.watch_peer(stage.now)
    told = [exchange.client_left]
    session.watch_peer(stage.now + 10.0)
    told.append(exchange.client_left)
    assert told == [False, True]
    assert not exchange.over, "it may still read"
    wire.is_broken = True
    session.watch_peer(stage.now)
    assert wire.orders == ["probe", "abort"]


def test_client_gone_without_half_close_time_is_told_at_once(loop: asyncio.AbstractEventLoop) -> None:
    """The application is told at the first look, if no time is left for an answer after a half-close."""
    stage = Stage(loop, timeout_half_closed=0.0)
    session, _, exchange = stage.begun()
    session.eof_received()
    session.watch_peer(stage.now)
    assert exchange.client_left


def test_reading_pauses_for_a_full_buffer_and_resumes(loop: asyncio.AbstractEventLoop) -> None:
    stage = Stage(loop, limit_buffer=1024)
    session, wire, exchange = stage.begun(request("/", "Content-Length: 5000", method="POST"))
    session.octets_received(bytes(2000))
    assert wire.orders == ["pause"]
    assert exchange.take() == bytes(2000)
    assert wire.orders == ["pause", "resume"]
    session.octets_received(bytes(3000))
    assert exchange.body_complete


def test_stop_within_an_exchange_is_answered_503(stage: Stage) -> None:
    session, wire, exchange = stage.begun()
    session.stop()
    assert wire.written.startswith(b"HTTP/1.1 503 ")
    assert exchange.over
    session.lost()
    assert stage.ends == [CloseReason.DRAIN_DEADLINE]


# -- What fails -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("octets", [GET, POST, GET * 3])
def test_failure_within_a_session_ends_that_one_only(stage: Stage, octets: bytes) -> None:
    bystander, bystander_wire = stage.idle()
    stage.gateway.act = fail
    session, wire = stage.connect()
    with logged() as log:
        session.octets_received(octets)
    (message,) = log.messages(logging.ERROR)
    assert message == "192.0.2.1:4000: bide failed; please report this"
    assert wire.orders == ["abort"]
    session.octets_received(GET)  # what is on the way from a loop that has not noticed
    session.eof_received()
    session.lost()
    assert stage.ends == [CloseReason.INTERNAL_ERROR]

    stage.gateway.act = hello
    bystander.octets_received(GET)
    assert bystander_wire.written.endswith(b"hello\n")


@pytest.mark.parametrize("drained", [False, True])
def test_gap_of_a_connection_is_its_idle_time_in_a_drain_too(stage: Stage, drained: bool) -> None:
    """A drain moves the deadline, and not the time since which the connection is idle."""
    session, _ = stage.idle()
    stage.now += 60.0
    if drained:
        stage.context.add_facts(DRAIN)
        stage.context.idle.shorten(2.0)
        session.announce_drain()
        session.shorten_wait(2.0)
        assert session.deadline == stage.now + 2.0
    session.octets_received(GET)
    assert [index for index, count in enumerate(stage.context.counters.gaps) if count] == [(60_000).bit_length()]


# -- Files ------------------------------------------------------------------------------------------------------------------


def test_file_leaves_after_what_was_written_before(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    session, wire, exchange = stage.begun(GET)
    exchange.respond(200, [], False)
    with (tmp_path / "file").open("rb") as file:
        exchange.send_file(file.fileno(), 0, 7, False)
    assert wire.written.endswith(b"\r\n\r\ncontent")
    assert session.state is State.IDLE


def test_file_that_the_client_does_not_take_has_the_send_clock(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    session, wire, exchange = stage.begun(GET)
    exchange.respond(200, [], False)
    wire.space = 3
    with (tmp_path / "file").open("rb") as file:
        sending = exchange.send_file(file.fileno(), 0, 7, False)
        session.write_paused()
    assert session.deadline == stage.now + SECONDS[Clock.SEND]
    assert wire.written.endswith(b"\r\n\r\ncon")
    stage.now = session.deadline
    session.deadline_reached(stage.now)
    session.lost()
    assert stage.manager.ends == [CloseReason.SEND_TIMEOUT]
    with pytest.raises(DisconnectedError):
        stage.context.loop.run_until_complete(sending)


def test_connection_that_is_given_up_announces_close_on_a_later_response(stage: Stage) -> None:
    """Its first response comes from here: a client without a second request loses nothing, and gains nothing."""
    stage.context.clients.surplus_measured(1)
    session, wire = stage.connect()
    session.octets_received(GET)
    assert b"close" not in wire.written
    wire.written = b""
    session.octets_received(GET + GET)
    first, _, last = wire.written.partition(b"hello\n")
    assert b"close" not in first, "the next request is here"
    assert b"\r\nConnection: close\r\n" in last
    other, wire = stage.idle()
    other.octets_received(GET)
    assert b"close" not in wire.written
    session.eof_received()
    session.lost()
    assert stage.ends == [CloseReason.REBALANCED]

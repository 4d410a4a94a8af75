"""The one clock of a connection, started and read without a session: the carrier, its wire and its manager are stand-ins."""

from typing import Final

import pytest

from bide.http1.connection import Connection
from bide.policy.clocks import FOREVER
from bide.session.clock import ClockedCarrier
from bide.session.exchange import ServedExchange
from bide.terms import Clock
from tests.support.carrier import StubCarrier
from tests.support.stage import LINGER_TOTAL, SECONDS, Stage, StubWire

HEAD_OF_BODY: Final = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"

#: Clocks whose deadline is a duration away, and nothing else.
PLAIN: Final = [clock for clock in Clock if clock not in {Clock.BODY, Clock.SEND}]

# Pressure at which idle connections are held for the least time only.
HIGHEST: Final = 1.0


class Clocked(ClockedCarrier, StubCarrier):
    """The clock's part of a session, with nothing around it."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.wire = self._wire = StubWire()
        self._context = stage.context
        self._exchange = None
        self._sending = None
        self._clock = None
        self._since = 0.0
        self._is_reprieved = False


@pytest.fixture
def clocked(stage: Stage) -> Clocked:
    return Clocked(stage)


def with_awaited_body(clocked: Clocked, stage: Stage) -> ServedExchange:
    """Give `clocked` an exchange whose application waits for the request body."""
    connection: Connection = stage.context.pool.take(0, 0)
    request = connection.receive(HEAD_OF_BODY)
    assert request is not None
    exchange = ServedExchange(clocked, stage.context, connection, request, stage.now)
    clocked._exchange = exchange
    exchange.await_body()
    return exchange


@pytest.mark.parametrize("clock", PLAIN)
def test_clock_started_runs_for_its_duration(clocked: Clocked, stage: Stage, clock: Clock) -> None:
    clocked._start_clock(clock)
    assert clocked.deadline == stage.now + SECONDS[clock]
    assert clocked.waiting_since == stage.now
    assert not clocked._has_expired(clocked.deadline - 1.0)
    assert clocked._has_expired(clocked.deadline)


def test_clock_stopped_never_expires(clocked: Clocked, stage: Stage) -> None:
    clocked._start_clock(Clock.HEAD)
    clocked._start_clock(None)
    assert clocked.deadline == FOREVER
    assert not clocked._has_expired(stage.now + 1e9)


def test_clock_started_anew_has_no_reprieve(clocked: Clocked) -> None:
    clocked._start_clock(Clock.HEAD)
    clocked._is_reprieved = True
    clocked._start_clock(Clock.HEAD)
    assert not clocked._is_reprieved


@pytest.mark.parametrize("clock", PLAIN)
def test_pressure_cuts_the_clock_of_idle_connections_only(clocked: Clocked, stage: Stage, clock: Clock) -> None:
    clocked._start_clock(clock)
    stage.context.idle.pressure_measured(HIGHEST)
    expires_at = clocked.deadline - (stage.context.idle.cut if clock is Clock.IDLE else 0.0)
    assert stage.context.idle.cut > 1.0
    assert not clocked._has_expired(expires_at - 1.0)
    assert clocked._has_expired(expires_at)


def test_pressure_that_is_over_cuts_no_clock(clocked: Clocked, stage: Stage) -> None:
    clocked._start_clock(Clock.IDLE)
    stage.context.idle.pressure_measured(HIGHEST)
    stage.context.idle.pressure_measured(0.0)
    assert not clocked._has_expired(clocked.deadline - 1.0)


def test_idle_clock_in_a_drain_runs_for_that_of_the_drain(clocked: Clocked, stage: Stage) -> None:
    stage.context.idle.shorten(2.0)
    clocked._start_clock(Clock.IDLE)
    assert clocked.deadline == stage.now + 2.0


def test_body_clock_has_the_deadline_of_the_exchange(clocked: Clocked, stage: Stage) -> None:
    exchange = with_awaited_body(clocked, stage)
    stage.now += 10.0
    clocked._start_clock(Clock.BODY)
    assert clocked.deadline == exchange.body_deadline() == stage.now - 10.0 + SECONDS[Clock.BODY]
    assert clocked.waiting_since == stage.now


def test_send_clock_has_the_output_watched_until_it_stops(clocked: Clocked, stage: Stage) -> None:
    clocked.wire.held = 1000
    clocked._start_clock(Clock.SEND)
    assert clocked.deadline == stage.now + SECONDS[Clock.SEND]
    assert clocked in stage.manager.stalled
    clocked._start_clock(Clock.LINGER)
    assert stage.manager.stalled == set()
    assert clocked.deadline == stage.now + SECONDS[Clock.LINGER]
    clocked._start_clock(None)  # the manager is told once: the stand-in would raise


def test_send_clock_counts_from_the_octets_unsent_at_its_start(clocked: Clocked, stage: Stage) -> None:
    """Octets that the peer had taken before do not count as progress."""
    clocked.wire.held = 1000
    clocked._start_clock(Clock.SEND)
    sending = clocked._sending
    assert sending is not None
    sending.look(stage.now + 1.0, 1000)
    assert clocked._send_deadline(sending) == stage.now + SECONDS[Clock.SEND]
    sending.look(stage.now + 2.0, 999)
    assert clocked._send_deadline(sending) == stage.now + 2.0 + SECONDS[Clock.SEND]


def test_lingering_ends_a_fixed_time_after_its_start(clocked: Clocked, stage: Stage) -> None:
    clocked._start_clock(Clock.LINGER)
    began = stage.now
    stage.now += 5.0
    clocked.deadline += 5.0
    assert clocked._linger_until() == began + LINGER_TOTAL

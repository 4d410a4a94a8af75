"""Which clock runs in each state, what its expiry brings, and the instant by which octets must have come."""

from itertools import product

import pytest
from hypothesis import given, strategies as st

from bide.policy.clocks import CLOCKS, EXPIRIES, FOREVER, OnExpiry, on_expiry, progress_deadline, running
from bide.terms import Clock, CloseReason, State

S = State

# state, body_awaited, write_paused -> clock
ROWS: list[tuple[State, bool, bool, Clock | None]] = [
    (S.HANDSHAKE, False, False, Clock.HANDSHAKE),
    (S.NEW, False, False, Clock.FIRST_OCTET),
    (S.HEAD, False, False, Clock.HEAD),
    (S.HEAD, False, True, Clock.SEND),
    (S.EXCHANGE, False, False, None),  # the application thinks: its time is its own
    (S.EXCHANGE, True, False, Clock.BODY),
    (S.EXCHANGE, False, True, Clock.SEND),
    (S.EXCHANGE, True, True, Clock.SEND),
    (S.DISCARD, False, False, Clock.DISCARD),
    (S.DISCARD, False, True, Clock.SEND),
    (S.IDLE, False, False, Clock.IDLE),
    (S.IDLE, False, True, Clock.SEND),
    (S.TUNNEL, False, False, Clock.TUNNEL),
    (S.TUNNEL, False, True, Clock.SEND),
    (S.CLOSING, False, False, Clock.SEND),
    (S.CLOSING, False, True, Clock.SEND),
    (S.LINGER, False, False, Clock.LINGER),
    (S.LINGER, False, True, Clock.LINGER),  # the sending side is shut
    (S.CLOSED, False, False, None),
    (S.CLOSED, False, True, None),
]

# Every state; a body is awaited in EXCHANGE only.
PAIRS = [
    (state, body_awaited, write_paused)
    for state, body_awaited, write_paused in product(State, (False, True), (False, True))
    if not body_awaited or state is S.EXCHANGE
]


@pytest.mark.parametrize(("state", "body_awaited", "write_paused", "clock"), ROWS)
def test_clock_that_runs_follows_the_table(
    state: State, body_awaited: bool, write_paused: bool, clock: Clock | None
) -> None:
    assert running(state, body_awaited=body_awaited, write_paused=write_paused) is clock


def test_open_state_has_a_clock_unless_the_application_works() -> None:
    """The one reason: nobody outside is waited for, the application has the request."""
    for state, body_awaited, write_paused in PAIRS:
        clock = running(state, body_awaited=body_awaited, write_paused=write_paused)
        if state is S.CLOSED or (state is S.EXCHANGE and not body_awaited and not write_paused):
            assert clock is None
        else:
            assert clock is not None, (state, body_awaited, write_paused)


def test_table_has_a_row_for_each_state() -> None:
    assert set(CLOCKS) == set(State)


@pytest.mark.parametrize(
    ("clock", "reason", "status"),
    [
        (Clock.HANDSHAKE, CloseReason.HANDSHAKE_TIMEOUT, None),
        (Clock.FIRST_OCTET, CloseReason.FIRST_OCTET_TIMEOUT, None),
        (Clock.HEAD, CloseReason.HEAD_TIMEOUT, 408),
        (Clock.BODY, CloseReason.BODY_TIMEOUT, 408),
        (Clock.SEND, CloseReason.SEND_TIMEOUT, None),
        (Clock.IDLE, CloseReason.IDLE_TIMEOUT, None),
        (Clock.DISCARD, CloseReason.REQUEST_UNREAD, None),
        (Clock.TUNNEL, CloseReason.TUNNEL_TIMEOUT, None),
        (Clock.WS_PING, None, None),
        (Clock.WS_PONG, CloseReason.WEBSOCKET_PING_TIMEOUT, None),
        (Clock.WS_CLOSE, None, None),
    ],
)
def test_expiry_of_each_clock_has_a_reason_and_a_status(
    clock: Clock, reason: CloseReason | None, status: int | None
) -> None:
    assert EXPIRIES[clock] == (reason, status)


def test_each_clock_has_an_expiry_and_runs_in_some_state() -> None:
    assert set(EXPIRIES) == set(Clock)
    run = {
        running(state, body_awaited=body_awaited, write_paused=write_paused)
        for state, body_awaited, write_paused in PAIRS
    }
    websockets = {Clock.WS_PING, Clock.WS_PONG, Clock.WS_CLOSE}  # run in place of TUNNEL
    assert run == {*Clock, None} - websockets


@pytest.mark.parametrize(
    ("since", "came", "last", "octets", "timeout", "grace", "rate", "deadline"),
    [
        (100.0, 100.0, 100.0, 0, 30.0, 5.0, 0.0, 130.0),  # no rate: the pause alone counts
        (100.0, 120.0, 120.0, 9, 30.0, 5.0, 0.0, 150.0),  # and it is renewed
        (100.0, 100.0, 100.0, 0, 30.0, 5.0, 240.0, 130.0),  # a client that has not begun is judged by the pause alone
        (100.0, 105.0, 105.0, 1, 30.0, 5.0, 240.0, 135.0),  # within the grace, any rate will do
        (100.0, 105.5, 105.5, 1, 30.0, 5.0, 240.0, 105.5),  # after it, a drip is too slow at once
        (100.0, 110.0, 110.0, 2399, 30.0, 5.0, 240.0, 110.0),  # a little too slow
        (100.0, 110.0, 110.0, 2400, 30.0, 5.0, 240.0, 140.0),  # just fast enough
        (100.0, 110.0, 110.0, 24000, 30.0, 5.0, 240.0, 140.0),  # well ahead of the rate: no more time for that
        (100.0, 104.0, 110.0, 1, 30.0, 5.0, 240.0, 140.0),  # read late, but they may have come within the grace
        (100.0, 106.0, 110.0, 1, 30.0, 5.0, 240.0, 110.0),  # too slow whenever they came
    ],
)
def test_progress_deadline_follows_pause_grace_and_rate(
    since: float, came: float, last: float, octets: int, timeout: float, grace: float, rate: float, deadline: float
) -> None:
    assert progress_deadline(since, came, last, octets, timeout, grace, rate) == deadline


seconds = st.floats(0, 1e6)


@given(seconds, seconds, st.integers(0, 10**9), st.floats(0, 600), st.floats(0, 600), st.floats(0, 1e6))
def test_progress_deadline_is_shortened_by_the_rate_and_lengthened_by_octets(
    since: float, waited: float, octets: int, timeout: float, grace: float, rate: float
) -> None:
    last = since + waited
    deadline = progress_deadline(since, last, last, octets, timeout, grace, rate)
    assert deadline <= last + timeout < FOREVER
    assert deadline >= min(last + timeout, since + grace)
    assert progress_deadline(since, last, last, octets + 1, timeout, grace, rate) >= deadline


# clock, unsent, unread, reprieved -> what follows
EXPIRED = [
    (Clock.IDLE, False, False, False, OnExpiry.EXPIRE),
    (Clock.IDLE, True, False, False, OnExpiry.SEND),  # the last response is still on its way
    (Clock.IDLE, True, True, True, OnExpiry.SEND),
    (Clock.IDLE, False, True, False, OnExpiry.WAIT),
    (Clock.IDLE, False, True, True, OnExpiry.EXPIRE),  # nothing was read in a sweep's time
    (Clock.FIRST_OCTET, False, True, False, OnExpiry.WAIT),
    (Clock.FIRST_OCTET, True, False, False, OnExpiry.EXPIRE),
    (Clock.HEAD, False, True, False, OnExpiry.WAIT),
    (Clock.HEAD, False, True, True, OnExpiry.EXPIRE),
    (Clock.BODY, False, True, False, OnExpiry.WAIT),
    (Clock.DISCARD, False, True, False, OnExpiry.WAIT),
    (Clock.SEND, False, True, False, OnExpiry.EXPIRE),  # what the client sends is no sign that it reads
    (Clock.LINGER, False, False, False, OnExpiry.EXPIRE),
    (Clock.LINGER, True, False, False, OnExpiry.WAIT),
    (Clock.LINGER, False, True, True, OnExpiry.WAIT),  # to close would reset the connection
]


@pytest.mark.parametrize(("clock", "unsent", "unread", "reprieved", "expected"), EXPIRED)
def test_expired_clock_waits_for_octets_that_have_arrived(
    clock: Clock, unsent: bool, unread: bool, reprieved: bool, expected: OnExpiry
) -> None:
    assert on_expiry(clock, unsent, unread, reprieved) is expected

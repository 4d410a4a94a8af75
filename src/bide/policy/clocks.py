"""Says which clock runs in which state, and what its expiry means: RFC 9112, section 9.5.

Durations are configuration; instants are arguments. A deadline is a number, and FOREVER where no clock runs.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from bide.terms import Clock, CloseReason, State

FOREVER: Final = float("inf")


class Expiry(NamedTuple):
    """What the end of a clock brings: the reason, and the status owed to the client if a response is still possible."""

    reason: CloseReason
    status: int | None


EXPIRIES: Final[dict[Clock, Expiry]] = {
    Clock.FIRST_OCTET: Expiry(CloseReason.FIRST_OCTET_TIMEOUT, None),  # nothing was asked: nothing is answered
    Clock.HEAD: Expiry(CloseReason.HEAD_TIMEOUT, 408),
    Clock.BODY: Expiry(CloseReason.BODY_TIMEOUT, 408),
    Clock.SEND: Expiry(CloseReason.SEND_TIMEOUT, None),
    Clock.IDLE: Expiry(CloseReason.IDLE_TIMEOUT, None),
    Clock.DISCARD: Expiry(CloseReason.REQUEST_UNREAD, None),
    Clock.LINGER: Expiry(CloseReason.IDLE_TIMEOUT, None),  # never given: a lingering connection has its reason
}

#: Which clock runs where nobody waits for a body and the client takes what is written.
CLOCKS: Final[dict[State, Clock | None]] = {
    State.NEW: Clock.FIRST_OCTET,
    State.HEAD: Clock.HEAD,
    State.EXCHANGE: None,  # the application thinks: its time is its own
    State.DISCARD: Clock.DISCARD,
    State.IDLE: Clock.IDLE,
    State.CLOSING: Clock.SEND,
    State.LINGER: Clock.LINGER,
    State.CLOSED: None,
}


def running(state: State, body_awaited: bool, write_paused: bool) -> Clock | None:
    """Return the clock that runs, or None.

    body_awaited: the application waits for request content that has not arrived; only ever true in EXCHANGE.
    write_paused: octets written have not been taken by the client's side.
    """
    if write_paused and state is not State.LINGER and state is not State.CLOSED:
        return Clock.SEND
    if body_awaited:
        return Clock.BODY
    return CLOCKS[state]


def progress_deadline(
    since: float, came: float, last: float, octets: int, timeout: float, grace: float, rate: float
) -> float:
    """Return the instant by which more octets must have come.

    since, last: when waiting began, and when octets were last read (seconds). came: the earliest instant at which those may have
        come; an event loop that was blocked reads late.
    octets: how many came since. timeout: the longest pause allowed (seconds).
    grace: seconds before the minimum rate counts. rate: minimum octets per second over the whole wait; 0 for none.

    The rate is judged where octets came: who drips has no more time. Who stops has that of a pause.
    """
    if rate and came - since > max(grace, octets / rate):
        return last
    return last + timeout

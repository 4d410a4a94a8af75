"""Says which clock runs in which state, and what its expiry means: RFC 9112, section 9.5.

Durations are configuration; instants are arguments. A deadline is a number, and FOREVER where no clock runs.
"""

from __future__ import annotations

from enum import Enum
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
    Clock.TUNNEL: Expiry(CloseReason.TUNNEL_TIMEOUT, None),  # no HTTP any more
    Clock.LINGER: Expiry(CloseReason.IDLE_TIMEOUT, None),  # never given: a lingering connection has its reason
}

#: Which clock runs where nobody waits for a body and the client takes what is written.
CLOCKS: Final[dict[State, Clock | None]] = {
    State.NEW: Clock.FIRST_OCTET,
    State.HEAD: Clock.HEAD,
    State.EXCHANGE: None,  # the application thinks: its time is its own
    State.DISCARD: Clock.DISCARD,
    State.IDLE: Clock.IDLE,
    State.TUNNEL: Clock.TUNNEL,
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


class OnExpiry(Enum):
    """What follows when a clock expires."""

    EXPIRE = "expire"  # its consequence
    WAIT = "wait"  # octets that have arrived count: they get until the next sweep to be read
    SEND = "send"  # the SEND clock runs instead: the connection is not idle yet


def on_expiry(clock: Clock, unsent: bool, unread: bool, reprieved: bool) -> OnExpiry:
    """Return what follows when `clock` expires.

    unsent: octets written have not been taken by the peer; looked at for IDLE and LINGER only.
    unread: octets have arrived and wait to be read.
    reprieved: the clock has expired before while octets waited, and none was read since.

    A lingering connection waits for both, up to its own bound: closed before they are read, octets that have arrived would bring
    about a reset, and that could destroy the answer on its way.
    """
    if clock is Clock.LINGER:
        return OnExpiry.WAIT if unsent or unread else OnExpiry.EXPIRE
    if clock is Clock.IDLE and unsent:
        return OnExpiry.SEND
    if clock is not Clock.SEND and unread and not reprieved:
        return OnExpiry.WAIT
    return OnExpiry.EXPIRE


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

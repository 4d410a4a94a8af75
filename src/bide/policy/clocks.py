"""Decides which clock runs in which state, and what follows when it expires: RFC 9112, section 9.5.

Durations are configuration; instants are arguments. A deadline is a number; without a clock it is
FOREVER.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from bide.terms import Clock, CloseReason, State

FOREVER: Final = float("inf")


class Expiry(NamedTuple):
    """Says how the expiry of a clock ends a connection.

    reason: why the connection ends; None if the tunnel itself acts on the expiry.
    status: of the answer, if one is still possible; None if no answer is owed.
    """

    reason: CloseReason | None
    status: int | None


EXPIRIES: Final[dict[Clock, Expiry]] = {
    Clock.HANDSHAKE: Expiry(CloseReason.HANDSHAKE_TIMEOUT, None),
    Clock.FIRST_OCTET: Expiry(CloseReason.FIRST_OCTET_TIMEOUT, None),  # no request, so no answer
    Clock.HEAD: Expiry(CloseReason.HEAD_TIMEOUT, 408),
    Clock.BODY: Expiry(CloseReason.BODY_TIMEOUT, 408),
    Clock.SEND: Expiry(CloseReason.SEND_TIMEOUT, None),
    Clock.IDLE: Expiry(CloseReason.IDLE_TIMEOUT, None),
    Clock.DISCARD: Expiry(CloseReason.REQUEST_UNREAD, None),
    Clock.TUNNEL: Expiry(CloseReason.TUNNEL_TIMEOUT, None),  # the connection no longer speaks HTTP
    Clock.WS_PING: Expiry(None, None),  # a ping is sent
    Clock.WS_PONG: Expiry(CloseReason.WEBSOCKET_PING_TIMEOUT, None),
    Clock.WS_CLOSE: Expiry(None, None),  # the reason was given with the Close frame
    Clock.LINGER: Expiry(CloseReason.IDLE_TIMEOUT, None),  # unused: the reason is set before
}

#: The clock that runs if the application awaits no body and the client takes the output.
CLOCKS: Final[dict[State, Clock | None]] = {
    State.HANDSHAKE: Clock.HANDSHAKE,
    State.NEW: Clock.FIRST_OCTET,
    State.HEAD: Clock.HEAD,
    State.EXCHANGE: None,  # the application works: bide sets it no deadline
    State.DISCARD: Clock.DISCARD,
    State.IDLE: Clock.IDLE,
    State.TUNNEL: Clock.TUNNEL,  # unless the tunnel has clocks of its own
    State.CLOSING: Clock.SEND,
    State.LINGER: Clock.LINGER,
    State.CLOSED: None,
}


def running(state: State, body_awaited: bool, write_paused: bool) -> Clock | None:
    """Return the clock that runs, or None.

    body_awaited: whether the application waits for request content; true in EXCHANGE only.
    write_paused: whether output waits because the client does not take it.
    """
    if write_paused and state is not State.LINGER and state is not State.CLOSED:
        return Clock.SEND
    if body_awaited:
        return Clock.BODY
    return CLOCKS[state]


class OnExpiry(Enum):
    """Names what follows when a clock expires."""

    EXPIRE = "expire"  # the consequence of the clock
    WAIT = "wait"  # another sweep, so that octets that have arrived can be read
    SEND = "send"  # the SEND clock, since the connection is not idle yet


def on_expiry(clock: Clock, unsent: bool, unread: bool, reprieved: bool) -> OnExpiry:
    """Return what follows when `clock` expires.

    unsent: whether the peer has not taken all output; used for IDLE and LINGER only.
    unread: whether octets have arrived and wait to be read.
    reprieved: whether the clock has expired before while octets waited, and none was read since.

    A lingering connection waits for both, up to its own bound. A close before all octets are read
    causes a reset, which could destroy the answer on its way.
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
    """Return the instant by which more octets must have moved. Instants and durations in seconds.

    since: when the wait began.
    came: the earliest instant at which the last octets can have moved; a blocked loop reads late.
    last: when octets were last seen to move.
    octets: number of octets moved since the wait began.
    timeout: the longest pause allowed.
    grace: time before the minimum rate counts.
    rate: minimum octets per second over the whole wait; 0 for none.

    The rate is judged when octets move, so it ends a transfer that trickles. A transfer that stops
    has the time of a pause.
    """
    if rate and came - since > max(grace, octets / rate):
        return last
    return last + timeout

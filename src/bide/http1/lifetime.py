"""Defines the life of a connection as a table. `step` and `steps` are the only ways between states.

Every end that bide decides goes through CLOSING. CLOSED is reached when the wire reports that the
connection is lost, so the counts of reasons add up to the number of closed connections. No way
leads back from CLOSING, LINGER or CLOSED.
"""

from __future__ import annotations

from typing import Final

from bide.terms import Input, State

HANDSHAKE: Final = State.HANDSHAKE
NEW: Final = State.NEW
HEAD: Final = State.HEAD
EXCHANGE: Final = State.EXCHANGE
DISCARD: Final = State.DISCARD
IDLE: Final = State.IDLE
TUNNEL: Final = State.TUNNEL
CLOSING: Final = State.CLOSING
LINGER: Final = State.LINGER
CLOSED: Final = State.CLOSED

TRANSITIONS: Final[dict[State, dict[Input, State]]] = {
    HANDSHAKE: {  # not yet HTTP
        Input.READY: NEW,
        Input.HANDSHAKE_REJECTED: CLOSING,
        Input.PEER_EOF: CLOSING,
        Input.DEADLINE: CLOSING,
        Input.SHED: CLOSING,
        Input.STOPPED: CLOSING,
        Input.LOST: CLOSED,
    },
    NEW: {
        Input.FIRST_OCTET: HEAD,
        Input.HEAD_COMPLETE: EXCHANGE,  # it came whole
        Input.HEAD_REJECTED: CLOSING,
        Input.PEER_EOF: CLOSING,
        Input.DEADLINE: CLOSING,
        Input.SHED: CLOSING,
        Input.STOPPED: CLOSING,
        Input.LOST: CLOSED,
    },
    HEAD: {
        Input.HEAD_COMPLETE: EXCHANGE,
        Input.HEAD_REJECTED: CLOSING,  # the 4xx or 5xx is written first
        Input.PEER_EOF: CLOSING,
        Input.DEADLINE: CLOSING,  # 408 is written first
        Input.STOPPED: CLOSING,
        Input.LOST: CLOSED,
    },
    EXCHANGE: {
        Input.PERSISTS: IDLE,
        Input.UNREAD: DISCARD,
        Input.SWITCHED: TUNNEL,  # 101 is written
        Input.CLOSES: CLOSING,
        Input.BODY_REJECTED: CLOSING,
        Input.PEER_EOF: CLOSING,  # within the body; after it, the EOF is a fact for `persist`
        Input.DEADLINE: CLOSING,
        Input.STOPPED: CLOSING,
        Input.LOST: CLOSED,
    },
    DISCARD: {
        Input.BODY_COMPLETE: IDLE,
        Input.BODY_REJECTED: CLOSING,
        Input.CLOSES: CLOSING,  # a fact worsened, or the body exceeds the discard limit
        Input.PEER_EOF: CLOSING,
        Input.DEADLINE: CLOSING,
        Input.STOPPED: CLOSING,
        Input.LOST: CLOSED,
    },
    IDLE: {
        Input.FIRST_OCTET: HEAD,
        Input.HEAD_COMPLETE: EXCHANGE,  # it came whole
        Input.HEAD_REJECTED: CLOSING,
        Input.PEER_EOF: CLOSING,
        Input.DEADLINE: CLOSING,
        Input.SHED: CLOSING,
        Input.STOPPED: CLOSING,
        Input.LOST: CLOSED,
    },
    TUNNEL: {  # no longer HTTP
        Input.CLOSES: CLOSING,
        Input.PEER_EOF: CLOSING,
        Input.DEADLINE: CLOSING,
        Input.STOPPED: CLOSING,
        Input.LOST: CLOSED,
    },
    CLOSING: {
        Input.HALF_CLOSED: LINGER,
        Input.DEADLINE: CLOSING,  # the flush is given up
        Input.STOPPED: CLOSING,
        Input.LOST: CLOSED,
    },
    LINGER: {
        Input.DEADLINE: LINGER,
        Input.STOPPED: LINGER,
        Input.LOST: CLOSED,
    },
    CLOSED: {},
}


def steps(happened: Input) -> dict[State, State]:
    """Return a column of the table: each state in which `happened` can happen -> the next one."""
    return {state: row[happened] for state, row in TRANSITIONS.items() if happened in row}


def step(state: State, happened: Input) -> State:
    """Return the next state. AssertionError for a pair outside the table: a bug of bide's."""
    following = TRANSITIONS[state].get(happened)
    assert following is not None, f"{happened.name} cannot happen in {state.name}"
    return following

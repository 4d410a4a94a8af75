"""How each end is made (9.6): a row for each reason, and what overrules it."""

from itertools import product

import pytest

from bide.policy.closing import close_mode
from bide.terms import CloseMode, CloseReason

LINGER, RELEASE, ABORT = CloseMode.LINGER, CloseMode.RELEASE, CloseMode.ABORT

# Where the client's EOF is not in.
QUIET = {
    # The client may be sending at this moment, and would lose the answer to a reset: also one whose last request this was.
    CloseReason.CLIENT_CLOSE_OPTION: LINGER,
    CloseReason.CLIENT_HTTP10: LINGER,
    CloseReason.CLIENT_EOF_UNUSED: LINGER,
    CloseReason.CLIENT_EOF_IDLE: LINGER,
    CloseReason.CLIENT_EOF_TUNNEL: LINGER,
    CloseReason.CLIENT_HALF_CLOSED: LINGER,
    CloseReason.CLIENT_INCOMPLETE: LINGER,
    CloseReason.CLIENT_LEFT: LINGER,
    CloseReason.CLIENT_RESET: LINGER,
    CloseReason.TLS_REJECTED: LINGER,
    CloseReason.HANDSHAKE_TIMEOUT: LINGER,
    CloseReason.HEAD_REJECTED: LINGER,
    CloseReason.BODY_REJECTED: LINGER,
    CloseReason.EXPECTATION_UNMET: LINGER,
    CloseReason.REQUEST_UNREAD: LINGER,
    CloseReason.CLOSE_DELIMITED: LINGER,
    CloseReason.RESPONSE_CLOSE_OPTION: LINGER,
    CloseReason.RESPONSE_INCOMPLETE: LINGER,
    CloseReason.TUNNEL_CLOSED: LINGER,
    CloseReason.TUNNEL_TIMEOUT: LINGER,
    # RFC 6455, 7.1.1: what the client still sends is read, so that it gets the Close frame.
    CloseReason.WEBSOCKET_CLIENT_CLOSE: LINGER,
    CloseReason.WEBSOCKET_EOF: LINGER,
    CloseReason.WEBSOCKET_REJECTED: LINGER,
    CloseReason.WEBSOCKET_APPLICATION_CLOSE: LINGER,
    CloseReason.WEBSOCKET_APPLICATION_FAILED: LINGER,
    CloseReason.WEBSOCKET_PING_TIMEOUT: LINGER,
    CloseReason.FIRST_OCTET_TIMEOUT: LINGER,
    CloseReason.HEAD_TIMEOUT: LINGER,
    CloseReason.BODY_TIMEOUT: LINGER,
    CloseReason.IDLE_TIMEOUT: LINGER,
    CloseReason.KEEP_ALIVE_OFF: LINGER,
    CloseReason.CLIENT_POLICY: LINGER,
    CloseReason.REQUEST_LIMIT: LINGER,
    CloseReason.AGE_LIMIT: LINGER,
    CloseReason.PRESSURE: LINGER,
    CloseReason.REBALANCED: LINGER,
    CloseReason.WORKER_LOST: LINGER,  # never asked: no process is left to end it
    CloseReason.REFUSED: LINGER,
    CloseReason.DRAIN: LINGER,
    CloseReason.DRAIN_DEADLINE: LINGER,
    CloseReason.INTERNAL_ERROR: LINGER,
    # It is no client of ours.
    CloseReason.PROXY_HEADER_REJECTED: RELEASE,
    # It was idle, and a connection that lingers makes no room.
    CloseReason.SHED: RELEASE,
    # It does not read: there is nobody to be kind to.
    CloseReason.SEND_TIMEOUT: ABORT,
}


def test_table_has_a_row_for_each_reason() -> None:
    assert set(QUIET) == set(CloseReason)


@pytest.mark.parametrize("reason", CloseReason)
def test_close_mode_before_the_clients_eof_follows_the_table(reason: CloseReason) -> None:
    assert close_mode(reason, looks_complete=False, input_ended=False) is QUIET[reason]


@pytest.mark.parametrize("reason", [reason for reason in CloseReason if QUIET[reason] is not ABORT])
def test_end_of_a_wire_that_cannot_half_close_is_a_release(reason: CloseReason) -> None:
    assert close_mode(reason, looks_complete=False, input_ended=False, can_half_close=False) is RELEASE


@pytest.mark.parametrize("reason", [reason for reason in CloseReason if QUIET[reason] is not ABORT])
def test_nothing_lingers_behind_the_clients_eof(reason: CloseReason) -> None:
    assert close_mode(reason, looks_complete=False, input_ended=True) is RELEASE


@pytest.mark.parametrize("reason", CloseReason)
def test_close_mode_of_a_deceptive_response_is_abort(reason: CloseReason) -> None:
    for input_ended in (False, True):
        assert close_mode(reason, looks_complete=True, input_ended=input_ended) is ABORT


def test_close_mode_of_a_send_timeout_is_abort() -> None:
    for looks_complete, input_ended in product((False, True), repeat=2):
        assert close_mode(CloseReason.SEND_TIMEOUT, looks_complete=looks_complete, input_ended=input_ended) is ABORT

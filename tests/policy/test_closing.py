"""How each end is made (9.6): a row for each reason, and what overrules it."""

from itertools import product

import pytest

from bide.policy.closing import how
from bide.terms import CloseMode, CloseReason

LINGER, RELEASE, ABORT = CloseMode.LINGER, CloseMode.RELEASE, CloseMode.ABORT

# Where the client's EOF is not in, and nothing of it is unread.
QUIET = {
    # The client said, or showed, that it sends no more.
    CloseReason.CLIENT_CLOSE_OPTION: RELEASE,
    CloseReason.CLIENT_HTTP10: RELEASE,
    CloseReason.CLIENT_EOF_UNUSED: RELEASE,
    CloseReason.CLIENT_EOF_IDLE: RELEASE,
    CloseReason.CLIENT_HALF_CLOSED: RELEASE,
    CloseReason.CLIENT_INCOMPLETE: RELEASE,
    CloseReason.CLIENT_LEFT: RELEASE,
    # It may be sending at this moment, and would lose the answer to a reset.
    CloseReason.CLIENT_RESET: LINGER,
    CloseReason.HEAD_REJECTED: LINGER,
    CloseReason.BODY_REJECTED: LINGER,
    CloseReason.EXPECTATION_UNMET: LINGER,
    CloseReason.REQUEST_UNREAD: LINGER,
    CloseReason.CLOSE_DELIMITED: LINGER,
    CloseReason.RESPONSE_CLOSE_OPTION: LINGER,
    CloseReason.RESPONSE_INCOMPLETE: LINGER,
    CloseReason.FIRST_OCTET_TIMEOUT: LINGER,
    CloseReason.HEAD_TIMEOUT: LINGER,
    CloseReason.BODY_TIMEOUT: LINGER,
    CloseReason.IDLE_TIMEOUT: LINGER,
    CloseReason.KEEP_ALIVE_OFF: LINGER,
    CloseReason.CLIENT_POLICY: LINGER,
    CloseReason.REQUEST_LIMIT: LINGER,
    CloseReason.AGE_LIMIT: LINGER,
    CloseReason.PRESSURE: LINGER,
    CloseReason.REFUSED: LINGER,
    CloseReason.DRAIN: LINGER,
    CloseReason.DRAIN_DEADLINE: LINGER,
    CloseReason.INTERNAL_ERROR: LINGER,
    # It was idle, and a connection that lingers makes no room.
    CloseReason.SHED: RELEASE,
    # It does not read: there is nobody to be kind to.
    CloseReason.SEND_TIMEOUT: ABORT,
}


def test_every_reason_has_a_row() -> None:
    assert set(QUIET) == set(CloseReason)


@pytest.mark.parametrize("reason", CloseReason)
def test_quiet(reason: CloseReason) -> None:
    assert how(reason, deceptive=False, input_ended=False, unread=False) is QUIET[reason]


@pytest.mark.parametrize(
    "reason", [reason for reason in CloseReason if QUIET[reason] is not ABORT and reason is not CloseReason.SHED]
)
def test_unread_octets_ask_for_a_linger_whatever_the_reason(reason: CloseReason) -> None:
    assert how(reason, deceptive=False, input_ended=False, unread=True) is LINGER


@pytest.mark.parametrize("reason", [reason for reason in CloseReason if QUIET[reason] is not ABORT])
@pytest.mark.parametrize("unread", [False, True])
def test_nothing_lingers_behind_the_clients_eof(reason: CloseReason, unread: bool) -> None:
    assert how(reason, deceptive=False, input_ended=True, unread=unread) is RELEASE


@pytest.mark.parametrize("reason", CloseReason)
def test_a_broken_response_never_looks_whole(reason: CloseReason) -> None:
    for input_ended, unread in product((False, True), repeat=2):
        assert how(reason, deceptive=True, input_ended=input_ended, unread=unread) is ABORT


def test_who_does_not_read_is_not_waited_for() -> None:
    for deceptive, input_ended, unread in product((False, True), repeat=3):
        mode = how(CloseReason.SEND_TIMEOUT, deceptive=deceptive, input_ended=input_ended, unread=unread)
        assert mode is ABORT

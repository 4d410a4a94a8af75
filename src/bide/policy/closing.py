"""Decides how a connection is ended: RFC 9112, section 9.6."""

from __future__ import annotations

from typing import Final

from bide.terms import CloseMode, CloseReason

# Here nobody sends any more: the client has closed, or has said that this was its last request.
_CLIENT_IS_DONE: Final = frozenset(
    {
        CloseReason.CLIENT_CLOSE_OPTION,
        CloseReason.CLIENT_HTTP10,
        CloseReason.CLIENT_EOF_UNUSED,
        CloseReason.CLIENT_EOF_IDLE,
        CloseReason.CLIENT_HALF_CLOSED,
        CloseReason.CLIENT_INCOMPLETE,
        CloseReason.CLIENT_LEFT,
    }
)


def how(reason: CloseReason, *, deceptive: bool, input_ended: bool, unread: bool) -> CloseMode:
    """Return the way to end a connection.

    reason: why it ends.
    deceptive: a clean end would make a broken response look whole (it is close-delimited, and incomplete).
    input_ended: the client's EOF is in.
    unread: octets behind the last message were received or are waiting in the socket.
    """
    if deceptive or reason is CloseReason.SEND_TIMEOUT:
        return CloseMode.ABORT  # what is left to flush is not worth flushing, or would mislead
    if input_ended or reason is CloseReason.SHED:
        return CloseMode.RELEASE  # shed: nothing was owed, and the room is needed now
    if unread or reason not in _CLIENT_IS_DONE:
        return CloseMode.LINGER  # 9.6: to a client that still sends, a reset may destroy the answer
    return CloseMode.RELEASE

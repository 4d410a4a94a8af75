"""Decides how a connection is ended: RFC 9112, section 9.6."""

from __future__ import annotations

from bide.terms import CloseMode, CloseReason


def close_mode(
    reason: CloseReason, *, looks_complete: bool, input_ended: bool, can_half_close: bool = True
) -> CloseMode:
    """Return the way to end a connection.

    reason: why it ends.
    looks_complete: a clean end would make a broken response look whole (it is close-delimited, and incomplete).
    input_ended: the client's EOF is in.
    can_half_close: the wire can stop sending and go on reading.
    """
    if looks_complete or reason is CloseReason.SEND_TIMEOUT:
        return CloseMode.ABORT  # what is left to flush is not worth flushing, or would mislead
    if input_ended or reason is CloseReason.SHED or not can_half_close:
        return CloseMode.RELEASE  # shed: nothing was owed, and the room is needed now
    # 9.6: to a client that still sends, a reset may destroy the answer. That holds for the last request of a client, too: old ones
    # end a body with an empty line that belongs to nothing.
    return CloseMode.LINGER

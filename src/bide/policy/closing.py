"""Decides how a connection is ended: RFC 9112, section 9.6."""

from __future__ import annotations

from bide.terms import CloseMode, CloseReason


def close_mode(
    reason: CloseReason, *, looks_complete: bool, input_ended: bool, can_half_close: bool = True
) -> CloseMode:
    """Return the way to end a connection.

    reason: why it ends.
    looks_complete: whether a clean end would make a cut response look complete, since only the
        close marks its end.
    input_ended: whether the client's EOF is in.
    can_half_close: whether the wire can stop sending and go on reading.
    """
    if looks_complete or reason is CloseReason.SEND_TIMEOUT:
        return CloseMode.ABORT  # a flush would mislead the client, or has failed already
    if input_ended or reason is CloseReason.SHED or not can_half_close:
        return CloseMode.RELEASE  # shed: no answer is owed, and the slot is needed now
    # 9.6: while the client sends, a reset may destroy the answer. This holds after a client's last
    # request, too: old clients end a body with an empty line that belongs to no message.
    return CloseMode.LINGER

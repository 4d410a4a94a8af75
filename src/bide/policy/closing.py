"""Decides how a connection is ended: RFC 9112, section 9.6."""

from __future__ import annotations

from typing import Final

from bide.terms import CloseMode, CloseReason

# Ends without an answer that could be lost: a slot is needed now, or the peer is no client.
_NOTHING_OWED: Final = frozenset({CloseReason.SHED, CloseReason.PROXY_HEADER_REJECTED})


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
    if input_ended or reason in _NOTHING_OWED or not can_half_close:
        return CloseMode.RELEASE
    # 9.6: while the client sends, a reset may destroy the answer. This holds after a client's last
    # request, too: old clients end a body with an empty line that belongs to no message.
    return CloseMode.LINGER

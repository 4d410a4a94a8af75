"""Decides whether a connection persists after an exchange, and if not, why not.

RFC 9112, section 9.3, then the server's own rules. The first rule that applies gives the reason.
"""

from __future__ import annotations

from typing import Final

from bide.terms import (
    BODY_CUT,
    BODY_MALFORMED,
    BODY_UNREAD,
    CLIENT_CLOSE,
    CLIENT_KEEP_ALIVE,
    DRAINING,
    EXPECTATION_OPEN,
    HTTP_1_0,
    INPUT_ENDED,
    KEEP_ALIVE_OFF,
    LIMIT_REACHED,
    NOT_SELF_DELIMITED,
    OLD,
    PRESSED,
    RESPONSE_BROKEN,
    RESPONSE_CLOSE,
    TURNED_AWAY,
    UNNEEDED,
    CloseReason,
)

RULES: Final[tuple[tuple[int, CloseReason], ...]] = (
    (BODY_CUT, CloseReason.CLIENT_INCOMPLETE),  # 8: an incomplete message ends its connection
    (BODY_MALFORMED, CloseReason.BODY_REJECTED),  # 7.1: and so does one whose end cannot be found
    (RESPONSE_BROKEN, CloseReason.RESPONSE_INCOMPLETE),  # 8, again
    (CLIENT_CLOSE, CloseReason.CLIENT_CLOSE_OPTION),  # 9.3 first rule, 9.6
    (RESPONSE_CLOSE, CloseReason.RESPONSE_CLOSE_OPTION),  # 9.6
    (NOT_SELF_DELIMITED, CloseReason.CLOSE_DELIMITED),  # 9.3: "all messages need to have a self-defined length"
    (EXPECTATION_OPEN, CloseReason.EXPECTATION_UNMET),  # RFC 9110 10.1.1
    (BODY_UNREAD, CloseReason.REQUEST_UNREAD),  # 9.3: "read the entire request body or close"
    (INPUT_ENDED, CloseReason.CLIENT_HALF_CLOSED),
    (TURNED_AWAY, CloseReason.REFUSED),
    (KEEP_ALIVE_OFF, CloseReason.KEEP_ALIVE_OFF),
    (UNNEEDED, CloseReason.CLIENT_POLICY),
    (DRAINING, CloseReason.DRAIN),
    (LIMIT_REACHED, CloseReason.REQUEST_LIMIT),
    (OLD, CloseReason.AGE_LIMIT),
    (PRESSED, CloseReason.PRESSURE),
)
_AGAINST: Final = sum(fact for fact, _ in RULES)

#: Facts that end a connection even where the response did not announce it. The others are wishes of the server: unannounced,
#: they wait for the next response, since only an announced close loses nothing (9.5).
MUST: Final = BODY_CUT | BODY_MALFORMED | RESPONSE_BROKEN | BODY_UNREAD | INPUT_ENDED


def persist(facts: int) -> CloseReason | None:
    """Return None if the connection serves another exchange, or the reason why it ends.

    `facts` is a sum of the fact bits of `bide.terms`. A bit more, other than CLIENT_KEEP_ALIVE, never turns a reason into None.
    """
    if facts & _AGAINST:
        return next(reason for fact, reason in RULES if facts & fact)
    if facts & HTTP_1_0 and not facts & CLIENT_KEEP_ALIVE:
        return CloseReason.CLIENT_HTTP10  # 9.3: the third rule wants `keep-alive`; otherwise, close
    return None  # 9.3: the second rule

"""Decides whether a connection persists after an exchange, and if not, why not.

RFC 9112, section 9.3, then the server's own rules. The first rule that applies gives the reason.
"""

from __future__ import annotations

from typing import Final

from bide.terms import (
    AGE_LIMIT,
    BODY_REJECTED,
    CLIENT_CLOSE_OPTION,
    CLIENT_HALF_CLOSED,
    CLIENT_INCOMPLETE,
    CLIENT_KEEP_ALIVE,
    CLIENT_POLICY,
    CLOSE_DELIMITED,
    DRAIN,
    EXPECTATION_UNMET,
    HTTP_1_0,
    KEEP_ALIVE_OFF,
    PRESSURE,
    REFUSED,
    REQUEST_LIMIT,
    REQUEST_UNREAD,
    RESPONSE_CLOSE_OPTION,
    RESPONSE_INCOMPLETE,
    CloseReason,
)

RULES: Final[tuple[tuple[int, CloseReason], ...]] = (
    (CLIENT_INCOMPLETE, CloseReason.CLIENT_INCOMPLETE),  # 8: an incomplete message ends its connection
    (BODY_REJECTED, CloseReason.BODY_REJECTED),  # 7.1: and so does one whose end cannot be found
    (RESPONSE_INCOMPLETE, CloseReason.RESPONSE_INCOMPLETE),  # 8, again
    (CLIENT_CLOSE_OPTION, CloseReason.CLIENT_CLOSE_OPTION),  # 9.3 first rule, 9.6
    (RESPONSE_CLOSE_OPTION, CloseReason.RESPONSE_CLOSE_OPTION),  # 9.6
    (CLOSE_DELIMITED, CloseReason.CLOSE_DELIMITED),  # 9.3: "all messages need to have a self-defined length"
    (EXPECTATION_UNMET, CloseReason.EXPECTATION_UNMET),  # RFC 9110 10.1.1
    (REQUEST_UNREAD, CloseReason.REQUEST_UNREAD),  # 9.3: "read the entire request body or close"
    (CLIENT_HALF_CLOSED, CloseReason.CLIENT_HALF_CLOSED),
    (REFUSED, CloseReason.REFUSED),
    (KEEP_ALIVE_OFF, CloseReason.KEEP_ALIVE_OFF),
    (CLIENT_POLICY, CloseReason.CLIENT_POLICY),
    (DRAIN, CloseReason.DRAIN),
    (REQUEST_LIMIT, CloseReason.REQUEST_LIMIT),
    (AGE_LIMIT, CloseReason.AGE_LIMIT),
    (PRESSURE, CloseReason.PRESSURE),
)
_AGAINST: Final = sum(fact for fact, _ in RULES)

#: Facts that end a connection even where the response did not announce it. The others are wishes of the server: unannounced,
#: they wait for the next response, since only an announced close loses nothing (9.5).
ENDS_UNANNOUNCED: Final = CLIENT_INCOMPLETE | BODY_REJECTED | RESPONSE_INCOMPLETE | REQUEST_UNREAD | CLIENT_HALF_CLOSED


def persist(facts: int) -> CloseReason | None:
    """Return None if the connection serves another exchange, or the reason why it ends.

    `facts` is a sum of the fact bits of `bide.terms`. A bit more, other than CLIENT_KEEP_ALIVE, never turns a reason into None.
    """
    if facts & _AGAINST:
        return next(reason for fact, reason in RULES if facts & fact)
    if facts & HTTP_1_0 and not facts & CLIENT_KEEP_ALIVE:
        return CloseReason.CLIENT_HTTP10  # 9.3: the third rule wants `keep-alive`; otherwise, close
    return None  # 9.3: the second rule

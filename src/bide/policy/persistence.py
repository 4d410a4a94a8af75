"""Decides whether a connection persists after an exchange, and if not, why not.

RFC 9112, section 9.3, then the server's own rules. The first rule that applies gives the reason.
"""

from __future__ import annotations

from typing import Final

from bide.terms import (
    BODY_REJECTED,
    CLIENT_HALF_CLOSED,
    CLIENT_INCOMPLETE,
    CLIENT_KEEP_ALIVE,
    FACTS,
    HTTP_1_0,
    REQUEST_UNREAD,
    RESPONSE_INCOMPLETE,
    CloseReason,
)

#: Reasons in order of precedence; each applies if its fact holds (`bide.terms.FACTS`).
RULES: Final[tuple[CloseReason, ...]] = (
    CloseReason.CLIENT_INCOMPLETE,  # 8: an incomplete message ends its connection
    CloseReason.BODY_REJECTED,  # 7.1: and so does one whose end cannot be found
    CloseReason.RESPONSE_INCOMPLETE,  # 8, again
    CloseReason.CLIENT_CLOSE_OPTION,  # 9.3 first rule, 9.6
    CloseReason.RESPONSE_CLOSE_OPTION,  # 9.6
    CloseReason.CLOSE_DELIMITED,  # 9.3: "all messages need to have a self-defined length"
    CloseReason.EXPECTATION_UNMET,  # RFC 9110 10.1.1
    CloseReason.REQUEST_UNREAD,  # 9.3: "read the entire request body or close"
    CloseReason.CLIENT_HALF_CLOSED,
    CloseReason.REFUSED,
    CloseReason.KEEP_ALIVE_OFF,
    CloseReason.CLIENT_POLICY,
    CloseReason.DRAIN,
    CloseReason.REQUEST_LIMIT,
    CloseReason.AGE_LIMIT,
    CloseReason.PRESSURE,
    CloseReason.REBALANCED,
)
_PAIRS: Final[tuple[tuple[int, CloseReason], ...]] = tuple((FACTS[reason], reason) for reason in RULES)
_AGAINST: Final = sum(FACTS[reason] for reason in RULES)

#: Facts that end a connection even if the response did not announce it. The others are wishes of
#: the server. Unannounced, they wait for the next response: only an announced close loses nothing
#: (9.5).
ENDS_UNANNOUNCED: Final = CLIENT_INCOMPLETE | BODY_REJECTED | RESPONSE_INCOMPLETE | REQUEST_UNREAD | CLIENT_HALF_CLOSED


def persist(facts: int) -> CloseReason | None:
    """Return None if the connection serves another exchange, or the reason why it ends.

    facts: a sum of the fact bits of `bide.terms`. An additional bit never turns a reason into
        None, except CLIENT_KEEP_ALIVE.
    """
    if facts & _AGAINST:
        return next(reason for fact, reason in _PAIRS if facts & fact)
    if facts & HTTP_1_0 and not facts & CLIENT_KEEP_ALIVE:
        return CloseReason.CLIENT_HTTP10  # 9.3: the third rule wants `keep-alive`; otherwise, close
    return None  # 9.3: the second rule

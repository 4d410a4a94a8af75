"""Every rule of `persist`, alone and before every later one; and that facts that worsen never help."""

from itertools import combinations

import pytest

from bide.policy.persistence import ENDS_UNANNOUNCED, RULES, persist
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

# In order: the first that applies gives the reason.
EXPECTED = [
    (CLIENT_INCOMPLETE, CloseReason.CLIENT_INCOMPLETE),
    (BODY_REJECTED, CloseReason.BODY_REJECTED),
    (RESPONSE_INCOMPLETE, CloseReason.RESPONSE_INCOMPLETE),
    (CLIENT_CLOSE_OPTION, CloseReason.CLIENT_CLOSE_OPTION),
    (RESPONSE_CLOSE_OPTION, CloseReason.RESPONSE_CLOSE_OPTION),
    (CLOSE_DELIMITED, CloseReason.CLOSE_DELIMITED),
    (EXPECTATION_UNMET, CloseReason.EXPECTATION_UNMET),
    (REQUEST_UNREAD, CloseReason.REQUEST_UNREAD),
    (CLIENT_HALF_CLOSED, CloseReason.CLIENT_HALF_CLOSED),
    (REFUSED, CloseReason.REFUSED),
    (KEEP_ALIVE_OFF, CloseReason.KEEP_ALIVE_OFF),
    (CLIENT_POLICY, CloseReason.CLIENT_POLICY),
    (DRAIN, CloseReason.DRAIN),
    (REQUEST_LIMIT, CloseReason.REQUEST_LIMIT),
    (AGE_LIMIT, CloseReason.AGE_LIMIT),
    (PRESSURE, CloseReason.PRESSURE),
]
AGAINST = [fact for fact, _ in EXPECTED]
ALL_FACTS = [*AGAINST, HTTP_1_0, CLIENT_KEEP_ALIVE]


@pytest.mark.parametrize(
    ("facts", "persists"),
    [
        (0, True),  # 9.3 second rule: HTTP/1.1
        (CLIENT_KEEP_ALIVE, True),  # says what holds anyway
        (HTTP_1_0, False),  # 9.3 otherwise
        (HTTP_1_0 | CLIENT_KEEP_ALIVE, True),  # 9.3 third rule
    ],
)
def test_versions(facts: int, persists: bool) -> None:
    assert persist(facts) is (None if persists else CloseReason.CLIENT_HTTP10)


@pytest.mark.parametrize(("fact", "reason"), EXPECTED, ids=lambda value: getattr(value, "value", ""))
@pytest.mark.parametrize("version", [0, CLIENT_KEEP_ALIVE, HTTP_1_0, HTTP_1_0 | CLIENT_KEEP_ALIVE])
def test_each_rule_in_each_version(fact: int, reason: CloseReason, version: int) -> None:
    assert persist(fact | version) is reason


@pytest.mark.parametrize(("first", "second"), list(combinations(EXPECTED, 2)))
def test_the_earlier_rule_gives_the_reason(first: tuple[int, CloseReason], second: tuple[int, CloseReason]) -> None:
    assert persist(first[0] | second[0]) is first[1]
    assert persist(first[0] | second[0] | HTTP_1_0) is first[1]


def test_there_is_no_rule_beside_these() -> None:
    assert list(RULES) == EXPECTED


def test_facts_that_worsen_never_turn_a_reason_into_none() -> None:
    """All 262,144 sums of facts, each with each further fact: so with any further facts."""
    assert sum(ALL_FACTS) == (1 << len(ALL_FACTS)) - 1
    worse = [fact for fact in ALL_FACTS if fact != CLIENT_KEEP_ALIVE]
    for facts in range(sum(ALL_FACTS) + 1):
        if persist(facts) is not None:
            for fact in worse:
                assert persist(facts | fact) is not None, (facts, fact)


def test_keep_alive_never_overrules_a_close() -> None:
    for facts in range(sum(ALL_FACTS) + 1):
        if any(facts & fact for fact in AGAINST):
            assert persist(facts | CLIENT_KEEP_ALIVE) is persist(facts & ~CLIENT_KEEP_ALIVE) is not None


def test_what_ends_a_connection_unannounced_is_no_wish() -> None:
    """9.5: what only the server wishes waits for a response that announces it."""
    assert (
        ENDS_UNANNOUNCED
        == CLIENT_INCOMPLETE | BODY_REJECTED | RESPONSE_INCOMPLETE | REQUEST_UNREAD | CLIENT_HALF_CLOSED
    )
    for fact in (REFUSED, KEEP_ALIVE_OFF, CLIENT_POLICY, DRAIN, REQUEST_LIMIT, AGE_LIMIT, PRESSURE):
        assert persist(fact & ENDS_UNANNOUNCED) is None

"""Every rule of `persist`, alone and before every later one; and that facts that worsen never help."""

from itertools import combinations

import pytest

from bide.policy.persistence import ENDS_UNANNOUNCED, RULES, persist
from bide.terms import CLIENT_KEEP_ALIVE, FACTS, HTTP_1_0, CloseReason

# In order: the first that applies gives the reason.
EXPECTED = [
    CloseReason.CLIENT_INCOMPLETE,
    CloseReason.BODY_REJECTED,
    CloseReason.RESPONSE_INCOMPLETE,
    CloseReason.CLIENT_CLOSE_OPTION,
    CloseReason.RESPONSE_CLOSE_OPTION,
    CloseReason.CLOSE_DELIMITED,
    CloseReason.EXPECTATION_UNMET,
    CloseReason.REQUEST_UNREAD,
    CloseReason.CLIENT_HALF_CLOSED,
    CloseReason.REFUSED,
    CloseReason.KEEP_ALIVE_OFF,
    CloseReason.CLIENT_POLICY,
    CloseReason.DRAIN,
    CloseReason.REQUEST_LIMIT,
    CloseReason.AGE_LIMIT,
    CloseReason.PRESSURE,
    CloseReason.REBALANCED,
]
AGAINST = list(FACTS.values())
ALL_FACTS = [*AGAINST, HTTP_1_0, CLIENT_KEEP_ALIVE]

# Reasons that end a connection even if the response did not announce it.
UNANNOUNCED = {
    CloseReason.CLIENT_INCOMPLETE,
    CloseReason.BODY_REJECTED,
    CloseReason.RESPONSE_INCOMPLETE,
    CloseReason.REQUEST_UNREAD,
    CloseReason.CLIENT_HALF_CLOSED,
}


@pytest.mark.parametrize(
    ("facts", "persists"),
    [
        (0, True),  # 9.3 second rule: HTTP/1.1
        (CLIENT_KEEP_ALIVE, True),  # says what holds anyway
        (HTTP_1_0, False),  # 9.3 otherwise
        (HTTP_1_0 | CLIENT_KEEP_ALIVE, True),  # 9.3 third rule
    ],
)
def test_persistence_by_version_and_keep_alive_follows_the_rfc(facts: int, persists: bool) -> None:
    assert persist(facts) is (None if persists else CloseReason.CLIENT_HTTP10)


@pytest.mark.parametrize("reason", EXPECTED, ids=lambda reason: reason.value)
@pytest.mark.parametrize("version", [0, CLIENT_KEEP_ALIVE, HTTP_1_0, HTTP_1_0 | CLIENT_KEEP_ALIVE])
def test_fact_alone_gives_its_reason_in_each_version(reason: CloseReason, version: int) -> None:
    assert persist(FACTS[reason] | version) is reason


@pytest.mark.parametrize(("first", "second"), list(combinations(EXPECTED, 2)))
def test_of_two_facts_the_earlier_rule_gives_the_reason(first: CloseReason, second: CloseReason) -> None:
    facts = FACTS[first] | FACTS[second]
    assert persist(facts) is first
    assert persist(facts | HTTP_1_0) is first


def test_rules_are_the_reasons_in_this_order() -> None:
    assert list(RULES) == EXPECTED


def test_every_reason_with_a_fact_has_a_rule() -> None:
    assert set(RULES) == set(FACTS)


def test_facts_that_worsen_never_turn_a_reason_into_none() -> None:
    """All 262,144 sums of facts, each with each further fact: so with any further facts."""
    assert sum(ALL_FACTS) == (1 << len(ALL_FACTS)) - 1
    worse = [fact for fact in ALL_FACTS if fact != CLIENT_KEEP_ALIVE]
    for facts in range(sum(ALL_FACTS) + 1):
        if persist(facts) is not None:
            for fact in worse:
                assert persist(facts | fact) is not None, (facts, fact)


def test_keep_alive_beside_another_fact_changes_nothing() -> None:
    for facts in range(sum(ALL_FACTS) + 1):
        if any(facts & fact for fact in AGAINST):
            assert persist(facts | CLIENT_KEEP_ALIVE) is persist(facts & ~CLIENT_KEEP_ALIVE) is not None


@pytest.mark.parametrize("reason", EXPECTED, ids=lambda reason: reason.value)
def test_wishes_of_the_server_wait_for_an_announcement(reason: CloseReason) -> None:
    """9.5: an unannounced close can lose a request, so only facts that leave no choice bring one about."""
    assert bool(ENDS_UNANNOUNCED & FACTS[reason]) is (reason in UNANNOUNCED)

"""Facts about a client: rules of the operator, and under pressure what was learned of its peer."""

import pytest

from bide.message import Request
from bide.session.clients import ClientFacts
from bide.session.rules import CloseRules
from bide.terms import CLIENT_POLICY, PRESSURE, REBALANCED, Address

PEER = ("192.0.2.1", 4000)
OTHER = ("192.0.2.2", 4000)
#: Ended connections from which a peer's habit is known.
ENOUGH = 4


def asked(path: bytes = b"/") -> Request:
    return Request("GET", path, path, b"", [], 1, 0, 0, False)


def clients(*rules: str) -> ClientFacts:
    """Return facts about clients, of which `PEER` is known to use each connection once."""
    made = ClientFacts(CloseRules(rules))
    for _ in range(ENOUGH):
        made.peers.learn(PEER[0], 1)
    return made


def test_clients_without_rules_and_pressure_have_no_facts() -> None:
    facts = clients()
    assert not facts.may_apply
    assert facts.facts(PEER, PEER, asked()) == 0


def test_client_of_a_rule_has_the_fact_of_the_rule_only() -> None:
    facts = clients("path:/health")
    assert facts.may_apply
    assert facts.facts(PEER, PEER, asked(b"/health")) == CLIENT_POLICY
    assert facts.facts(PEER, PEER, asked()) == 0


@pytest.mark.parametrize(("peer", "expected"), [(PEER, PRESSURE), (OTHER, 0), (None, 0)])
def test_client_under_pressure_has_a_fact_if_its_peer_rarely_reuses(peer: Address | None, expected: int) -> None:
    facts = clients()
    facts.pressure_measured(is_high=True)
    assert facts.may_apply
    assert facts.facts(peer, peer, asked()) == expected


def test_client_of_a_rule_under_pressure_has_both_facts() -> None:
    facts = clients("path:/health")
    facts.pressure_measured(is_high=True)
    assert facts.facts(PEER, PEER, asked(b"/health")) == CLIENT_POLICY | PRESSURE


@pytest.mark.parametrize(("rules", "may_apply"), [((), False), (("path:/health",), True)])
def test_clients_after_pressure_have_the_facts_of_rules_only(rules: tuple[str, ...], may_apply: bool) -> None:
    facts = clients(*rules)
    facts.pressure_measured(is_high=True)
    facts.pressure_measured(is_high=False)
    assert facts.may_apply is may_apply
    assert facts.facts(PEER, PEER, asked()) == 0


def test_rules_apply_to_the_client_and_habits_to_the_peer() -> None:
    facts = clients("peer:192.0.2.2")
    facts.pressure_measured(is_high=True)
    assert facts.facts(OTHER, PEER, asked()) == CLIENT_POLICY | PRESSURE
    assert facts.facts(PEER, OTHER, asked()) == 0


def test_surplus_is_taken_once_for_each_connection_of_it() -> None:
    facts = clients()
    assert facts.take_surplus() == 0
    facts.surplus_measured(2)
    assert facts.may_apply
    assert [facts.take_surplus() for _ in range(3)] == [REBALANCED, REBALANCED, 0]
    assert not facts.may_apply


def test_surplus_that_is_left_is_forgotten() -> None:
    facts = clients("path:/health")
    facts.surplus_measured(2)
    facts.surplus_measured(0)
    assert facts.take_surplus() == 0
    assert facts.may_apply, "there are rules"

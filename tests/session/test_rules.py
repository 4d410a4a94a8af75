"""Matches clients that need no persistence."""

import pytest

from bide.errors import ConfigError
from bide.message import Field, Request
from bide.session.rules import CloseRules
from bide.terms import Address

PEER = ("192.0.2.7", 4000)


def asked(path: bytes = b"/", agent: bytes | None = None) -> Request:
    fields: list[Field] = [] if agent is None else [(b"user-agent", agent)]
    return Request("GET", path, path, b"", fields, 1, 0, 0, False)


def concerns(rule: str, request: Request, peer: Address | None = PEER) -> bool:
    return CloseRules([rule]).match(peer, request)


def test_rules_that_are_empty_concern_nobody() -> None:
    assert not CloseRules([])
    assert not CloseRules([]).match(PEER, asked())


@pytest.mark.parametrize(
    ("rule", "remedy"),
    [("path:", "path:/"), ("path:health", "path:/health"), ("path: /health", "path:/health")],
)
def test_path_that_can_match_no_request_is_refused_with_a_remedy(rule: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as failure:
        CloseRules([rule])
    assert str(failure.value) == (
        f"close_for must be path:PATTERN with a pattern that starts with / or a wildcard, got {rule!r}; write {remedy!r}"
    )


@pytest.mark.parametrize(
    ("rule", "request_", "expected"),
    [
        ("agent:kube-probe/*", asked(agent=b"kube-probe/1.30"), True),
        ("agent:KUBE-PROBE/*", asked(agent=b"kube-probe/1.30"), True),
        ("agent:", asked(), True),
        ("agent:", asked(agent=b"kube-probe/1.30"), False),
        ("agent:kube-probe", asked(agent=b"kube-probe/1.30"), False),
        ("agent:*", asked(), True),
        ("agent:?*", asked(), False),
        ("agent:a:b", asked(agent=b"a:b"), True),
        ("path:/health", asked(b"/health"), True),
        ("path:/health", asked(b"/healthy"), False),
        ("path:/HEALTH", asked(b"/health"), False),
        ("path:/[hr]*", asked(b"/ready"), True),
        ("peer:192.0.2.0/24", asked(), True),
        ("peer:192.0.2.7", asked(), True),
        ("peer:192.0.2.8", asked(), False),
        ("peer:2001:db8::/32", asked(), False),
    ],
)
def test_rule_concerns_requests_that_match(rule: str, request_: Request, expected: bool) -> None:
    assert CloseRules([rule])
    assert concerns(rule, request_) == expected


def test_peer_rule_concerns_addresses_of_its_network() -> None:
    assert concerns("peer:2001:db8::/32", asked(), ("2001:db8::1", 80))
    assert concerns("peer:fe80::/10", asked(), ("fe80::1%eth0", 80)), "a zone is no part of the address"
    assert not concerns("peer:0.0.0.0/0", asked(), None)
    assert not concerns("peer:0.0.0.0/0", asked(), ("/run/x.sock", None))


@pytest.mark.parametrize("rule", ["", "nonsense", "nonsense:x", "agent", "agent=x", "user-agent:x", ":x"])
def test_rule_of_no_kind_is_refused_with_the_kinds(rule: str) -> None:
    with pytest.raises(ConfigError) as failure:
        CloseRules(["path:/x", rule])
    assert str(failure.value) == f"close_for must be agent:PATTERN, path:PATTERN or peer:NETWORK, got {rule!r}"


@pytest.mark.parametrize("rule", ["peer:", "peer:nonsense", "peer:300.0.0.1"])
def test_peer_that_is_no_network_is_refused_with_an_example(rule: str) -> None:
    with pytest.raises(ConfigError) as failure:
        CloseRules(["path:/x", rule])
    assert str(failure.value) == (
        f"close_for must be peer:NETWORK with an IP address or network, as peer:192.0.2.0/24, got {rule!r}"
    )

"""Which clients need no persistence."""

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


def test_none() -> None:
    assert not CloseRules([])
    assert not CloseRules([]).match(PEER, asked())


@pytest.mark.parametrize("rule", ["path:", "path:health", "path: /health"])
def test_paths_that_there_are_none_of(rule: str) -> None:
    with pytest.raises(ConfigError, match=f"{rule!r} matches no path"):
        CloseRules([rule])


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
def test_rules(rule: str, request_: Request, expected: bool) -> None:
    assert CloseRules([rule])
    assert concerns(rule, request_) == expected


def test_peers() -> None:
    assert concerns("peer:2001:db8::/32", asked(), ("2001:db8::1", 80))
    assert concerns("peer:fe80::/10", asked(), ("fe80::1%eth0", 80)), "a zone is no part of the address"
    assert not concerns("peer:0.0.0.0/0", asked(), None)
    assert not concerns("peer:0.0.0.0/0", asked(), ("/run/x.sock", None))


@pytest.mark.parametrize(
    "rule", ["", "nonsense", "nonsense:x", "agent", "agent=x", "user-agent:x", "peer:nonsense", "peer:300.0.0.1", ":x"]
)
def test_no_rule(rule: str) -> None:
    with pytest.raises(ConfigError, match="close_for"):
        CloseRules(["path:/x", rule])

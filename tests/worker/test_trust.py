"""Which front ends are trusted, and how addresses are written."""

import pytest

from bide.errors import ConfigError
from bide.terms import Address
from bide.worker.trust import Trust

NAME = "forwarded_allow_ips"
DEFAULT = "127.0.0.1,::1,unix"


@pytest.mark.parametrize(
    ("entries", "peer", "is_trusted"),
    [
        (DEFAULT, ("127.0.0.1", 80), True),
        (DEFAULT, ("::1", 80), True),
        (DEFAULT, ("::ffff:127.0.0.1", 80), True),
        (DEFAULT, ("127.0.0.2", 80), False),
        (DEFAULT, None, True),
        (DEFAULT, ("/run/a.sock", None), True),
        ("127.0.0.1", None, False),
        (" 10.0.0.0/8 , unix,", ("10.1.2.3", 80), True),
        ("10.0.0.0/8", ("::ffff:10.1.2.3", 80), True),
        ("10.0.0.0/8", ("11.1.2.3", 80), False),
        ("10.0.0.1/8", ("10.1.2.3", 80), True),
        ("10.0.0.1/32", ("10.0.0.1", 80), True),
        ("fe80::/10", ("fe80::1%eth0", 80), True),
        ("2001:DB8::0", ("2001:db8::", 80), True),
        ("::ffff:10.0.0.1", ("10.0.0.1", 80), True),
        ("*", ("192.0.2.1", 80), True),
        (" * ", None, True),
        ("", ("127.0.0.1", 80), False),
    ],
)
def test_peer_is_trusted_if_the_list_has_it(entries: str, peer: Address | None, is_trusted: bool) -> None:
    assert Trust(NAME, entries).trusts(peer) is is_trusted


@pytest.mark.parametrize(
    ("text", "judged"),
    [
        ("10.0.0.1", ("10.0.0.1", True)),
        ("::ffff:10.0.0.1", ("10.0.0.1", True)),
        ("::FFFF:192.0.2.1", ("192.0.2.1", False)),
        ("2001:DB8:0:0::1", ("2001:db8::1", False)),
        ("10.0.0.01", ("", False)),
        ("", ("", False)),
        ("1" * 100, ("", False)),
    ],
)
def test_address_is_judged_in_its_canonical_form(text: str, judged: tuple[str, bool]) -> None:
    trust = Trust(NAME, "10.0.0.1")
    assert trust.judge(text) == judged
    assert trust.judge(text) == judged  # remembered


def test_addresses_that_are_told_to_a_blind_list_are_not_trusted() -> None:
    trust = Trust(NAME, "*")
    assert trust.is_blind
    assert trust.judge("10.0.0.1") == ("10.0.0.1", False)


def test_what_is_remembered_of_addresses_is_bounded() -> None:
    trust = Trust(NAME, DEFAULT)
    for number in range(5000):
        trust.judge(f"10.0.{number // 256}.{number % 256}")
        trust.judge("1" * (number + 65))
    assert len(trust._judged) <= 1024
    assert max(map(len, trust._judged)) <= 64


@pytest.mark.parametrize("entry", ["10.0.0.0/33", "front.example", "10.0.0.1:80", "Unix", "/run/a.sock", "**"])
def test_entry_that_is_no_address_is_refused(entry: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Trust(NAME, f"127.0.0.1,{entry}")
    assert str(caught.value) == (
        f"forwarded_allow_ips must be IP addresses, networks, unix or *, separated by commas, got '{entry}'; "
        "as 10.0.0.0/8,unix"
    )


def test_star_within_a_list_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"forwarded_allow_ips must be \* alone, or a list without it, got"):
        Trust(NAME, "127.0.0.1,*")

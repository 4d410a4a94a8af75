"""What may stand in a Host field: RFC 9110, 4.2, and RFC 3986, 3.2.2."""

import pytest

from bide.semantics.authority import is_authority


@pytest.mark.parametrize(
    "octets",
    [
        b"a",
        b"example.com",
        b"example.com:",
        b"example.com:8000",
        b"192.0.2.1:80",
        b"a%2Fb",
        b"a_b~!$&'()*+,;=",
        b"[::1]",
        b"[::1]:80",
        b"[::1]:",
        b"[2001:db8::192.0.2.1]",
        b"[1:2:3:4:5:6:7:8]",
        b"[v1.a:b]",
    ],
)
def test_authority_with_a_host_and_perhaps_a_port_is_valid(octets: bytes) -> None:
    assert is_authority(octets)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b":80",
        b"user@host",
        b"a:port",
        b"a:80:80",
        b"a/b",
        b"a b",
        b"a%2",
        b"a%zz",
        b"a\xe4",
        b"a\n",
        b"[::1",
        b"[::1]80",
        b"[::1]:port",
        b"[fe80::1%25eth0]",
        b"[1:2]",
        b"[]",
    ],
)
def test_authority_of_another_form_is_refused(octets: bytes) -> None:
    assert not is_authority(octets)

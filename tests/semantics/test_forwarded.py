"""What is believed of forwarded fields: a client cannot choose who it is, and cannot make its requests fail."""

import time
from typing import Final

import pytest
from hypothesis import given, strategies as st

from bide.message import Field
from bide.semantics.forwarded import Forwarding, Origin
from bide.terms import Address

#: The nearest front end, another one, and clients of theirs.
PEER: Final = ("10.0.0.1", 4000)
FRONT: Final = "10.0.0.2"
CLIENT: Final = "192.0.2.1"
FORGED: Final = "6.6.6.6"
TRUSTED: Final = (PEER[0], FRONT)

#: Addresses that the judge of these tests knows, with their canonical forms.
KNOWN: Final = {host: host for host in (*TRUSTED, CLIENT, FORGED, "2001:db8::1")} | {"2001:DB8:0::1": "2001:db8::1"}


def judge(text: str) -> tuple[str, bool]:
    host = KNOWN.get(text, "")
    return host, host in TRUSTED


def never_trusted(text: str) -> tuple[str, bool]:
    return KNOWN.get(text, ""), False


def x_forwarded(hops: int = 0, *, host: bool = False, prefix: bool = False) -> Forwarding:
    """Return what reads X-Forwarded-*. hops: 0 if front ends are told by their addresses."""
    return Forwarding(
        lambda _: True,
        never_trusted if hops else judge,
        hops,
        reads_standard=False,
        takes_host=host,
        takes_prefix=prefix,
    )


def standard(*, host: bool = False) -> Forwarding:
    return Forwarding(lambda _: True, judge, 0, reads_standard=True, takes_host=host, takes_prefix=False)


def fields(**lines: str | tuple[str, ...]) -> list[Field]:
    """Return fields of a request. Each name has one line, or several."""
    found: list[Field] = [(b"host", b"front"), (b"accept", b"*/*")]
    for name, values in lines.items():
        lines_of = (values,) if isinstance(values, str) else values
        found += [(name.replace("_", "-").encode(), value.encode()) for value in lines_of]
    return found


def client_of(forwarding: Forwarding, **lines: str | tuple[str, ...]) -> Address | None:
    return forwarding.origin(PEER, "http", fields(**lines)).client


def test_request_without_such_fields_comes_from_the_peer() -> None:
    assert x_forwarded().origin(PEER, "http", fields()) == Origin(PEER, "http", b"", b"")
    assert standard().origin(None, "https", fields()) == Origin(None, "https", b"", b"")


# -- X-Forwarded-For --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "client"),
    [
        (CLIENT, (CLIENT, 0)),
        (f"{FORGED}, {CLIENT}", (CLIENT, 0)),
        (f"{FORGED},{CLIENT} , {FRONT}", (CLIENT, 0)),
        (f"{CLIENT}, {FRONT}, {FRONT}", (CLIENT, 0)),
        (f"{FRONT}, {PEER[0]}", (FRONT, 0)),  # all are trusted: the leftmost
        (f", {CLIENT}, ,", (CLIENT, 0)),  # RFC 9110, 5.6.1
        (f"{CLIENT}:80", (CLIENT, 80)),
        (f"{CLIENT}:_http", (CLIENT, 0)),
        ("[2001:db8::1]:65535", ("2001:db8::1", 65535)),
        ("[2001:db8::1]", ("2001:db8::1", 0)),
        ("2001:DB8:0::1", ("2001:db8::1", 0)),
    ],
)
def test_client_is_the_first_from_the_right_that_is_not_trusted(value: str, client: Address) -> None:
    assert client_of(x_forwarded(), x_forwarded_for=value) == client


def test_lines_count_as_one_list() -> None:
    assert client_of(x_forwarded(), x_forwarded_for=(FORGED, CLIENT, FRONT)) == (CLIENT, 0)


@pytest.mark.parametrize(
    "rubbish",
    [
        "unknown",
        "_hidden",
        "300.1.1.1",
        "a.example",
        "%",
        f"{CLIENT}:",
        f"{CLIENT}:65536",
        f"{CLIENT}:x",
        f"{CLIENT} {CLIENT}",
        "[2001:db8::1",
        "[2001:db8::1]x",
        f"[{CLIENT}",
        "\xe4",
        "::",
    ],
)
def test_entry_that_is_no_address_leaves_the_client_that_was_known(rubbish: str) -> None:
    assert client_of(x_forwarded(), x_forwarded_for=f"{CLIENT}, {rubbish}") == PEER
    assert client_of(x_forwarded(), x_forwarded_for=f"{CLIENT}, {rubbish}, {FRONT}") == (FRONT, 0)
    assert client_of(x_forwarded(), x_forwarded_for=f"{rubbish}, {CLIENT}") == (CLIENT, 0)


@pytest.mark.parametrize(
    ("hops", "value", "client"),
    [
        (1, f"{FORGED}, {CLIENT}", (CLIENT, 0)),
        (1, f"{CLIENT}, {FRONT}", (FRONT, 0)),  # its entry is not trusted: nobody says that it is one
        (2, f"{FORGED}, {CLIENT}, {FRONT}", (CLIENT, 0)),
        (2, CLIENT, (CLIENT, 0)),
        (2, f"{FORGED}, unknown, {FRONT}", (FRONT, 0)),
    ],
)
def test_client_of_front_ends_that_are_counted_is_at_its_place(hops: int, value: str, client: Address) -> None:
    assert client_of(x_forwarded(hops), x_forwarded_for=value) == client


def test_other_family_is_not_read() -> None:
    both = {"x_forwarded_for": CLIENT, "x_forwarded_proto": "https", "forwarded": f"for={FORGED};proto=https"}
    assert client_of(x_forwarded(), **both) == (CLIENT, 0)
    assert client_of(standard(), **both) == (FORGED, 0)
    del both["forwarded"]
    assert standard().origin(PEER, "http", fields(**both)) == Origin(PEER, "http", b"", b"")


# -- X-Forwarded-Proto ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "protos", "scheme"),
    [
        ("", "https", "https"),
        ("", "HTTPS", "https"),
        ("", "wss", "https"),
        ("", "ws", "http"),
        ("", "http", "http"),
        ("", "ftp", "http"),
        ("", ",", "http"),
        ("", "http, https", "https"),
        (CLIENT, "https", "https"),
        (f"{FORGED}, {CLIENT}, {FRONT}", "http, https, http", "https"),  # at the client's place
        (f"{FORGED}, {CLIENT}, {FRONT}", "http, https", "https"),  # not as many: the rightmost
        (f"{FORGED}, {CLIENT}", "https, http", "http"),
        (f"{FRONT}, {FRONT}", "https, http", "https"),
        ("unknown", "https", "https"),
    ],
)
def test_scheme_is_the_one_that_a_trusted_front_end_wrote(nodes: str, protos: str, scheme: str) -> None:
    found = x_forwarded().origin(PEER, "http", fields(x_forwarded_for=nodes, x_forwarded_proto=protos))
    assert found.scheme == scheme


def test_scheme_that_is_not_told_is_the_connections() -> None:
    assert x_forwarded().origin(PEER, "https", fields(x_forwarded_for=CLIENT)).scheme == "https"
    assert standard().origin(PEER, "https", fields(forwarded=f"for={CLIENT};proto=x")).scheme == "https"


# -- X-Forwarded-Host and X-Forwarded-Prefix --------------------------------------------------------------------------------


def test_host_and_prefix_are_not_read_unless_asked_for() -> None:
    told = fields(x_forwarded_host="a.example", x_forwarded_prefix="/app", forwarded="host=a.example")
    assert x_forwarded().origin(PEER, "http", told) == Origin(PEER, "http", b"", b"")
    assert standard().origin(PEER, "http", told) == Origin(PEER, "http", b"", b"")


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("a.example", b"a.example"),
        ("[::1]:80", b"[::1]:80"),
        ("forged.example, a.example", b"a.example"),
        ("a/b", b""),
        ("user@a", b""),
        (",", b""),
    ],
)
def test_host_that_is_read_is_valid(value: str, host: bytes) -> None:
    assert x_forwarded(host=True).origin(PEER, "http", fields(x_forwarded_host=value)).host == host


@pytest.mark.parametrize(
    ("value", "prefix"),
    [
        ("/app", b"/app"),
        ("/a/b%20c", b"/a/b%20c"),
        ("app", b""),
        ("/", b""),
        ("/app/", b""),
        ("//evil.example", b""),
        ("/a?b", b""),
        ("/a%2", b""),
        ("", b""),
    ],
)
def test_prefix_that_is_read_is_a_path_as_root_path_is(value: str, prefix: bytes) -> None:
    assert x_forwarded(prefix=True).origin(PEER, "http", fields(x_forwarded_prefix=value)).prefix == prefix


def test_host_and_prefix_are_those_of_the_clients_place() -> None:
    told = fields(
        x_forwarded_for=f"{FORGED}, {CLIENT}, {FRONT}",
        x_forwarded_host="forged.example, a.example, front.example",
        x_forwarded_prefix="/forged, /app, /front",
    )
    found = x_forwarded(host=True, prefix=True).origin(PEER, "http", told)
    assert (found.host, found.prefix) == (b"a.example", b"/app")


# -- Forwarded --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "client", "scheme"),
    [
        (f"for={CLIENT}", (CLIENT, 0), "http"),
        (f"For={CLIENT};Proto=https;by=203.0.113.43", (CLIENT, 0), "https"),
        (f"proto=HTTPS;for={CLIENT}", (CLIENT, 0), "https"),
        ('for="[2001:db8::1]:4711"', ("2001:db8::1", 4711), "http"),
        (f'for="{CLIENT}:_x"', (CLIENT, 0), "http"),
        ('for="1\\92.0.2.1";proto="ht\\tps"', (CLIENT, 0), "https"),
        (f'for={CLIENT};x="a,b;c\\",d"', (CLIENT, 0), "http"),
        (f" for={CLIENT} ; proto=https ;, ;", (CLIENT, 0), "https"),
        (f"for={FORGED};proto=http, for={CLIENT};proto=https, for={FRONT};proto=http", (CLIENT, 0), "https"),
        (f"for={CLIENT}, for={FRONT};proto=https", (CLIENT, 0), "http"),  # of the same element
        ("proto=https", PEER, "https"),
        (f"for={FORGED}, for=unknown;proto=https", PEER, "https"),
        (f"for={FORGED}, for=_hidden", PEER, "http"),
        (f"for={FRONT}, for={FRONT};proto=https", (FRONT, 0), "http"),
    ],
)
def test_element_of_the_client_tells_address_and_scheme(value: str, client: Address, scheme: str) -> None:
    found = standard().origin(PEER, "http", fields(forwarded=value))
    assert (found.client, found.scheme) == (client, scheme)


@pytest.mark.parametrize(
    "rubbish",
    [
        "for",
        "for=",
        f"for = {CLIENT}",
        f"for={CLIENT};for={CLIENT}",
        f"for={CLIENT} proto=https",
        'for="',
        'for="a" b',
        'for="\\"',
        "for=[2001:db8::1]",
        "=a",
        '"',
    ],
)
def test_element_that_cannot_be_read_ends_the_search_and_spoils_nothing(rubbish: str) -> None:
    assert client_of(standard(), forwarded=rubbish) == PEER
    assert client_of(standard(), forwarded=f"for={FORGED}, {rubbish}, for={FRONT}") == (FRONT, 0)
    assert client_of(standard(), forwarded=(rubbish, f"for={CLIENT}")) == (CLIENT, 0)


def test_element_within_a_quoted_string_is_none() -> None:
    """A host is the client's choice: a front end that quotes it as it should is understood."""
    for host in (f"a,for={FORGED}", f"a,for={FORGED};a=", f'a,for={FORGED};a=\\"b', f'\\",for=\\"{FORGED}'):
        assert client_of(standard(), forwarded=f'for={CLIENT};host="{host}"') == (CLIENT, 0)
        assert client_of(standard(), forwarded=f'host="{host}";for={CLIENT}') == (CLIENT, 0)


def test_element_with_many_commas_counts_as_unreadable() -> None:
    assert client_of(standard(), forwarded=f'for={CLIENT};x="{"," * 8}"') == (CLIENT, 0)
    assert client_of(standard(), forwarded=f'for={CLIENT};x="{"," * 9}"') == PEER


@pytest.mark.parametrize(("value", "host"), [("a.example:80", b"a.example:80"), ("a/b", b"")])
def test_host_of_an_element_is_valid(value: str, host: bytes) -> None:
    told = fields(forwarded=f'for={CLIENT};host="{value}"')
    assert standard(host=True).origin(PEER, "http", told).host == host


# -- Anything at all --------------------------------------------------------------------------------------------------------

_PIECES: Final = st.sampled_from(
    [
        CLIENT,
        FRONT,
        "for=",
        "proto=https",
        "by=_x",
        ",",
        ";",
        '"',
        "\\",
        " ",
        "\t",
        "[",
        "]",
        ":80",
        "::1",
        "unknown",
        "a",
    ]
)


@given(st.lists(_PIECES, max_size=30).map("".join))
def test_what_a_client_sends_never_replaces_what_a_front_end_adds(sent: str) -> None:
    assert client_of(x_forwarded(), x_forwarded_for=(sent, CLIENT)) == (CLIENT, 0)
    assert client_of(x_forwarded(), x_forwarded_for=f"{sent}, {CLIENT}") == (CLIENT, 0)
    assert client_of(standard(), forwarded=(sent, f"for={CLIENT};proto=https")) == (CLIENT, 0)
    assert client_of(standard(), forwarded=f'{sent}, for="{CLIENT}:1"') == (CLIENT, 1)


@pytest.mark.parametrize(
    "text", [" ", "\t;", ",", ";", '"', '\\"', 'a="', 'a="\\', 'a=",', "a=a;", "a=a,", "for=10.0.0.1,", "[", ":"]
)
def test_long_field_takes_time_in_proportion_to_its_length(text: str) -> None:
    """A field that takes a thousand times longer than its octets would end this test by its patience, of ten seconds."""
    value = text * (65536 // len(text))
    began = time.process_time()
    for forwarding in (x_forwarded(), standard()):
        for end in ("", "x", '"'):
            forwarding.origin(PEER, "http", fields(x_forwarded_for=value + end, forwarded=value + end))
    assert time.process_time() - began < 10

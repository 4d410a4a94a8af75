"""Reads request heads whole, and refuses some before they are complete. The breadth is in `cases`."""

import ipaddress
from typing import Final, NamedTuple

import pytest
from hypothesis import given, strategies as st

from bide.errors import Rejected
from bide.http1.head import _request_lines, read_head, rejected_early
from bide.http1.known import START, known_lines
from bide.http1.limits import DROP, PASS, REFUSE
from bide.message import CHUNKED, Request
from bide.terms import CLIENT_CLOSE_OPTION, CLIENT_KEEP_ALIVE, EXPECTATION_UNMET, HTTP_1_0
from tests.http1.cases import CASES
from tests.http1.driver import FIELDS_LIMIT, HEAD_LIMIT, TARGET_LIMIT, limits, slices

LIMITS = limits()
HOST = b"Host: a"


def read(*lines: bytes) -> Request:
    return read_head(b"\r\n".join(lines), LIMITS)


def refused(*lines: bytes) -> int:
    with pytest.raises(Rejected) as rejected:
        read(*lines)
    assert rejected.value.detail
    return rejected.value.status


def test_request_has_each_part_of_its_head() -> None:
    request = read(b"POST /a%20b?c=d?e HTTP/1.1", b"HOST:  b ", b"Content-Length: 5", b"X-y: Z", b"Accept: */*")
    assert request.method == "POST"
    assert request.target == b"/a%20b?c=d?e"
    assert request.path == b"/a%20b"
    assert request.query == b"c=d?e"
    assert request.fields == [(b"host", b"b"), (b"content-length", b"5"), (b"x-y", b"Z"), (b"accept", b"*/*")]
    assert (request.minor, request.length, request.facts) == (1, 5, 0)
    assert not request.facts & EXPECTATION_UNMET
    assert request.accepts_trailers is False


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "PURGE", "m-1!"]
)
def test_method_of_any_token_is_kept(method: str) -> None:
    assert read(b"%b / HTTP/1.1" % method.encode(), HOST).method == method


@pytest.mark.parametrize(
    ("version", "minor", "facts"),
    [(b"HTTP/1.1", 1, 0), (b"HTTP/1.2", 1, 0), (b"HTTP/1.9", 1, 0), (b"HTTP/1.0", 0, HTTP_1_0)],
)
def test_version_of_http_1_is_read(version: bytes, minor: int, facts: int) -> None:
    request = read(b"GET / " + version, HOST)
    assert (request.minor, request.facts) == (minor, facts)


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        (b"/", b"/", b"", b"a"),
        (b"/?", b"/", b"", b"a"),
        (b"/b?c", b"/b", b"c", b"a"),
        (b"//b/c", b"//b/c", b"", b"a"),
        (b"http://b", b"/", b"", b"b"),
        (b"http://b?c", b"/", b"c", b"b"),
        (b"http://b:80/?c", b"/", b"c", b"b:80"),
        (b"HTTPS://b/c/d?e", b"/c/d", b"e", b"b"),
        (b"http://[::1]:80/c", b"/c", b"", b"[::1]:80"),
        (b"http://b//c", b"//c", b"", b"b"),
        (b"http://b/c://d", b"/c://d", b"", b"b"),
    ],
)
def test_target_is_split_and_its_authority_replaces_host(target: bytes, path: bytes, query: bytes, host: bytes) -> None:
    """3.2.2: the authority of an absolute-form replaces what Host says."""
    request = read(b"GET " + target + b" HTTP/1.1", b"X: 1", HOST, b"Y: 2")
    assert (request.target, request.path, request.query) == (target, path, query)
    assert request.fields == [(b"x", b"1"), (b"host", host), (b"y", b"2")]


@pytest.mark.parametrize("octet", range(256))
def test_target_holds_visible_octets_without_a_fragment(octet: int) -> None:
    """3.2: whatever is visible, except the `#` of a fragment."""
    request_line = b"GET /a%cb HTTP/1.1" % octet
    if 0x21 <= octet <= 0x7E and octet != 0x23:
        assert read(request_line, HOST).target == b"/a%cb" % octet
    else:
        assert refused(request_line, HOST) == 400


def test_absolute_form_without_host_adds_one() -> None:
    request = read(b"GET http://b/ HTTP/1.0", b"X: 1")
    assert request.fields == [(b"x", b"1"), (b"host", b"b")]


def test_absolute_form_leaves_the_host_of_the_next_request_alone() -> None:
    """Fields are shared between requests; a replaced Host must not be."""
    assert read(b"GET http://evil/ HTTP/1.1", b"Host: shared").fields == [(b"host", b"evil")]
    assert read(b"GET / HTTP/1.1", b"Host: shared").fields == [(b"host", b"shared")]


def test_asterisk_form_is_for_options_only() -> None:
    request = read(b"OPTIONS * HTTP/1.1", HOST)
    assert (request.target, request.path, request.query) == (b"*", b"*", b"")
    assert refused(b"GET * HTTP/1.1", HOST) == 400


@pytest.mark.parametrize(
    ("values", "facts"),
    [
        ([], 0),
        ([b"x"], 0),
        ([b"close"], CLIENT_CLOSE_OPTION),
        ([b"Close"], CLIENT_CLOSE_OPTION),
        ([b"keep-alive"], CLIENT_KEEP_ALIVE),
        ([b"Keep-Alive"], CLIENT_KEEP_ALIVE),
        ([b"keep-alive", b"x"], CLIENT_KEEP_ALIVE),
        ([b"x", b"keep-alive"], CLIENT_KEEP_ALIVE),
        ([b"x, Keep-Alive ,close"], CLIENT_KEEP_ALIVE | CLIENT_CLOSE_OPTION),
        ([b"keep-alive, x", b"y,CLOSE"], CLIENT_KEEP_ALIVE | CLIENT_CLOSE_OPTION),
        ([b"close", b"x", b"y"], CLIENT_CLOSE_OPTION),
        ([b"closed, not-close, 'close'"], 0),
        ([b"not-keep-alive, keep-alives, 'keep-alive'"], 0),
    ],
)
def test_connection_options_become_facts(values: list[bytes], facts: int) -> None:
    lines = [b"Connection: " + value for value in values]
    for _ in range(2):  # what was read for one version is not remembered for the other
        request = read(b"GET / HTTP/1.1", HOST, *lines)
        assert request.facts == facts & ~CLIENT_KEEP_ALIVE  # 9.3: which says nothing to HTTP/1.1
        assert request.fields[1:] == [(b"connection", value) for value in values]
        assert read(b"GET / HTTP/1.0", *lines).facts == facts | HTTP_1_0


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ([], 0),
        ([b"Content-Length: 0"], 0),
        ([b"Content-Length: 9223372036854775807"], 2**63 - 1),
        ([b"Transfer-Encoding: chunked"], CHUNKED),
        ([b"Transfer-Encoding: CHUNKED"], CHUNKED),
    ],
)
def test_body_length_is_read_from_the_framing(lines: list[bytes], length: int) -> None:
    assert read(b"POST / HTTP/1.1", HOST, *lines).length == length


@pytest.mark.parametrize(
    ("version", "lines", "expects"),
    [
        (b"HTTP/1.1", [b"Content-Length: 1"], True),
        (b"HTTP/1.1", [b"Transfer-Encoding: chunked"], True),
        (b"HTTP/1.1", [b"Content-Length: 0"], False),  # there is nothing to wait with
        (b"HTTP/1.1", [], False),
        (b"HTTP/1.0", [b"Content-Length: 1"], False),  # RFC 9110, 10.1.1
    ],
)
def test_expectation_with_a_body_is_open(version: bytes, lines: list[bytes], expects: bool) -> None:
    assert read(b"POST / " + version, HOST, b"Expect: 100-Continue", *lines).facts & EXPECTATION_UNMET == (
        EXPECTATION_UNMET if expects else 0
    )


@pytest.mark.parametrize(
    ("values", "accepts"),
    [
        ([b"trailers"], True),
        ([b"Trailers"], True),
        ([b"deflate;q=0.5, trailers"], True),
        ([b"trailers", b"gzip"], True),
        ([b"gzip", b"trailers"], True),
        ([b"gzip"], False),
        ([b""], False),
    ],
)
def test_te_with_trailers_accepts_them(values: list[bytes], accepts: bool) -> None:
    assert read(b"GET / HTTP/1.1", HOST, *[b"TE: " + value for value in values]).accepts_trailers is accepts


# -- Underscores in names --------------------------------------------------------------------------------------------------

UNDERSCORED: Final = (b"X_Forwarded_For: 1", b"a-b_c: 2", b"_: 3", b"X_FORWARDED_FOR: 4", b"n_" * 50 + b": 5")


def read_under(underscores: int, *lines: bytes) -> Request:
    return read_head(b"\r\n".join((b"GET / HTTP/1.1", *lines)), limits(underscores=underscores))


def test_fields_with_an_underscore_in_their_names_are_dropped() -> None:
    """In the environment of CGI and WSGI `X_Forwarded_For` is what `X-Forwarded-For` is (RFC 3875, 4.1.18)."""
    for _ in range(2):
        request = read_under(DROP, UNDERSCORED[0], HOST, *UNDERSCORED[1:], b"X-Forwarded-For: 6_7")
        assert request.fields == [(b"host", b"a"), (b"x-forwarded-for", b"6_7")]
        assert request.dropped == [b"x_forwarded_for", b"a-b_c", b"_", b"x_forwarded_for", b"n_" * 50]


def test_fields_with_an_underscore_in_their_names_are_passed_on() -> None:
    for _ in range(2):
        request = read_under(PASS, HOST, *UNDERSCORED)
        assert request.fields[1:] == [
            (b"x_forwarded_for", b"1"),
            (b"a-b_c", b"2"),
            (b"_", b"3"),
            (b"x_forwarded_for", b"4"),
            (b"n_" * 50, b"5"),
        ]
        assert request.dropped is None


@pytest.mark.parametrize("line", UNDERSCORED)
def test_fields_with_an_underscore_in_their_names_are_refused(line: bytes) -> None:
    for lines in ((HOST, line), (line, HOST), (HOST, line)):
        with pytest.raises(Rejected) as rejected:
            read_under(REFUSE, *lines)
        assert rejected.value.status == 400
        assert "underscore" in rejected.value.detail


@pytest.mark.parametrize("line", UNDERSCORED)
def test_servers_of_one_process_differ_in_what_becomes_of_underscores(line: bytes) -> None:
    """What is remembered of names and lines is shared between them."""
    for _ in range(2):
        assert len(read_under(PASS, HOST, line).fields) == 2
        assert len(read_under(DROP, HOST, line).fields) == 1
        with pytest.raises(Rejected):
            read_under(REFUSE, HOST, line)


@pytest.mark.parametrize("underscores", [DROP, REFUSE, PASS])
def test_underscores_elsewhere_mean_nothing(underscores: int) -> None:
    for _ in range(2):
        request = read_under(underscores, b"Host: a_b", b"X-Y: a_b", b"Cookie: a_b=c_d", b"User-Agent: test_head")
        assert len(request.fields) == 4
        assert request.dropped is None


@pytest.mark.parametrize("underscores", [DROP, PASS])
@pytest.mark.parametrize(
    "line", [b"Content_Length: 5", b"Transfer_Encoding: chunked", b"_Connection: close", b"T_E: trailers", b"_Host: b"]
)
def test_field_with_an_underscore_in_its_name_decides_nothing(line: bytes, underscores: int) -> None:
    request = read_under(underscores, HOST, line)
    assert (request.length, request.facts, request.accepts_trailers) == (0, 0, False)


def test_dropped_fields_count_as_field_lines() -> None:
    assert read_under(DROP, HOST, *[b"X_Y:"] * (FIELDS_LIMIT - 1)).fields == [(b"host", b"a")]
    with pytest.raises(Rejected) as rejected:
        read_under(DROP, HOST, *[b"X_Y:"] * FIELDS_LIMIT)
    assert rejected.value.status == 431


class Refusal(NamedTuple):
    status: int
    lines: tuple[bytes, ...]


REFUSALS = [
    Refusal(400, (b"",)),
    Refusal(400, (b"GET /", HOST)),
    Refusal(400, (b"GET  HTTP/1.1", HOST)),
    Refusal(400, (b"GET / HTTP/1.1 ", HOST)),
    Refusal(400, (b"GET / HTTP/1", HOST)),
    Refusal(400, (b"GET / HTTP/a.1", HOST)),
    Refusal(400, (b"GET / HTTP/1.a", HOST)),
    Refusal(400, (b"GET / HTTQ/1.1", HOST)),
    Refusal(505, (b"GET / HTTP/2.0", HOST)),
    Refusal(400, (b"G@T / HTTP/1.1", HOST)),
    Refusal(400, (b" / HTTP/1.1", HOST)),
    Refusal(501, (b"CONNECT a:1 HTTP/1.1", HOST)),
    Refusal(501, (b"connect / HTTP/1.1", HOST)),
    Refusal(400, (b"GET /# HTTP/1.1", HOST)),
    Refusal(400, (b"GET a HTTP/1.1", HOST)),
    Refusal(400, (b"GET ftp://a HTTP/1.1", HOST)),
    Refusal(400, (b"GET http://a@b HTTP/1.1", HOST)),
    Refusal(414, (b"GET /" + b"a" * TARGET_LIMIT + b" HTTP/1.1", HOST)),
    Refusal(414, (b"GET /" + b"a" * 2000 + b" HTTP/1.1", HOST)),
    Refusal(431, (b"GET / HTTP/1.1", HOST, b"X: " + b"a" * HEAD_LIMIT)),
    Refusal(431, (b"GET / HTTP/1.1", HOST, *[b"X:"] * FIELDS_LIMIT)),
    Refusal(400, (b"GET / HTTP/1.1",)),
    Refusal(400, (b"GET / HTTP/1.1", HOST, HOST)),
    Refusal(400, (b"GET / HTTP/1.1", b"Host: a b")),
    Refusal(400, (b"GET / HTTP/1.1", b"Host: [a")),
    Refusal(400, (b"GET / HTTP/1.1", b"Host: []")),
    Refusal(400, (b"GET / HTTP/1.1", b"Host: [a]b")),
    Refusal(400, (b"GET / HTTP/1.1", b"Host: a:b")),
    Refusal(400, (b"GET / HTTP/1.1", HOST, b"X")),
    Refusal(417, (b"GET / HTTP/1.1", HOST, b"Expect: x")),
    Refusal(400, (b"GET / HTTP/1.1", HOST, b"Content-Length: +1")),
    Refusal(400, (b"GET / HTTP/1.1", HOST, b"Content-Length: 1", b"Content-Length: 1")),
    Refusal(400, (b"GET / HTTP/1.1", HOST, b"Content-Length: 1", b"Transfer-Encoding: chunked")),
    Refusal(400, (b"GET / HTTP/1.0", HOST, b"Transfer-Encoding: chunked")),
    Refusal(400, (b"GET / HTTP/1.1", HOST, b"Transfer-Encoding: gzip")),
    Refusal(400, (b"GET / HTTP/1.1", HOST, b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked")),
    Refusal(400, (b"GET / HTTP/1.1", HOST, b"Transfer-Encoding: g@zip, chunked")),
    Refusal(501, (b"GET / HTTP/1.1", HOST, b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked")),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: b"|".join(refusal.lines)[:60].decode())
def test_malformed_head_is_refused_with_its_status(refusal: Refusal) -> None:
    assert refused(*refusal.lines) == refusal.status
    assert refused(*refusal.lines) == refusal.status, "and again: nothing of it was remembered as valid"


def test_head_with_several_faults_is_refused_for_the_first() -> None:
    """So that it does not matter in how many pieces a head comes."""
    long_line, large = b"A /" + b"a" * 300, b"X: " + b"a" * HEAD_LIMIT
    assert refused(long_line, large, *[b"@"] * 100) == 414
    assert refused(b"@", large, *[b"@"] * 100) == 431
    assert refused(b"@", *[b"@"] * 100) == 431
    assert refused(b"@", b"@") == 400


@pytest.mark.parametrize("method", [b"get", b"Post", b"dELETE", b"A" * 41, b"A" * 1000])
def test_method_in_other_case_or_too_long_is_501(method: bytes) -> None:
    assert refused(method + b" / HTTP/1.1", HOST) == 501


def test_memory_of_request_lines_is_bounded_and_stays_right() -> None:
    for _ in range(2):
        for number in range(600):
            target = b"/%d" % number
            request = read(b"GET " + target + b" HTTP/1.1", HOST)
            assert (request.target, request.path, request.query, request.minor) == (target, target, b"", 1)
    assert len(_request_lines) <= 256
    for line in (
        b"GET /secret?token=1 HTTP/1.1",
        b"GET /%s HTTP/1.1" % (b"x" * 120),
        b"GET / HTTP/1.0",
        b"OPTIONS * HTTP/1.1",
    ):
        read(line, HOST)
        assert line not in _request_lines


def test_empty_host_is_accepted_once() -> None:
    for _ in range(2):  # RFC 9112, 3.2: so it is sent where the target has no authority
        assert read(b"GET / HTTP/1.1", b"Host:").fields == [(b"host", b"")]
        assert refused(b"GET / HTTP/1.1", b"Host:", b"Host:") == refused(b"GET / HTTP/1.1", HOST, b"Host:") == 400


def test_memory_of_lines_is_bounded_and_stays_right() -> None:
    for number in range(3000):
        host, value = b"h%d.example" % number, b"%d" % number
        request = read(b"GET / HTTP/1.1", b"Host: " + host, b"Accept: " + value)
        assert request.fields == [(b"host", host), (b"accept", value)]
        assert len(known_lines) <= 1024
    assert read(b"GET / HTTP/1.1", b"Host: h0.example").fields == [(b"host", b"h0.example")]


@pytest.mark.parametrize(
    "name",
    [
        # decide on framing
        b"Content-Length",
        b"Expect",
        b"TE",
        b"Transfer-Encoding",
        b"Upgrade",
        # secrets
        b"Authorization",
        b"Cookie",
        b"Proxy-Authorization",
        b"X-Api-Key",
        b"X-CSRF-Token",
        # lead to secrets
        b"Referer",
    ],
)
def test_field_line_that_decides_or_is_secret_is_not_remembered(name: bytes) -> None:
    value = {b"Content-Length": b"1", b"Transfer-Encoding": b"chunked", b"Expect": b"100-continue"}.get(name, b"a")
    read(b"POST / HTTP/1.1", b"Host: a", name + b": " + value)
    assert not any(line.startswith(name) for line in known_lines)


@pytest.mark.parametrize("options", [b"close", b"keep-alive, close", b"upgrade", b"keep-alive, Upgrade"])
def test_connection_line_that_says_something_is_not_remembered(options: bytes) -> None:
    for _ in range(3):
        request = read(b"GET / HTTP/1.1", b"Host: a", b"Connection: " + options, b"Upgrade: b")
        assert bool(request.facts & CLIENT_CLOSE_OPTION) == (b"close" in options)
        assert request.upgrade == (b"" if b"pgrade" not in options else b"b")
    assert b"Connection: " + options not in known_lines


@pytest.mark.parametrize("line", [b"Accept: a\x00", b"Accept : a", b"Accept: a\rb", b"Accept: a\nb", b" Accept: a"])
def test_refused_line_is_not_remembered(line: bytes) -> None:
    for _ in range(2):
        assert refused(b"GET / HTTP/1.1", b"Host: a", line) == 400
    assert line not in known_lines


# Lines that are remembered, that are not, that are longer or shorter than the one they resemble, and that are refused.
LINES: Final = [
    b"Host: a",
    b"Host: ab",
    b"Host:",
    b"Host: a b",
    b"Accept: a",
    b"Accept: ab",
    b"accept: a",
    b"Accept:",
    b"Accept: a\x00",
    b"Connection: keep-alive",
    b"Connection: close",
    b"Connection: upgrade",
    b"Upgrade: c",
    b"Cookie: a",
    b"Content-Length: 1",
    b"Content-Length: 2",
    b"Transfer-Encoding: chunked",
    b"X_Y: a",
]


@given(st.lists(st.tuples(st.sampled_from([0, 1]), st.lists(st.sampled_from(LINES), max_size=6)), max_size=12))
def test_what_was_read_before_changes_nothing(heads: list[tuple[int, list[bytes]]]) -> None:
    """Whatever is remembered, and in whatever order, a head is read as by a process that has just begun."""

    def outcome(minor: int, lines: list[bytes]) -> object:
        try:
            request = read(b"POST /a HTTP/1.%d" % minor, *lines)
        except Rejected as rejected:
            return rejected.status, rejected.detail
        return (
            request.fields,
            request.length,
            request.facts,
            request.upgrade,
            request.dropped,
            request.accepts_trailers,
        )

    known_lines.clear()
    START.following = None
    after_others = [outcome(*head) for head in heads]
    for head, seen in zip(heads, after_others, strict=True):
        known_lines.clear()
        START.following = None
        assert outcome(*head) == seen


ADDRESSES: Final = [
    b"::",
    b"::1",
    b"1::",
    b"1:2:3:4:5:6:7:8",
    b"1:2:3:4:5:6:7::",
    b"::2:3:4:5:6:7:8",
    b"1::3:4:5:6:7:8",
    b"1:2:3:4::5",
    b"2001:DB8::cafe",
    b"0000:0000::0000",
    b"::ffff:192.0.2.1",
    b"1:2:3:4:5:6:192.0.2.1",
    b"1:2:3:4:5::255.249.199.0",
    b"::10.0.0.255",
    b"v1.a",
    b"VF0.a:b-._~!$&'()*+,;=",
]
NO_ADDRESSES: Final = [
    b"",
    b":",
    b":::",
    b"1",
    b"1:",
    b":1",
    b"1::2::3",
    b":1::2",
    b"1::2:",
    b"12345::",
    b"g::",
    b"1:2:3:4:5:6:7",
    b"1:2:3:4:5:6:7:8:9",
    b"1:2:3:4::5:6:7:8",
    b"1:2:3:4:5:6:7:8::",
    b"192.0.2.1",
    b"::192.0.2",
    b"::192.0.2.1.1",
    b"::192.0.2.256",
    b"::192.0.2.300",
    b"::192.0.2.01",
    b"::192.0.2.",
    b"::192.0.2.1:1",
    b"192.0.2.1::",
    b"1:2:3:4:5:6:7:192.0.2.1",
    b"::1 ",
    b"::1/64",
    b"::%31",
    b"fe80::1%eth0",  # RFC 9844: a zone means nothing beyond its own host
    b"fe80::1%25eth0",
    b"v1",
    b"v1.",
    b"v.a",
    b"vg.a",
    b"v1.a%41",
    b"v1.a[b",
]


def takes_host(host: bytes) -> bool:
    """Whether `host` is accepted as Host. Fails unless the same holds for the authority of an absolute-form target."""
    outcomes = []
    for lines in ((b"GET / HTTP/1.1", b"Host: " + host), (b"GET http://" + host + b"/ HTTP/1.1", HOST)):
        for _ in range(2):  # neither an acceptance nor a refusal is remembered as anything else
            try:
                request = read(*lines)
            except Rejected as rejected:
                outcomes.append(rejected.status)
            else:
                assert request.fields == [(b"host", host)]
                outcomes.append(200)
    assert len(set(outcomes)) == 1, outcomes
    return {200: True, 400: False}[outcomes[0]]


@pytest.mark.parametrize("literal", ADDRESSES)
def test_host_of_an_address_in_brackets_is_accepted(literal: bytes) -> None:
    """RFC 3986, 3.2.2."""
    assert takes_host(b"[" + literal + b"]")
    assert takes_host(b"[" + literal + b"]:")
    assert takes_host(b"[" + literal + b"]:443")


@pytest.mark.parametrize("literal", NO_ADDRESSES)
def test_host_of_anything_else_in_brackets_is_refused(literal: bytes) -> None:
    assert not takes_host(b"[" + literal + b"]")
    assert not takes_host(b"[" + literal + b"]:443")


def is_address(text: str) -> bool:
    """What the standard library says of an IPv6 address without a zone."""
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


addresses = st.one_of(
    st.ip_addresses(v=6).map(str),
    st.ip_addresses(v=6).map(lambda address: str(address.exploded)),
    st.lists(
        st.sampled_from(["", "", "0", "1", "fE", "12345", "g", "1.2.3.4", "1.2.3.256", "01.2.3.4"]), max_size=9
    ).map(":".join),
    st.text("01aF:.", max_size=20),
)


@given(addresses)
def test_host_in_brackets_is_accepted_where_ipaddress_takes_it(text: str) -> None:
    assert takes_host(b"[" + text.encode() + b"]") == is_address(text)


@pytest.mark.parametrize(
    ("host", "accepted"),
    [
        (b"%41", True),
        (b"a%41b%5Dc", True),
        (b"%fF%Ff", True),
        (b"a%41:80", True),
        (b"%", False),
        (b"a%", False),
        (b"a%4", False),
        (b"a%4:80", False),
        (b"a%zz", False),
        (b"a%4g", False),
        (b"a%g4", False),
        (b"a%%41", False),
        (b"a%41%", False),
    ],
)
def test_host_with_percent_is_accepted_before_two_hexadecimal_digits_only(host: bytes, accepted: bool) -> None:
    """RFC 3986, 2.1."""
    assert takes_host(host) is accepted


def test_a_known_host_still_counts() -> None:
    """A Host line that was seen before is one Host field like any other."""
    for _ in range(2):
        assert refused(b"GET / HTTP/1.1", b"Host: known", b"Host: known") == 400
        assert refused(b"GET / HTTP/1.1", b"Host: known", b"HOST: other") == 400


# -- Before the end ------------------------------------------------------------------------------------------------------


def early(octets: bytes, size: int = 1 << 20) -> int | None:
    """The status of the first refusal while `octets` come in slices, or None."""
    held = bytearray()
    for piece in slices(octets, size):
        scanned = len(held)
        held += piece
        rejected = rejected_early(held, LIMITS, scanned)
        if rejected is not None:
            return rejected.status
    return None


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"G", None),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r", None),
        (b"GET / HTTP/1.1\r", None),
        (b"\x16\x03\x01", 400),
        (b" GET", 400),
        (b"\r\rGET", 400),
        (b"\nGET", 400),
        (b"G\nET", 400),
        (b"GET / HTTP/1.1\r\nHost: a\nX", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\n", 400),
        (b"G" * 40, None),
        (b"G" * 41, 501),
        (b"GET " + b"/" * (TARGET_LIMIT + 48), None),
        (b"GET " + b"/" * (TARGET_LIMIT + 49), 414),
        (b"GET\r\n", 400),
        (b"GET / HTTP/3.0\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r", 505),
        (b"GET / HTTP/1.1\r\n" + b"a" * (HEAD_LIMIT - 16), None),
        (b"GET / HTTP/1.1\r\n" + b"a" * (HEAD_LIMIT - 15), 431),
    ],
)
def test_incomplete_head_is_refused_as_soon_as_it_is_wrong(octets: bytes, status: int | None, size: int) -> None:
    assert early(octets, size) == status


def test_bare_lf_at_the_start_of_a_piece_is_refused() -> None:
    """The octet before it is in the piece before."""
    assert rejected_early(bytearray(b"GET / HTTP/1.1\r\n"), LIMITS, 15) is None
    rejected = rejected_early(bytearray(b"GET / HTTP/1.1\n"), LIMITS, 14)
    assert rejected is not None
    assert rejected.status == 400


def test_incomplete_head_of_a_good_request_is_not_refused() -> None:
    for case in CASES:
        if not case.status and case.octets.startswith((b"GET", b"POST", b"HEAD")):
            head, _, _ = case.octets.partition(b"\r\n\r\n")
            assert early(head + b"\r\n\r") is None, case.name
            assert early(head + b"\r\n\r", 1) is None, case.name


# -- Upgrade ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "upgrade", "left"),
    [
        ([b"Connection: Upgrade", b"Upgrade: websocket"], b"websocket", []),
        (
            [b"Upgrade: h2c", b"Connection: keep-alive, upgrade", b"upgrade: a/1"],
            b"h2c, a/1",
            [(b"connection", b"keep-alive")],
        ),
        ([b"Connection: x, UPGRADE , y", b"Upgrade: a"], b"a", [(b"connection", b"x, y")]),
        ([b"Upgrade: websocket"], b"", []),
        ([b"Connection: upgrade"], b"", []),
    ],
)
@pytest.mark.parametrize("again", range(2))
def test_upgrade_and_its_option_are_not_among_the_fields(
    lines: list[bytes], upgrade: bytes, left: list[tuple[bytes, bytes]], again: int
) -> None:
    request = read_head(b"\r\n".join([b"GET / HTTP/1.1", b"Host: a", *lines]), limits())
    assert request.upgrade == upgrade
    assert request.fields == [(b"host", b"a"), *left]


def test_upgrade_of_http10_is_ignored() -> None:
    request = read_head(b"GET / HTTP/1.0\r\nConnection: upgrade, keep-alive\r\nUpgrade: websocket", limits())
    assert request.upgrade == b""
    assert request.fields == [(b"connection", b"keep-alive")]
    assert request.facts & CLIENT_KEEP_ALIVE


def test_close_beside_upgrade_still_closes() -> None:
    request = read_head(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade\r\nUpgrade: a", limits())
    assert request.facts & CLIENT_CLOSE_OPTION


@pytest.mark.parametrize(
    "name", [b"Forwarded", b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"X-Forwarded-Prefix"]
)
def test_request_with_a_field_of_a_front_end_is_marked_each_time(name: bytes) -> None:
    line = name + b": https"
    for _ in range(3):  # some of these lines are remembered
        request = read_head(b"GET / HTTP/1.1\r\nHost: a\r\n" + line, limits())
        assert request.is_forwarded
        assert (name.lower(), b"https") in request.fields
        assert not read_head(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Port: 443", limits()).is_forwarded

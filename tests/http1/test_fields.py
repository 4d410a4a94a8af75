"""Field lines (5): what is read, what is refused, and which names are remembered."""

import pytest
from hypothesis import given, strategies as st

from bide.errors import Rejected
from bide.http1.fields import (
    TOKEN_OCTETS,
    _names,
    field_line,
    field_name,
    is_token,
    is_value,
    members,
)
from bide.http1.limits import DROP, PASS, REFUSE

TCHAR = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize("octet", range(256))
def test_token_holds_tchar_only(octet: int) -> None:
    assert is_token(bytes([octet])) == (octet in TCHAR)
    assert is_token(b"a%cb" % octet) == (octet in TCHAR)
    assert sorted(TOKEN_OCTETS) == sorted(TCHAR)


def test_empty_token_is_refused() -> None:
    assert not is_token(b"")
    assert field_name(b"") is None


@pytest.mark.parametrize("octet", range(256))
def test_value_holds_no_control_octet_but_tab(octet: int) -> None:
    """RFC 9110, 5.5: visible octets, SP, HTAB and obs-text; no other control."""
    belongs = octet == 0x09 or 0x20 <= octet <= 0x7E or octet >= 0x80
    assert is_value(b"a%cb" % octet) == belongs
    line = b"name: a%cb" % octet
    if belongs:
        assert field_line(line) == (b"name", b"a%cb" % octet)
    else:
        with pytest.raises(Rejected) as rejected:
            field_line(line)
        assert rejected.value.status == 400


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b"Name: value", (b"name", b"value")),
        (b"NAME:value", (b"name", b"value")),
        (b"name: \t value \t ", (b"name", b"value")),
        (b"name:", (b"name", b"")),
        (b"name: \t ", (b"name", b"")),
        (b"name: a: b:c", (b"name", b"a: b:c")),
        (b"name: in\tside  it", (b"name", b"in\tside  it")),
        (b"n_a.m-e: \xff", (b"n_a.m-e", b"\xff")),
        (b"Accept: */*", (b"accept", b"*/*")),
        (b"N" * 100 + b": long", (b"n" * 100, b"long")),
    ],
)
def test_field_line_well_formed_is_read(line: bytes, field: tuple[bytes, bytes]) -> None:
    assert field_line(line) == field
    assert field_line(line) == field, "the same line again"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"name",
        b"name value",
        b": value",
        b"name : value",
        b"name\t: value",
        b" name: value",  # obsolete folding (5.2)
        b"\tname: value",
        b"na me: value",
        b"na\x00me: value",
        b"n\xe4me: value",
        b"name\x0b: value",
        b"na(me): value",
        b"name: val\rue",
        b"name: val\nue",
        b"name: value\r",
        b"\rname: value",
        b"name: \x00",
        b"accept: \x7f",
    ],
)
def test_field_line_malformed_is_refused(line: bytes) -> None:
    with pytest.raises(Rejected) as rejected:
        field_line(line)
    assert rejected.value.status == 400


def test_name_too_long_is_not_remembered() -> None:
    field_line(b"N" * 65 + b": a")
    assert b"N" * 65 not in _names
    field_line(b"N" * 64 + b": a")
    assert b"N" * 64 in _names


def test_memory_of_names_is_bounded_and_stays_right() -> None:
    for number in range(3000):
        value = b"%d" % number
        assert field_line(b"X-" + value + b": 1") == (b"x-" + value, b"1")
        assert len(_names) <= 1024
    assert field_line(b"X-0: 2") == (b"x-0", b"2")


UNDERSCORED = [b"X_Y", b"x_y", b"_", b"X_Forwarded-For", b"a_", b"_a", b"Content_Length", b"N_" * 50]


@pytest.mark.parametrize("name", UNDERSCORED)
def test_name_with_an_underscore_is_judged_by_each_caller_anew(name: bytes) -> None:
    """What is remembered holds for the whole process, and servers within it may differ."""
    line = name + b": a_b"
    for _ in range(2):
        assert field_line(line, DROP) == (b"", name.lower()), "no name, and the value says which is left out"
        assert field_line(line, PASS) == field_line(line) == (name.lower(), b"a_b")
        with pytest.raises(Rejected) as rejected:
            field_line(line, REFUSE)
        assert rejected.value.status == 400
    assert name not in _names


@pytest.mark.parametrize("underscores", [DROP, REFUSE, PASS])
@pytest.mark.parametrize("line", [b"x_y", b"x_y : a", b" x_y: a", b"x_y: a\x00", b"x_y: a\rb", b"x_(y): a"])
def test_malformed_line_is_refused_whatever_becomes_of_underscores(line: bytes, underscores: int) -> None:
    with pytest.raises(Rejected) as rejected:
        field_line(line, underscores)
    assert rejected.value.status == 400


@pytest.mark.parametrize("underscores", [DROP, REFUSE, PASS])
def test_underscore_in_a_value_is_an_octet_like_others(underscores: int) -> None:
    for _ in range(2):
        assert field_line(b"X-Y: a_b", underscores) == (b"x-y", b"a_b")
        assert field_line(b"User-Agent: test_fields/2.0", underscores) == (b"user-agent", b"test_fields/2.0")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", []),
        (b" ,\t, ", []),
        (b"close", [b"close"]),
        (b"Close", [b"close"]),
        (b",a ,\tB\t, , c", [b"a", b"b", b"c"]),
        (b"close;x", [b"close;x"]),
        (b"keep-alive close", [b"keep-alive close"]),
    ],
)
def test_list_members_are_split_and_in_lower_case(value: bytes, expected: list[bytes]) -> None:
    assert members(value) == expected


@given(
    st.one_of(
        st.binary(max_size=30),
        st.builds(lambda name, value: name + b":" + value, st.binary(min_size=1, max_size=2), st.binary(max_size=4)),
    )
)
def test_any_field_line_is_read_if_well_formed_and_refused_otherwise(line: bytes) -> None:
    try:
        name, value = field_line(line)
    except Rejected:
        name, colon, value = line.partition(b":")
        assert not (is_token(name) and colon and is_value(value))
        return
    assert is_token(name)
    assert name == name.lower()
    assert is_value(value)
    assert line.lower().startswith(name + b":")
    assert value == line[len(name) + 1 :].strip(b" \t")

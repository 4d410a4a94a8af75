"""What is remembered of field lines, and for how long."""

from bide.http1.known import HOST, ORDINARY, REPEATING, START, known_lines, remember


def test_line_is_remembered_with_its_field() -> None:
    line = b"User-Agent:  test_known/1.0 "
    remember(line, (b"user-agent", b"test_known/1.0"))
    known = known_lines[line]
    assert known.octets == line
    assert known.field == (b"user-agent", b"test_known/1.0")
    assert known.role == ORDINARY
    assert known.following is None
    remember(b"Host: a", (b"host", b"a"), HOST)
    assert known_lines[b"Host: a"].role == HOST


def test_line_too_long_is_not_remembered() -> None:
    remember(b"Accept: " + b"a" * 504, (b"accept", b"a" * 504))
    assert b"Accept: " + b"a" * 504 in known_lines
    remember(b"Accept: " + b"a" * 505, (b"accept", b"a" * 505))
    assert b"Accept: " + b"a" * 505 not in known_lines


def test_full_table_is_forgotten_with_what_leads_into_it() -> None:
    known_lines.clear()
    for number in range(1024):
        remember(b"Accept: %d" % number, (b"accept", b"%d" % number))
    START.following = known_lines[b"Accept: 0"]
    remember(b"Accept: 1024", (b"accept", b"1024"))
    assert list(known_lines) == [b"Accept: 1024"]
    assert START.following is None


def test_lines_that_are_remembered_have_no_underscore_in_their_names() -> None:
    """They are found without a look at what becomes of underscores."""
    assert not [name for name in REPEATING if b"_" in name]

"""Keeps each value of a request under its name."""

from bide.message import CHUNKED, Field, Request


def test_request_keeps_each_value_under_its_name() -> None:
    fields: list[Field] = [(b"host", b"a")]
    request = Request("GET", b"/a?b", b"/a", b"b", fields, 1, 5, 2, True)
    assert (request.method, request.target, request.path, request.query) == ("GET", b"/a?b", b"/a", b"b")
    assert request.fields is fields
    assert (request.minor, request.length, request.facts) == (1, 5, 2)
    assert request.accepts_trailers is True
    assert request.dropped is None
    assert Request("GET", b"/", b"/", b"", [], 1, 0, 0, False, [b"x_y"]).dropped == [b"x_y"]


def test_length_is_never_taken_for_chunked() -> None:
    assert CHUNKED < 0


def test_forwarded_host_replaces_the_front_ends() -> None:
    request = Request("GET", b"/", b"/", b"", [(b"a", b"b"), (b"host", b"front")], 1, 0, 0, False, is_forwarded=True)
    assert request.is_forwarded
    request.host_forwarded(b"a.example")
    assert request.fields == [(b"a", b"b"), (b"host", b"a.example")]

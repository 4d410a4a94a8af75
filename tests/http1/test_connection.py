"""Plays scenarios on one connection: octets, acts of the application and clocks lead to output, states and a reason."""

import itertools
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given, strategies as st

from bide.errors import Misuse
from bide.http1.connection import Connection
from bide.http1.response import CommonFields
from bide.http1.writer import COMPLETE, CUT, HELD, OWED, STARTED, TRAILERS
from bide.terms import (
    AGE_LIMIT,
    CLIENT_POLICY,
    DRAIN,
    KEEP_ALIVE_OFF,
    PRESSURE,
    REBALANCED,
    REFUSED,
    REQUEST_LIMIT,
    REQUEST_UNREAD,
    Clock,
    CloseMode,
    CloseReason,
    State,
)
from tests.http1.cases import chunked, get, head, post
from tests.http1.driver import (
    BUFFER_LIMIT,
    DATE,
    DISCARD_LIMIT,
    GET,
    HEAD_LIMIT,
    Answer,
    Server,
    at,
    connect,
    limits,
    octets_held,
    read_answers,
    slices,
)

GET_10 = head(b"GET / HTTP/1.0")
GET_10_KEEP = head(b"GET / HTTP/1.0", b"Connection: keep-alive")
HEAD_REQUEST = head(b"HEAD / HTTP/1.1", b"Host: a")
CHUNKED_HEAD = chunked(b"")
EXPECTING = post(b"", b"Content-Length: 5", b"Expect: 100-continue")
LENGTH_2 = [(b"content-length", b"2")]


def begun(octets: bytes = GET, connection: Connection | None = None) -> Connection:
    """A connection whose application has the request in `octets`."""
    if connection is None:
        connection = connect()
    assert connection.receive(octets) is not None
    assert at(connection) is State.EXCHANGE
    return connection


def answer(connection: Connection, status: int = 200, *fields: tuple[bytes, bytes], content: bytes = b"ok") -> None:
    connection.respond(status, fields)
    connection.send(content, False)


def only(connection: Connection, method: str = "GET") -> Answer:
    (found,) = read_answers(connection.take_output(), [method])
    return found


def ended(connection: Connection) -> tuple[CloseReason | None, CloseMode]:
    assert at(connection) is State.CLOSING
    return connection.reason, connection.close_mode()


# Functions, because a type checker takes an attribute for what it was before the call in between.


def is_crowded(connection: Connection) -> bool:
    return connection.wants_pause


def has_content(connection: Connection) -> bool:
    return connection.has_content


def has_body(connection: Connection) -> bool:
    return connection.body_complete


def refuses(act: Callable[[], object]) -> None:
    with pytest.raises(Misuse):
        act()


# -- Files: content that does not pass through the output -----------------------------------------------------------------


def sent_file(connection: Connection, count: int, *, more: bool = False, available: int | None = None) -> bytes:
    """Send a file of `count` octets; return what leaves, with an `f` in place of each of its octets."""
    left = connection.begin_file(count, more)
    written = connection.take_output()
    if left:
        sent = left if available is None else available
        connection.file_sent(sent)
        written += b"f" * sent
        connection.end_file(more)
        written += connection.take_output()
    return written


@pytest.mark.parametrize("fields", [[], LENGTH_2])
def test_file_is_content_whose_length_is_declared(fields: list[tuple[bytes, bytes]]) -> None:
    connection = begun()
    connection.respond(200, fields)
    written = sent_file(connection, 2)
    assert written.lower() == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n".lower() + DATE.lower() + b"\r\nff"
    assert (connection.sent, connection.progress, at(connection)) == (2, COMPLETE, State.IDLE)
    assert connection.reason is None


def test_file_to_http_1_0_is_content_whose_length_is_declared() -> None:
    connection = begun(GET_10_KEEP)
    connection.respond(200, [])
    assert b"Content-Length: 2\r\nConnection: keep-alive\r\n" in sent_file(connection, 2)
    assert at(connection) is State.IDLE


def test_file_that_is_followed_by_more_is_a_chunk() -> None:
    connection = begun()
    connection.respond(200, [])
    assert sent_file(connection, 18, more=True).endswith(b"\r\n\r\n12\r\n" + b"f" * 18 + b"\r\n")
    connection.send(b"ok", False)
    assert connection.take_output() == b"2\r\nok\r\n0\r\n\r\n"
    assert (connection.sent, at(connection)) == (20, State.IDLE)


def test_file_after_other_content_is_a_chunk() -> None:
    connection = begun()
    connection.respond(200, [])
    connection.send(b"ok", True)
    connection.take_output()
    assert sent_file(connection, 2) == b"2\r\nff\r\n0\r\n\r\n"
    assert at(connection) is State.IDLE


def test_file_before_trailers_is_a_chunk() -> None:
    connection = begun()
    connection.respond(200, [], trailers=True)
    assert sent_file(connection, 2).endswith(b"2\r\nff\r\n0\r\n")
    connection.send_trailers([(b"x", b"1")], False)
    assert connection.take_output() == b"x: 1\r\n\r\n"
    assert at(connection) is State.IDLE


def test_file_after_content_to_http_1_0_is_delimited_by_the_close() -> None:
    connection = begun(GET_10)
    connection.respond(200, [])
    connection.send(b"ok", True)
    connection.take_output()
    assert sent_file(connection, 2) == b"ff"
    assert connection.sent == 4
    assert ended(connection)[0] is CloseReason.CLOSE_DELIMITED


def test_file_that_is_longer_than_declared_is_sent_as_far_as_it_was() -> None:
    connection = begun()
    connection.respond(200, LENGTH_2)
    assert sent_file(connection, 3).endswith(b"\r\n\r\nff")
    assert (connection.sent, at(connection)) == (2, State.IDLE)


def test_file_after_all_declared_content_is_not_sent() -> None:
    connection = begun()
    connection.respond(200, LENGTH_2)
    connection.send(b"ok", True)
    connection.take_output()
    assert connection.begin_file(3, False) == 0
    assert connection.progress == STARTED


@pytest.mark.parametrize("count", [1, 5])
def test_file_that_is_shorter_than_declared_is_misuse(count: int) -> None:
    connection = begun()
    connection.respond(200, LENGTH_2)
    assert connection.begin_file(count, False) == min(count, 2)
    connection.file_sent(1)
    refuses(lambda: connection.end_file(False))
    connection.fail()
    assert ended(connection)[0] is CloseReason.RESPONSE_INCOMPLETE


@pytest.mark.parametrize(
    ("request_head", "status", "length"),
    [(HEAD_REQUEST, 200, True), (GET, 204, False), (GET, 304, False)],
)
def test_file_is_not_sent_if_the_response_has_no_content(request_head: bytes, status: int, length: bool) -> None:
    connection = begun(request_head)
    connection.respond(status, [])
    assert connection.begin_file(2, False) == 0
    assert connection.progress == COMPLETE
    written = connection.take_output()
    assert written.endswith(b"\r\n\r\n")
    assert (b"Content-Length: 2\r\n" in written) is length
    assert at(connection) is State.IDLE


def test_file_before_the_head_or_after_the_end_is_misuse() -> None:
    connection = begun()
    refuses(lambda: connection.begin_file(2, False))
    answer(connection)
    refuses(lambda: connection.begin_file(2, False))


# -- How a response is framed (6.3, W12) ---------------------------------------------------------------------------------


def test_response_with_a_length_is_written_at_its_first_content() -> None:
    connection = begun()
    connection.respond(200, [(b"X", b"1"), *LENGTH_2])
    assert connection.take_output() == b"", "held until the first content"
    connection.send(b"ok", False)
    assert connection.take_output() == b"HTTP/1.1 200 OK\r\nX: 1\r\ncontent-length: 2\r\n" + DATE + b"\r\nok"
    assert connection.take_output() == b""
    assert at(connection) is State.IDLE
    assert (connection.status, connection.sent, connection.progress) == (200, 2, COMPLETE)
    assert connection.reason is None
    assert connection.announced is None


def test_response_with_a_length_in_pieces_ends_with_its_last_event() -> None:
    connection = begun()
    connection.respond(200, LENGTH_2)
    assert connection.progress == HELD
    connection.send(b"", True)
    assert connection.progress == STARTED
    assert connection.take_output().endswith(b"\r\n\r\n")
    connection.send(b"o", True)
    assert connection.take_output() == b"o"
    connection.send(b"k", True)
    assert at(connection) is State.EXCHANGE, "until the application says so"
    connection.send(b"", False)
    assert connection.take_output() == b"k"
    assert at(connection) is State.IDLE
    assert connection.sent == 2


def test_pieces_not_taken_yet_leave_together() -> None:
    connection = begun()
    connection.respond(200, LENGTH_2)
    connection.send(b"o", True)
    connection.send(b"k", False)
    assert only(connection).content == b"ok"


@pytest.mark.parametrize("request_head", [GET, GET_10_KEEP])
def test_response_known_in_full_gets_its_length(request_head: bytes) -> None:
    """RFC 9110, 8.6; so a client of HTTP/1.0 can keep its connection, too."""
    connection = begun(request_head)
    answer(connection, 200, content=b"hello")
    found = only(connection)
    assert found.values(b"content-length") == [b"5"]
    assert found.values(b"transfer-encoding") == []
    assert found.content == b"hello"
    assert at(connection) is State.IDLE


@pytest.mark.parametrize(("content", "length"), [(b"hello", [b"5"]), (b"", [])])
def test_response_to_head_has_a_length_if_the_application_shows_content(content: bytes, length: list[bytes]) -> None:
    connection = begun(head(b"HEAD / HTTP/1.1", b"Host: a"))
    answer(connection, 200, content=content)
    found = only(connection, "HEAD")
    assert found.values(b"content-length") == length
    assert found.content == b""


def test_response_without_length_is_chunked() -> None:
    connection = begun()
    connection.respond(200, [])
    connection.send(b"hello", True)
    connection.send(b"", True)
    connection.send(b" world", True)
    connection.send(b"", False)
    output = connection.take_output()
    assert output == (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + DATE + b"\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    )
    assert connection.sent == 11
    assert at(connection) is State.IDLE


def test_response_without_length_and_content_is_whole() -> None:
    connection = begun()
    answer(connection, content=b"")
    found = only(connection)
    assert found.whole
    assert found.content == b""
    assert at(connection) is State.IDLE


def test_response_without_length_to_http_1_0_is_close_delimited() -> None:
    connection = begun(GET_10_KEEP)
    connection.respond(200, [])
    connection.send(b"hello", True)
    connection.send(b" world", False)
    found = only(connection)
    assert (found.content, found.whole) == (b"hello world", False)
    assert found.says_close
    assert not found.values(b"transfer-encoding")
    assert ended(connection) == (CloseReason.CLOSE_DELIMITED, CloseMode.LINGER)
    assert connection.sent == 11


@pytest.mark.parametrize(
    ("status", "length", "written"),
    [
        (200, None, []),
        (200, b"5", [b"5"]),
        (404, b"0", [b"0"]),
        (204, b"0", []),
        (304, b"5", [b"5"]),
        (205, None, [b"0"]),
    ],
)
def test_response_to_head_has_the_fields_of_get_and_no_content(
    status: int, length: bytes | None, written: list[bytes]
) -> None:
    connection = begun(HEAD_REQUEST)
    connection.respond(status, [] if length is None else [(b"content-length", length)])
    connection.send(b"hello", True)
    assert connection.progress == COMPLETE, "with its head, whatever follows"
    found = only(connection, "HEAD")
    assert found.status == status
    assert found.values(b"content-length") == written
    assert found.values(b"transfer-encoding") == ([b"chunked"] if (status, length) == (200, None) else [])
    assert at(connection) is State.IDLE
    assert connection.sent == 0


@pytest.mark.parametrize(
    ("status", "length", "written"),
    [
        (204, None, []),
        (204, b"0", []),  # RFC 9110, 8.6: none in a 204
        (204, b"1", []),
        (205, None, [b"0"]),  # RFC 9110, 15.3.6
        (205, b"0", [b"0"]),
        (205, b"1", [b"0"]),
        (304, None, []),
        (304, b"5", [b"5"]),  # what a 200 would have had
    ],
)
@pytest.mark.parametrize(("content", "more"), [(b"", False), (b"", True), (b"x", False), (b"x", True)])
def test_status_without_content_stands_and_content_is_dropped(
    status: int, length: bytes | None, written: list[bytes], content: bytes, more: bool
) -> None:
    connection = begun()
    connection.respond(status, [] if length is None else [(b"content-length", length)])
    assert connection.send(content, more) == bool(content)
    found = only(connection)
    assert found.status == status
    assert found.values(b"content-length") == written
    assert not found.values(b"transfer-encoding")
    assert (found.content, found.whole) == (b"", True)
    assert (at(connection), connection.progress, connection.sent) == (State.IDLE, COMPLETE, 0)
    refuses(lambda: connection.send(b"x", False))
    begun(connection=connection)
    answer(connection, 200, *LENGTH_2)


def test_date_of_the_application_replaces_the_servers() -> None:
    connection = begun()
    answer(connection, 200, (b"date", b"then"), *LENGTH_2)
    found = only(connection)
    assert found.values(b"date") == [b"then"]
    assert not found.says_close
    connection = begun()
    answer(connection, 200, (b"connection", b"close"), *LENGTH_2)
    assert DATE.split(b": ")[1].strip() in only(connection).values(b"date"), "one thing said is not the other"


def test_framing_fields_of_the_application_are_written_once() -> None:
    connection = begun()
    answer(connection, 200, (b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"2"))
    found = only(connection)
    assert found.values(b"content-length") == [b"2"]
    assert found.whole


# -- Trailers (7.1.2) ----------------------------------------------------------------------------------------------------


def test_trailers_of_a_chunked_response_are_written() -> None:
    connection = begun(get(b"TE: trailers"))
    connection.respond(200, [(b"trailer", b"x")], True)
    connection.send(b"ok", False)
    assert connection.progress == TRAILERS
    assert at(connection) is State.EXCHANGE
    connection.send_trailers([(b"x", b"1")], True)
    connection.send_trailers([(b"y", b"2")], False)
    found = only(connection)
    assert (found.content, found.trailers, found.whole) == (b"ok", [(b"x", b"1"), (b"y", b"2")], True)
    assert at(connection) is State.IDLE
    assert connection.progress == COMPLETE


@pytest.mark.parametrize(("request_head", "fields"), [(GET, LENGTH_2), (GET_10, [])])
def test_trailers_are_dropped_where_the_framing_has_no_place(
    request_head: bytes, fields: list[tuple[bytes, bytes]]
) -> None:
    connection = begun(request_head)
    connection.respond(200, fields, True)
    connection.send(b"ok", False)
    connection.send_trailers([(b"x", b"1")], False)
    assert connection.progress == COMPLETE
    output = connection.take_output()
    assert b"x: 1" not in output
    assert b"\r\n0\r\n" not in output


def test_trailers_before_the_end_of_content_or_unannounced_are_misuse() -> None:
    connection = begun()
    refuses(lambda: connection.send_trailers([], False))
    connection.respond(200, [])
    refuses(lambda: connection.send_trailers([], False))
    connection.send(b"ok", True)
    refuses(lambda: connection.send_trailers([], False))
    connection.send(b"", False)
    refuses(lambda: connection.send_trailers([], False))
    assert only(connection).whole


def test_content_after_the_end_or_among_trailers_is_misuse() -> None:
    connection = begun()
    connection.respond(200, [], True)
    connection.send(b"ok", False)
    refuses(lambda: connection.send(b"more", False))
    refuses(lambda: connection.send_trailers([(b"content-length", b"2")], False))
    refuses(lambda: connection.send_trailers([(b"x", b"\n")], False))
    connection.send_trailers([], False)
    refuses(lambda: connection.send(b"more", False))
    assert only(connection).content == b"ok"


def test_response_whose_trailers_never_come_is_cut() -> None:
    connection = begun()
    connection.respond(200, [], True)
    connection.send(b"ok", False)
    connection.fail()
    assert not only(connection).whole
    assert ended(connection) == (CloseReason.RESPONSE_INCOMPLETE, CloseMode.LINGER)


# -- Interim responses (RFC 9110, 15.2) ----------------------------------------------------------------------------------


def test_interim_responses_before_the_final_one_are_written() -> None:
    connection = begun()
    connection.inform(103, [(b"link", b"</a>"), (b"connection", b"close")])
    assert connection.take_output() == b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    connection.inform(199, [])
    connection.respond(200, LENGTH_2)
    connection.inform(103, [])
    connection.send(b"ok", False)
    found = read_answers(connection.take_output())
    assert [one.status for one in found] == [199, 103, 200]
    assert at(connection) is State.IDLE
    assert connection.reason is None
    refuses(lambda: connection.inform(103, []))


def test_interim_response_with_a_length_is_misuse() -> None:
    """RFC 9110, 8.6."""
    connection = begun()
    refuses(lambda: connection.inform(103, LENGTH_2))
    assert connection.take_output() == b""


def test_interim_response_to_http_1_0_is_dropped() -> None:
    connection = begun(GET_10)
    connection.inform(103, [(b"link", b"</a>")])
    assert connection.take_output() == b""


@pytest.mark.parametrize("status", [99, 100, 101, 200, 500])
def test_interim_response_of_another_status_is_misuse(status: int) -> None:
    connection = begun()
    refuses(lambda: connection.inform(status, []))
    assert connection.take_output() == b""


def test_interim_response_within_the_final_one_is_misuse() -> None:
    connection = begun()
    connection.respond(200, [])
    connection.send(b"ok", True)
    connection.take_output()
    refuses(lambda: connection.inform(103, []))
    assert connection.take_output() == b""


# -- Misuse (W15) --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [-1, 0, 99, 100, 101, 103, 199, 1000])
def test_response_of_a_status_that_is_not_final_is_misuse(status: int) -> None:
    connection = begun()
    refuses(lambda: connection.respond(status, []))
    assert connection.progress == OWED


@pytest.mark.parametrize(
    "fields",
    [
        [(b"x", b"a\r\nb: c")],
        [(b"x\n", b"a")],
        [(b"content-length", b"1"), (b"content-length", b"2")],
        [(b"content-length", b"9" * 5000)],
        [("x", b"a")],
        [(b"x", "a")],
        [(b"x", None)],
        [(None, b"a")],
        [(b"x", 1)],
        [b"xa"],
        [(b"x", b"a", b"b")],
        [None],
        None,
        5,
    ],
    ids=lambda fields: repr(fields)[:40],
)
def test_fields_of_wrong_types_or_octets_are_misuse(fields: object) -> None:
    """Nothing is written; the application may still answer as it should."""
    wrong = cast("Any", fields)
    connection = begun()
    refuses(lambda: connection.respond(200, wrong))
    refuses(lambda: connection.inform(103, wrong))
    assert connection.progress == OWED
    connection.respond(200, [], True)
    connection.send(b"ok", False)
    refuses(lambda: connection.send_trailers(wrong, False))
    connection.send_trailers([], False)
    found = only(connection)
    assert (found.status, found.content, found.trailers, found.whole) == (200, b"ok", [], True)


def test_status_of_another_type_is_misuse() -> None:
    connection = begun()
    with pytest.raises((Misuse, TypeError)):  # TypeError is what the compiled build says of it
        connection.respond(cast("Any", "200"), [])
    with pytest.raises((Misuse, TypeError)):
        connection.inform(cast("Any", None), [])
    with pytest.raises((Misuse, TypeError)):
        connection.respond(cast("Any", 200.5), [])
    with pytest.raises((Misuse, TypeError)):
        connection.inform(cast("Any", 150.5), [])
    assert connection.progress == OWED


def test_content_before_the_head_is_misuse() -> None:
    connection = begun()
    refuses(lambda: connection.send(b"ok", False))
    assert connection.take_output() == b""
    answer(connection)
    assert only(connection).status == 200


def test_second_head_is_misuse() -> None:
    connection = begun()
    connection.respond(200, LENGTH_2)
    refuses(lambda: connection.respond(500, []))
    connection.send(b"o", True)
    refuses(lambda: connection.respond(500, []))
    connection.send(b"k", False)
    refuses(lambda: connection.respond(500, []))
    assert only(connection).status == 200
    assert at(connection) is State.IDLE


@pytest.mark.parametrize(("first", "second"), [(b"o", b""), (b"", b"o")])
def test_content_that_is_too_short_is_not_written(first: bytes, second: bytes) -> None:
    connection = begun()
    connection.respond(200, LENGTH_2)
    connection.send(first, True)
    connection.take_output()
    refuses(lambda: connection.send(second, False))
    assert connection.take_output() == b""
    assert connection.sent == len(first)
    assert at(connection) is State.EXCHANGE
    connection.fail()
    assert ended(connection) == (CloseReason.RESPONSE_INCOMPLETE, CloseMode.LINGER)
    assert connection.take_output() == b""


def test_content_that_is_too_short_at_once_leaves_room_for_a_500() -> None:
    connection = begun()
    connection.respond(200, LENGTH_2)
    refuses(lambda: connection.send(b"o", False))
    assert connection.take_output() == b""
    connection.fail()
    assert only(connection).status == 500
    assert at(connection) is State.IDLE


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize(
    "pieces", [[b"ok!"], [b"", b"ok!"], [b"o", b"k, too long"], [b"ok", b"!"], [b"ok" + bytes(20_000)]]
)
def test_content_that_is_too_long_is_sent_as_far_as_it_was_declared(pieces: list[bytes], more: bool) -> None:
    connection = begun()
    connection.respond(200, LENGTH_2)
    for piece in pieces[:-1]:
        connection.send(piece, True)
    refuses(lambda: connection.send(pieces[-1], more))
    found = only(connection)
    assert (found.status, found.content, found.whole, found.says_close) == (200, b"ok", True, False)
    assert (at(connection), connection.progress, connection.sent) == (State.IDLE, COMPLETE, 2)
    begun(connection=connection)


# -- A head that waits for its content ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_head", "fields", "then", "content"),
    [
        (GET, [], b"chunked", b"ok"),
        (GET, LENGTH_2, b"", b"ok"),
        (GET_10, [], b"", b"ok"),
    ],
)
def test_head_that_is_released_is_followed_by_its_content(
    request_head: bytes, fields: list[tuple[bytes, bytes]], then: bytes, content: bytes
) -> None:
    connection = begun(request_head)
    connection.respond(200, fields)
    connection.release_head()
    released = connection.take_output()
    assert released.startswith(b"HTTP/1.1 200 OK\r\n")
    assert released.endswith(b"\r\n\r\n")
    assert (b"Transfer-Encoding: chunked" in released) == bool(then)
    connection.release_head()
    assert connection.take_output() == b""
    connection.send(content, False)
    assert content in connection.take_output()
    assert connection.progress == COMPLETE


@pytest.mark.parametrize("request_head", [HEAD_REQUEST])
def test_head_that_is_released_completes_a_response_without_content(request_head: bytes) -> None:
    connection = begun(request_head)
    connection.respond(200, [])
    connection.release_head()
    assert (at(connection), connection.progress) == (State.IDLE, COMPLETE)


# -- A client that left, and an application that was told so -----------------------------------------------------------------


@pytest.mark.parametrize("trailers", [False, True])
@pytest.mark.parametrize("request_head", [GET, GET_10])
def test_response_without_a_length_is_cut_once_the_application_was_told_of_the_eof(
    request_head: bytes, trailers: bool
) -> None:
    connection = begun(request_head)
    connection.respond(200, [], trailers)
    connection.send(b"row", True)
    connection.receive_eof()
    connection.client_left()
    connection.send(b"another row", True)
    connection.take_output()
    connection.send(b"", False)
    assert connection.take_output() == b"", "no last chunk"
    mode = CloseMode.ABORT if request_head == GET_10 else CloseMode.RELEASE
    assert ended(connection) == (CloseReason.CLIENT_LEFT, mode)


def test_response_whose_trailers_are_due_is_cut_once_the_application_was_told_of_the_eof() -> None:
    connection = begun()
    connection.respond(200, [], True)
    connection.send(b"row", True)
    connection.send(b"", False)
    connection.receive_eof()
    connection.client_left()
    connection.take_output()
    connection.send_trailers([(b"x", b"1")], False)
    assert connection.take_output() == b""
    assert ended(connection) == (CloseReason.CLIENT_LEFT, CloseMode.RELEASE)


def test_response_whose_head_is_held_is_cut_once_the_application_was_told_of_the_eof() -> None:
    connection = begun()
    connection.respond(200, [])
    connection.receive_eof()
    connection.client_left()
    connection.send(b"", False)
    assert connection.take_output() == b""
    assert ended(connection) == (CloseReason.CLIENT_LEFT, CloseMode.RELEASE)


@pytest.mark.parametrize("is_begun", [False, True])
def test_response_with_a_length_is_completed_after_the_application_was_told_of_the_eof(is_begun: bool) -> None:
    connection = begun()
    if is_begun:
        connection.respond(200, LENGTH_2)
    connection.receive_eof()
    connection.client_left()
    if not is_begun:
        connection.respond(200, [])
    connection.send(b"ok", False)
    assert only(connection).content == b"ok"
    assert ended(connection) == (CloseReason.CLIENT_HALF_CLOSED, CloseMode.RELEASE)


@pytest.mark.parametrize(
    ("request_head", "fields", "expected"),
    [
        (GET, [(b"content-type", b"text/event-stream")], True),
        (GET, [(b"Content-Type", b"Text/Event-Stream; charset=utf-8")], True),
        (GET_10, [(b"content-type", b"text/event-stream")], True),
        (GET, [(b"content-type", b"text/event-stream ;charset=utf-8")], True),
        (GET, [(b"content-type", b"text/event-streams")], False),
        (GET, [(b"content-type", b"text/plain")], False),
        (GET, [(b"x", b"text/event-stream")], False),
        (GET, [(b"content-type", b"text/event-stream"), (b"content-length", b"9")], False),
        (GET, [], False),
    ],
)
@pytest.mark.parametrize("again", range(2))
def test_event_stream_ends_in_form_when_its_application_was_told_to_end_it(
    request_head: bytes, fields: list[tuple[bytes, bytes]], expected: bool, again: int
) -> None:
    connection = begun(request_head)
    connection.respond(200, fields)
    connection.send(b"data: 1\n\n"[:9], True)
    assert connection.is_event_stream is expected
    connection.take_output()
    connection.finish_stream()
    assert (connection.progress == COMPLETE) is expected
    assert connection.take_output() == (b"0\r\n\r\n" if expected and request_head == GET else b"")


# -- An application that fails (W14) -------------------------------------------------------------------------------------


@pytest.mark.parametrize("held", [False, True])
def test_application_that_fails_before_its_head_is_answered_500(held: bool) -> None:
    connection = begun()
    if held:
        connection.respond(200, [(b"x", b"secret"), *LENGTH_2], True)
    connection.fail()
    found = only(connection)
    assert (found.status, found.whole, found.says_close) == (500, True, False)
    assert not found.values(b"x")
    assert at(connection) is State.IDLE
    begun(connection=connection)


def test_application_that_fails_with_the_request_unread_is_answered_500_with_close() -> None:
    connection = begun(post(b"ab", b"Content-Length: 3"))
    connection.fail()
    found = only(connection)
    assert (found.status, found.whole, found.says_close) == (500, True, True)
    assert ended(connection) == (CloseReason.REQUEST_UNREAD, CloseMode.LINGER)


def test_application_that_fails_on_a_head_request_is_answered_500() -> None:
    connection = begun(HEAD_REQUEST)
    connection.fail()
    assert only(connection, "HEAD").status == 500
    assert at(connection) is State.IDLE


@pytest.mark.parametrize("fields", [[], [(b"content-length", b"9")]])
def test_application_that_fails_after_its_head_cuts_the_response(fields: list[tuple[bytes, bytes]]) -> None:
    connection = begun()
    connection.respond(200, fields)
    connection.send(b"hello", True)
    connection.fail()
    assert not only(connection).whole
    assert connection.progress == CUT
    assert ended(connection) == (CloseReason.RESPONSE_INCOMPLETE, CloseMode.LINGER)
    connection.fail()
    assert connection.take_output() == b""


def test_application_that_fails_in_a_close_delimited_response_aborts() -> None:
    """A clean end would make it look whole."""
    connection = begun(GET_10)
    connection.respond(200, [])
    connection.send(b"hello", True)
    connection.fail()
    assert ended(connection) == (CloseReason.RESPONSE_INCOMPLETE, CloseMode.ABORT)


def test_application_that_fails_after_an_announced_close_ends_as_incomplete() -> None:
    connection = begun(get(b"Connection: close"))
    connection.respond(200, [])
    connection.send(b"hello", True)
    assert connection.announced is CloseReason.CLIENT_CLOSE_OPTION
    connection.fail()
    assert connection.reason is CloseReason.RESPONSE_INCOMPLETE


@pytest.mark.parametrize("state", ["new", "idle", "closing", "closed"])
def test_application_that_fails_without_an_exchange_changes_nothing(state: str) -> None:
    connection = connect()
    if state == "idle":
        answer(begun(connection=connection))
    elif state == "closing":
        answer(begun(GET_10, connection))
    elif state == "closed":
        begun(connection=connection).lost()
    before = connection.state, connection.reason
    connection.take_output()
    connection.fail()
    assert (connection.state, connection.reason) == before
    assert connection.take_output() == b""


# -- Whether the connection persists, and what says so (W1 to W5) --------------------------------------------------------


@pytest.mark.parametrize(
    ("request_head", "option", "reason"),
    [
        (GET, [], None),  # W1
        (get(b"Connection: keep-alive"), [], None),
        (get(b"Connection: close"), [b"close"], CloseReason.CLIENT_CLOSE_OPTION),  # W2
        (GET_10, [b"close"], CloseReason.CLIENT_HTTP10),  # W4
        (GET_10_KEEP, [b"keep-alive"], None),
        (head(b"GET / HTTP/1.0", b"Connection: keep-alive, close"), [b"close"], CloseReason.CLIENT_CLOSE_OPTION),
    ],
)
def test_client_options_decide_and_are_answered(
    request_head: bytes, option: list[bytes], reason: CloseReason | None
) -> None:
    connection = begun(request_head)
    answer(connection, 200, *LENGTH_2)
    assert only(connection).values(b"connection") == option
    assert connection.announced is reason
    assert connection.reason is reason
    if reason is None:
        assert at(connection) is State.IDLE
        begun(request_head, connection)
    else:
        assert ended(connection) == (reason, CloseMode.LINGER)
        assert connection.receive(GET) is None
        assert connection.next_request() is None


@pytest.mark.parametrize("value", [b"close", b"Close", b"x, close", b"close, keep-alive"])
@pytest.mark.parametrize("request_head", [GET, GET_10_KEEP])
def test_close_of_the_application_is_written_once_and_obeyed(value: bytes, request_head: bytes) -> None:
    """W3: said once, obeyed."""
    connection = begun(request_head)
    answer(connection, 200, (b"connection", value), *LENGTH_2)
    assert [one for one in only(connection).values(b"connection") if one != b"x"] == [b"close"]
    assert ended(connection) == (CloseReason.RESPONSE_CLOSE_OPTION, CloseMode.LINGER)


FROM_THE_SERVER = [
    (KEEP_ALIVE_OFF, CloseReason.KEEP_ALIVE_OFF),
    (CLIENT_POLICY, CloseReason.CLIENT_POLICY),
    (DRAIN, CloseReason.DRAIN),
    (REQUEST_LIMIT, CloseReason.REQUEST_LIMIT),
    (REFUSED, CloseReason.REFUSED),
    (AGE_LIMIT, CloseReason.AGE_LIMIT),
    (PRESSURE, CloseReason.PRESSURE),
    (REBALANCED, CloseReason.REBALANCED),
]


@pytest.mark.parametrize(("fact", "reason"), FROM_THE_SERVER)
@pytest.mark.parametrize("when", ["standing", "before", "during", "held"])
def test_server_wish_before_the_head_is_announced_and_obeyed(fact: int, reason: CloseReason, when: str) -> None:
    connection = connect(standing=fact if when == "standing" else 0)
    if when == "before":
        connection.add_facts(fact)
    begun(connection=connection)
    if when == "during":
        connection.add_facts(fact)
    connection.respond(200, LENGTH_2)
    if when == "held":
        connection.add_facts(fact)
    connection.send(b"ok", False)
    assert only(connection).says_close
    assert ended(connection) == (reason, CloseMode.LINGER)


@pytest.mark.parametrize(("fact", "reason"), FROM_THE_SERVER)
def test_server_wish_after_the_head_waits_for_the_next_response(fact: int, reason: CloseReason) -> None:
    """9.5: only an announced close loses nothing."""
    connection = begun()
    connection.respond(200, LENGTH_2)
    connection.send(b"o", True)
    connection.add_facts(fact)
    connection.send(b"k", False)
    assert not only(connection).says_close
    assert at(connection) is State.IDLE
    answer(begun(connection=connection))
    assert only(connection).says_close
    assert connection.reason is reason


def test_announced_close_is_final() -> None:
    """Octets that arrive in between, or facts that speak for another reason, change nothing."""
    connection = begun(EXPECTING)
    connection.respond(200, LENGTH_2)
    connection.send(b"o", True)
    assert connection.announced is CloseReason.EXPECTATION_UNMET
    connection.receive(b"hello" + GET)
    connection.add_facts(DRAIN)
    connection.send(b"k", False)
    assert connection.reason is CloseReason.EXPECTATION_UNMET
    assert connection.next_request() is None


@pytest.mark.parametrize(
    ("request_head", "persists"),
    [(GET, True), (GET_10_KEEP, True), (GET_10, False), (get(b"Connection: close"), False)],
)
def test_keep_alive_timeout_is_announced_if_the_connection_persists(request_head: bytes, persists: bool) -> None:
    """W16."""
    common_fields = CommonFields(DATE)
    common_fields.advertise(15)
    connection = begun(request_head, Connection(limits(), common_fields))
    answer(connection, 200, (b"keep-alive", b"timeout=999"), *LENGTH_2)
    found = only(connection)
    assert found.values(b"keep-alive") == ([b"timeout=15"] if persists else [])
    assert found.values(b"connection") == [b"keep-alive" if persists else b"close"]


# -- The request body (W9) -----------------------------------------------------------------------------------------------


def test_content_is_handed_over_once() -> None:
    connection = begun(post(b"he", b"Content-Length: 5"))
    assert has_content(connection)
    assert not has_body(connection)
    connection.receive(b"l")
    assert connection.take_content() == b"hel"
    assert connection.take_content() == b""
    assert not has_content(connection)
    connection.receive(b"lo" + GET)
    assert has_body(connection)
    assert connection.take_content() == b"lo"
    answer(connection)
    request = connection.next_request()
    assert request is not None
    assert request.method == "GET"
    assert has_body(connection)
    assert not has_content(connection)


@pytest.mark.parametrize("size", [1 << 13, 1 << 20])
@pytest.mark.parametrize("length", [True, False])
def test_large_content_is_not_copied(size: int, length: bool) -> None:
    """The object that the application handed over is the one that is written."""
    connection = begun()
    content = bytes(size)
    connection.respond(200, [(b"content-length", b"%d" % (2 * size + 4))] if length else [])
    connection.send(content, True)
    connection.send(content, True)
    connection.send(b"tail", False)
    assert connection.bulk_size + len(connection.output) > 2 * size
    assert connection.bulk is not None
    pieces = connection.take_pieces()
    assert sum(piece is content for piece in pieces) == 2
    assert connection.bulk_size == 0
    assert connection.take_output() == b""
    (found,) = read_answers(b"".join(pieces))
    assert found.content == 2 * content + b"tail"


def test_large_content_among_small_keeps_its_order() -> None:
    connection = begun()
    connection.respond(200, [(b"content-length", b"%d" % (100_000 + 8))])
    for content in (b"some", bytes(50_000), bytes(50_000), b"some"):
        connection.send(content, True)
    connection.send(b"", False)
    assert only(connection).content == b"some" + bytes(100_000) + b"some"


@pytest.mark.parametrize(
    ("octets", "rests"), [(b"", True), (b"\r\n", True), (b"\r", False), (b"G", False), (b"GET / HTTP/1.1\r\n", False)]
)
def test_connection_is_at_rest_if_idle_and_holding_nothing(octets: bytes, rests: bool) -> None:
    """At rest, connections differ only in their count of requests served."""
    connection = idle()
    connection.receive(octets)
    assert connection.may_park == rests
    if rests:
        connection.reset(DRAIN, 7)
        begun(GET, connection)
        assert connection.served == 8
        answer(connection)
        assert ended(connection)[0] is CloseReason.DRAIN


def test_connection_begun_without_requests_served_is_new() -> None:
    connection = idle()
    connection.reset(0, 0)
    assert at(connection) is State.NEW
    connection.receive_eof()
    assert connection.reason is CloseReason.CLIENT_EOF_UNUSED


def test_refused_connection_that_asks_nothing_ends_as_refused() -> None:
    connection = connect()
    connection.add_facts(REFUSED)
    connection.expire(Clock.FIRST_OCTET)
    assert connection.reason is CloseReason.REFUSED


def test_chunked_content_in_pieces_is_handed_over() -> None:
    connection = begun(chunked(b"5\r\nhe"))
    connection.receive(b"llo\r\n")
    assert connection.take_content() == b"hello"
    connection.receive(b"0\r\n")
    assert not has_body(connection)
    connection.receive(b"\r\n" + GET)
    assert has_body(connection)
    answer(connection)
    assert connection.next_request() is not None


def test_body_unread_but_received_keeps_the_connection() -> None:
    connection = begun(post(b"x" * 300, b"Content-Length: 300"))
    answer(connection, 200, *LENGTH_2)
    assert not only(connection).says_close
    assert at(connection) is State.IDLE
    assert not has_content(connection)
    assert connection.take_content() == b""


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize("left", [1, DISCARD_LIMIT])
def test_body_rest_within_the_bound_is_discarded(left: int, size: int) -> None:
    connection = begun(post(b"x" * 50, b"Content-Length: %d" % (50 + left)))
    answer(connection, 200, *LENGTH_2)
    assert not only(connection).says_close
    assert at(connection) is State.DISCARD
    assert connection.next_request() is None
    requests = [connection.receive(piece) for piece in slices(b"x" * left + GET, size)]
    assert [request.method for request in requests if request is not None] == ["GET"]
    assert at(connection) is State.EXCHANGE
    assert not has_content(connection)
    answer(connection)
    assert at(connection) is State.IDLE


#: Octets of one event: around the size from which content is not copied.
SIZES = [0, 1, 8191, 8192, 20_000]


@given(
    st.sampled_from([(GET, True), (GET, False), (GET_10_KEEP, True), (GET_10, False)]),
    st.lists(st.tuples(st.sampled_from(SIZES), st.booleans()), max_size=6),
    st.sampled_from(SIZES),
)
def test_content_in_any_pieces(request_head: tuple[bytes, bool], events: list[tuple[int, bool]], last: int) -> None:
    """`output` is all that a writer looks at: it is empty only if nothing is left to write."""
    octets, length = request_head
    content = [bytes([65 + index]) * size for index, (size, _) in enumerate(events)]
    content.append(b"z" * last)
    connection = begun(octets)
    connection.respond(200, [(b"content-length", b"%d" % sum(map(len, content)))] if length else [])
    written = b""
    for index, (piece, (_, write)) in enumerate(zip(content, [*events, (0, True)], strict=True)):
        connection.send(piece, index < len(events))
        assert connection.output or connection.bulk is None
        assert not (connection.output and connection.may_park)
        if write and connection.output:
            written += connection.take_output()
    assert connection.bulk_size == 0
    assert written.partition(b"\r\n\r\n")[2] == b"".join(content) or not length
    (found,) = read_answers(written)
    assert found.content == b"".join(content)
    assert connection.may_park == (at(connection) is State.IDLE)


def test_body_rest_of_each_request_has_the_bound_for_itself() -> None:
    connection = connect()
    rest = b"%x\r\n" % DISCARD_LIMIT + b"x" * DISCARD_LIMIT + b"\r\n0\r\n\r\n"
    for _ in range(3):
        answer(begun(CHUNKED_HEAD, connection), 200, *LENGTH_2)
        connection.receive(rest)
        assert at(connection) is State.IDLE


def test_body_rest_beyond_the_bound_ends_the_connection() -> None:
    """9.3, 9.6: close is announced, and lingered."""
    connection = begun(post(b"x" * 50, b"Content-Length: %d" % (51 + DISCARD_LIMIT)))
    answer(connection, 200, *LENGTH_2)
    assert only(connection).says_close
    assert ended(connection) == (CloseReason.REQUEST_UNREAD, CloseMode.LINGER)


@pytest.mark.parametrize("begin", [post(b"", b"Content-Length: %d" % (DISCARD_LIMIT + 1)), CHUNKED_HEAD])
def test_refusal_in_pieces_with_the_body_unread_announces_close(begin: bytes) -> None:
    """An application may yet read the body while it answers, but hardly if it refuses the request."""
    connection = begun(begin)
    connection.respond(413, [])
    connection.send(b"no", True)
    assert connection.announced is CloseReason.REQUEST_UNREAD
    connection.send(b"", False)
    assert only(connection).says_close
    assert ended(connection) == (CloseReason.REQUEST_UNREAD, CloseMode.LINGER)


def test_body_rest_counts_when_the_head_is_written() -> None:
    """A close that was announced is final, though the application read it all in the end."""
    connection = begun(post(b"", b"Content-Length: %d" % (DISCARD_LIMIT + 1)))
    connection.respond(200, LENGTH_2)
    connection.receive(b"x")
    connection.send(b"o", True)
    assert connection.announced is None
    connection.receive(b"x" * DISCARD_LIMIT)
    connection.send(b"k", False)
    assert at(connection) is State.IDLE


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_chunked_rest_within_the_bound_is_discarded(size: int) -> None:
    connection = begun(CHUNKED_HEAD)
    answer(connection, 200, *LENGTH_2)
    assert not only(connection).says_close
    assert at(connection) is State.DISCARD
    rest = b"%x\r\n" % DISCARD_LIMIT + b"x" * DISCARD_LIMIT + b"\r\n0\r\n\r\n"
    requests = [connection.receive(piece) for piece in slices(rest + GET, size)]
    assert [request.method for request in requests if request is not None] == ["GET"]
    assert at(connection) is State.EXCHANGE


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_chunked_rest_beyond_the_bound_ends_the_connection(size: int) -> None:
    connection = begun(CHUNKED_HEAD)
    answer(connection, 200, *LENGTH_2)
    rest = b"%x\r\n" % (DISCARD_LIMIT + 1) + b"x" * (DISCARD_LIMIT + 1) + b"\r\n0\r\n\r\n"
    for piece in slices(rest + GET, size):
        assert connection.receive(piece) is None
    assert ended(connection) == (CloseReason.REQUEST_UNREAD, CloseMode.LINGER)


def test_chunked_rest_malformed_ends_the_connection_without_an_answer() -> None:
    """The answer is given; a second one would be taken for that to the next request."""
    connection = begun(CHUNKED_HEAD)
    answer(connection, 200, *LENGTH_2)
    connection.take_output()
    connection.receive(b"x\r\n")
    assert connection.take_output() == b""
    assert ended(connection) == (CloseReason.BODY_REJECTED, CloseMode.LINGER)
    assert connection.detail


def test_body_read_while_the_response_is_written_keeps_the_connection() -> None:
    """As an echo does: nothing is unread in the end."""
    connection = begun(CHUNKED_HEAD)
    connection.respond(200, [])
    connection.send(b"", True)
    for _ in range(100):
        connection.receive(b"5\r\nhello\r\n")
        connection.send(connection.take_content(), True)
    connection.receive(b"0\r\n\r\n")
    connection.send(b"", False)
    found = only(connection)
    assert found.content == b"hello" * 100
    assert not found.says_close
    assert at(connection) is State.IDLE


@pytest.mark.parametrize("progress", [OWED, HELD])
def test_body_malformed_before_a_response_is_answered_400(progress: int) -> None:
    connection = begun(CHUNKED_HEAD)
    if progress != OWED:
        connection.respond(200, [])
    connection.receive(b"x\r\n")
    assert only(connection).status == 400
    assert ended(connection) == (CloseReason.BODY_REJECTED, CloseMode.LINGER)


def test_body_malformed_at_once_does_not_reach_the_application() -> None:
    connection = connect()
    assert connection.receive(chunked(b"x\r\n")) is None
    assert only(connection).status == 400
    assert connection.reason is CloseReason.BODY_REJECTED
    assert connection.served == 1


# -- Expect (W10) --------------------------------------------------------------------------------------------------------


def test_continue_is_written_once_when_the_body_is_wanted() -> None:
    connection = begun(EXPECTING)
    assert connection.take_output() == b""
    connection.want_content()
    connection.want_content()
    assert connection.take_output() == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.receive(b"hello")
    connection.want_content()
    answer(connection, 200, *LENGTH_2)
    assert not only(connection).says_close
    assert at(connection) is State.IDLE


def test_continue_while_the_head_is_held_is_written() -> None:
    connection = begun(EXPECTING)
    connection.respond(200, LENGTH_2)
    connection.want_content()
    connection.send(b"ok", False)
    assert [one.status for one in read_answers(connection.take_output())] == [100, 200]
    assert at(connection) is State.DISCARD


def test_final_response_without_continue_ends_the_connection() -> None:
    connection = begun(EXPECTING)
    answer(connection, 403, *LENGTH_2)
    connection.want_content()
    found = only(connection)
    assert (found.status, found.says_close) == (403, True)
    assert ended(connection) == (CloseReason.EXPECTATION_UNMET, CloseMode.LINGER)


def test_continue_within_the_final_response_is_not_written() -> None:
    connection = begun(EXPECTING)
    connection.respond(200, LENGTH_2)
    connection.send(b"o", True)
    connection.take_output()
    connection.want_content()
    assert connection.take_output() == b""


@pytest.mark.parametrize("body", [b"h", b"hello"])
@pytest.mark.parametrize("at_once", [False, True])
def test_continue_to_a_client_that_has_sent_is_not_written(body: bytes, at_once: bool) -> None:
    connection = begun(EXPECTING + (body if at_once else b""))
    if not at_once:
        connection.receive(body)
    connection.want_content()
    assert connection.take_output() == b""
    answer(connection, 200, *LENGTH_2)
    assert not only(connection).says_close
    assert at(connection) is (State.IDLE if body == b"hello" else State.DISCARD)


@pytest.mark.parametrize(
    "octets",
    [
        GET,
        get(b"Expect: 100-continue"),
        post(b"", b"Content-Length: 5"),
        head(b"POST / HTTP/1.0", b"Content-Length: 5", b"Expect: 100-continue"),
    ],
)
def test_continue_without_an_expectation_is_not_written(octets: bytes) -> None:
    connection = begun(octets)
    connection.want_content()
    assert connection.take_output() == b""


def test_application_that_fails_before_continue_ends_the_connection() -> None:
    connection = begun(EXPECTING)
    connection.fail()
    found = only(connection)
    assert (found.status, found.says_close) == (500, True)
    assert connection.reason is CloseReason.EXPECTATION_UNMET


# -- Pipelining (W11) ----------------------------------------------------------------------------------------------------


def test_pipelined_requests_are_served_one_at_a_time_in_order() -> None:
    connection = connect()
    octets = b"".join(head(b"GET /%d HTTP/1.1" % number, b"Host: a") for number in range(5))
    request = connection.receive(octets)
    for number in range(5):
        assert request is not None
        assert request.target == b"/%d" % number
        assert connection.next_request() is None, "not before the answer"
        answer(connection, [200, 201, 202, 203, 299][number], *LENGTH_2)
        assert at(connection) is State.IDLE
        assert connection.pipelined == (number < 4), "whether it is worth asking"
        request = connection.next_request()
    assert request is None
    assert [one.status for one in read_answers(connection.take_output())] == [200, 201, 202, 203, 299]


def test_octets_received_during_an_exchange_wait() -> None:
    connection = begun()
    for piece in slices(GET + post(b"abc", b"Content-Length: 3")):
        assert connection.receive(piece) is None
    answer(connection)
    assert connection.next_request() is not None
    answer(connection)
    request = connection.next_request()
    assert request is not None
    assert request.method == "POST"
    assert connection.take_content() == b"abc"


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (head(b"HEAD / HTTP/1.1"), 400),
        (head(b"HEAD / HTTP/1.1", b"Host: a", b"Expect: x"), 417),
        (b"HEAD / HTTP/1.1\n", 400),
        (b"HEAD / HTTP/1.1\r\nHost: " + b"a" * HEAD_LIMIT, 431),
        (b"HEAD / HTTP/1.1\r\nHost:", 408),
    ],
)
def test_refused_head_request_is_answered_without_content(octets: bytes, status: int) -> None:
    """RFC 9110, 9.3.2. For any other method there is some."""
    for method, has_content in (("HEAD", False), ("GET", True)):
        connection = connect()
        assert connection.receive(octets.replace(b"HEAD", method.encode())) is None
        if status == 408:
            connection.expire(Clock.HEAD)
        found = only(connection, method)
        assert (found.status, found.content != b"") == (status, has_content)


def test_head_in_pieces_around_a_response_begins_a_request() -> None:
    connection = begun(GET + GET[:9])
    connection.receive(GET[9:12])
    answer(connection)
    assert connection.next_request() is None
    assert at(connection) is State.HEAD
    assert connection.receive(GET[12:]) is not None


def test_empty_line_in_pieces_begins_no_request() -> None:
    """2.2: it is no request, so the connection stays idle, or unused."""
    connection = connect()
    for state in (State.NEW, State.IDLE):
        assert connection.receive(b"\r") is None
        assert at(connection) is state
        assert connection.receive(b"\n\r\n\r") is None
        assert connection.next_request() is None
        assert at(connection) is state
        begun(b"\n" + GET, connection)
        answer(connection)
    begun(GET + b"\r", connection)
    answer(connection)
    assert connection.pipelined
    assert connection.next_request() is None
    assert at(connection) is State.IDLE
    begun(b"\n" + GET, connection)


def test_octets_received_before_next_request_is_called_are_kept() -> None:
    connection = begun(GET + head(b"GET /2 HTTP/1.1", b"Host: a"))
    answer(connection)
    assert at(connection) is State.IDLE
    assert connection.receive(head(b"GET /3 HTTP/1.1", b"Host: a")) is None
    connection.receive_eof()
    targets = []
    while (request := connection.next_request()) is not None:
        targets.append(request.target)
        answer(connection)
    assert targets == [b"/2", b"/3"]
    assert connection.reason is CloseReason.CLIENT_HALF_CLOSED


def test_reading_pauses_when_enough_comes_with_a_request() -> None:
    connection = begun(GET * (BUFFER_LIMIT // len(GET) + 2))
    assert octets_held(connection) > BUFFER_LIMIT
    assert is_crowded(connection)
    answer(connection)
    assert connection.next_request() is not None
    assert octets_held(connection) <= BUFFER_LIMIT
    assert not is_crowded(connection)


def test_reading_pauses_when_enough_comes_after_a_request() -> None:
    connection = begun()
    connection.receive(b"x" * BUFFER_LIMIT)
    assert not is_crowded(connection)
    connection.receive(b"x")
    assert is_crowded(connection)


def test_reading_stays_paused_until_the_application_has_caught_up() -> None:
    """If reading went on with each next request, each would let one more read in."""
    connection = begun(GET * 100)
    most = octets_held(connection)
    answers = 1
    while True:
        if not connection.wants_pause:
            break
        answer(connection)
        assert connection.next_request() is not None
        answers += 1
    assert answers >= 100 - BUFFER_LIMIT // len(GET) - 1
    assert octets_held(connection) <= BUFFER_LIMIT < most


def test_reading_pauses_for_a_body_that_nobody_takes() -> None:
    connection = begun(post(b"", b"Content-Length: 100000"))
    connection.receive(b"x" * BUFFER_LIMIT)
    assert not is_crowded(connection)
    connection.receive(b"x")
    assert is_crowded(connection)
    connection.take_content()
    assert not is_crowded(connection)
    connection.receive(b"x" * (BUFFER_LIMIT + 1))
    assert is_crowded(connection)
    answer(connection)
    assert not is_crowded(connection), "what is lingered over is dropped"


def test_reading_goes_on_for_a_body_whose_head_filled_the_buffer() -> None:
    connection = begun(GET + post(b"", b"Content-Length: 2", b"X: " + b"x" * BUFFER_LIMIT))
    assert is_crowded(connection)
    answer(connection)
    assert connection.next_request() is not None
    assert not is_crowded(connection)


def test_reading_goes_on_when_the_rest_of_a_body_is_discarded() -> None:
    connection = begun(post(b"x" * (BUFFER_LIMIT + 1), b"Content-Length: %d" % (BUFFER_LIMIT + 2)))
    assert is_crowded(connection)
    answer(connection)
    assert at(connection) is State.DISCARD
    assert not is_crowded(connection)


# -- The client's EOF (W8) -----------------------------------------------------------------------------------------------


def test_half_close_before_the_response_is_answered_with_close() -> None:
    connection = begun()
    connection.receive_eof()
    assert at(connection) is State.EXCHANGE
    answer(connection, 200, *LENGTH_2)
    found = only(connection)
    assert (found.content, found.says_close) == (b"ok", True)
    assert ended(connection) == (CloseReason.CLIENT_HALF_CLOSED, CloseMode.RELEASE)


def test_half_close_after_the_head_of_the_response_lets_it_complete() -> None:
    connection = begun()
    connection.respond(200, LENGTH_2)
    connection.send(b"o", True)
    connection.receive_eof()
    connection.send(b"k", False)
    found = only(connection)
    assert (found.whole, found.says_close) == (True, False)
    assert ended(connection) == (CloseReason.CLIENT_HALF_CLOSED, CloseMode.RELEASE)


def test_half_close_after_several_requests_lets_all_be_answered() -> None:
    server = Server()
    connection = server.connection
    connection.receive(GET * 3)
    connection.receive_eof()
    for _ in range(2):
        answer(connection, 200, *LENGTH_2)
        assert connection.pipelined
        assert connection.next_request() is not None
    answer(connection, 200, *LENGTH_2)
    assert connection.next_request() is None
    found = read_answers(connection.take_output())
    assert [one.says_close for one in found] == [False, False, True]
    assert ended(connection) == (CloseReason.CLIENT_HALF_CLOSED, CloseMode.RELEASE)


@pytest.mark.parametrize("beginning", [GET[:5], post(b"ab", b"Content-Length: 3"), chunked(b"5\r\nab")])
def test_half_close_within_a_later_request_ends_as_incomplete(beginning: bytes) -> None:
    connection = begun(GET + beginning)
    connection.receive_eof()
    answer(connection, 200, *LENGTH_2)
    assert connection.next_request() is None
    found = read_answers(connection.take_output())
    assert found[0].status == 200
    assert [one.status for one in found[1:]] == ([] if beginning == GET[:5] else [400])
    assert ended(connection) == (CloseReason.CLIENT_INCOMPLETE, CloseMode.RELEASE)


@pytest.mark.parametrize("method", ["POST", "HEAD"])
@pytest.mark.parametrize("progress", [OWED, HELD])
def test_half_close_within_a_body_is_answered_400(progress: int, method: str) -> None:
    """8: it is answered with an error, if an answer has not begun; the application is told by the state."""
    connection = begun(head(b"%b / HTTP/1.1" % method.encode(), b"Host: a", b"Content-Length: 3") + b"ab")
    if progress != OWED:
        connection.respond(200, [])
    connection.receive_eof()
    found = only(connection, method)
    assert (found.status, found.says_close) == (400, True)
    assert ended(connection) == (CloseReason.CLIENT_INCOMPLETE, CloseMode.RELEASE)


def spoil(connection: Connection, how: str) -> CloseReason:
    """The client stops in the middle of a chunked body. Return the reason."""
    if how == "eof":
        connection.receive_eof()
        return CloseReason.CLIENT_INCOMPLETE
    connection.receive(b"x\r\n")
    connection.receive(b"5\r\nhello\r\n" * 1000)  # dropped
    if how == "malformed, eof":
        connection.receive_eof()
    return CloseReason.BODY_REJECTED


@pytest.mark.parametrize("announced", [False, True])
@pytest.mark.parametrize("trailers", [False, True])
@pytest.mark.parametrize("how", ["eof", "malformed", "malformed, eof"])
def test_response_begun_before_its_request_breaks_off_is_completed(how: str, trailers: bool, announced: bool) -> None:
    """9.5: a client that sees its head, and that it says close, ceases sending, closes its side and reads on."""
    connection = begun(CHUNKED_HEAD + b"2\r\nab\r\n")
    connection.respond(200, [(b"Connection", b"close")] if announced else [], trailers)
    connection.send(b"to", True)
    if trailers:
        connection.send(b"o", False)
    reason = spoil(connection, how)
    assert at(connection) is State.EXCHANGE
    assert not has_body(connection)
    assert not is_crowded(connection)
    assert connection.take_content() == (b"ab" if how == "eof" else b"")
    if trailers:
        connection.send_trailers([], False)
    else:
        connection.send(b"o", False)
    found = only(connection)
    assert (found.status, found.content, found.says_close) == (200, b"too", announced)
    mode = CloseMode.LINGER if how == "malformed" else CloseMode.RELEASE
    assert ended(connection) == (CloseReason.RESPONSE_CLOSE_OPTION if announced else reason, mode)


@pytest.mark.parametrize("how", ["eof", "malformed"])
@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_response_given_up_after_its_request_broke_off_ends_for_that_reason(how: str, version: bytes) -> None:
    """The application was told, and gave up. It has not failed, and the client does not take the response for a whole one."""
    if version == b"HTTP/1.0":
        connection = begun(head(b"POST / HTTP/1.0", b"Content-Length: 3") + b"ab")
        how = "eof"
    else:
        connection = begun(CHUNKED_HEAD)
    connection.respond(200, [])
    connection.send(b"ok", True)
    reason = spoil(connection, how)
    connection.fail(client_left=True)
    modes = {"eof": CloseMode.RELEASE, "malformed": CloseMode.LINGER}
    assert ended(connection) == (reason, CloseMode.ABORT if version == b"HTTP/1.0" else modes[how])


# -- Clocks, stop, shed, loss --------------------------------------------------------------------------------------------


def test_head_clock_that_expires_is_answered_408() -> None:
    connection = connect()
    connection.receive(GET[:5])
    connection.expire(Clock.HEAD)
    found = only(connection)
    assert (found.status, found.says_close) == (408, True)
    assert connection.status == 408
    assert ended(connection) == (CloseReason.HEAD_TIMEOUT, CloseMode.LINGER)


@pytest.mark.parametrize("method", ["POST", "HEAD"])
@pytest.mark.parametrize("progress", [OWED, HELD, STARTED])
def test_body_clock_that_expires_is_answered_408_before_a_response(progress: int, method: str) -> None:
    connection = begun(head(b"%b / HTTP/1.1" % method.encode(), b"Host: a", b"Content-Length: 3") + b"ab")
    if progress == STARTED and method == "HEAD":
        return  # it is complete with its head
    if progress != OWED:
        connection.respond(200, [])
    if progress == STARTED:
        connection.send(b"ok", True)
    connection.take_output()
    connection.expire(Clock.BODY)
    if progress == STARTED:
        assert connection.take_output() == b""
    else:
        assert only(connection, method).status == 408
    assert connection.progress == CUT
    assert connection.status == (200 if progress == STARTED else 408)
    assert ended(connection) == (CloseReason.BODY_TIMEOUT, CloseMode.LINGER)


def test_first_octet_clock_that_expires_writes_nothing() -> None:
    connection = connect()
    connection.expire(Clock.FIRST_OCTET)
    assert connection.take_output() == b"", "nothing was asked"
    assert ended(connection) == (CloseReason.FIRST_OCTET_TIMEOUT, CloseMode.LINGER)


def idle() -> Connection:
    connection = begun()
    answer(connection, 200, *LENGTH_2)
    connection.take_output()
    assert at(connection) is State.IDLE
    return connection


def test_idle_clock_that_expires_writes_nothing() -> None:
    connection = idle()
    connection.expire(Clock.IDLE)
    assert connection.take_output() == b""
    assert ended(connection) == (CloseReason.IDLE_TIMEOUT, CloseMode.LINGER)


@pytest.mark.parametrize(("clock", "fresh"), [(Clock.IDLE, False), (Clock.FIRST_OCTET, True)])
def test_idle_clock_that_expires_during_a_drain_ends_as_drain(clock: Clock, fresh: bool) -> None:
    """An idle connection is kept a little while the server drains; what ends it then is the drain."""
    connection = connect() if fresh else idle()
    connection.add_facts(DRAIN)
    connection.expire(clock)
    assert ended(connection) == (CloseReason.DRAIN, CloseMode.LINGER)


def test_send_clock_that_expires_during_a_drain_aborts() -> None:
    connection = idle()
    connection.add_facts(DRAIN)
    connection.expire(Clock.SEND)
    assert ended(connection) == (CloseReason.SEND_TIMEOUT, CloseMode.ABORT)


@pytest.mark.parametrize("progress", [OWED, STARTED])
def test_send_clock_that_expires_aborts(progress: int) -> None:
    connection = begun()
    if progress == STARTED:
        connection.respond(200, [])
        connection.send(b"ok", True)
        connection.take_output()
    connection.expire(Clock.SEND)
    assert connection.take_output() == b""
    assert ended(connection) == (CloseReason.SEND_TIMEOUT, CloseMode.ABORT)


def test_discard_clock_that_expires_ends_as_unread() -> None:
    connection = begun(post(b"ab", b"Content-Length: 3"))
    answer(connection)
    connection.expire(Clock.DISCARD)
    assert ended(connection) == (CloseReason.REQUEST_UNREAD, CloseMode.LINGER)


@pytest.mark.parametrize("how", ["expire", "stop"])
@pytest.mark.parametrize("request_head", [GET_10, get(b"Connection: close")])
def test_last_flush_given_up_aborts(how: str, request_head: bytes) -> None:
    """A close-delimited response above all: the FIN would be taken for its end. The reason stays the first."""
    connection = begun(request_head)
    answer(connection, content=b"x" * 1000)
    reason = connection.reason
    if how == "expire":
        connection.expire(Clock.SEND)
    else:
        connection.stop()
    assert ended(connection) == (reason, CloseMode.ABORT)


def stopped(state: State) -> Connection:
    connection = connect()
    if state is State.HEAD:
        connection.receive(GET[:5])
    elif state is State.EXCHANGE:
        begun(connection=connection)
    elif state is State.DISCARD:
        answer(begun(post(b"", b"Content-Length: 3"), connection))
    elif state is State.IDLE:
        answer(begun(connection=connection))
    assert at(connection) is state
    connection.take_output()
    connection.stop()
    return connection


@pytest.mark.parametrize(
    ("state", "reason", "status"),
    [
        (State.NEW, CloseReason.DRAIN, None),
        (State.HEAD, CloseReason.DRAIN_DEADLINE, None),
        (State.EXCHANGE, CloseReason.DRAIN_DEADLINE, 503),
        (State.DISCARD, CloseReason.DRAIN_DEADLINE, None),
        (State.IDLE, CloseReason.DRAIN, None),
    ],
)
def test_stop_in_each_state_ends_the_connection(state: State, reason: CloseReason, status: int | None) -> None:
    connection = stopped(state)
    assert ended(connection) == (reason, CloseMode.LINGER)
    assert [one.status for one in read_answers(connection.take_output())] == ([] if status is None else [status])


@pytest.mark.parametrize(("request_head", "mode"), [(GET, CloseMode.LINGER), (GET_10, CloseMode.ABORT)])
def test_stop_within_a_response(request_head: bytes, mode: CloseMode) -> None:
    connection = begun(request_head)
    connection.respond(200, [])
    connection.send(b"ok", True)
    connection.take_output()
    connection.stop()
    assert connection.take_output() == b""
    assert ended(connection) == (CloseReason.DRAIN_DEADLINE, mode)


def test_shed_of_a_new_or_idle_connection_releases() -> None:
    for connection in (connect(), idle()):
        connection.shed()
        assert ended(connection) == (CloseReason.SHED, CloseMode.RELEASE)


@pytest.mark.parametrize("progress", [OWED, STARTED])
def test_break_down_aborts_and_writes_nothing(progress: int) -> None:
    """What was written last cannot be trusted to be whole."""
    connection = begun()
    if progress == STARTED:
        connection.respond(200, [])
        connection.send(b"ok", True)
    connection.take_output()
    connection.fail_internal()
    assert connection.take_output() == b""
    assert ended(connection) == (CloseReason.INTERNAL_ERROR, CloseMode.ABORT)
    refuses(lambda: connection.send(b"more", False))
    connection.lost()
    connection.fail_internal()
    assert at(connection) is State.CLOSED


def test_break_down_during_the_last_flush_keeps_the_reason() -> None:
    connection = begun(get(b"Connection: close"))
    answer(connection)
    connection.fail_internal()
    assert ended(connection) == (CloseReason.CLIENT_CLOSE_OPTION, CloseMode.ABORT)


def test_octets_after_the_end_are_dropped() -> None:
    """CLOSING, half-closed, lingering: what still comes is dropped, and the reason stays."""
    connection = begun(get(b"Connection: close") + GET)
    answer(connection, 200, *LENGTH_2)
    assert ended(connection) == (CloseReason.CLIENT_CLOSE_OPTION, CloseMode.LINGER)
    assert connection.receive(GET) is None
    connection.half_closed()
    assert at(connection) is State.LINGER
    assert connection.receive(GET) is None
    connection.stop()
    connection.receive_eof()
    assert at(connection) is State.LINGER
    connection.lost()
    assert at(connection) is State.CLOSED
    assert connection.receive(GET) is None
    connection.receive_eof()
    assert connection.reason is CloseReason.CLIENT_CLOSE_OPTION
    assert len(read_answers(connection.take_output())) == 1


def test_close_mode_lingers_until_the_clients_eof() -> None:
    connection = begun(GET_10)
    answer(connection, 200, *LENGTH_2)
    assert connection.close_mode() is CloseMode.LINGER
    connection.receive_eof()
    assert connection.close_mode() is CloseMode.RELEASE


def test_close_mode_of_an_open_connection_raises() -> None:
    for connection in (connect(), begun(), idle()):
        with pytest.raises(AssertionError):
            connection.close_mode()


def test_loss_during_an_exchange_ends_as_client_reset() -> None:
    connection = begun(post(b"ab", b"Content-Length: 3"))
    connection.receive(b"c" + GET)
    connection.lost()
    assert (connection.state, connection.reason) == (State.CLOSED, CloseReason.CLIENT_RESET)
    assert (connection.status, connection.sent) == (0, 0), "no response was written"
    assert connection.take_content() == b""
    assert not is_crowded(connection)
    assert connection.next_request() is None


def cut(how: str, octets: bytes, started: bool) -> Connection:
    connection = begun(octets)
    if started:
        connection.respond(200, [])
        connection.send(b"ok", True)
    if how == "lost":
        connection.lost()
    elif how == "stop":
        connection.stop()
    elif how == "eof":
        connection.receive_eof()
    else:
        connection.expire(Clock.SEND if how == "send" else Clock.BODY)
    connection.take_output()
    return connection


@pytest.mark.parametrize(
    ("how", "started"),
    [*itertools.product(["lost", "stop", "send", "body"], [False, True]), ("eof", False)],
)
def test_application_that_goes_on_after_the_end_gets_misuse(how: str, started: bool) -> None:
    """It cannot know of the end. Misuse tells it; nothing is written, and nothing changes."""
    connection = cut(how, EXPECTING, started)
    before = connection.state, connection.reason
    connection.want_content()
    refuses(lambda: connection.respond(200, []))
    refuses(lambda: connection.inform(103, []))
    refuses(lambda: connection.send(b"more", True))
    refuses(lambda: connection.send(b"", False))
    refuses(lambda: connection.send_trailers([], False))
    connection.fail()
    assert connection.take_content() == b""
    assert connection.take_output() == b""
    assert (connection.state, connection.reason) == before


# -- What is reported ----------------------------------------------------------------------------------------------------


def test_rejection_after_a_response_has_its_own_status_and_size() -> None:
    connection = begun(GET + b"@ \r\n\r\n")
    answer(connection, content=b"hello")
    assert (connection.status, connection.sent) == (200, 5)
    assert connection.next_request() is None
    assert (connection.status, connection.sent, connection.served) == (400, len(connection.detail) + 1, 1)
    assert connection.detail
    assert ended(connection) == (CloseReason.HEAD_REJECTED, CloseMode.LINGER)


def test_rejection_after_a_head_request_has_content() -> None:
    """It does not answer the HEAD."""
    connection = begun(HEAD_REQUEST + b"@ \r\n\r\n")
    answer(connection)
    assert connection.next_request() is None
    found = read_answers(connection.take_output(), ["HEAD"])
    assert [one.status for one in found] == [200, 400]
    assert found[1].content


def test_fresh_connection_reports_nothing() -> None:
    connection = connect()
    assert (connection.state, connection.reason, connection.announced) == (State.NEW, None, None)
    assert (connection.served, connection.status, connection.sent, connection.detail) == (0, 0, 0, "")
    assert not connection.input_ended
    assert not has_content(connection)
    assert not connection.pipelined
    assert connection.next_request() is None
    assert connection.take_output() == connection.output == b""
    assert connection.take_content() == b""
    begun(connection=connection)
    assert (connection.served, connection.status, connection.progress) == (1, 0, OWED)
    answer(connection, 404)
    assert (connection.status, connection.sent, connection.progress) == (404, 2, COMPLETE)
    begun(connection=connection)
    assert (connection.served, connection.progress) == (2, OWED)


def test_empty_read_changes_no_state() -> None:
    connection = connect()
    connection.receive(b"")
    assert at(connection) is State.NEW
    connection.receive(GET[:5])
    connection.receive(b"")
    assert at(connection) is State.HEAD
    begun(GET[5:], connection)
    connection.receive(b"")
    answer(connection)
    assert connection.next_request() is None
    assert connection.receive(b"") is None
    assert at(connection) is State.IDLE
    answer(begun(post(b"", b"Content-Length: 3"), connection))
    assert connection.receive(b"") is None
    assert at(connection) is State.DISCARD


@pytest.mark.parametrize("size", [1, 100])
def test_head_without_end_is_refused_once_it_is_too_large(size: int) -> None:
    connection = connect()
    fed = 0
    for piece in slices(b"GET / HTTP/1.1\r\n" + b"x" * 10 * HEAD_LIMIT, size):
        connection.receive(piece)
        fed += len(piece)
        if connection.state is State.CLOSING:
            break
    assert fed <= HEAD_LIMIT + size
    assert only(connection).status == 431


# -- Every reason (9.3 to 9.6) -------------------------------------------------------------------------------------------


def reason_of(octets: bytes, *facts: int, eof: bool = False) -> Connection:
    connection = connect()
    for fact in facts:
        connection.add_facts(fact)
    begun(octets, connection)
    if eof:
        connection.receive_eof()
    answer(connection)
    return connection


def after(connection: Connection, *acts: Callable[[Connection], object]) -> Connection:
    for act in acts:
        act(connection)
    return connection


SWITCHING = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"


def switched(octets: bytes = SWITCHING) -> Connection:
    connection = begun(octets)
    connection.switch(b"echo", [])
    assert connection.state is State.TUNNEL
    return connection


def test_switch_writes_101_and_hands_on_what_came_after_the_request() -> None:
    connection = begun(SWITCHING + b"early")
    connection.receive(b" bird")
    assert connection.switch(b"Echo", [(b"x-test", b"1")]) == b"early bird"
    assert connection.take_output() == (
        b"HTTP/1.1 101 Switching Protocols\r\nx-test: 1\r\n%bUpgrade: Echo\r\nConnection: upgrade\r\n\r\n"
        % connection._common_fields.date
    )
    assert (connection.state, connection.status, connection.progress) == (State.TUNNEL, 101, COMPLETE)
    connection.receive(GET)
    assert connection.served == 1, "no HTTP any more"


@pytest.mark.parametrize(
    ("octets", "protocol", "fields"),
    [
        (GET, b"echo", []),
        (SWITCHING, b"other", []),
        (SWITCHING.replace(b"Connection: Upgrade\r\n", b""), b"echo", []),
        (SWITCHING.replace(b"HTTP/1.1", b"HTTP/1.0"), b"echo", []),
        (SWITCHING[:-2] + b"Content-Length: 1\r\n\r\n", b"echo", []),
        (SWITCHING, b"echo", [(b"content-length", b"0")]),
        (SWITCHING, b"echo", [(b"connection", b"close")]),
        (SWITCHING, b"echo", [1]),
    ],
)
def test_switch_that_http_does_not_allow_is_misuse(octets: bytes, protocol: bytes, fields: Any) -> None:
    connection = begun(octets)
    with pytest.raises(Misuse):
        connection.switch(protocol, fields)
    assert connection.take_output() == b""
    answer(connection, 200, *LENGTH_2)


@pytest.mark.parametrize("later", [False, True])
def test_octets_behind_a_switch_that_is_refused_are_no_request(later: bool) -> None:
    """They may be of the other protocol, which the client hoped for."""
    connection = begun(SWITCHING if later else SWITCHING + GET)
    if later:
        connection.receive(GET)
    answer(connection, 403, *LENGTH_2)
    assert b"Connection: close\r\n" in connection.take_output()
    assert (connection.state, connection.reason) == (State.CLOSING, CloseReason.REQUEST_UNREAD)
    assert connection.next_request() is None


def test_connection_persists_after_a_switch_that_is_refused_before_more_came() -> None:
    connection = begun(SWITCHING)
    answer(connection, 403, *LENGTH_2)
    assert b"close" not in connection.take_output()
    assert connection.receive(GET) is not None


def test_switch_after_the_head_of_a_response_is_misuse() -> None:
    connection = begun(SWITCHING)
    connection.respond(200, [])
    with pytest.raises(Misuse):
        connection.switch(b"echo", [])


def test_tunnel_pauses_reading_as_it_is_told() -> None:
    connection = switched()
    paused = []
    for is_wanted in (False, True):
        connection.tunnel_reading(is_wanted)
        paused.append(connection.wants_pause)
    connection.close_tunnel(CloseReason.TUNNEL_CLOSED)
    connection.tunnel_reading(False)
    paused.append(connection.wants_pause)
    assert paused == [True, False, False], "what comes after the end is dropped"


def shaking_hands() -> Connection:
    return after(connect(), lambda c: c.handshake_begins())


def test_connection_is_new_once_its_handshake_is_complete() -> None:
    connection = shaking_hands()
    assert connection.state is State.HANDSHAKE
    connection.ready()
    assert (connection.state, connection.served) == (State.NEW, 0)
    assert connection.receive(GET) is not None


def test_handshake_that_is_complete_too_late_changes_nothing() -> None:
    connection = shaking_hands()
    connection.expire(Clock.HANDSHAKE)
    connection.ready()
    assert ended(connection) == (CloseReason.HANDSHAKE_TIMEOUT, CloseMode.LINGER)
    connection.half_closed()
    connection.ready()
    assert connection.state is State.LINGER


def test_proxy_header_that_is_refused_gets_no_answer() -> None:
    connection = shaking_hands()
    connection.rejected(CloseReason.PROXY_HEADER_REJECTED, "no PROXY header", False)
    assert connection.output == b""
    assert ended(connection) == (CloseReason.PROXY_HEADER_REJECTED, CloseMode.RELEASE)


@pytest.mark.parametrize("is_plain", [True, False])
def test_handshake_that_fails_is_answered_only_if_it_was_plain_http(is_plain: bool) -> None:
    connection = shaking_hands()
    connection.rejected(CloseReason.TLS_REJECTED, "http request", is_plain)
    assert connection.output.startswith(b"HTTP/1.1 400 ") == is_plain
    assert (b"https://" in connection.output) == is_plain
    assert ended(connection) == (CloseReason.TLS_REJECTED, CloseMode.LINGER)


def test_record_that_is_not_valid_cuts_the_response() -> None:
    connection = begun(GET)
    connection.respond(200, [])
    connection.send(b"half", True)
    connection.rejected(CloseReason.TLS_REJECTED, "bad record mac", False)
    assert connection.output == b""
    assert ended(connection) == (CloseReason.TLS_REJECTED, CloseMode.ABORT)
    connection.rejected(CloseReason.TLS_REJECTED, "another", False)
    assert connection.detail == "bad record mac"


SCENARIOS: dict[CloseReason, Callable[[], Connection]] = {
    CloseReason.CLIENT_CLOSE_OPTION: lambda: reason_of(get(b"Connection: close")),
    CloseReason.CLIENT_HTTP10: lambda: after(begun(GET_10), lambda c: answer(c, 200, *LENGTH_2)),
    CloseReason.CLIENT_EOF_UNUSED: lambda: after(connect(), Connection.receive_eof),
    CloseReason.CLIENT_EOF_IDLE: lambda: after(idle(), Connection.receive_eof),
    CloseReason.CLIENT_EOF_TUNNEL: lambda: after(switched(), Connection.receive_eof),
    CloseReason.TUNNEL_CLOSED: lambda: after(switched(), lambda c: c.close_tunnel(CloseReason.TUNNEL_CLOSED)),
    **{
        reason: lambda reason=reason: after(switched(), lambda c: c.close_tunnel(reason))  # type: ignore[misc]
        for reason in CloseReason
        if reason.value.startswith("websocket_")
    },
    CloseReason.TUNNEL_TIMEOUT: lambda: after(switched(), lambda c: c.expire(Clock.TUNNEL)),
    CloseReason.CLIENT_HALF_CLOSED: lambda: reason_of(GET, eof=True),
    CloseReason.CLIENT_INCOMPLETE: lambda: after(connect(), lambda c: c.receive(GET[:5]), Connection.receive_eof),
    CloseReason.CLIENT_LEFT: lambda: after(begun(), Connection.receive_eof, lambda c: c.fail(client_left=True)),
    CloseReason.CLIENT_RESET: lambda: after(begun(), Connection.lost),
    CloseReason.HEAD_REJECTED: lambda: after(connect(), lambda c: c.receive(b"\x16")),
    CloseReason.BODY_REJECTED: lambda: after(begun(CHUNKED_HEAD), lambda c: c.receive(b"x\r\n")),
    CloseReason.EXPECTATION_UNMET: lambda: reason_of(EXPECTING),
    CloseReason.REQUEST_UNREAD: lambda: reason_of(post(b"", b"Content-Length: 100000")),
    CloseReason.CLOSE_DELIMITED: lambda: after(
        begun(GET_10_KEEP), lambda c: c.respond(200, []), lambda c: c.send(b"ok", True), lambda c: c.send(b"", False)
    ),
    CloseReason.RESPONSE_CLOSE_OPTION: lambda: after(begun(), lambda c: answer(c, 200, (b"connection", b"close"))),
    CloseReason.RESPONSE_INCOMPLETE: lambda: after(
        begun(), lambda c: c.respond(200, []), lambda c: c.send(b"ok", True), Connection.fail
    ),
    CloseReason.TLS_REJECTED: lambda: after(
        connect(), lambda c: c.handshake_begins(), lambda c: c.rejected(CloseReason.TLS_REJECTED, "x", False)
    ),
    CloseReason.PROXY_HEADER_REJECTED: lambda: after(
        connect(),
        lambda c: c.handshake_begins(),
        lambda c: c.rejected(CloseReason.PROXY_HEADER_REJECTED, "x", False),
    ),
    CloseReason.HANDSHAKE_TIMEOUT: lambda: after(
        connect(), lambda c: c.handshake_begins(), lambda c: c.expire(Clock.HANDSHAKE)
    ),
    CloseReason.FIRST_OCTET_TIMEOUT: lambda: after(connect(), lambda c: c.expire(Clock.FIRST_OCTET)),
    CloseReason.HEAD_TIMEOUT: lambda: after(connect(), lambda c: c.receive(b"G"), lambda c: c.expire(Clock.HEAD)),
    CloseReason.BODY_TIMEOUT: lambda: after(begun(CHUNKED_HEAD), lambda c: c.expire(Clock.BODY)),
    CloseReason.SEND_TIMEOUT: lambda: after(begun(), lambda c: c.expire(Clock.SEND)),
    CloseReason.IDLE_TIMEOUT: lambda: after(idle(), lambda c: c.expire(Clock.IDLE)),
    CloseReason.SHED: lambda: after(idle(), Connection.shed),
    CloseReason.DRAIN_DEADLINE: lambda: after(begun(), Connection.stop),
    # Facts that only the worker can know; it hands them in as `standing` or by note().
    CloseReason.KEEP_ALIVE_OFF: lambda: reason_of(GET, KEEP_ALIVE_OFF),
    CloseReason.CLIENT_POLICY: lambda: reason_of(GET, CLIENT_POLICY),
    CloseReason.REQUEST_LIMIT: lambda: reason_of(GET, REQUEST_LIMIT),
    CloseReason.REFUSED: lambda: reason_of(GET, REFUSED),
    CloseReason.AGE_LIMIT: lambda: reason_of(GET, AGE_LIMIT),
    CloseReason.PRESSURE: lambda: reason_of(GET, PRESSURE),
    CloseReason.REBALANCED: lambda: reason_of(GET, REBALANCED),
    CloseReason.DRAIN: lambda: reason_of(GET, DRAIN),
    # And what it says of itself.
    CloseReason.INTERNAL_ERROR: lambda: after(begun(), Connection.fail_internal),
}


def test_every_reason_has_a_scenario() -> None:
    """But that of a killed process, which no connection ever gives."""
    assert set(SCENARIOS) == set(CloseReason) - {CloseReason.WORKER_LOST}


@pytest.mark.parametrize("reason", SCENARIOS)
def test_reason_given_once_never_changes(reason: CloseReason) -> None:
    connection = SCENARIOS[reason]()
    assert connection.reason is reason
    if connection.state is State.CLOSING:
        connection.add_facts(DRAIN | REQUEST_UNREAD)
        connection.receive(GET + b"\x00")
        connection.receive_eof()
        connection.fail()
        connection.expire(Clock.SEND)
        connection.stop()
        connection.fail_internal()
        connection.half_closed()
        connection.stop()
        connection.lost()
    assert at(connection) is State.CLOSED
    assert connection.reason is reason


def test_open_connection_has_no_reason() -> None:
    for connection in (connect(), begun(), idle()):
        assert connection.reason is None


# -- A reset ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (connect, CloseReason.CLIENT_EOF_UNUSED),
        (lambda: after(connect(), lambda c: c.receive(GET[:5])), CloseReason.CLIENT_INCOMPLETE),
        (begun, CloseReason.CLIENT_RESET),
        (
            lambda: after(begun(post(b"", b"Content-Length: 5")), lambda c: answer(c, 200, *LENGTH_2)),
            CloseReason.CLIENT_INCOMPLETE,
        ),
        (idle, CloseReason.CLIENT_EOF_IDLE),
        (lambda: after(begun(GET + GET), lambda c: answer(c, 200, *LENGTH_2)), CloseReason.CLIENT_RESET),
        (switched, CloseReason.CLIENT_EOF_TUNNEL),
    ],
    ids=["new", "head", "exchange", "discard", "idle", "pipelined", "tunnel"],
)
def test_reset_is_named_for_what_the_connection_was_doing(
    before: Callable[[], Connection], reason: CloseReason
) -> None:
    connection = before()
    connection.lost()
    assert connection.reason is reason


def test_reset_of_an_idle_connection_whose_answer_is_on_its_way_is_a_reset() -> None:
    connection = idle()
    connection.lost(is_unsent=True)
    assert connection.reason is CloseReason.CLIENT_RESET


@pytest.mark.parametrize(
    ("octets", "expected"),
    [(b"", (False, True)), (b"\r", (True, True)), (b"G", (False, False))],
    ids=["new", "cr", "head"],
)
def test_quiet_connection_owes_nothing_and_holds_no_part_of_a_request(
    octets: bytes, expected: tuple[bool, bool]
) -> None:
    connection = idle() if expected[0] else connect()
    if octets:
        connection.receive(octets)
    assert (connection.is_quiet, connection.may_park) == (expected[1], False)


def test_idle_connection_may_park() -> None:
    assert idle().may_park


def test_refused_connection_says_so() -> None:
    connection = connect()
    before = connection.is_refused
    connection.add_facts(REFUSED)
    assert (before, connection.is_refused) == (False, True)


@pytest.mark.parametrize(
    ("octets", "may_move"),
    [(GET, True), (GET + GET, False), (GET + b"G", False), (post(b"ok", b"Content-Length: 2"), True)],
)
def test_connection_that_was_served_may_move_unless_more_has_arrived(octets: bytes, may_move: bool) -> None:
    """An announced close would leave a request without an answer that is here already."""
    first = begun(octets)
    again = begun(octets, idle())
    assert (first.may_move, again.may_move) == (False, may_move)

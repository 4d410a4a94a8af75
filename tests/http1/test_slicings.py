"""Runs every row of `cases` whole, octet by octet, in threes, and with another request after it: the outcome is the same."""

import pytest

from bide.errors import Rejected
from bide.http1.head import read_head
from bide.terms import CloseReason, State
from tests.http1.cases import CASES, Case, chunked, get, post
from tests.http1.driver import GET, Seen, Server, limits, slices

TAIL = b"GET /tail HTTP/1.1\r\nHost: a\r\n\r\n"
TAIL_SEEN = Seen("GET", b"/tail", b"")
HEAD_END = b"\r\n\r\n"


def run(octets: bytes, size: int) -> Server:
    server = Server()
    for piece in slices(octets, size):
        server.receive(piece)
    return server


def rejection(case: Case) -> CloseReason:
    """Return whether it is the body of the last request that is wrong, or its head."""
    octets = case.octets
    for seen in case.requests:  # those before the wrong one; their bodies, if any, have a length
        octets = octets.partition(HEAD_END)[2].removeprefix(seen.body)
    head, end, _ = octets.removeprefix(b"\r\n").partition(HEAD_END)
    try:
        read_head(head, limits())
    except Rejected:
        return CloseReason.HEAD_REJECTED
    return CloseReason.BODY_REJECTED if end else CloseReason.HEAD_REJECTED


def expect(server: Server, requests: list[Seen], case: Case) -> None:
    connection = server.connection
    assert server.answered == requests
    answers = server.answers()
    statuses = [answer.status for answer in answers]
    contents = [answer.content for answer in answers[: len(requests)]]
    assert contents == [b"" if seen.method == "HEAD" else b"ok" for seen in requests]
    if case.status:
        assert statuses == [200] * len(requests) + [case.status]
        assert connection.reason is rejection(case)
        assert connection.detail
    else:
        assert statuses == [200] * len(requests)
        assert not connection.detail
    if case.status or not case.persists:
        assert connection.state is State.CLOSING
        assert answers[-1].says_close
        answers.pop()
    else:
        assert connection.state is State.IDLE
        assert connection.reason is None
    assert not any(answer.says_close for answer in answers)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
@pytest.mark.parametrize("size", [1, 3, 1 << 20], ids=["octets", "threes", "whole"])
def test_case_in_pieces_of_any_size_has_its_outcome(case: Case, size: int) -> None:
    expect(run(case.octets, size), list(case.requests), case)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case_with_a_request_after_it_has_its_outcome(case: Case) -> None:
    """The octets after a request change nothing about it. They are served only if the connection persists."""
    requests = list(case.requests)
    if case.persists and not case.status:
        requests.append(TAIL_SEEN)
    expect(run(case.octets + TAIL, 1 << 20), requests, case)


def test_case_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


MESSAGE = b"POST /path HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX: a b\r\n\r\n"


@pytest.mark.parametrize("octet", [b"\r", b"\n", b"\x00", b"\x0b", b"\x0c", b"\x7f", b"\x1c"])
@pytest.mark.parametrize("size", [1, 1 << 20], ids=["octets", "whole"])
def test_control_octet_anywhere_in_a_head_is_refused(octet: bytes, size: int) -> None:
    for place in range(len(MESSAGE)):
        broken = MESSAGE[:place] + octet + MESSAGE[place:] + b"\r\n\r\n"
        if broken.startswith(MESSAGE):
            continue  # the same as after it
        server = run(broken, size)
        assert server.answered == [], broken
        assert [answer.status for answer in server.answers()] == [400], broken


CHUNKED = chunked(b"5;a=b\r\nhello\r\n0\r\nX: a\r\n\r\n")
CHUNKED_HEAD = CHUNKED.index(b"\r\n\r\n") + 4
CHUNK_DATA = CHUNKED.index(b"hello")


@pytest.mark.parametrize("octet", [b"\r", b"\n", b"\x00", b"\x0b", b"\x7f"])
@pytest.mark.parametrize("size", [1, 1 << 20], ids=["octets", "whole"])
def test_control_octet_anywhere_in_a_chunked_body_is_refused(octet: bytes, size: int) -> None:
    """Within the data too: it shifts what follows."""
    for place in range(CHUNKED_HEAD, len(CHUNKED)):
        broken = CHUNKED[:place] + octet + CHUNKED[place:] + b"\r\n\r\n"
        if broken.startswith(CHUNKED):
            continue  # the same as after it
        server = run(broken, size)
        assert server.answered == [], broken
        assert [answer.status for answer in server.answers()] == [400], broken


WHOLE = [GET, get(b"X: a"), post(b"hello", b"Content-Length: 5"), CHUNKED]


@pytest.mark.parametrize("octets", WHOLE)
def test_request_cut_anywhere_is_not_served(octets: bytes) -> None:
    """8: cut anywhere and ended, it is incomplete; nothing of it is served."""
    for end in range(1, len(octets)):
        server = run(octets[:end], 1 << 20)
        assert server.answered == []
        assert server.answers() == []
        server.receive_eof()
        assert server.answered == []
        assert server.connection.reason is CloseReason.CLIENT_INCOMPLETE
        assert server.connection.state is State.CLOSING


@pytest.mark.parametrize("octets", WHOLE)
def test_request_in_two_pieces_is_served_whole(octets: bytes) -> None:
    body = b"hello" if octets.startswith(b"POST") else b""
    for end in range(len(octets) + 1):
        server = Server()
        server.receive(octets[:end])
        server.receive(octets[end:] + TAIL)
        assert len(server.answered) == 2, end
        assert server.answered[1] == TAIL_SEEN
        assert server.answered[0].body == body
        server.receive_eof()
        assert server.connection.reason is CloseReason.CLIENT_EOF_IDLE

"""Octets that belong to no request: they neither disarm nor extend a clock (2.2, 9.5), nor spoil the last answer (9.6).

1. After a response the client sends a CR, a CRLF, or many CRLFs, none of which begins a request: the idle clock runs on as it was.
2. It sends an octet that begins a request head, and nothing more: from then on the head clock runs, once, and it is answered 408.
3. The octet comes in one segment with the request, after its end: the same.
4. A client that drips such octets without end gains nothing.
5. The head that follows an empty line is served, whatever the pieces.
6. After the last request of a connection, by `Connection: close` or HTTP/1.0, come more octets, such as the empty line that old clients
   send after a body, while the answer is on its way to a client with small buffers. Had the server closed for good by then, its kernel
   would answer with a reset, and drop what it had not sent. So the server lingers: the client reads the whole answer, then a FIN.
"""

import time

import pytest

from tests.support.apps import Message, Receive, Send, answer, hello, read_body
from tests.support.client import request
from tests.support.server import NOISE, Serve
from tests.support.waiting import pause

CLOCK = 0.3
SIZE = 1_000_000


async def large(scope: Message, receive: Receive, send: Send) -> None:
    await read_body(receive)
    await answer(send, bytes(SIZE))


@pytest.mark.parametrize("stray", [b"\r", b"\r\n", b"\r\n" * 20, b"\r\n\r"])
@pytest.mark.parametrize("at_once", [True, False])
def test_empty_line_after_a_response_leaves_the_idle_clock_alone(serve: Serve, stray: bytes, at_once: bool) -> None:
    server = serve(hello, timeout_idle=CLOCK, timeout_head=30.0)
    with server.client() as client:
        started = time.monotonic()
        client.send(request() + (stray if at_once else b""))
        assert not client.response().says_close
        if not at_once:
            pause(CLOCK / 2)
            client.send(stray)
        ending = client.ending()
        assert (ending.how, ending.rest) == ("fin", b"")
        assert CLOCK <= ending.at - started <= CLOCK + NOISE
    assert server.ends() == {"idle_timeout": 1}


@pytest.mark.parametrize("at_once", [True, False])
def test_octet_after_a_response_starts_the_head_clock(serve: Serve, at_once: bool) -> None:
    server = serve(hello, timeout_idle=30.0, timeout_head=CLOCK)
    with server.client() as client:
        started = time.monotonic()
        client.send(request() + (b"G" if at_once else b""))
        assert not client.response().says_close
        if not at_once:
            started = time.monotonic()
            client.send(b"G")
        response = client.response()
        assert (response.status, response.says_close) == (408, True)
        ending = client.ending()
        assert ending.how == "fin"
        assert CLOCK <= ending.at - started <= CLOCK + NOISE
    assert server.ends() == {"head_timeout": 1}


@pytest.mark.parametrize(("octet", "reason"), [(b"\r\n", "idle_timeout"), (b"x", "head_timeout")])
def test_octets_dripped_after_a_response_gain_no_time(serve: Serve, octet: bytes, reason: str) -> None:
    server = serve(hello, timeout_idle=CLOCK, timeout_head=CLOCK)
    with server.client() as client:
        started = time.monotonic()
        client.get()
        while client.silent_for(0.05):
            client.send(octet)
            assert time.monotonic() - started < 2 * CLOCK + NOISE
        assert time.monotonic() - started >= CLOCK
        rest = client.ending().rest
        assert rest.startswith(b"HTTP/1.1 408") == (reason == "head_timeout")
    assert server.ends() == {reason: 1}


@pytest.mark.parametrize("cut", range(1, 6))
def test_request_after_an_empty_line_is_served(serve: Serve, cut: int) -> None:
    server = serve(hello)
    octets = b"\r\n" + request("/second")
    with server.client() as client:
        client.send(request() + octets[:cut])
        client.response()
        pause(0.05)  # the rest comes in a read of its own
        client.send(octets[cut:])
        assert client.response().content == b"hello\n"
    assert server.ends() == {"client_eof_idle": 1}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("POST / HTTP/1.0", "client_http10"),
        ("POST / HTTP/1.1\r\nHost: a\r\nConnection: close", "client_close_option"),
    ],
)
@pytest.mark.parametrize("after", [CLOCK / 3, 3 * CLOCK], ids=["soon", "later than the linger clock"])
def test_octets_after_the_last_request_leave_its_answer_whole(
    serve: Serve, line: str, reason: str, after: float
) -> None:
    server = serve(large, timeout_linger=CLOCK)
    with server.client(receive_buffer=4096) as client:
        client.send(f"{line}\r\nContent-Length: 3\r\n\r\nabc".encode())
        pause(after)
        client.send(b"\r\n")
        pause(CLOCK / 3)  # for a reset to come, if the server had closed
        response = client.response()
        assert response.says_close
        assert len(response.content) == SIZE
        assert client.ending().how == "fin"
    assert server.ends() == {reason: 1}


def test_client_that_reads_nothing_of_the_last_answer_is_closed_at_the_linger_total(serve: Serve) -> None:
    """The linger has a bound in all, whatever is unread."""
    server = serve(large, timeout_linger=CLOCK, timeout_linger_total=2 * CLOCK)
    with server.client(receive_buffer=4096) as client:
        began = time.monotonic()
        client.ask("/", "Connection: close")
        assert server.ends(wait=False) == {}
        server.until(lambda: server.counters.opened and not server.open)
        assert 2 * CLOCK <= time.monotonic() - began <= 2 * CLOCK + NOISE
    assert server.ends() == {"client_close_option": 1}

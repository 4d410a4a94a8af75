"""A stray octet after a response neither disarms nor extends a clock (2.2, 9.5).

1. After a response the client sends a CR, a CRLF, or many CRLFs, none of which begins a request: the idle clock runs on as it was.
2. It sends an octet that begins a request head, and nothing more: from then on the head clock runs, once, and it is answered 408.
3. The octet comes with the request, behind its end: the same.
4. A client that drips such octets without end gains nothing.
5. The head that follows an empty line is served, whatever the pieces.
"""

import time

import pytest

from tests.support.apps import hello
from tests.support.client import request
from tests.support.server import NOISE, Serve

CLOCK = 0.3
EARLY = 0.02


@pytest.mark.parametrize("stray", [b"\r", b"\r\n", b"\r\n" * 20, b"\r\n\r"])
@pytest.mark.parametrize("at_once", [True, False])
def test_no_request_begins(serve: Serve, stray: bytes, at_once: bool) -> None:
    server = serve(hello, timeout_idle=CLOCK, timeout_head=30.0)
    with server.client() as client:
        client.send(request() + (stray if at_once else b""))
        assert not client.response().says_close
        started = time.monotonic()
        if not at_once:
            time.sleep(CLOCK / 2)
            client.send(stray)
        ending = client.ending()
        assert (ending.how, ending.rest) == ("fin", b"")
        assert CLOCK - EARLY <= ending.at - started <= CLOCK + NOISE
    assert server.ends() == {"idle_timeout": 1}


@pytest.mark.parametrize("at_once", [True, False])
def test_a_head_begins(serve: Serve, at_once: bool) -> None:
    server = serve(hello, timeout_idle=30.0, timeout_head=CLOCK)
    with server.client() as client:
        client.send(request() + (b"G" if at_once else b""))
        assert not client.response().says_close
        started = time.monotonic()
        if not at_once:
            client.send(b"G")
        response = client.response()
        assert (response.status, response.says_close) == (408, True)
        ending = client.ending()
        assert ending.how == "fin"
        assert CLOCK - EARLY <= ending.at - started <= CLOCK + NOISE
    assert server.ends() == {"head_timeout": 1}


@pytest.mark.parametrize(("octet", "reason"), [(b"\r\n", "idle_timeout"), (b"x", "head_timeout")])
def test_dripping_gains_nothing(serve: Serve, octet: bytes, reason: str) -> None:
    server = serve(hello, timeout_idle=CLOCK, timeout_head=CLOCK)
    with server.client() as client:
        client.get()
        started = time.monotonic()
        while client.silent_for(0.05):
            client.send(octet)
            assert time.monotonic() - started < 2 * CLOCK + NOISE
        assert time.monotonic() - started >= CLOCK - EARLY
        rest = client.ending().rest
        assert rest.startswith(b"HTTP/1.1 408") == (reason == "head_timeout")
    assert server.ends() == {reason: 1}


@pytest.mark.parametrize("cut", range(1, 6))
def test_request_behind_an_empty_line(serve: Serve, cut: int) -> None:
    server = serve(hello, timeout_idle=CLOCK)
    octets = b"\r\n" + request("/second")
    with server.client() as client:
        client.send(request() + octets[:cut])
        client.response()
        time.sleep(0.05)
        client.send(octets[cut:])
        assert client.response().content == b"hello\n"
    assert server.ends() == {"client_eof_idle": 1}

"""Requests that are sent without waiting are answered in their order, one at a time (9.3.2).

1. The client sends many requests in one go, with and without bodies, cut at any place.
2. Some answers come at once, others late: no answer overtakes another, and no two applications run at once.
3. A request after one that says `close` is not processed, and bad octets after it do not spoil the answer.
4. A bad request after good ones: the good ones get their answers first.
"""

import asyncio
import random
import threading

import pytest

from tests.support.apps import Message, Receive, Send, answer, read_body, slow, target
from tests.support.client import chunked, request
from tests.support.server import Serve


class OneAtATime:
    """Answers with what it got, sometimes at once, sometimes late; fails if it is called while it runs."""

    def __init__(self) -> None:
        self.running = 0
        self.random = random.Random(9)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        assert not self.running
        self.running += 1
        body = await read_body(receive)
        if self.random.random() < 0.3:
            await asyncio.sleep(self.random.random() / 200)
        content = scope["path"].encode() + b" " + body
        if self.random.random() < 0.3:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for octet in content:
                await send({"type": "http.response.body", "body": bytes([octet]), "more_body": True})
            self.running -= 1
            await send({"type": "http.response.body"})
        else:
            self.running -= 1
            await answer(send, content)


def mixed(count: int) -> tuple[bytes, list[bytes]]:
    octets, answers = b"", []
    for number in range(count):
        body = b"%d," % number * (number % 7)
        if number % 3 == 0:
            octets += request(f"/{number}")
            body = b""
        elif number % 3 == 1:
            octets += request(f"/{number}", method="POST", body=body)
        else:
            octets += request(f"/{number}", "Transfer-Encoding: chunked", method="POST")
            octets += chunked(body[:3], body[3:]) if len(body) > 3 else chunked(*([body] if body else []))
        answers.append(b"/%d " % number + body)
    return octets, answers


@pytest.mark.parametrize("size", [7, 100, 1 << 20])
def test_pipelined_requests_are_answered_in_order(serve: Serve, size: int) -> None:
    server = serve(OneAtATime())
    octets, answers = mixed(300)
    with server.client() as client:

        def send() -> None:
            for start in range(0, len(octets), size):
                client.send(octets[start : start + size])

        sender = threading.Thread(target=send)
        sender.start()
        assert [client.response().content for _ in answers] == answers
        sender.join()
    assert server.ends() == {"client_eof_idle": 1}


def test_pipelined_requests_by_the_thousand_are_answered(serve: Serve) -> None:
    server = serve(target)
    with server.client() as client:
        sender = threading.Thread(target=lambda: client.send(b"".join(request(f"/{n}") for n in range(5000))))
        sender.start()
        for number in range(5000):
            assert client.response().content == b"/%d" % number
        sender.join()
    assert server.ends() == {"client_eof_idle": 1}


def test_pipelined_head_request_is_answered_without_content(serve: Serve) -> None:
    server = serve(target)
    with server.client() as client:
        client.send(request("/1") + request("/2", method="HEAD") + request("/3"))
        assert client.response().content == b"/1"
        response = client.response("HEAD")
        assert response["content-length"] == "2"
        assert client.response().content == b"/3"
    assert server.ends() == {"client_eof_idle": 1}


@pytest.mark.parametrize("after", [request("/late"), b"\0\1rubbish\r\n\r\n", b"GET", bytes(100_000)])
def test_octets_after_a_request_with_close_are_not_served(serve: Serve, after: bytes) -> None:
    seen: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        seen.append(scope["path"])
        await asyncio.sleep(0.05)
        await answer(send, bytes(100_000))

    server = serve(app)
    with server.client() as client:
        client.send(request("/last", "Connection: close") + after)
        response = client.response()
        assert response.says_close
        assert len(response.content) == 100_000
        ending = client.ending()
        assert (ending.how, ending.rest) == ("fin", b"")
    assert server.ends() == {"client_close_option": 1}
    assert seen == ["/last"]


@pytest.mark.parametrize("late", [False, True])
def test_bad_request_after_good_ones_lets_them_be_answered(serve: Serve, late: bool) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if late:
            await asyncio.sleep(0.02)
        await target(scope, receive, send)

    server = serve(app)
    with server.client() as client:
        client.send(request("/1") + request("/2") + b"GET / HTTP/1.1\r\nHost: a\r\nBad : field\r\n\r\n" + request("/3"))
        assert client.response().content == b"/1"
        assert client.response().content == b"/2"
        response = client.response()
        assert response.status == 400
        assert response.says_close
        ending = client.ending()
        assert (ending.how, ending.rest) == ("fin", b"")
    assert server.ends() == {"head_rejected": 1}


def test_pipelined_requests_by_the_thousand_let_others_have_their_turn(serve: Serve) -> None:
    """Another client with a single request does not wait until the thousands are done."""
    server = serve(target)
    many = 20_000
    with server.client() as greedy, server.client() as modest:
        finished = threading.Event()

        def read() -> None:
            for _ in range(many):
                greedy.response()
            finished.set()

        reader = threading.Thread(target=read)
        sender = threading.Thread(target=lambda: greedy.send(request("/greedy") * many))
        reader.start()
        sender.start()
        assert modest.get("/modest").content == b"/modest"
        assert not finished.is_set()
        reader.join()
        sender.join()
    assert server.ends() == {"client_eof_idle": 2}


def test_response_before_a_slow_one_leaves_at_once(serve: Serve) -> None:
    """A response does not wait for the next one, which may take its time."""
    gate = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/wait":
            await gate.wait()
        await slow(scope, receive, send)

    server = serve(app)
    with server.client() as client:
        for first in ("/0", "/0.05"):
            client.send(request(first) + request("/wait"))
            assert client.response().status == 200
            server.call(gate.set)
            assert client.response().content == b"hello\n"
            server.call(gate.clear)
    assert server.ends() == {"client_eof_idle": 1}

"""A client that says it will send no more still gets its answers (9.6).

1. The client sends a request and shuts its sending side at once.
2. The application takes its time.
3. The answer arrives in full and announces close, for nothing can follow; then a FIN.

The same with pipelined requests, with a body, and where the end comes too early: within a head, or within a body.
"""

import asyncio

import pytest

from tests.support.apps import Message, Receive, Send, answer, read_body, slow, target
from tests.support.client import chunked, request
from tests.support.server import Serve


def test_half_close_after_a_request_is_answered(serve: Serve) -> None:
    server = serve(slow)
    with server.client() as client:
        client.ask("/0.3")
        client.half_close()
        response = client.response()
        assert response.content == b"late\n"
        assert response.says_close
        assert client.ending().how == "fin"
    assert server.ends() == {"client_half_closed": 1}


def test_half_close_during_an_exchange_is_answered(serve: Serve) -> None:
    server = serve(slow)
    with server.client() as client:
        client.ask("/0.3")
        server.until(lambda: server.states()["exchange"])
        client.half_close()
        assert client.response().content == b"late\n"
        assert client.ending().how == "fin"
    assert server.ends() == {"client_half_closed": 1}


def test_half_close_after_pipelined_requests_lets_all_be_answered(serve: Serve) -> None:
    gate = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await target(scope, receive, send)

    server = serve(app)
    with server.client() as client:
        client.send(b"".join(request(f"/{number}") for number in range(50)))
        client.half_close()
        server.await_client_eof()
        server.call(gate.set)
        responses = [client.response() for _ in range(50)]
        assert [response.content for response in responses] == [b"/%d" % number for number in range(50)]
        assert [response.says_close for response in responses] == [False] * 49 + [True]
        assert client.ending().how == "fin"
    assert server.ends() == {"client_half_closed": 1}


@pytest.mark.parametrize(
    ("octets", "body"),
    [
        (request(method="POST", body=b"x" * 100_000), b"x" * 100_000),
        (request("/", "Transfer-Encoding: chunked", method="POST") + chunked(b"one", b"two"), b"onetwo"),
    ],
    ids=["length", "chunked"],
)
def test_half_close_after_a_body_is_answered(serve: Serve, octets: bytes, body: bytes) -> None:
    gate = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        content = await read_body(receive)
        await gate.wait()
        await answer(send, content)

    server = serve(app)
    with server.client() as client:
        client.send(octets)
        client.half_close()
        server.await_client_eof()
        server.call(gate.set)
        response = client.response()
        assert (response.content, response.says_close) == (body, True)
        assert client.ending().how == "fin"
    assert server.ends() == {"client_half_closed": 1}


def test_half_close_within_a_head_ends_as_incomplete(serve: Serve) -> None:
    server = serve(target)
    with server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: loc")
        client.half_close()
        ending = client.ending()
    assert ending.how == "fin"
    assert server.ends() == {"client_incomplete": 1}


def test_half_close_within_a_second_head_lets_the_first_be_answered(serve: Serve) -> None:
    server = serve(target)
    with server.client() as client:
        client.send(request("/whole") + b"GET /half HTT")
        client.half_close()
        assert client.response().content == b"/whole"
        assert client.ending().how == "fin"
    assert server.ends() == {"client_incomplete": 1}


def test_half_close_within_a_body_is_answered_400_and_told(serve: Serve) -> None:
    seen: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            seen.append(message["type"])
            if message["type"] == "http.disconnect":
                return

    server = serve(app)
    with server.client() as client:
        client.send(request("/", "Content-Length: 100", method="POST") + b"x" * 50)
        client.half_close()
        response = client.response()
        assert response.status == 400
        assert response.says_close
        assert client.ending().how == "fin"
    assert server.ends() == {"client_incomplete": 1}
    assert seen[-1] == "http.disconnect"


def test_half_close_during_a_response_lets_it_complete(serve: Serve) -> None:
    """The response is completed."""
    gate = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(10):
            await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
            await gate.wait()
        await send({"type": "http.response.body"})

    server = serve(app)
    with server.client() as client:
        client.ask()
        client.line()
        client.half_close()
        server.await_client_eof()
        server.call(gate.set)
        client.field_lines()
        body = client.ending().rest
    assert body.count(b"x") == 10_000
    assert body.endswith(b"0\r\n\r\n")
    assert server.ends() == {"client_half_closed": 1}


def test_half_close_of_an_idle_connection_ends_it(serve: Serve) -> None:
    server = serve(target)
    with server.client() as client:
        client.get()
        client.half_close()
        assert client.ending().how == "fin"
    with server.client() as client:
        client.half_close()
        assert client.ending().how == "fin"
    assert server.ends() == {"client_eof_idle": 1, "client_eof_unused": 1}


def test_half_close_after_an_http_1_0_request_is_answered(serve: Serve) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, await read_body(receive), 200)

    server = serve(app)
    with server.client() as client:
        client.send(b"POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc")
        client.half_close()
        assert client.response().content == b"abc"
        assert client.ending().how == "fin"
    assert server.ends() == {"client_http10": 1}

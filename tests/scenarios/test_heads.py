"""The head of a response waits for its first content in one pass of the event loop, no longer.

1. The application hands over a head, and content later: the head comes at once.
2. Head and content in one pass leave in one write, so that an ordinary answer is one segment; and what fails in that pass is a 500.
"""

import asyncio
import threading
import time
from typing import Any, Final

import pytest
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

from bide.transport import stream
from tests.support.apps import Message, Receive, Send, answer
from tests.support.client import request
from tests.support.server import Serve

# How many times a response that is one write is asked for.
TIMES: Final = 20


class Gate:
    """An event that a test sets in the server's loop."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.reached = threading.Event()

    async def pass_through(self) -> None:
        self.reached.set()
        await self.event.wait()


async def start(send: Send, *fields: tuple[bytes, bytes], status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(fields)})


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is handed to the wire, write by write."""
    if not (stream.__file__ or "").endswith(".py"):
        pytest.skip("compiled code calls the method that it knows")
    found: list[bytes] = []
    write = stream.SocketWire.write

    def record(self: stream.SocketWire, data: bytes) -> None:
        found.append(bytes(data))
        write(self, data)

    monkeypatch.setattr(stream.SocketWire, "write", record)
    return found


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_head_of_a_quiet_event_stream_comes_at_once(serve: Serve, method: str, version: str) -> None:
    gate = Gate()

    async def events(_request: Any) -> StreamingResponse:
        async def stream() -> Any:
            await gate.pass_through()
            yield b"data: first\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    server = serve(Starlette(routes=[Route("/", events, methods=["GET", "POST"])]))
    with server.client() as client:
        client.ask(method=method, version=version, body=b"some" if method == "POST" else None)
        assert client.head().status == 200
        assert not gate.event.is_set()
        server.call(gate.event.set)
        assert b"data: first\n\n" in (client.exactly(18) if version == "1.1" else client.ending().rest)


@pytest.mark.parametrize("declared", [True, False])
def test_head_and_content_in_one_pass_are_one_write(serve: Serve, writes: list[bytes], declared: bool) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if declared:
            await answer(send, b"hello\n")
            return
        await start(send)
        await send({"type": "http.response.body", "body": b"hel", "more_body": True})
        await send({"type": "http.response.body", "body": b"lo\n"})

    server = serve(app)
    with server.client() as client:
        for _ in range(TIMES):
            assert client.get().content == b"hello\n"
    with_head = [octets for octets in writes if octets.startswith(b"HTTP/1.1 200")]
    assert len(with_head) == TIMES
    assert all(b"hel" in octets for octets in with_head)
    if declared:
        assert len(writes) == TIMES


def test_answer_is_one_segment(serve: Serve) -> None:
    """Of what one `recv` returns, nothing that was written later can be part, unless the client is slow: then it is no less."""
    server = serve(lambda scope, receive, send: answer(send, b"hello\n"))
    with server.client() as client:
        for _ in range(TIMES):
            client.ask()
            assert client.sock.recv(1 << 16).endswith(b"\r\n\r\nhello\n")


@pytest.mark.parametrize("status", [200, 204])
def test_failure_in_the_pass_of_the_head_is_answered_500(serve: Serve, status: int) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await start(send, status=status)
        raise ValueError("a bug of the application")

    server = serve(app)
    server.log.expect("the application failed")
    with server.client() as client:
        for _ in range(3):
            response = client.get()
            assert (response.status, response.content) == (500, b"Internal Server Error\n")
    assert server.ends() == {"client_eof_idle": 1}


def test_failure_after_the_pass_of_the_head_is_a_cut(serve: Serve) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await start(send)
        await asyncio.sleep(0.05)
        raise ValueError("a bug of the application")

    server = serve(app)
    server.log.expect("the application failed")
    with server.client() as client:
        client.ask()
        assert client.head().status == 200
        assert client.ending().rest == b""
    assert server.ends() == {"response_incomplete": 1}


@pytest.mark.parametrize("passes", [1, 2, 10])
@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_response_with_passes_between_head_and_content_is_whole(
    serve: Serve, version: str, declared: bool, passes: int
) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await start(send, *([(b"content-length", b"6")] if declared else []))
        for _ in range(passes):
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"hel", "more_body": True})
        for _ in range(passes):
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"lo\n"})

    server = serve(app)
    for _ in range(3):
        with server.client() as client:
            assert client.get(version=version).content == b"hello\n"


def test_early_response_is_followed_by_no_continue(serve: Serve) -> None:
    """The head leaves while the client still waits for 100: an interim response cannot follow it."""
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await start(send, status=200)
        await gate.pass_through()
        await receive()
        await send({"type": "http.response.body", "body": b"done"})

    server = serve(app)
    with server.client() as client:
        client.ask("/", "Expect: 100-continue", "Content-Length: 4", method="POST")
        assert client.head().status == 200
        server.call(gate.event.set)
        client.send(b"body")
        assert (client.line(), client.line()) == (b"4", b"done")


def test_continue_that_was_asked_for_in_the_pass_of_the_head_comes_before_it(serve: Serve) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await start(send)
        body = (await receive())["body"]
        await send({"type": "http.response.body", "body": body})

    server = serve(app)
    with server.client() as client:
        client.ask("/", "Expect: 100-continue", "Content-Length: 4", method="POST")
        assert client.head().status == 100
        assert client.head().status == 200
        client.send(b"body")
        assert (client.line(), client.line()) == (b"4", b"body")


def test_interim_response_comes_before_the_head_that_waits(serve: Serve) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
        await start(send)
        await gate.pass_through()
        await send({"type": "http.response.body", "body": b"late"})

    server = serve(app)
    with server.client() as client:
        client.ask()
        assert client.head().status == 103
        assert client.head().status == 200
        server.call(gate.event.set)
        assert (client.line(), client.line()) == (b"4", b"late")


def test_pipelined_requests_are_answered_in_order_if_the_first_head_is_alone(serve: Serve) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await start(send)
        if scope["path"] == "/0":
            await gate.pass_through()
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    server = serve(app)
    with server.client() as client:
        client.send(b"".join(request(f"/{number}") for number in range(5)))
        assert client.head().status == 200
        assert client.silent_for(0.05)
        server.call(gate.event.set)
        assert (client.line(), client.line(), client.line(), client.line()) == (b"2", b"/0", b"0", b"")
        for number in range(1, 5):
            assert client.response().content == b"/%d" % number
    assert server.ends() == {"client_eof_idle": 1}


def test_many_heads_of_one_pass_all_leave(serve: Serve) -> None:
    """The loop is blocked while the requests arrive, so that all heads are of one pass; some of their clients have gone."""
    gates = 30
    go = threading.Event()
    began = threading.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/block":
            began.set()
            assert go.wait(10)
            await answer(send, b"unblocked")
            return
        await start(send)
        await receive()
        await receive()

    server = serve(app, timeout_half_closed=0.05)
    clients = [server.client() for _ in range(gates)]
    server.until(lambda: server.counters.opened == gates)
    with server.client() as blocker:
        blocker.ask("/block")
        assert began.wait(5)
        for client in clients:
            client.ask("/")
        for client in clients[::3]:
            client.reset()
        go.set()
        assert blocker.response().content == b"unblocked"
    for number, client in enumerate(clients):
        if number % 3:
            assert client.head().status == 200
            client.close()
    server.ends()


def test_head_is_not_released_for_a_client_that_has_gone(serve: Serve) -> None:
    """No error, and no octet: the connection is lost in the pass in which the head is held."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        time.sleep(0.1)  # noqa: ASYNC251  # the reset arrives meanwhile
        await start(send)
        await receive()
        while (await receive())["type"] != "http.disconnect":
            pass

    server = serve(app)
    for _ in range(5):
        with server.client() as client:
            client.ask()
            client.reset()
    assert sum(server.ends().values()) == 5


def test_released_head_has_its_framing_fields(serve: Serve) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await start(send, *([(b"content-length", b"4")] if scope["path"] == "/length" else []))
        await asyncio.sleep(0.05)
        await send({"type": "http.response.body", "body": b"late"})

    server = serve(app)
    with server.client() as client:
        response = client.get("/length")
        assert response.all("content-length") == ["4"]
        assert response.all("transfer-encoding") == []
        response = client.get("/chunks")
        assert response.all("transfer-encoding") == ["chunked"]
        assert response.chunks == [b"late"]
        assert len(response.all("date")) == 1

"""A response that was cut short never looks whole, to a client that half-closed and reads on (8).

1. The client sends a request, shuts its sending side, and reads.
2. After `--timeout-half-closed` the application is told that the client has left, and ends its response politely: Starlette's
   `BaseHTTPMiddleware` stops the stream within, and sends the empty last body.
3. Without a declared length that would look whole. So the connection ends without the last chunk, with the reason `client_left`.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from tests.support.apps import App, Message, Receive, Send
from tests.support.client import Client
from tests.support.server import Serve

# More than any test reads, and a pause that is long beside the half-close clock of these servers.
ROWS = 50
PAUSE = 0.1
HALF_CLOSED = 0.05

LAST_CHUNK = b"0\r\n\r\n"


async def rows() -> AsyncIterator[bytes]:
    for number in range(ROWS):
        yield b"row %d\n" % number
        await asyncio.sleep(PAUSE)


def behind_middleware(delay: float, **options: Any) -> App:
    """Stream rows behind a middleware, after a delay."""

    async def export(_request: Any) -> StreamingResponse:
        await asyncio.sleep(delay)
        return StreamingResponse(rows(), **options)

    async def nothing(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    return Starlette(routes=[Route("/", export)], middleware=[Middleware(BaseHTTPMiddleware, dispatch=nothing)])


def half_closed(client: Client, version: str = "1.1") -> Client:
    client.ask(version=version)
    client.half_close()
    return client


def test_stream_behind_a_middleware_that_is_told_of_a_half_close_is_cut(serve: Serve) -> None:
    server = serve(behind_middleware(0.0), timeout_half_closed=HALF_CLOSED)
    with half_closed(server.client()) as client:
        ending = client.ending()
    assert b"row 0\n" in ending.rest
    assert b"row %d\n" % (ROWS - 1) not in ending.rest
    assert not ending.rest.endswith(LAST_CHUNK)
    assert server.ends() == {"client_left": 1}


def test_stream_that_is_delimited_by_its_end_ends_with_a_reset(serve: Serve) -> None:
    server = serve(behind_middleware(0.0), timeout_half_closed=HALF_CLOSED)
    with half_closed(server.client(), "1.0") as client:
        assert client.ending().how == "reset"
    assert server.ends() == {"client_left": 1}


def test_stream_that_begins_after_its_application_was_told_is_cut(serve: Serve) -> None:
    """The news came while the application still worked on its answer."""
    server = serve(behind_middleware(4 * HALF_CLOSED + 1.0), timeout_half_closed=HALF_CLOSED)
    with half_closed(server.client()) as client:
        assert not client.ending().rest.endswith(LAST_CHUNK)
    assert server.ends() == {"client_left": 1}


@pytest.mark.parametrize("pieces", [0, 1, 3])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("when", ["before_the_head", "in_the_pass_of_the_head", "after_the_head"])
def test_application_that_is_told_and_completes_a_response_without_a_length_completes_nothing(
    serve: Serve, when: str, version: str, pieces: int
) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        if when == "before_the_head":
            await receive()
        elif when == "in_the_pass_of_the_head":  # the news is there, and `receive` returns at once
            await asyncio.sleep(HALF_CLOSED + 1.0)  # no clock of the application's stops before the server's
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert await receive() == {"type": "http.disconnect"}
        for _ in range(pieces):
            await send({"type": "http.response.body", "body": b"row\n", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    server = serve(app, timeout_half_closed=HALF_CLOSED)
    with half_closed(server.client(), version) as client:
        ending = client.ending()
    assert not ending.rest.endswith(LAST_CHUNK)
    assert b"Content-Length" not in ending.rest
    assert server.ends() == {"client_left": 1}


@pytest.mark.parametrize("when", ["before_the_head", "after_the_head"])
def test_response_with_a_declared_length_is_completed_by_an_application_that_was_told(serve: Serve, when: str) -> None:
    content = b"row\n" * 3

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        length = [(b"content-length", b"%d" % len(content))]
        if when == "after_the_head":
            await send({"type": "http.response.start", "status": 200, "headers": length})
        while (await receive())["type"] != "http.disconnect":
            pass
        if when == "before_the_head":
            await send({"type": "http.response.start", "status": 200, "headers": length})
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"row\n", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    server = serve(app, timeout_half_closed=HALF_CLOSED)
    with half_closed(server.client()) as client:
        assert client.response().content == content
        assert client.ending().how == "fin"
    assert server.ends() == {"client_half_closed": 1}


def test_declared_length_that_the_stream_within_does_not_reach_is_cut(serve: Serve) -> None:
    server = serve(behind_middleware(0.0, headers={"content-length": "1000000"}), timeout_half_closed=HALF_CLOSED)
    with half_closed(server.client()) as client:
        ending = client.ending()
    assert len(ending.rest) < 1_000_000
    assert server.ends() == {"client_left": 1}


def test_answer_in_one_piece_of_an_application_that_was_told_is_whole(serve: Serve) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"whole"})

    server = serve(app, timeout_half_closed=HALF_CLOSED)
    with half_closed(server.client()) as client:
        assert client.response().content == b"whole"
        assert client.ending().how == "fin"
    assert server.ends() == {"client_half_closed": 1}


def test_answer_behind_a_middleware_whose_application_does_not_ask_is_whole(serve: Serve) -> None:
    async def late(_request: Any) -> PlainTextResponse:
        await asyncio.sleep(HALF_CLOSED + 1.0)
        return PlainTextResponse("whole")

    async def nothing(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    app = Starlette(routes=[Route("/", late)], middleware=[Middleware(BaseHTTPMiddleware, dispatch=nothing)])
    server = serve(app, timeout_half_closed=HALF_CLOSED)
    with half_closed(server.client()) as client:
        assert client.response().content == b"whole"
        assert client.ending().how == "fin"
    assert server.ends() == {"client_half_closed": 1}

"""Event streams end soon at a stop, since their clients reconnect by themselves (HTML, 9.2); all others have the drain timeout.

1. Clients listen to streams of type text/event-stream, and to others, when the server is told to stop.
2. After `--drain-streams` the applications of the event streams are told http.disconnect. Those that stop are ended in form.
3. The others go on, and are cut at `--drain-timeout`.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import StreamingResponse
from starlette.routing import Route

from tests.support.apps import App, Message, Receive, Send
from tests.support.client import Client, Ending
from tests.support.server import Serve, Served

LAST_CHUNK = b"0\r\n\r\n"

# Seconds: streams are told long before others are cut.
STREAMS = 0.2
# Timers of uvloop count whole milliseconds from the start of the pass, so they can end a little early, seconds.
EARLY = 0.01
TIMEOUT = 2.5
OPTIONS: dict[str, Any] = {"drain_streams": STREAMS, "drain_timeout": TIMEOUT}

EVENT = b"data: 1\n\n"


async def events() -> AsyncIterator[bytes]:
    while True:
        yield EVENT
        await asyncio.sleep(0.05)


def starlette(media_type: str) -> App:
    async def stream(_request: Any) -> StreamingResponse:
        return StreamingResponse(events(), media_type=media_type)

    return Starlette(routes=[Route("/", stream)])


def behind_middleware(media_type: str) -> App:
    async def stream(_request: Any) -> StreamingResponse:
        return StreamingResponse(events(), media_type=media_type)

    async def nothing(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    return Starlette(routes=[Route("/", stream)], middleware=[Middleware(BaseHTTPMiddleware, dispatch=nothing)])


def listening(media_type: str) -> App:
    """A plain application that returns when it is told, its response incomplete."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await begin(send, media_type)
        assert await receive() == {"type": "http.disconnect"}

    return app


def completing(media_type: str) -> App:
    """A plain application that says good-bye and completes its response when it is told."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await begin(send, media_type)
        assert await receive() == {"type": "http.disconnect"}
        await send({"type": "http.response.body", "body": b"data: bye\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


def failing(media_type: str) -> App:
    """A plain application whose way to end is an exception."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await begin(send, media_type)
        await receive()
        raise ConnectionAbortedError("the client has left")

    return app


def deaf(media_type: str) -> App:
    """A plain application that only sends, slowly."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await begin(send, media_type)
        while True:
            await asyncio.sleep(0.05)
            await send({"type": "http.response.body", "body": EVENT, "more_body": True})

    return app


def ignoring(media_type: str) -> App:
    """A plain application that is told, and goes on."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await begin(send, media_type)
        await receive()
        while True:
            await asyncio.sleep(0.05)
            await send({"type": "http.response.body", "body": EVENT, "more_body": True})

    return app


async def begin(send: Send, media_type: str) -> None:
    fields = [(b"content-type", media_type.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": EVENT, "more_body": True})


def opened(server: Served, version: str = "1.1") -> Client:
    """Return a client that has had the first event."""
    client = server.client()
    client.ask(version=version)
    client.head()
    if version == "1.1":
        client.line()
    assert client.exactly(len(EVENT)) == EVENT
    return client


def stopped(server: Served, client: Client) -> tuple[Ending, float]:
    """Stop the server; return how the client's connection ended, and after how many seconds."""
    begun = time.monotonic()
    server.drain()
    ending = client.ending()
    client.close()
    return ending, ending.at - begun


@pytest.mark.parametrize("app", [starlette, behind_middleware, listening, completing, failing])
def test_event_stream_that_listens_is_ended_in_form(serve: Serve, app: Any) -> None:
    server = serve(app("text/event-stream; charset=utf-8"), **OPTIONS)
    ending, seconds = stopped(server, opened(server))
    assert ending.how == "fin"
    assert ending.rest.endswith(LAST_CHUNK)
    assert (b"bye" in ending.rest) == (app is completing)
    assert STREAMS - EARLY <= seconds < TIMEOUT
    server.stop()
    assert server.explained() == [(1, "drain")]


@pytest.mark.parametrize("app", [starlette, listening, completing])
def test_connection_of_an_event_stream_that_was_ended_waits_for_no_next_request(serve: Serve, app: Any) -> None:
    """Its client reconnects, to another server: `--drain-idle` is for connections that were idle at the signal."""
    server = serve(app("text/event-stream"), drain_streams=STREAMS, drain_timeout=25.0, drain_idle=15.0)
    ending, seconds = stopped(server, opened(server))
    assert ending.rest.endswith(LAST_CHUNK)
    assert seconds < 10
    server.stop()
    assert server.explained() == [(1, "drain")]


def test_event_stream_over_http_1_0_is_ended_in_form(serve: Serve) -> None:
    server = serve(starlette("text/event-stream"), **OPTIONS)
    ending, seconds = stopped(server, opened(server, "1.0"))
    assert ending.how == "fin"
    assert STREAMS - EARLY <= seconds < TIMEOUT
    server.stop()
    assert server.explained() == [(1, "close_delimited")], "its head announced it before the stop"


@pytest.mark.parametrize("app", [deaf, ignoring])
def test_event_stream_that_goes_on_is_cut_at_the_drain_timeout(serve: Serve, app: Any) -> None:
    server = serve(app("text/event-stream"), **OPTIONS)
    server.log.expect("1 unfinished connections closed at the drain timeout")
    ending, seconds = stopped(server, opened(server))
    assert not ending.rest.endswith(LAST_CHUNK)
    assert seconds >= TIMEOUT
    server.stop()
    assert server.explained() == [(1, "drain_deadline")]


@pytest.mark.parametrize("media_type", ["text/plain", "text/event-streams", "application/x-ndjson"])
def test_other_stream_has_the_drain_timeout(serve: Serve, media_type: str) -> None:
    server = serve(starlette(media_type), **OPTIONS)
    server.log.expect("1 unfinished connections closed at the drain timeout")
    ending, seconds = stopped(server, opened(server))
    assert not ending.rest.endswith(LAST_CHUNK)
    assert seconds >= TIMEOUT
    server.stop()
    assert server.explained() == [(1, "drain_deadline")]


def test_event_stream_that_begins_during_the_drain_is_told_too(serve: Serve) -> None:
    """The client's connection is idle at the signal, and may ask once more."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        if scope["path"] == "/":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
            return
        await begin(send, "text/event-stream")
        assert await receive() == {"type": "http.disconnect"}

    server = serve(app, drain_streams=0.0, drain_timeout=20.0, drain_idle=10.0)
    with server.client() as client:
        client.get("/")
        server.drain()
        server.until(lambda: server.log.messages(name="bide") and server.server.worker.context.facts != 0)
        begun = time.monotonic()
        client.ask("/events")
        ending = client.ending()
        assert ending.rest.endswith(LAST_CHUNK)
        assert b"Connection: close" in ending.rest
        assert ending.at - begun < 15
    server.stop()
    assert server.explained() == [(2, "drain")]


def test_event_stream_whose_client_reads_nothing_holds_the_stop_for_the_drain_timeout_at_most(serve: Serve) -> None:
    """Its application is told while `send` waits for the client; what was written cannot leave."""
    closed: list[bool] = []

    async def stream(_request: Any) -> StreamingResponse:
        async def generate() -> AsyncIterator[bytes]:
            task = asyncio.current_task()
            try:
                while True:
                    yield b"data: " + b"x" * 100_000 + b"\n\n"
                    await asyncio.sleep(0)
            finally:
                closed.append(asyncio.current_task() is task)

        return StreamingResponse(generate(), media_type="text/event-stream")

    server = serve(Starlette(routes=[Route("/", stream)]), **OPTIONS)
    server.log.expect("1 unfinished connections closed at the drain timeout")
    with server.client(receive_buffer=4096) as client:
        client.ask()
        server.until(lambda: any(session.is_unfinished for session in server.server.worker.register))
        register = server.server.worker.register
        server.until(lambda: any(session.is_write_paused for session in register))  # type: ignore[attr-defined]
        begun = time.monotonic()
        server.drain()
        server.until(lambda: closed == [True], timeout=TIMEOUT)
        server.stop()
        assert (
            time.monotonic() - begun >= TIMEOUT - 0.5
        )  # the deadline counts from the drain, which may have begun before


def test_response_after_an_event_stream_that_was_told_is_none(serve: Serve) -> None:
    """A pipelined request behind a stream that ends with the server is not begun: the connection announces no more, and ends."""
    begun: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        begun.append(scope["path"])
        await receive()
        await begin(send, "text/event-stream")
        with contextlib.suppress(asyncio.CancelledError):
            await receive()

    server = serve(app, **OPTIONS)
    with server.client() as client:
        client.ask("/first")
        client.head()
        client.ask("/second")
        server.drain()
        ending = client.ending()
        assert ending.rest.count(LAST_CHUNK) >= 1
    server.stop()
    assert [reason for _, reason in server.explained()] == ["drain"]

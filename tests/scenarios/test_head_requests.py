"""HEAD, 204 and 304: the response is complete with its head, whatever the application still has to send (RFC 9110, 9.3.2).

1. The client sends HEAD for something whose application streams, for ever or for long.
2. The head comes, and the connection goes on: the next request is answered at once.
3. The application hears http.disconnect. What it still sends is ignored, and its work after the response is done.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, StreamingResponse
from starlette.routing import Route

from tests.support.apps import Message, Receive, Send, answer
from tests.support.client import request
from tests.support.server import Serve

# Sends of an application that goes on after its head: more than any number after which the server lets others run.
MANY = 200

#: Seconds for streams that do not end by themselves, at the server's stop.
BRIEF = 0.2


async def endless(scope: Message, receive: Receive, send: Send) -> None:
    """Send without end, with pauses, to `/endless`; answer anything else."""
    if scope["path"] != "/endless":
        await answer(send, b"hello\n")
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("pause", [None, 0.0, 0.05], ids=["no_pause", "a_pass", "some_time"])
@pytest.mark.parametrize("has_length", [False, True])
def test_head_of_a_long_response_leaves_the_connection_free_and_the_application_in_peace(
    serve: Serve, pause: float | None, has_length: bool
) -> None:
    """Whether the head leaves with its content or before it, what follows is no error."""
    done: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["method"] != "HEAD":
            await answer(send, b"hello\n")
            return
        length = [(b"content-length", b"%d" % MANY)] if has_length else []
        await send({"type": "http.response.start", "status": 200, "headers": length})
        for _ in range(MANY):
            if pause is not None and len(done) == 0:
                await asyncio.sleep(pause)
                done.append("waited")
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        done.append("sent")

    server = serve(app)
    with server.client() as client:
        response = client.get(method="HEAD")
        assert response.status == 200
        assert not response.says_close
        assert response.all("content-length") == ([str(MANY)] if has_length else [])
        assert client.get().content == b"hello\n"
        server.until(lambda: done[-1:] == ["sent"])
    assert server.ends() == {"client_eof_idle": 1}


@pytest.mark.parametrize("status", [204, 205, 304])
@pytest.mark.parametrize("pause", [0.0, 0.05], ids=["a_pass", "some_time"])
def test_status_without_content_whose_application_goes_on_is_no_error(serve: Serve, status: int, pause: float) -> None:
    done: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        for _ in range(3):
            await asyncio.sleep(pause)
            await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        done.append("sent")

    server = serve(app)
    with server.client() as client:
        for _ in range(2):
            assert client.get().status == status
        server.until(lambda: done == ["sent", "sent"])
    assert server.ends() == {"client_eof_idle": 1}


def test_head_of_an_endless_stream_is_followed_by_the_next_answer_at_once(serve: Serve) -> None:
    server = serve(endless, timeout_idle=600, drain_timeout=BRIEF)
    with server.client() as client:
        for _ in range(3):
            assert client.get("/endless", method="HEAD").status == 200
            assert client.get("/").content == b"hello\n"
    assert server.ends() == {"client_eof_idle": 1}


def test_endless_stream_that_only_sends_ends_after_a_grace_without_an_error(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens, so `send` ends it; that the client awaits nothing more is no failure of the application."""
    late = 0.0
    monkeypatch.setattr("bide.gateway.asgi_coroutines.monotonic", lambda: time.monotonic() + late)
    ended = threading.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        try:
            await endless(scope, receive, send)
        finally:
            if scope["method"] == "HEAD":
                ended.set()

    server = serve(app)
    with server.client() as client:
        assert client.get("/endless", method="HEAD").status == 200
        assert not ended.wait(0.2), "a pause for sends that are ignored"
        late = 60.0
        assert ended.wait(5)
        assert client.get("/").content == b"hello\n"
    assert server.ends() == {"client_eof_idle": 1}


def test_pipelined_heads_of_endless_streams_are_all_answered(serve: Serve) -> None:
    """Each runs on while the next begins: their sends go nowhere, and not into the others' answers."""
    server = serve(endless, drain_timeout=BRIEF)
    with server.client() as client:
        client.send(request("/endless", method="HEAD") * 3 + request("/"))
        for _ in range(3):
            assert client.response("HEAD").status == 200
        assert client.response().content == b"hello\n"
        client.send(request("/endless", method="HEAD") + request("/") + request("/endless", method="HEAD"))
        assert client.response("HEAD").status == 200
        assert client.response().content == b"hello\n"
        assert client.response("HEAD").status == 200
        assert client.silent_for(0.1), "no octet of any content"
    assert server.ends() == {"client_eof_idle": 1}


def test_starlette_stream_to_head_is_stopped_and_its_work_after_the_response_is_done(serve: Serve) -> None:
    """Starlette adds HEAD to each GET route: its generator ends within its task, and the background work runs."""
    closed: list[bool] = []
    worked = threading.Event()

    async def rows() -> AsyncIterator[bytes]:
        task = asyncio.current_task()
        try:
            while True:
                yield b"row\n"
                await asyncio.sleep(0.01)
        finally:
            closed.append(asyncio.current_task() is task)

    async def export(_request: Any) -> StreamingResponse:
        return StreamingResponse(rows(), background=BackgroundTask(worked.set))

    server = serve(Starlette(routes=[Route("/", export)]))
    with server.client() as client:
        assert client.get(method="HEAD").status == 200
        assert worked.wait(5)
        server.until(lambda: closed == [True])
        assert client.get(method="HEAD").status == 200
        server.until(lambda: closed == [True, True])
    assert server.ends() == {"client_eof_idle": 1}


def test_starlette_file_to_head_has_its_length_and_no_error(serve: Serve, tmp_path: Any) -> None:
    (tmp_path / "file").write_bytes(bytes(3_000_000))

    async def file(_request: Any) -> FileResponse:
        return FileResponse(tmp_path / "file")

    server = serve(Starlette(routes=[Route("/", file)]))
    with server.client() as client:
        for _ in range(3):
            assert client.get(method="HEAD")["content-length"] == "3000000"
        assert len(client.get().content) == 3_000_000
    assert server.ends() == {"client_eof_idle": 1}


def test_head_whose_application_listens_is_told_at_once(serve: Serve) -> None:
    told: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        told.append((await receive())["type"])

    server = serve(app)
    with server.client() as client:
        assert client.get(method="HEAD").status == 200
        server.until(lambda: told == ["http.disconnect"])
        assert client.get(method="HEAD").status == 200
    assert server.ends() == {"client_eof_idle": 1}


@pytest.mark.parametrize("pause", [None, 0.0, 0.05], ids=["no_pause", "a_pass", "some_time"])
def test_head_of_a_response_with_trailers_is_complete_and_the_trailers_go_nowhere(
    serve: Serve, pause: float | None
) -> None:
    done: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            await answer(send, b"hello\n")
            return
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        if pause is not None:
            await asyncio.sleep(pause)
        await send({"type": "http.response.body", "body": b"x"})
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})
        done.append("sent")

    server = serve(app)
    with server.client() as client:
        client.ask("/", "TE: trailers", method="HEAD")
        assert client.response("HEAD").status == 200
        assert client.get().content == b"hello\n"
        server.until(lambda: done == ["sent"])
    assert server.ends() == {"client_eof_idle": 1}


def test_head_over_http_1_0_ends_as_the_client_said(serve: Serve) -> None:
    server = serve(endless, drain_timeout=BRIEF)
    with server.client() as client:
        client.ask("/endless", method="HEAD", version="1.0")
        assert client.response("HEAD").status == 200
        assert client.ending().rest == b""
    assert server.ends() == {"client_http10": 1}


def test_head_with_a_body_that_is_not_read_is_answered_and_the_next_one_too(serve: Serve) -> None:
    server = serve(endless, drain_timeout=BRIEF)
    with server.client() as client:
        client.ask("/endless", method="HEAD", body=b"x" * 10)
        assert client.response("HEAD").status == 200
        assert client.get("/").content == b"hello\n"
    assert server.ends() == {"client_eof_idle": 1}


@pytest.mark.parametrize("pause", [None, 0.0, 0.05], ids=["no_pause", "a_pass", "some_time"])
def test_second_end_of_a_response_to_head_is_still_an_error(serve: Serve, pause: float | None) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if pause is not None:
            await asyncio.sleep(pause)
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        with pytest.raises(RuntimeError, match="the response is complete"):
            await send({"type": "http.response.body", "body": b""})

    server = serve(app)
    with server.client() as client:
        for _ in range(2):
            assert client.get(method="HEAD").status == 200
    assert server.ends() == {"client_eof_idle": 1}

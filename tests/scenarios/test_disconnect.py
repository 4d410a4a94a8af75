"""A client leaves: the application is told, and what it does about it harms nobody (8, 9.5).

1. The client leaves while the application works: `receive` returns http.disconnect, after a while if the client may only have
   half-closed. If the application does not call it, `send` raises an OSError once the client is known to be gone.
2. An application that goes on all the same, or fails at it, brings nothing into the log but a line at debug level.
3. Work that goes on after a complete answer holds no connection.
"""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, StreamingResponse

from tests.support.apps import Message, Receive, Send, answer, read_body
from tests.support.client import request
from tests.support.server import Serve
from tests.support.waiting import PATIENCE


@pytest.mark.parametrize("how", ["close", "reset"])
def test_receive_after_the_client_left_returns_disconnect(serve: Serve, how: str) -> None:
    told = threading.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        assert await receive() == {"type": "http.disconnect"}
        assert await receive() == {"type": "http.disconnect"}, "again and again"
        told.set()

    server = serve(app, timeout_half_closed=0.3)
    with server.client() as client:
        client.ask()
        client.line()
        left = time.monotonic()
        client.reset() if how == "reset" else client.close()
    assert told.wait(PATIENCE)
    if how == "close":
        assert time.monotonic() - left >= 0.3, "it might have been a half-close: its answer is waited for"
    assert server.ends() == {"client_reset" if how == "reset" else "client_left": 1}


def test_send_after_disconnect_was_received_raises_after_a_while(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The application may end by itself, and lets others have their turn. If it goes on, `send` tells it once more, after a while."""
    raised = threading.Event()
    late = 0.0
    monkeypatch.setattr("bide.gateway.asgi_coroutines.monotonic", lambda: time.monotonic() + late)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        nonlocal late
        await read_body(receive)
        assert await receive() == {"type": "http.disconnect"}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        others: list[int] = []
        asyncio.get_running_loop().call_soon(others.append, 1)
        for _ in range(32):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        assert others
        late = 10.0
        with pytest.raises(OSError, match="gone"):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        raised.set()

    server = serve(app)
    with server.client() as client:
        client.ask()
        server.until(lambda: server.states()["exchange"])
        client.reset()
    assert raised.wait(PATIENCE)
    assert server.ends() == {"client_reset": 1}


@pytest.mark.parametrize("octets", [0, 10_000_000])
def test_stream_with_a_listener_is_ended_by_it(serve: Serve, octets: int) -> None:
    """Frameworks do so for version 2.3: one task streams, and may wait for something else than `send`; another listens."""
    done: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await read_body(receive)

        async def stream() -> None:
            try:
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"begun\n" + bytes(octets), "more_body": True})
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                done.append("cancelled")
                raise

        streaming = asyncio.ensure_future(stream())
        assert await receive() == {"type": "http.disconnect"}
        await asyncio.sleep(0)  # the stream was woken, too
        streaming.cancel()
        await asyncio.wait((streaming,))
        done.append("cleaned up")

    server = serve(app)
    with server.client() as client:
        client.ask()
        client.line()
        client.reset()
    server.until(lambda: done == ["cancelled", "cleaned up"])
    assert server.ends() == {"client_reset": 1}


@pytest.mark.parametrize("file", [False, True])
def test_background_task_after_the_client_left_runs(serve: Serve, tmp_path: Path, file: bool) -> None:
    """Starlette stops the stream when the client leaves, though it may have nothing to send. Then it runs the background task."""
    ended = threading.Event()
    worked = threading.Event()

    async def stream() -> AsyncIterator[bytes]:
        try:
            yield b"begun\r\n"
            await asyncio.Event().wait()
        finally:
            ended.set()

    if file:
        (tmp_path / "file").write_bytes(b"begun\r\n" + bytes(20_000_000))
        ended.set()
    work = BackgroundTask(worked.set)
    app: Any = (
        FileResponse(tmp_path / "file", background=work) if file else StreamingResponse(stream(), background=work)
    )
    server = serve(app, timeout_half_closed=0.1)
    with server.client() as client:
        client.ask()
        while client.line() != b"begun":
            pass
        client.reset() if file else client.close()
    assert ended.wait(PATIENCE)
    assert worked.wait(PATIENCE)
    assert server.ends() == {"client_reset" if file else "client_left": 1}


def test_disconnect_without_half_close_time_is_told(serve: Serve) -> None:
    """Other servers tell at once. An operator who knows the clients can have that, too."""
    told = threading.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await receive()
        told.set()
        raise RuntimeError("stopped, since nobody waits")

    server = serve(app, timeout_half_closed=0.0)
    with server.client() as client:
        client.ask()
    assert told.wait(PATIENCE)
    assert server.ends() == {"client_left": 1}


def test_response_after_disconnect_reaches_a_half_closed_client(serve: Serve) -> None:
    """The client has only half-closed, after two pipelined requests."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await receive()
        await answer(send, b"here you are")

    server = serve(app, timeout_half_closed=0.1)
    with server.client() as client:
        client.send(request("/1") + request("/2"))
        client.half_close()
        assert client.response().content == b"here you are"
        last = client.response()
        assert last.content == b"here you are"
        assert client.ending().how == "fin"
    assert server.ends() == {"client_half_closed": 1}


def test_stream_to_a_client_that_closed_raises_on_send(serve: Serve) -> None:
    """The next writes find out, and then send raises."""
    raised = threading.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"tick\n", "more_body": True})
                await asyncio.sleep(0.02)
        except OSError:
            raised.set()
            raise

    server = serve(app)
    with server.client() as client:
        client.ask()
        client.line()
    assert raised.wait(PATIENCE)
    assert server.ends() == {"client_reset": 1}


def test_response_to_a_client_that_left_is_no_error(serve: Serve) -> None:
    """The application does not look for the end. Nothing is logged, since it is not at fault."""
    gone = asyncio.Event()
    done = threading.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gone.wait()
        try:
            await answer(send, bytes(100_000))
        finally:
            done.set()

    server = serve(app)
    with server.client() as client:
        client.ask()
        server.until(lambda: server.states()["exchange"])
        client.reset()
    assert server.ends() == {"client_reset": 1}
    server.call(gone.set)
    assert done.wait(PATIENCE)


def test_error_wrapped_around_the_disconnect_is_no_error(serve: Serve) -> None:
    """Frameworks wrap what `send` raised in errors of their own."""
    gone = asyncio.Event()
    done = threading.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gone.wait()
        try:
            await answer(send, b"late")
        except OSError as error:
            done.set()
            raise ValueError("wrapped") from error

    server = serve(app)
    with server.client() as client:
        client.ask()
        server.until(lambda: server.states()["exchange"])
        client.reset()
    assert server.ends() == {"client_reset": 1}
    server.call(gone.set)
    assert done.wait(PATIENCE)


def test_error_raised_after_disconnect_is_no_error(serve: Serve) -> None:
    """The application was told http.disconnect: whatever it raises then is no failure of its own."""

    class ClientLeftError(Exception):
        pass

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        raise ClientLeftError

    server = serve(app)
    with server.client() as client:
        client.send(request("/", "Content-Length: 100", method="POST") + b"x" * 50)
        server.until(lambda: server.states()["exchange"])
        client.reset()
    assert server.ends() == {"client_reset": 1}


def test_error_after_the_client_left_is_logged_in_one_line(serve: Serve) -> None:
    """Nobody waits for the answer any more, so one line tells of the error."""
    gone = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gone.wait()
        raise RuntimeError("a mistake")

    server = serve(app)
    with server.client() as client:
        client.ask()
        server.until(lambda: server.states()["exchange"])
        client.reset()
    assert server.ends() == {"client_reset": 1}
    server.call(gone.set)
    server.until(lambda: any("a mistake" in line for line in server.log.messages()))


def test_work_after_the_response_does_not_delay_the_next_request(serve: Serve) -> None:
    """The next request on the same connection is served while the work for the last one goes on."""
    answered = asyncio.Event()
    finished: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, b"done")
        await answered.wait()
        finished.append(scope["path"])

    server = serve(app)
    with server.client() as client:
        for number in range(5):
            assert client.get(f"/{number}").content == b"done"
    assert server.ends() == {"client_eof_idle": 1}
    assert finished == []
    server.call(answered.set)
    server.until(lambda: len(finished) == 5)


def test_failure_after_the_response_keeps_the_connection(serve: Serve) -> None:
    answered = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, b"done")
        await answered.wait()
        raise RuntimeError("too late")

    server = serve(app)
    server.log.expect("the application failed")
    with server.client() as client:
        assert client.get().content == b"done"
        server.call(answered.set)
        server.until(lambda: server.log.messages(logging.ERROR))
        assert client.get().content == b"done"
    assert server.ends() == {"client_eof_idle": 1}


def test_receive_after_the_response_returns_disconnect(serve: Serve) -> None:
    """Once the answer is complete, `receive` returns http.disconnect, and no octet of the next request."""
    messages: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, await read_body(receive))
        messages.append(await receive())

    server = serve(app)
    with server.client() as client:
        client.send(request("/", method="POST", body=b"one") + request("/", method="POST", body=b"two"))
        assert client.response().content == b"one"
        assert client.response().content == b"two"
    assert server.ends() == {"client_eof_idle": 1}
    server.until(lambda: len(messages) == 2)
    assert messages == [{"type": "http.disconnect"}] * 2


def test_application_at_the_drain_timeout_is_cancelled_and_answered_503(serve: Serve) -> None:
    ended = threading.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    server = serve(app, drain_timeout=0.2)
    server.log.expect("closed at the drain timeout")
    with server.client() as client:
        client.ask()
        server.until(lambda: server.states()["exchange"])
        server.drain()
        response = client.response()
        assert response.status == 503
        assert response.says_close
        assert ended.wait(PATIENCE)
    server.stop()
    assert server.ends(wait=False) == {"drain_deadline": 1}

"""A stream whose client leaves is ended within the application: what its generator holds is given back in the task that ran it.

1. Clients open streams, of which each holds a slot.
2. The clients leave: by reset, by close, after they had stopped reading, or with a half-close.
3. The application hears http.disconnect and cancels the stream. The cancellation must find the generator at an `await` of its own: one
   that falls into the server's `send` would leave the generator suspended at its `yield`, for the garbage collector to close.

The collector is off, so nothing but the application gives a slot back.
"""

import asyncio
import contextlib
import gc
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

import anyio
import pytest
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

from tests.support.apps import App, Message, Receive, Send, answer
from tests.support.client import Client
from tests.support.server import Serve, Served

#: Clients of each kind: with a suspension in each vain send, nearly all of the bulk streams ended outside their task, and a fifth of
#: the others.
CLIENTS: Final = 12


@pytest.fixture(autouse=True)
def _collector_off() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Slots:
    """Counts what streams hold, and where they gave it back.

    held: streams that have begun and not ended.
    astray: streams whose `finally` ran outside the task that ran them.
    """

    def __init__(self) -> None:
        self.begun = 0
        self.held = 0
        self.astray = 0
        self.failures: list[BaseException] = []

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold a slot while the block runs."""
        task = asyncio.current_task()
        self.begun += 1
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1
            self.astray += asyncio.current_task() is not task


#: Makes the generator of a stream.
Rows = Callable[[Slots], AsyncIterator[bytes]]


async def bulk(slots: Slots) -> AsyncIterator[bytes]:
    async with slots.slot():
        while True:
            yield b"x" * 100_000
            await asyncio.sleep(0)


async def pieces(slots: Slots) -> AsyncIterator[bytes]:
    async with slots.slot():
        while True:
            yield b"x" * 100_000
            await asyncio.sleep(0.01)


async def events(slots: Slots) -> AsyncIterator[bytes]:
    async with slots.slot():
        while True:
            yield b"data: 1\n\n"
            await asyncio.sleep(0.1)


async def large(slots: Slots) -> AsyncIterator[bytes]:
    """Pieces above a megabyte: others get their turn at each."""
    async with slots.slot():
        while True:
            yield b"x" * 1_100_000
            await asyncio.sleep(0)


async def within_a_time(slots: Slots) -> AsyncIterator[bytes]:
    """As clients of other servers stream: a cancel scope around the `yield`, which cannot be left from another task."""
    try:
        async with slots.slot():
            with anyio.fail_after(60):
                while True:
                    yield b"x" * 10_000
                    await asyncio.sleep(0)
    except RuntimeError as error:
        slots.failures.append(error)
        raise


def starlette(rows: Rows, slots: Slots) -> App:
    async def export(_request: Any) -> StreamingResponse:
        return StreamingResponse(rows(slots))

    return Starlette(routes=[Route("/", export)])


def listener(rows: Rows, slots: Slots) -> App:
    """A plain application: one task streams, another listens and cancels it."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()

        async def stream() -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            async for row in rows(slots):
                await send({"type": "http.response.body", "body": row, "more_body": True})

        streaming = asyncio.ensure_future(stream())
        assert await receive() == {"type": "http.disconnect"}
        streaming.cancel()
        await asyncio.wait((streaming,))

    return app


def reset_at_once(client: Client, server: Served) -> None:
    client.reset()


def close_at_once(client: Client, server: Served) -> None:
    client.close()


def half_close_and_read(client: Client, server: Served) -> None:
    """The client's FIN is taken for its end after a while, and meanwhile it reads as fast as it can."""
    client.half_close()
    with contextlib.suppress(OSError):
        while client.sock.recv(1 << 18):
            pass
    client.close()


LEAVE: Final[dict[str, Callable[[Client, Served], None]]] = {
    "reset": reset_at_once,
    "close": close_at_once,
    "half_close": half_close_and_read,
}


def visit(server: Served, leave: Callable[[Client, Served], None]) -> None:
    """Have each client read the begin of its stream, and leave."""

    def run(number: int) -> None:
        with server.client() as client:
            client.ask()
            client.head()
            time.sleep(0.005 * (number % 11))  # so that they leave at different points of what the application does
            leave(client, server)

    visitors = [threading.Thread(target=run, args=(number,)) for number in range(CLIENTS)]
    for start in range(0, CLIENTS, 8):  # more bulk streams at a time only take longer
        for visitor in visitors[start : start + 8]:
            visitor.start()
        for visitor in visitors[start : start + 8]:
            visitor.join(30)
            assert not visitor.is_alive()


def check(server: Served, slots: Slots) -> None:
    server.ends()
    server.until(lambda: slots.begun == CLIENTS)
    server.until(lambda: slots.held == 0)
    assert slots.astray == 0
    assert not slots.failures


@pytest.mark.parametrize("leave", LEAVE)
@pytest.mark.parametrize("rows", [bulk, pieces, events, large, within_a_time])
@pytest.mark.parametrize("framework", [starlette, listener])
def test_stream_whose_client_leaves_is_cleaned_up_in_its_task(
    serve: Serve, framework: Callable[[Rows, Slots], App], rows: Rows, leave: str
) -> None:
    slots = Slots()
    server = serve(framework(rows, slots), timeout_half_closed=0.05)
    visit(server, LEAVE[leave])
    check(server, slots)


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("rows", [bulk, large, within_a_time])
@pytest.mark.parametrize("framework", [starlette, listener])
def test_stream_that_waits_for_its_client_to_read_is_cleaned_up_in_its_task(
    serve: Serve, framework: Callable[[Rows, Slots], App], rows: Rows, how: str
) -> None:
    """Its `send` is suspended for flow control when the client leaves."""
    slots = Slots()
    server = serve(framework(rows, slots), timeout_half_closed=0.05)
    clients = [server.client(receive_buffer=4096) for _ in range(CLIENTS)]
    for client in clients:
        client.ask()

    server.until(lambda: sum(session.is_write_paused for session in server.sessions()) == CLIENTS)
    for client in clients:
        client.reset() if how == "reset" else client.half_close()
    if how == "close":  # it stays, and reads nothing: only its FIN tells
        server.until(lambda: slots.held == 0)
        for client in clients:
            client.close()
    check(server, slots)


def test_stream_that_ends_by_itself_is_cleaned_up_in_its_task(serve: Serve) -> None:
    async def ten(slots: Slots) -> AsyncIterator[bytes]:
        async with slots.slot():
            for _ in range(10):
                yield b"x"
                await asyncio.sleep(0)

    slots = Slots()
    server = serve(starlette(ten, slots))

    with server.client() as client:
        for _ in range(CLIENTS):
            assert client.get().content == b"x" * 10
    check(server, slots)


@pytest.mark.parametrize("has_listener", [True, False])
def test_loop_that_awaits_nothing_but_send_ends_and_starves_nobody(
    serve: Serve, has_listener: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client has gone. Others are answered meanwhile, and after a grace `send` raises."""
    late = 0.0
    monkeypatch.setattr("bide.gateway.asgi_coroutines.monotonic", lambda: time.monotonic() + late)
    ended = threading.Event()
    stubborn = asyncio.Event()
    vain = 0

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        nonlocal vain
        if scope["path"] == "/":
            await answer(send, b"hello\n")
            return
        await receive()
        heard = asyncio.ensure_future(receive()) if has_listener else None
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
                if heard is not None and heard.done():
                    vain += 1
                    stubborn.set()
        finally:
            ended.set()

    server = serve(app)
    with server.client() as client:
        client.ask("/endless")
        client.head()
        client.reset()
    if has_listener:
        server.until(stubborn.is_set)
        with server.client() as other:
            before = vain
            for _ in range(20):
                assert other.get("/").content == b"hello\n"
            assert vain > before, "the loop went on meanwhile"
        assert not ended.is_set()
        late = 60.0
    assert ended.wait(5)
    server.ends()

"""Nothing of an application is kept after its response has ended, in whichever way: the collector is off.

1. Each run of the application holds an object in its frame, as applications hold sessions, files and bodies.
2. The response ends; the client leaves.
3. The object is free. What would keep it is a cycle, such as that of an error whose traceback holds the frame that holds the error.
"""

import asyncio
import contextlib
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

import pytest

from bide.terms import State
from tests.support.apps import Message, Receive, Send
from tests.support.client import Client, request
from tests.support.server import Serve, Served

#: Runs of each kind.
RUNS: Final = 5


@pytest.fixture(autouse=True)
def _collector_off() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Thing:
    """Held by an application."""


async def start(send: Send, *fields: tuple[bytes, bytes], status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(fields)})


async def piece(send: Send, body: bytes = b"x" * 1000, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


# -- Applications -----------------------------------------------------------------------------------------------------------


async def ends_well(receive: Receive, send: Send) -> None:
    await start(send)
    await piece(send, more=False)


async def fails_before_the_head(receive: Receive, send: Send) -> None:
    raise ValueError("a bug of the application")


async def fails_after_the_head(receive: Receive, send: Send) -> None:
    await start(send)
    await piece(send)
    raise ValueError("a bug of the application")


async def misuses(receive: Receive, send: Send) -> None:
    await start(send, (b"x y", b"no token"))


async def returns_early(receive: Receive, send: Send) -> None:
    await start(send)
    await piece(send)


async def listens(receive: Receive, send: Send) -> None:
    await start(send)
    await piece(send)
    while (await receive())["type"] != "http.disconnect":
        pass


async def listens_and_cancels(receive: Receive, send: Send) -> None:
    streaming = asyncio.ensure_future(streams(receive, send))
    await listens_only(receive)
    streaming.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await streaming


async def listens_only(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def reads_a_body(receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await listens(receive, send)


async def _rows() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 1000
        await asyncio.sleep(0.01)


async def streams(receive: Receive, send: Send) -> None:
    await start(send)
    async for row in _rows():
        await piece(send, row)


async def streams_without_a_pause(receive: Receive, send: Send) -> None:
    await start(send)
    while True:
        await piece(send)


async def sends_more_than_its_length(receive: Receive, send: Send) -> None:
    await start(send, (b"content-length", b"3"))
    await piece(send, b"four")


async def has_its_content_dropped(receive: Receive, send: Send) -> None:
    await start(send, status=204)
    await piece(send, b"dropped", more=False)


async def sends_in_a_thread(receive: Receive, send: Send) -> None:
    loop = asyncio.get_running_loop()

    def work() -> None:
        while True:
            asyncio.run_coroutine_threadsafe(send_one(), loop).result(10)

    async def send_one() -> None:
        await piece(send)
        await asyncio.sleep(0.01)

    await start(send)
    await asyncio.to_thread(work)


async def sends_from_a_thread(receive: Receive, send: Send) -> None:
    """`send` itself is called in the other thread."""
    loop = asyncio.get_running_loop()

    def work() -> None:
        while True:
            message = {"type": "http.response.body", "body": b"x" * 1000, "more_body": True}
            asyncio.run_coroutine_threadsafe(send(message), loop).result(10)  # type: ignore[arg-type]

    await start(send)
    await asyncio.to_thread(work)


async def is_an_event_stream(receive: Receive, send: Send) -> None:
    await start(send, (b"content-type", b"text/event-stream"))
    await piece(send)
    await listens_only(receive)


async def is_cancelled(receive: Receive, send: Send) -> None:
    await start(send)
    await piece(send)
    await asyncio.Event().wait()


# -- Clients ----------------------------------------------------------------------------------------------------------------


def reads_all(client: Client, server: Served) -> None:
    client.ask("/", "Connection: close")
    client.ending()


def resets(client: Client, server: Served) -> None:
    client.ask()
    client.head()
    client.reset()


def closes(client: Client, server: Served) -> None:
    client.ask()
    client.head()
    client.close()


def half_closes(client: Client, server: Served) -> None:
    client.ask()
    client.half_close()
    client.ending()


def asks_for_the_head(client: Client, server: Served) -> None:
    client.ask(method="HEAD")
    client.head()
    client.close()


def breaks_its_body_off(client: Client, server: Served) -> None:
    client.send(request("/", "Content-Length: 10", method="POST") + b"five!")
    client.half_close()
    client.ending()


def breaks_its_body(client: Client, server: Served) -> None:
    client.ask("/", "Transfer-Encoding: chunked", method="POST")
    server.until(lambda: any(session.state is State.EXCHANGE for session in server.server.worker.register))
    client.send(b"zz\r\n")
    client.ending()


#: What ends the response -> (application, client, what the log holds).
ENDS: Final[dict[str, tuple[Callable[[Receive, Send], Any], Callable[[Client, Served], None], str]]] = {
    "normal_end": (ends_well, reads_all, ""),
    "exception_before_the_head": (fails_before_the_head, reads_all, "the application failed"),
    "exception_after_the_head": (fails_after_the_head, reads_all, "the application failed"),
    "misuse": (misuses, reads_all, "the application failed"),
    "early_return": (returns_early, reads_all, "returned before its response was complete"),
    "listener_reset": (listens, resets, ""),
    "listener_close": (listens, closes, ""),
    "listener_half_close": (listens, half_closes, ""),
    "listener_that_cancels": (listens_and_cancels, resets, ""),
    "body_cut_short": (reads_a_body, breaks_its_body_off, ""),
    "body_rejected": (reads_a_body, breaks_its_body, ""),
    "only_sends_reset": (streams, resets, ""),
    "only_sends_close": (streams, closes, ""),
    "sends_without_a_pause": (streams_without_a_pause, resets, ""),
    "head_that_streams": (streams, asks_for_the_head, ""),
    "head_that_listens": (listens, asks_for_the_head, ""),
    "head_that_ends": (ends_well, asks_for_the_head, ""),
    "content_too_long": (sends_more_than_its_length, reads_all, "the application failed"),
    "content_dropped": (has_its_content_dropped, reads_all, "was dropped"),
    "send_in_a_thread": (sends_in_a_thread, resets, ""),
    "send_from_a_thread": (sends_from_a_thread, resets, ""),
}


class Held:
    """Runs an application in a frame that holds an object, and counts those that are not free."""

    def __init__(self, run: Callable[[Receive, Send], Any]) -> None:
        self._run = run
        self._things: list[weakref.ref[Thing]] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        thing = Thing()
        self._things.append(weakref.ref(thing))
        await self._run(receive, send)

    @property
    def begun(self) -> int:
        return len(self._things)

    @property
    def kept(self) -> int:
        return sum(thing() is not None for thing in self._things)


def forget(server: Served) -> None:
    """Keep of the log its text only: the records hold errors, and these the frames of what failed."""
    for record in server.log.records:
        record.msg, record.args, record.exc_info = record.getMessage(), (), None


def are_free(server: Served, app: Held) -> bool:
    """Whether each application has run, and nothing of it is kept."""
    forget(server)
    return app.begun == RUNS and app.kept == 0


@pytest.mark.parametrize("how", ENDS)
def test_application_whose_response_has_ended_is_not_kept(
    serve: Serve, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, visit, logged = ENDS[how]
    # What nobody waits for may be sent for a while, here a short one.
    monkeypatch.setattr("bide.gateway.asgi_coroutines.SEND_GRACE", 0.1)
    app = Held(run)
    server = serve(app, timeout_half_closed=0.05)
    if logged:
        server.log.expect(logged)
    for _ in range(RUNS):
        with server.client() as client:
            visit(client, server)
    server.until(lambda: are_free(server, app))


@pytest.mark.parametrize("run", [is_an_event_stream, is_cancelled, streams, sends_in_a_thread])
def test_application_that_a_drain_ends_is_not_kept(serve: Serve, run: Callable[[Receive, Send], Any]) -> None:
    app = Held(run)
    server = serve(app, drain_streams=0.0, drain_timeout=0.5)
    if run is not is_an_event_stream:
        server.log.expect("unfinished connections closed at the drain timeout")
    clients = [server.client() for _ in range(RUNS)]
    for client in clients:
        client.ask()
        client.head()
    server.drain()
    for client in clients:
        client.ending()
        client.close()
    server.stop()
    assert are_free(server, app)

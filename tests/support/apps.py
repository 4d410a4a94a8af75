"""Holds small ASGI applications, each with one kind of behaviour. Programs import this file as a module of its own."""

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from typing import Any

# An event loop that is blocked does not stay so for longer, whatever happens to the test, seconds.
_LONGEST_BLOCK = 60

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Fields = Sequence[tuple[bytes, bytes]]


class ClientLeftError(Exception):
    """The client left within its body."""


async def answer(send: Send, content: bytes = b"", status: int = 200, fields: Fields = ()) -> None:
    """Send a whole response with its length."""
    length = (b"content-length", b"%d" % len(content))
    await send({"type": "http.response.start", "status": status, "headers": [length, *fields]})
    await send({"type": "http.response.body", "body": content})


async def read_body(receive: Receive) -> bytes:
    """Read the request body to its end. Raises ClientLeftError if the client leaves before it."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        body += message["body"]
        if not message["more_body"]:
            return bytes(body)


async def hello(scope: Message, receive: Receive, send: Send) -> None:
    """Say hello, whatever is asked."""
    await answer(send, b"hello\n")


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    """Send the request body back."""
    await answer(send, await read_body(receive))


async def target(scope: Message, receive: Receive, send: Send) -> None:
    """Send path and query back, so that an answer shows which request it is to."""
    await answer(send, scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b""))


async def refuse(scope: Message, receive: Receive, send: Send) -> None:
    """Refuse with 413, and do not read the body."""
    await answer(send, b"too large\n", 413)


async def slow(scope: Message, receive: Receive, send: Send) -> None:
    """Answer `/SECONDS` after that time, the loop free meanwhile; anything else at once.

    `/block/SECONDS` blocks the loop, and `/block/FILE` blocks it for as long as that file exists.
    """
    last = scope["path"].rpartition("/")[2]
    seconds = float(last) if last.replace(".", "").isdigit() else 0.0
    if scope["path"].startswith("/block/"):
        time.sleep(seconds)  # noqa: ASYNC251  # this is what is tried
        file = scope["path"].removeprefix("/block")
        until = time.monotonic() + _LONGEST_BLOCK
        while not seconds and os.path.exists(file) and time.monotonic() < until:  # noqa: ASYNC240, PTH110
            time.sleep(0.005)  # noqa: ASYNC251
    else:
        await asyncio.sleep(seconds)
    await answer(send, b"late\n" if seconds else b"hello\n")


async def telling(scope: Message, receive: Receive, send: Send) -> None:
    """Say on standard error which request has begun, then answer as `slow` does."""
    print(f"begun {scope['path']}", file=sys.stderr, flush=True)
    await slow(scope, receive, send)


class Gated:
    """Answers `/wait` once `gate` is set, and other paths at once. Set the gate in the event loop's thread."""

    def __init__(self) -> None:
        """See the class."""
        self.gate = asyncio.Event()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve."""
        if scope["path"] == "/wait":
            await self.gate.wait()
            await answer(send, b"late\n")
        else:
            await answer(send, b"hello\n")


class Blocking:
    """Answers with path and body. A request for `/block` blocks the event loop until `blocked` ends."""

    def __init__(self) -> None:
        """See the class."""
        self._blocked = threading.Event()
        self._released = threading.Event()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve."""
        if scope["path"] == "/block":
            self._blocked.set()
            self._released.wait(_LONGEST_BLOCK)
        await answer(send, scope["path"].encode() + b" " + await read_body(receive))

    @contextlib.contextmanager
    def blocked(self, ask: Callable[[str], None]) -> Iterator[None]:
        """Block the event loop while the body of the `with` statement runs. ask: sends a request for a path."""
        ask("/block")
        assert self._blocked.wait(_LONGEST_BLOCK)
        try:
            yield
        finally:
            self._released.set()


async def stream(scope: Message, receive: Receive, send: Send) -> None:
    """Answer `/COUNT/SECONDS` with COUNT numbered lines, a pause of SECONDS after each, and no length."""
    _, count, pause = scope["path"].split("/")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    for number in range(int(count)):
        await send({"type": "http.response.body", "body": b"line %d\n" % number, "more_body": True})
        await asyncio.sleep(float(pause))
    await send({"type": "http.response.body"})


class Lifespan:
    """An application with a lifespan; `failing` names the event that fails: "startup" or "shutdown"."""

    def __init__(self, failing: str = "") -> None:
        """See the class."""
        self.failing = failing
        self.seen: list[str] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve."""
        if scope["type"] == "http":
            await answer(send, repr(scope["state"]).encode() if "state" in scope else b"no state")
            return
        while True:
            event = (await receive())["type"].removeprefix("lifespan.")
            self.seen.append(event)
            if event == self.failing:
                await send({"type": f"lifespan.{event}.failed", "message": "no luck today"})
                return
            if event == "startup":
                scope["state"]["book"] = "open"
            await send({"type": f"lifespan.{event}.complete"})
            if event == "shutdown":
                return


with_lifespan = Lifespan()
failing_startup = Lifespan("startup")
failing_shutdown = Lifespan("shutdown")


async def failing_beside_a_thread(_scope: Message, receive: Receive, send: Send) -> None:
    """Fail to start, with work left in a thread."""
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


def make_hello() -> App:
    """Make an application: a factory."""
    return hello


def failing_factory() -> App:
    """Fail to make an application."""
    raise OSError("no disk")


not_callable = "hello"


async def no_lifespan(scope: Message, receive: Receive, send: Send) -> None:
    """Refuse every scope but HTTP's."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await hello(scope, receive, send)


async def hanging_startup(scope: Message, receive: Receive, send: Send) -> None:
    """Never start."""
    print("hanging", flush=True)
    await asyncio.sleep(60)


async def hanging_shutdown(scope: Message, receive: Receive, send: Send) -> None:
    """Never stop."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print("hanging", flush=True)
    await asyncio.sleep(60)


async def stubborn(scope: Message, receive: Receive, send: Send) -> None:
    """Say so on standard error, then never end: in a thread, or in a task that swallows its cancellation."""
    print(f"begun {scope['path']}", file=sys.stderr, flush=True)
    if scope["path"] == "/thread":
        await asyncio.to_thread(time.sleep, 60)
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

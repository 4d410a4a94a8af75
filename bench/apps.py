"""Defines the applications that every server under test serves."""

import json
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HELLO = b"Hello, world!"
PIECE, PIECES = b"x" * 16_384, 64


async def minimal(scope: Message, receive: Receive, send: Send) -> None:
    """Answer every request with a greeting."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    await answer(send, HELLO, b"text/plain")


async def echo_json(scope: Message, receive: Receive, send: Send) -> None:
    """Parse the JSON of the request, and send it back."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    await answer(send, json.dumps(json.loads(await read(receive))).encode(), b"application/json")


async def stream_1mb(scope: Message, receive: Receive, send: Send) -> None:
    """Stream 1 MB in chunks of 16 KB, without a declared length."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    await send(head((b"content-type", b"application/octet-stream")))
    for _ in range(PIECES):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def count(scope: Message, receive: Receive, send: Send) -> None:
    """Read the whole body piece by piece, and answer with the number of its octets."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    octets, more = 0, True
    while more:
        message = await receive()
        octets += len(message.get("body", b""))
        more = message.get("more_body", False)
    await answer(send, b"%d" % octets, b"text/plain")


async def echo_messages(scope: Message, receive: Receive, send: Send) -> None:
    """Send back each message of a WebSocket."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": message["bytes"]})


def wsgi_minimal(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Answer every request with a greeting, by WSGI."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(HELLO)))])
    return [HELLO]


def wsgi_stream(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    """Stream 1 MB in chunks of 16 KB, by WSGI."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    for _ in range(PIECES):
        yield PIECE


async def lifespan(receive: Receive, send: Send) -> None:
    """Confirm start and stop."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def read(receive: Receive) -> bytes:
    """Return the whole body of the request."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def answer(send: Send, body: bytes, content_type: bytes) -> None:
    """Answer 200 with a body of known length."""
    await send(head((b"content-type", content_type), (b"content-length", b"%d" % len(body))))
    await send({"type": "http.response.body", "body": body})


def head(*fields: tuple[bytes, bytes]) -> Message:
    """Return the message that begins a response."""
    return {"type": "http.response.start", "status": 200, "headers": list(fields)}

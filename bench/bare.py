"""Serves what no ASGI server in Python can leave out: system calls, heads, the application.

Nothing is bounded, and no promise is kept: one poll object, one read for each request, one write
for each answer. What a row costs here, no ASGI server in Python can save.
"""

from __future__ import annotations

import argparse
import importlib
import os
import select
import socket
from collections.abc import Callable
from typing import Any, Final

from bench.apps import HELLO
from bide.config import Config
from bide.http1.head import read_head
from bide.message import Request
from bide.worker.settings import limits

_OCTETS: Final = 1 << 16
_QUEUE: Final = 4096
_ACCEPTS: Final = 64  # at a time, as bide does
_line = b"HTTP/1.1 200 OK\r\n"
_LIMITS: Final = limits(Config())

Answer = Callable[[bytes], bytes]


def fixed(_data: bytes) -> bytes:
    """Answer without a look at the request."""
    return _line + b"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(HELLO) + HELLO


def parsed(data: bytes) -> bytes:
    """Read the head, then answer alike."""
    read_head(data[: data.find(b"\r\n\r\n")], _LIMITS)
    return fixed(data)


def served(app: Callable[..., Any]) -> Answer:
    """Return what has the application answer, as ASGI defines it."""

    def scope(request: Request) -> dict[str, Any]:
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.5"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": request.path.decode("ascii"),
            "raw_path": request.path,
            "query_string": request.query,
            "root_path": "",
            "headers": request.fields,
            "client": ("127.0.0.1", 0),
            "server": ("127.0.0.1", 0),
            "extensions": {},
        }

    def answer(data: bytes) -> bytes:
        end = data.find(b"\r\n\r\n")
        request = read_head(data[:end], _LIMITS)
        pieces = [_line]

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": data[end + 4 :], "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                pieces.extend(b"%b: %b\r\n" % (name, value) for name, value in message["headers"])
                pieces.append(b"\r\n")
            else:
                pieces.append(message.get("body", b""))

        call = app(scope(request), receive, send)
        try:
            call.send(None)
        except StopIteration:
            return b"".join(pieces)
        raise AssertionError("the application waits for something")

    return answer


def serve(port: int, answer: Answer, once: bool, lingers: bool) -> None:
    """Serve until killed.

    once: close each connection after its answer.
    lingers: read until the client's EOF before that, so that no octet of the client resets the
        answer (RFC 9112, 9.6).
    """
    poll = select.epoll()
    listening = socket.create_server(("127.0.0.1", port), backlog=_QUEUE)
    listening.setblocking(False)
    own = listening.fileno()
    poll.register(own, select.EPOLLIN)

    def accept() -> None:
        for _ in range(_ACCEPTS):
            try:
                fd, _ = listening._accept()  # type: ignore[attr-defined]  # noqa: SLF001
            except BlockingIOError:
                return
            if not once:
                os.set_blocking(fd, False)
                poll.register(fd, select.EPOLLIN)
            else:
                exchange(fd)
                if lingers:
                    half_close(fd)
                else:
                    os.close(fd)

    def half_close(fd: int) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fd)
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            sock.close()
            return
        sock.detach()
        os.set_blocking(fd, False)
        poll.register(fd, select.EPOLLIN)

    def exchange(fd: int) -> bool:
        try:
            data = os.read(fd, _OCTETS)
            if data:
                os.write(fd, answer(data))
        except ConnectionError:
            return False
        return data != b""

    while True:
        for fd, _ in poll.poll():
            if fd == own:
                accept()
            elif not exchange(fd):
                os.close(fd)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--part", choices=("fixed", "parsed"), help="answer without an application")
    parser.add_argument("--app", default="bench.apps:minimal")
    parser.add_argument("--close", action="store_true", help="answer once per connection")
    parser.add_argument("--linger", action="store_true", help="with --close, wait for the client's end")
    options = parser.parse_args()
    if options.close:
        _line += b"Connection: close\r\n"
    if options.part is None:
        module, _, name = options.app.partition(":")
        chosen = served(getattr(importlib.import_module(module), name))
    else:
        chosen = fixed if options.part == "fixed" else parsed
    serve(options.port, chosen, options.close, options.linger)

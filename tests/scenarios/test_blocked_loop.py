"""A request that arrived in time is served, though the loop was blocked and every clock has run out (9.5).

1. Some connections are idle, others new, within a head or within a body.
2. An application blocks the event loop for much longer than any clock allows.
3. While it does, the next request, the first octet, the rest of the head or of the body arrives on them.
4. The loop goes on: all of them are served. None is answered 408, none is closed.
"""

import contextlib
import time

import pytest

from tests.support.apps import Message, Receive, Send, answer, read_body, slow
from tests.support.client import Client, request
from tests.support.server import NOISE, Serve

BLOCKED = 0.8
SHORT = 0.25


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["path"] == "/block":
        time.sleep(BLOCKED)  # noqa: ASYNC251  # this is what is tried
    await answer(send, scope["path"].encode() + b" " + await read_body(receive))


def test_requests_that_arrive_while_the_loop_is_blocked(serve: Serve) -> None:
    server = serve(
        app, timeout_idle=SHORT, timeout_first_octet=SHORT, timeout_head=SHORT, timeout_body=SHORT, body_rate=0
    )
    with contextlib.ExitStack() as stack:

        def connected() -> Client:
            return stack.enter_context(server.client())

        blocker = connected()
        idle = [connected() for _ in range(5)]
        for client in idle:
            client.get()
        new, head, body = connected(), connected(), connected()
        head.send(b"GET /head HTTP/1.1\r\n")
        body.send(request("/body", "Content-Length: 8", method="POST") + b"half")
        server.until(lambda: server.counters.opened == 9)
        started = time.monotonic()
        blocker.ask("/block")
        time.sleep(0.05)
        for client in idle:
            client.ask("/idle")
        new.ask("/new")
        head.send(b"Host: localhost\r\n\r\n")
        body.send(b"half")
        assert time.monotonic() - started < SHORT, "this machine is too busy: the clocks ran out before"
        assert blocker.response().content == b"/block "
        assert time.monotonic() - started >= BLOCKED
        for client in idle:
            assert client.response().content == b"/idle "
        assert new.response().content == b"/new "
        assert head.response().content == b"/head "
        assert body.response().content == b"/body halfhalf"
    assert server.ends() == {"client_eof_idle": 9}


def test_download_that_goes_on_while_the_loop_is_blocked(serve: Serve) -> None:
    """The client reads without a pause; that the server does not look on is not its fault."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/large":
            await answer(send, bytes(20_000_000))
        else:
            await slow(scope, receive, send)

    server = serve(app, timeout_send=SHORT, send_rate=0)
    with server.client(receive_buffer=4096) as client, server.client() as blocker:
        client.ask("/large")
        read = client.sock.recv(100)
        blocker.ask(f"/block/{3 * SHORT}")
        until = time.monotonic() + 3 * SHORT
        while time.monotonic() < until:
            read += client.sock.recv(4000)
            time.sleep(0.001)
        client.buffer += read
        assert len(client.response().content) == 20_000_000
        assert blocker.response().content == b"late\n"
    assert server.ends() == {"client_eof_idle": 2}


def test_upload_that_comes_in_time_while_the_loop_is_blocked(serve: Serve) -> None:
    """The rate is not judged by when octets are read: at that time, they are too few."""
    server = serve(app, timeout_body=5.0, body_rate=1000.0, rate_grace=SHORT)
    with server.client() as client, server.client() as blocker:
        client.send(request("/body", "Content-Length: 9", method="POST") + b"a")
        server.until(lambda: server.counters.opened == 2)
        time.sleep(0.05)  # the application waits for more
        blocker.ask("/block")
        client.send(b"b")
        assert blocker.response().content == b"/block "
        assert client.silent_for(0.3)
        client.send(b"in time")
        assert client.response().content == b"/body abin time"
    assert server.ends() == {"client_eof_idle": 2}


def test_upload_behind_its_answer_while_the_loop_is_blocked(serve: Serve) -> None:
    """A client that still sends is listened to, and not reset, though the loop has heard nothing of it for longer than the clock runs."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/block":
            time.sleep(BLOCKED)  # noqa: ASYNC251  # this is what is tried
        await answer(send, b"", 413 if scope["method"] == "POST" else 200)

    server = serve(app, timeout_discard=0.01, timeout_linger=SHORT)
    with server.client() as client, server.client() as blocker:
        client.send(request("/", "Content-Length: 100000000", method="POST") + b"x")
        assert client.response().status == 413
        blocker.ask("/block")
        for _ in range(10):
            time.sleep(0.1)
            client.send(b"x")
        assert blocker.response().status == 200
        assert client.ending().how == "fin"


@pytest.mark.parametrize("path", ["/block/0.8", "/0.8"])
def test_idle_connections_end_on_time_otherwise(serve: Serve, path: str) -> None:
    """A long exchange elsewhere, blocking or not, spares no idle connection whose client sends nothing."""
    server = serve(slow, timeout_idle=SHORT)
    with server.client() as idle, server.client() as busy:
        idle.get()
        started = time.monotonic()
        busy.ask(path)
        ending = idle.ending()
        assert (ending.how, ending.rest) == ("fin", b"")
        assert ending.at - started >= SHORT - 0.02
        assert ending.at - started <= 0.8 + NOISE
        assert busy.response().content == b"late\n"
    assert server.ends() == {"idle_timeout": 1, "client_eof_idle": 1}

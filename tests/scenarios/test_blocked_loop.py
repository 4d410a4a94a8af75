"""A request that arrived in time is served, though the loop was blocked and every clock has run out (9.5).

1. Many connections are idle; others are new, within a head or within a body.
2. An application blocks the event loop for longer than any clock allows.
3. While it does, the next request, the first octet, the rest of the head or of the body arrives on them.
4. The loop goes on: all of them are served. None is answered 408, none is closed, nothing is counted as lost.
"""

import contextlib
import threading
import time

import pytest

from tests.support.abuse import balanced
from tests.support.apps import Blocking, Message, Receive, Send, answer, slow
from tests.support.client import Client, request
from tests.support.server import NOISE, Serve
from tests.support.waiting import PATIENCE, pause

# What every clock is set to, seconds: enough for a client to do what it has to before the loop is blocked, on a busy machine, too.
CLOCK = 2.0
# For how long the loop stays blocked at least, seconds: no clock is left.
BLOCKED = 1.5 * CLOCK
IDLE_CLIENTS = 30


def test_requests_sent_while_the_loop_is_blocked_are_served(serve: Serve) -> None:
    app = Blocking()
    server = serve(
        app, timeout_idle=CLOCK, timeout_first_octet=CLOCK, timeout_head=CLOCK, timeout_body=CLOCK, body_rate=0
    )
    with contextlib.ExitStack() as stack:

        def connected() -> Client:
            return stack.enter_context(server.client())

        blocker = connected()
        idle = [connected() for _ in range(IDLE_CLIENTS)]
        for client in idle:
            client.get()
        new, head, body = connected(), connected(), connected()
        head.send(b"GET /head HTTP/1.1\r\n")
        body.send(request("/body", "Content-Length: 8", method="POST") + b"half")
        server.until(lambda: server.counters.opened == IDLE_CLIENTS + 4)
        with app.blocked(blocker.ask):
            for client in idle:
                client.ask("/idle")
            new.ask("/new")
            head.send(b"Host: localhost\r\n\r\n")
            body.send(b"half")
            pause(BLOCKED)
        assert blocker.response().content == b"/block "
        responses = [client.response() for client in idle]
        assert {response.content for response in responses} == {b"/idle "}
        assert not any(response.says_close for response in responses)
        assert new.response().content == b"/new "
        assert head.response().content == b"/head "
        assert body.response().content == b"/body halfhalf"
        snapshot = balanced(server)
        assert not sum(snapshot["closed"].values())
        assert snapshot["race_lost"] == 0
    assert server.ends() == {"client_eof_idle": IDLE_CLIENTS + 4}


def test_download_read_while_the_loop_is_blocked_completes(serve: Serve) -> None:
    """The client reads without a pause. It is not at fault if the server does not see that."""
    blocking = Blocking()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/large":
            await answer(send, bytes(20_000_000))
        else:
            await blocking(scope, receive, send)

    server = serve(app, timeout_send=CLOCK, send_rate=0)
    with server.client(receive_buffer=4096) as client, server.client() as blocker:
        client.ask("/large")
        read = client.sock.recv(100)
        with blocking.blocked(blocker.ask):
            until = time.monotonic() + BLOCKED
            while time.monotonic() < until:
                read += client.sock.recv(1000)
                pause(0.001)  # so that there is something to read for as long as the loop is blocked
        client.buffer += read
        assert len(client.response().content) == 20_000_000
        assert blocker.response().content == b"/block "
    assert server.ends() == {"client_eof_idle": 2}


def test_upload_sent_while_the_loop_is_blocked_is_in_time(serve: Serve) -> None:
    """The rate counts from when octets may have come. By when they are read, they would be too few."""
    blocking = Blocking()
    waits = threading.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] != "/body":
            await blocking(scope, receive, send)
            return
        content = b""
        while len(content) < 9:
            content += (await receive())["body"]
            waits.set()
        await answer(send, content)

    server = serve(app, timeout_body=PATIENCE, body_rate=1000.0, rate_grace=CLOCK)
    with server.client() as client, server.client() as blocker:
        client.send(request("/body", "Content-Length: 9", method="POST") + b"a")
        assert waits.wait(PATIENCE)
        with blocking.blocked(blocker.ask):
            client.send(b"b")
            pause(BLOCKED)
        assert blocker.response().content == b"/block "
        assert client.silent_for(0.3)
        client.send(b"in time")
        assert client.response().content == b"abin time"
    assert server.ends() == {"client_eof_idle": 2}


def test_upload_sent_after_its_response_while_the_loop_is_blocked_meets_no_reset(serve: Serve) -> None:
    """The client still sends. It is listened to, though the loop has read nothing of it for longer than its clock."""
    blocking = Blocking()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/block":
            await blocking(scope, receive, send)
        else:
            await answer(send, b"", 413)

    server = serve(app, timeout_discard=0.01, timeout_linger=CLOCK)
    with server.client() as client, server.client() as blocker:
        client.send(request("/", "Content-Length: 100000000", method="POST") + b"x")
        assert client.response().status == 413
        with blocking.blocked(blocker.ask):
            for _ in range(15):
                client.send(b"x")
                pause(BLOCKED / 15)
        for _ in range(3):
            client.send(b"x")
            pause(CLOCK / 10)
        assert blocker.response().status == 200
        assert client.ending().how == "fin"


@pytest.mark.parametrize("path", ["/block/0.8", "/0.8"])
def test_idle_connection_beside_a_long_exchange_ends_on_time(serve: Serve, path: str) -> None:
    """A long exchange elsewhere, blocking or not, does not extend the idle timeout."""
    clock = 0.25
    server = serve(slow, timeout_idle=clock)
    with server.client() as idle, server.client() as busy:
        started = time.monotonic()
        idle.get()
        busy.ask(path)
        ending = idle.ending()
        assert (ending.how, ending.rest) == ("fin", b"")
        assert clock <= ending.at - started <= 0.8 + NOISE
        assert busy.response().content == b"late\n"
    assert server.ends() == {"idle_timeout": 1, "client_eof_idle": 1}

"""Memory stays bounded in both directions, for each side can make the other wait.

1. A client reads slowly: the application's `send` waits, and no more than a buffer's worth is held by the server.
2. An application reads slowly, or not at all: reading from the socket pauses, and the client's own writes block.
3. A client sends requests and never reads the answers: the next ones are not even looked at.
4. All of it goes on where it stopped, and nothing is lost.
"""

import asyncio
import contextlib
import hashlib
import threading
import time
from collections.abc import Callable

from bide.session.session import Session
from bide.transport.stream import SocketWire
from tests.http1.driver import octets_held
from tests.support.apps import Message, Receive, Send, answer, hello, read_body
from tests.support.client import Client, request
from tests.support.server import Serve, Served
from tests.support.waiting import PATIENCE, pause, until

PIECE = 64 * 1024
# The kernel's buffers on both sides, and the transport's: on loopback they grow to some megabytes.
HELD = 16_000_000
# If nothing has moved for this time, nothing moves any more, seconds. It is longer than a busy machine delays a process.
QUIET = 0.7


def test_last_event_without_content_leaves_nothing_behind(serve: Serve) -> None:
    """Many applications end a response with an empty event. All content has left before, and to its own client only."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        sizes = [int(size) for size in scope["path"][1:].split(",")]
        headers = [(b"content-length", b"%d" % sum(sizes))] if scope["method"] == "GET" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for size in sizes:
            await send({"type": "http.response.body", "body": b"x" * size, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    server = serve(app)
    with server.client() as client, server.client() as other:
        for sizes in ([5, 8191], [5, 8192], [12_288, 12_288], [PIECE] * 7, [PIECE] * 40):
            for method in ("GET", "POST"):
                found = client.get("/" + ",".join(map(str, sizes)), method=method)
                assert found.content == b"x" * sum(sizes)
                assert other.get("/2").content == b"xx"
        for option in ("Connection: close", "Connection: keep-alive"):
            with server.client() as old:
                old.send(request("/5,8192", option, version="1.0"))
                assert old.response().content == b"x" * 8197


def flood(client: Client, octets: bytes, times: int) -> int:
    """Send until the server takes no more for a while; return how often `octets` were taken in full."""
    client.sock.settimeout(QUIET)
    taken = 0
    with contextlib.suppress(TimeoutError):
        for _ in range(times):
            client.send(octets)
            taken += 1
    return taken


def held(server: Served) -> int:
    """Return how many octets the server holds for its one client: in the transport, in the core, not in the kernel."""

    def count() -> int:
        (session,) = server.server.worker.register
        assert isinstance(session, Session)
        assert isinstance(session._wire, SocketWire)
        return session._wire._size + octets_held(session.connection)

    return server.call(count)


def settled(count: Callable[[], int]) -> int:
    """Wait until a count has begun to grow and grows no longer, and return it."""
    until(count)
    before, since = count(), time.monotonic()
    deadline = since + PATIENCE
    while (now := time.monotonic()) - since < QUIET:
        assert now < deadline, "it grows and grows"
        pause(0.01)
        if (found := count()) != before:
            before, since = found, time.monotonic()
    return before


def test_reader_that_stops_pauses_send(serve: Serve) -> None:
    sent: list[int] = []
    total = 1000

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(total):
            await send({"type": "http.response.body", "body": bytes([number % 251]) * PIECE, "more_body": True})
            sent.append(number)
        await send({"type": "http.response.body"})

    server = serve(app)
    with server.client(receive_buffer=65536) as client:
        client.ask()
        assert 0 < settled(lambda: len(sent)) * PIECE < HELD
        assert held(server) < (1 << 18) + 2 * PIECE, "what is gathered for one write, and what the transport holds"
        response = client.response()
    assert len(sent) == total
    digest = hashlib.sha256()
    for number in range(total):
        digest.update(bytes([number % 251]) * PIECE)
    assert hashlib.sha256(response.content).digest() == digest.digest()
    assert server.ends() == {"client_eof_idle": 1}


def test_client_that_leaves_while_send_waits_makes_it_raise(serve: Serve) -> None:
    """`send` does not wait for ever: it raises an OSError."""
    raised: list[BaseException] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": bytes(PIECE), "more_body": True})
        except OSError as error:
            raised.append(error)
            raise

    server = serve(app)
    with server.client(receive_buffer=4096) as client:
        client.ask()
        client.line()
        server.until(lambda: any(session.is_write_paused for session in server.sessions()))
        client.reset()
    assert server.ends() == {"client_reset": 1}
    server.until(lambda: raised)


def test_body_unread_by_the_application_pauses_reading(serve: Serve) -> None:
    waiting = threading.Event()
    gate: list[asyncio.Event] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        gate.append(asyncio.Event())
        waiting.set()
        await gate[0].wait()
        await answer(send, hashlib.sha256(await read_body(receive)).hexdigest().encode())

    server = serve(app, limit_buffer=PIECE)
    size = 100_000_000
    with server.client(send_buffer=65536) as client:
        client.ask("/", f"Content-Length: {size}", method="POST")
        assert waiting.wait(PATIENCE)
        taken = flood(client, bytes(PIECE), 1000) * PIECE
        assert taken < HELD
        # A send that timed out may have been taken in part: this client is no use any more but to count.
        assert held(server) <= 8 * PIECE, "one read beyond the limit, however large, is all that is held"
        client.reset()
    assert server.ends() == {"client_reset": 1}
    server.call(gate[0].set)


def test_body_read_slowly_is_read_whole(serve: Serve) -> None:
    """The body comes as fast as the client can, and is read at leisure."""
    size = 8_000_000
    content = hashlib.shake_256(b"body").digest(size)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        digest, largest, more = hashlib.sha256(), 0, True
        while more:
            message = await receive()
            more = message["more_body"]
            largest = max(largest, len(message["body"]))
            digest.update(message["body"])
            await asyncio.sleep(0.002)
        await answer(send, b"%d %s" % (largest, digest.hexdigest().encode()))

    server = serve(app, limit_buffer=PIECE)
    with server.client() as client:
        for _ in range(2):
            response = client.get("/", method="POST", body=content)
            largest, digest = response.content.split()
            assert digest.decode() == hashlib.sha256(content).hexdigest()
            assert int(largest) <= 8 * PIECE
    assert server.ends() == {"client_eof_idle": 1}


def test_pipelined_requests_of_a_client_that_does_not_read_wait(serve: Serve) -> None:
    """The client pipelines requests without end and does not read: they are not served into memory."""
    served = 0

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        nonlocal served
        served += 1
        await answer(send, bytes(10_000))

    server = serve(app)
    with server.client(receive_buffer=4096, send_buffer=65536) as client:
        flood(client, request() * 100, 5000)
        now = settled(lambda: served)
        assert now * 10_000 < HELD
        assert held(server) < 1_000_000
        client.sock.settimeout(PATIENCE)
        for _ in range(now + 100):  # it goes on where it stopped
            assert len(client.response().content) == 10_000
        client.reset()
    assert server.ends() == {"client_reset": 1}


def test_large_answers_to_pipelined_requests_arrive_in_order(serve: Serve) -> None:
    """Each answer is larger than the buffers, and the next request waits."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, scope["path"].encode()[1:] * 1_000_000)

    server = serve(app)
    with server.client(receive_buffer=65536) as client:
        client.send(b"".join(request(f"/{digit}") for digit in range(8)))
        for digit in range(8):
            pause(0.02)  # so that the client is slower than the server
            assert client.response().content == b"%d" % digit * 1_000_000
    assert server.ends() == {"client_eof_idle": 1}


def test_clients_that_do_not_read_hold_nobody_up(serve: Serve) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/large":
            await answer(send, bytes(50_000_000))
        else:
            await hello(scope, receive, send)

    server = serve(app)
    with contextlib.ExitStack() as stack:
        stuck = [stack.enter_context(server.client(receive_buffer=4096)) for _ in range(5)]
        for client in stuck:
            client.ask("/large")
            client.line()
        quick = stack.enter_context(server.client())
        for _ in range(100):
            assert quick.get().content == b"hello\n"
        assert server.states()["idle"] == 6, "all answers are made, five of them are on their way"
        assert sum(session.is_write_paused for session in server.sessions()) == 5
    assert server.ends() == {"client_reset": 5, "client_eof_idle": 1}

"""What clients can make the server hold is bounded, and is given back.

1. A client asks for 200 MB and reads nothing.
2. One pipelines 10,000 requests without reading, small answers or large ones.
3. One sends 100 MB after a request that says close, and one 100 MB of a body that the application does not read.
4. 100 clients hold half a head each, others are served meanwhile.
5. 500 clients reset in the middle: within a head, a body, a response, a pipeline.

In each case the server's memory grows by less than 5 MB, in a process of its own; afterwards descriptors and tasks are as many as
before, the counters add up, and no traceback was logged.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from tests.support.abuse import FEW, Child, Report, ended, kernel_sockets
from tests.support.client import Client, request
from tests.support.waiting import PATIENCE, pause

MB = 1_000_000


class Watch:
    """The largest memory that was seen, and where it began."""

    def __init__(self, server: Child) -> None:
        self.server = server
        for _ in range(3):  # what is made once, is made now
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(server.client()) for _ in range(100)]
                for client in clients:
                    client.ask("/large/200000")
                for client in clients:
                    client.response()
            server.empty()
        self.before = server.ask()
        self.most = 0

    def look(self) -> None:
        self.most = max(self.most, self.server.memory() - self.before["memory"])

    def look_for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.look()
            pause(0.01)


@contextlib.contextmanager
def watched(loop: str, few: int = FEW, **options: Any) -> Iterator[Watch]:
    """Run a server, and check at the end that it never held more than `few` octets beyond what it held before."""
    with Child(loop, **options) as server:
        watch = Watch(server)
        yield watch
        after: Report = server.empty()
        assert watch.most < few, f"{watch.most:,} octets more"
        assert after["memory"] - watch.before["memory"] < few
        assert after["descriptors"] == watch.before["descriptors"]
        server.until(lambda now: now["tasks"] == watch.before["tasks"])


def flood(client: Client, octets: bytes, count: int, watch: Watch, patience: float = 0.5) -> None:
    """Send `octets` `count` times; stop if the server takes nothing for `patience` seconds, or once a second has passed."""
    until = time.monotonic() + 1
    sent = 0
    view = memoryview(octets * count)
    client.sock.settimeout(patience)
    with contextlib.suppress(TimeoutError, ConnectionError):
        while sent < len(view) and time.monotonic() < until:
            sent += client.sock.send(view[sent : sent + 500_000])
            watch.look()
    client.sock.settimeout(PATIENCE)


def test_large_response_unread_is_bounded(loop: str) -> None:
    with watched(loop) as watch, watch.server.client(receive_buffer=4096) as client:
        client.ask(f"/large/{200 * MB}")
        watch.look_for(0.5)
        client.line()
        watch.look_for(0.3)
        assert watch.server.ask()["states"]["exchange"] == 1
        client.reset()


def test_large_object_unread_by_many_is_held_once(loop: str) -> None:
    """An object that the application holds once, such as a file in a cache, is not copied for each client."""
    with watched(loop) as watch, contextlib.ExitStack() as stack:
        for target in ("/cached", "/cached/chunked"):
            clients = [stack.enter_context(watch.server.client(receive_buffer=4096)) for _ in range(3)]
            for client in clients:
                client.ask(target)
            watch.look_for(0.3)
            for client in clients:
                client.reset()


def test_pipelined_requests_unread_are_bounded(loop: str) -> None:
    """Small answers, large ones, and some that take a moment."""
    with watched(loop) as watch:
        for target in ("/", "/large/100000", "/0.0001"):
            with watch.server.client(receive_buffer=4096, send_buffer=65536) as client:
                flood(client, request(target), 10_000, watch, patience=0.3)
                watch.look_for(0.2)
                client.reset()


def test_pipelined_requests_read_later_are_all_answered(loop: str) -> None:
    """Nothing of it is lost: the answers come in order as soon as they are read."""
    with watched(loop) as watch, watch.server.client() as client:
        octets = request("/") * 10_000
        sent = 0
        client.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while sent < len(octets):
                sent += client.sock.send(octets[sent : sent + 100_000])
        watch.look_for(0.2)
        client.sock.setblocking(True)
        client.sock.settimeout(PATIENCE)
        rest = memoryview(octets)[sent:]
        read = 0
        while len(rest):
            taken = client.sock.send(rest[:10_000])
            rest = rest[taken:]
            while client.buffer or not client.silent_for(0.0001):
                assert client.response().content == b"hello\n"
                read += 1
        while read < 10_000:
            assert client.response().content == b"hello\n"
            read += 1
        watch.look()


def test_pipelined_requests_without_end_are_bounded(loop: str) -> None:
    """A client that always has more to ask than is answered: what it has sent and was not served waits in the kernel."""
    octets = request("/", "X-Filler: " + "x" * 1000) * 100
    with watched(loop, few=4 * MB) as watch, watch.server.client() as client:
        client.sock.setblocking(False)
        until = time.monotonic() + 1.5
        read = 0
        while time.monotonic() < until:
            with contextlib.suppress(BlockingIOError):
                client.sock.send(octets)
            with contextlib.suppress(BlockingIOError):
                read += len(client.sock.recv(1 << 20))
            watch.look()
        assert read > 100_000, "it was served all the while"
        client.reset()


def test_large_answers_to_pipelined_requests_are_made_in_turn(loop: str) -> None:
    """They are not made before the ones in front of them have left."""
    with watched(loop) as watch, watch.server.client(receive_buffer=4096) as client:
        client.send(request("/whole/1000000") * 32)
        watch.look_for(0.5)
        client.reset()


def test_octets_after_a_close_are_dropped(loop: str) -> None:
    with watched(loop, timeout_linger_total=2.0) as watch, watch.server.client() as client:
        client.ask("/", "Connection: close")
        flood(client, bytes(MB), 100, watch)
        watch.look()
        found = watch.server.ask()
        assert ended(found).get("client_close_option", 0) + found["states"]["linger"] >= 1


def test_body_read_slowly_or_not_at_all_is_bounded(loop: str) -> None:
    """The application answers at once, waits before it does, or reads in no force_stop."""
    with watched(loop, timeout_linger_total=1.0) as watch:
        for target in ("/", "/0.5", "/read/0.05"):
            with watch.server.client() as client:
                client.ask(target, f"Content-Length: {100 * MB}", method="POST")
                flood(client, bytes(MB), 100, watch, patience=0.3)
                watch.look()
                client.reset()


def test_body_of_small_chunks_is_bounded(loop: str) -> None:
    """6 octets on the wire for each of content, to an application that reads slowly: an object for each makes it a little more."""
    with watched(loop, few=3 * FEW) as watch, watch.server.client() as client:
        client.ask("/read/0.05", "Transfer-Encoding: chunked", method="POST")
        flood(client, b"1\r\nx\r\n" * 100_000, 150, watch, patience=0.3)
        watch.look_for(0.2)
        client.reset()


def test_half_heads_are_bounded_and_hold_nobody_up(loop: str) -> None:
    """Others are served while all of them are open."""
    with watched(loop, timeout_head=3.0) as watch, contextlib.ExitStack() as stack:
        server = watch.server
        half = [stack.enter_context(server.client()) for _ in range(100)]
        for client in half:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 8000)
        server.until(lambda now: now["states"]["head"] == 100)
        with server.client() as quick:
            for _ in range(100):
                assert quick.get().status == 200
        assert server.ask()["states"]["head"] == 100
        watch.look()
        for client in half:
            assert client.response().status == 408
            assert client.ending().how == "fin"
            client.close()
        server.until(lambda now: ended(now).get("head_timeout") == 100)


def test_resets_anywhere_leave_nothing(loop: str) -> None:
    beginnings = [
        b"",
        b"GET / HT",
        request("/"),
        request("/1"),
        request("/endless"),
        request(f"/large/{10 * MB}"),
        request("/read/0", "Content-Length: 100000", method="POST") + bytes(1000),
        request("/read/0.01", "Transfer-Encoding: chunked", method="POST") + b"5\r\nhel",
        request("/", "Content-Length: 100000", method="POST"),
        request("/0.01") * 20,
    ]
    with watched(loop) as watch:
        server = watch.server
        for wave in range(5):
            clients = [server.client() for _ in range(100)]
            for number, client in enumerate(clients):
                client.send(beginnings[number % len(beginnings)])
            pause(0.05 * wave)
            watch.look()
            for client in clients:
                client.reset()
        found = server.until(lambda now: now["states"]["exchange"] <= 50 and kernel_sockets(server.where) == 0)
        assert found["opened"] - watch.before["opened"] <= 500  # some may have left before they were accepted

"""At any moment: connections opened = ends counted by reason + connections open by state, and the kernel knows as many.

1. Clients of every kind come and go at once, until each reason has occurred: they ask, pipeline, stay silent, stop within a head
   or body, send rubbish, close, half-close, reset, do not read, say close, speak HTTP/1.0. Clocks are short, connections are few.
2. Meanwhile a snapshot is taken again and again: its counters add up in each.
3. When all have gone nothing is open, each has ended for one reason, and the reasons are those that their behaviour brings about.
4. Histograms: each connection is counted once by the requests it carried; each gap between requests once.
"""

import contextlib
import gc
import logging
import random
import re
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from bide.session.exchange import ServedExchange
from bide.session.session import Session
from bide.terms import CloseReason
from bide.transport.stream import SocketWire
from tests.support.abuse import add_up, balanced, ended, kernel_sockets
from tests.support.apps import Message, Receive, Send, answer, echo, slow
from tests.support.client import Client, IncompleteError, request
from tests.support.server import Serve
from tests.support.tls import Authority
from tests.support.waiting import PATIENCE, pause, until

# What the clocks are set to, seconds.
SHORT = 0.3
# The same where clients shake hands, and must come to their request on a busy machine, too.
FOR_TLS = 1.0
# Snapshots that are taken at least.
MANY = 100


async def app(scope: Message, receive: Receive, send: Send) -> None:
    match scope["path"]:
        case "/echo":
            await echo(scope, receive, send)
        case "/close":
            await answer(send, b"bye\n", fields=[(b"connection", b"close")])
        case "/stream":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        case "/large":
            await answer(send, bytes(20_000_000))
        case "/refuse":
            await answer(send, b"", 413)
        case _:
            await slow(scope, receive, send)


def asks(client: Client) -> None:
    for _ in range(random.randrange(1, 6)):
        client.get("/")
        pause(random.random() * 0.05)


def pipelines(client: Client) -> None:
    client.send(request("/") * 50)
    for _ in range(50):
        client.response()


def says_close(client: Client) -> None:
    client.get("/", "Connection: close")
    client.ending()


def is_told_to_close(client: Client) -> None:
    client.get("/close")
    client.ending()


def speaks_http10(client: Client) -> None:
    client.get(random.choice(["/", "/stream"]), version="1.0")


def stays_silent(client: Client) -> None:
    client.ending()


def stays_idle(client: Client) -> None:
    client.get("/")
    client.ending()


def stops_within_a_head(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\nHo")
    client.ending()


def stops_within_a_body(client: Client) -> None:
    client.send(request("/echo", "Content-Length: 10", method="POST") + b"half")
    client.ending()


def sends_too_much(client: Client) -> None:
    client.ask("/refuse", "Content-Length: 1000000", method="POST")
    client.response()
    client.send(bytes(1000))
    client.ending()


def stops_within_an_unwanted_body(client: Client) -> None:
    client.ask("/refuse", "Content-Length: 10", method="POST")
    client.response()
    client.ending()


def sends_rubbish(client: Client) -> None:
    client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
    client.ending()


def sends_bad_chunks(client: Client) -> None:
    client.send(request("/echo", "Transfer-Encoding: chunked", method="POST") + b"xyz\r\n")
    client.ending()


def does_not_wait_for_100(client: Client) -> None:
    client.ask("/refuse", "Content-Length: 10", "Expect: 100-continue", method="POST")
    client.ending()


def resets(client: Client) -> None:
    client.send(random.choice([b"", b"GET", request("/"), request("/0.1"), request("/large")]))
    client.reset()


def half_closes(client: Client) -> None:
    client.ask("/0.01")
    client.half_close()
    client.response()


def leaves_within_a_body(client: Client) -> None:
    client.send(request("/echo", "Content-Length: 10", method="POST") + b"half")


def leaves_at_once(client: Client) -> None:
    pass


def does_not_read(client: Client) -> None:
    client.ask("/large")
    pause(SHORT * 3)


KINDS: list[Callable[[Client], None]] = [
    asks,
    pipelines,
    says_close,
    is_told_to_close,
    speaks_http10,
    stays_silent,
    stays_idle,
    stops_within_a_head,
    stops_within_a_body,
    sends_too_much,
    stops_within_an_unwanted_body,
    sends_rubbish,
    sends_bad_chunks,
    does_not_wait_for_100,
    resets,
    half_closes,
    leaves_within_a_body,
    leaves_at_once,
    does_not_read,
]

EXPECTED = {
    "client_close_option",
    "client_http10",
    "client_eof_unused",
    "client_eof_idle",
    "client_half_closed",
    "client_incomplete",
    "client_reset",
    "head_rejected",
    "body_rejected",
    "expectation_unmet",
    "request_unread",
    "response_close_option",
    "close_delimited",
    "first_octet_timeout",
    "head_timeout",
    "body_timeout",
    "send_timeout",
    "idle_timeout",
}


def test_reasons_of_clients_of_each_kind_add_up(serve: Serve) -> None:
    server = serve(
        app,
        limit_connections=60,
        timeout_first_octet=SHORT,
        timeout_head=SHORT,
        timeout_body=SHORT,
        timeout_send=SHORT,
        timeout_idle=SHORT,
        timeout_discard=SHORT,
        timeout_linger=SHORT,
        timeout_idle_least=SHORT / 2,
    )
    enough = threading.Event()
    connected: Counter[str] = Counter()
    failed: list[str] = []

    def run(number: int) -> None:
        turn = number
        while not enough.is_set():
            behave = KINDS[turn % len(KINDS)]
            turn += 1
            with Client(server.where, receive_buffer=65536) as client:
                connected[behave.__name__] += 1
                with contextlib.suppress(ConnectionError):
                    try:
                        behave(client)
                    except TimeoutError:
                        failed.append(behave.__name__)
                    except Exception as error:  # an end where an answer was expected: the limit is small
                        connected[repr(type(error))] += 1

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(KINDS) * 2)]
    for thread in threads:
        thread.start()
    looks = 0

    def look() -> bool:
        nonlocal looks
        snapshot = server.snapshot()
        assert add_up(snapshot), snapshot
        looks += 1
        return looks > MANY and set(ended(snapshot)) >= EXPECTED

    try:
        until(look, message=lambda: EXPECTED - set(ended(server.snapshot())))
    finally:
        enough.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert not failed
    ends = server.ends()
    assert kernel_sockets(server.where) == 0
    snapshot = balanced(server)
    assert not sum(snapshot["states"].values())
    assert sum(ends.values()) == snapshot["opened"] == sum(connected[kind.__name__] for kind in KINDS)
    assert sum(snapshot["requests_per_connection"].values()) == snapshot["opened"]
    assert "internal_error" not in ends
    for warning in server.log.messages(
        logging.WARNING
    ):  # of a limit that is small, and of requests that crossed an end
        server.log.expect(re.escape(warning))


# -- PROXY headers and TLS --------------------------------------------------------------------------------------------------

HEADER = b"PROXY TCP4 192.0.2.1 198.51.100.1 4000 443\r\n"


class Visitor:
    """A client that comes through a proxy, and speaks TLS."""

    def __init__(self, client: Client, context: ssl.SSLContext) -> None:
        self.client = client
        self.context = context

    def shake_hands(self) -> None:
        self.client.send(HEADER)
        self.client.sock = self.context.wrap_socket(self.client.sock, server_hostname="localhost")

    def raw(self) -> socket.socket:
        """Return the socket below TLS, which is given up."""
        self.client.sock = socket.socket(fileno=self.client.sock.detach())
        self.client.sock.settimeout(PATIENCE)
        return self.client.sock


def visits(visitor: Visitor) -> None:
    visitor.shake_hands()
    asks(visitor.client)


def has_no_header(visitor: Visitor) -> None:
    visitor.client.send(request("/"))
    visitor.client.ending()


def drips_a_header(visitor: Visitor) -> None:
    visitor.client.send(HEADER[:20])
    visitor.client.ending()


def speaks_no_tls(visitor: Visitor) -> None:
    visitor.client.send(HEADER + random.choice([request("/"), random.randbytes(100), b"\x16\x03\x01\x00\x05hello"]))
    visitor.client.ending()


def is_silent_within_tls(visitor: Visitor) -> None:
    visitor.client.send(HEADER + b"\x16\x03")
    visitor.client.ending()


def leaves_within_tls(visitor: Visitor) -> None:
    visitor.client.send(HEADER + b"\x16\x03")
    if random.random() < 0.5:
        visitor.client.reset()


def is_idle_over_tls(visitor: Visitor) -> None:
    visitor.shake_hands()
    visitor.client.get("/")
    visitor.client.ending()


def ends_before_a_request(visitor: Visitor) -> None:
    visitor.shake_hands()
    visitor.client.ending()


def sends_a_bad_record(visitor: Visitor) -> None:
    visitor.shake_hands()
    visitor.client.send(request(random.choice(["/0.1", "/large"])))
    raw = visitor.raw()
    raw.sendall(b"\x17\x03\x03\x00\x20" + random.randbytes(32))
    visitor.client.ending()


def resets_within_a_response(visitor: Visitor) -> None:
    visitor.shake_hands()
    visitor.client.ask("/large")
    visitor.client.sock.recv(1)  # a reset that overtakes the handshake's end ends an unused connection
    visitor.raw()
    visitor.client.reset()


def leaves_within_a_request(visitor: Visitor) -> None:
    visitor.shake_hands()
    visitor.client.send(request("/echo", "Content-Length: 10", method="POST") + b"half")


VISITS: list[Callable[[Visitor], None]] = [
    visits,
    has_no_header,
    drips_a_header,
    speaks_no_tls,
    is_silent_within_tls,
    leaves_within_tls,
    is_idle_over_tls,
    ends_before_a_request,
    sends_a_bad_record,
    resets_within_a_response,
    leaves_within_a_request,
]
EXPECTED_OF_VISITS = {
    "proxy_header_rejected",
    "tls_rejected",
    "handshake_timeout",
    "client_eof_unused",
    "client_eof_idle",
    "client_incomplete",
    "client_reset",
    "first_octet_timeout",
    "idle_timeout",
}


def test_reasons_of_clients_through_a_proxy_over_tls_add_up(
    serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> None:
    authority = Authority.made(tmp_path_factory.mktemp("tls"))
    context = authority.context()
    server = serve(
        app,
        proxy_protocol="auto",
        timeout_handshake=2 * FOR_TLS,
        timeout_first_octet=FOR_TLS,
        timeout_idle=FOR_TLS,
        timeout_idle_least=FOR_TLS / 2,
        timeout_linger=FOR_TLS,
        **authority.issue("proxied"),
    )
    enough = threading.Event()
    visited: Counter[str] = Counter()

    def run(turn: int) -> None:
        while not enough.is_set():
            visit = VISITS[turn % len(VISITS)]
            turn += 1
            with Client(server.where, receive_buffer=65536) as client:
                visited[visit.__name__] += 1
                with contextlib.suppress(OSError, IncompleteError):  # an end where more was expected: clocks are short
                    visit(Visitor(client, context))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(VISITS))]
    for thread in threads:
        thread.start()

    def look() -> bool:
        snapshot = server.snapshot()
        assert add_up(snapshot), snapshot
        return set(ended(snapshot)) >= EXPECTED_OF_VISITS and min(visited[visit.__name__] for visit in VISITS) > 3

    try:
        until(look, message=lambda: EXPECTED_OF_VISITS - set(ended(server.snapshot())))
    finally:
        enough.set()
        for thread in threads:
            thread.join(PATIENCE)
    ends = server.ends()
    assert kernel_sockets(server.where) == 0
    assert sum(ends.values()) == server.snapshot()["opened"] == sum(visited.values())
    for warning in server.log.messages(logging.WARNING):  # requests that crossed an end
        server.log.expect(re.escape(warning))


def test_requests_of_open_connections_are_counted_as_they_come(serve: Serve) -> None:
    """Requests of open connections count, too, at rest or not, and none counts twice."""
    server = serve(slow)

    def counted() -> int:
        return server.snapshot()["requests"]

    with server.client() as client, server.client() as other:
        assert counted() == 0
        for count in (1, 2):
            client.get()
            assert counted() == count
        client.ask("/0.3")
        server.until(lambda: server.states()["exchange"])
        assert counted() == 3
        client.response()
        other.get()
        assert counted() == 4
        client.close()
        server.until(lambda: server.counters.closed[CloseReason.CLIENT_EOF_IDLE])
        assert counted() == 4
    server.ends()
    assert counted() == 4


def test_histograms_count_each_connection_and_gap_once(serve: Serve) -> None:
    server = serve(slow)
    for count in (1, 1, 2, 3, 8):
        with server.client() as client:
            for _ in range(count):
                client.get("/")
    server.ends()
    with server.client() as client:
        client.get("/")
        pause(0.3)
        client.get("/")
        client.send(request("/") * 3)
        for _ in range(3):
            client.response()
    server.ends()
    snapshot = balanced(server)
    assert snapshot["requests"] == 20
    assert sum(snapshot["requests_per_connection"].values()) == 6
    # keys are upper bounds, exclusive: 1 and 1; 2 and 3; 5; 8
    assert snapshot["requests_per_connection"] == {2: 2, 4: 2, 8: 1, 16: 1}
    gaps = snapshot["idle_gaps_ms"]
    assert any(count for bound, count in gaps.items() if bound > 256), "that of 0.3 s"
    assert sum(gaps.values()) == 20 - 6 - 2, "the first requests have none, nor those pipelined after another"


def test_ended_connections_leave_nothing_to_the_collector(serve: Serve) -> None:
    """However a connection ended, its objects are gone with it, and do not wait for a garbage collection."""

    def left() -> int:
        # Not isinstance: that asks proxies, as those of frameworks, for the class of what they stand for.
        return sum(type(thing) in (Session, SocketWire, ServedExchange) for thing in gc.get_objects())

    server = serve(slow)
    before = left()
    gc.disable()
    try:
        for how in ("close", "reset", "half"):
            for _ in range(10):
                with server.client() as client:
                    client.get()
                    if how == "reset":
                        client.reset()
                    elif how == "half":
                        client.ask("/0.01")
                        client.half_close()
                        client.ending()
        server.ends()
        server.until(lambda: left() <= before + 1)
    finally:
        gc.enable()

"""Every wait has an end (9.5). Each clock is set short, and the end it brings comes no sooner, and not much later.

1. First octet: a client connects and sends nothing. The connection ends without a response.
2. Head: it comes slowly, octet by octet; the clock runs from the first one and is never renewed. 408.
3. Body: it stops arriving, or drips, while the application waits for it. 408.
4. Send: the client does not read what was sent. Reset.
5. Idle: no other request comes. The server half-closes, then closes.
6. Discard: the rest of an unwanted body does not come. The connection ends.
7. Linger: a client sends on and on after the end. It is listened to no longer than the linger clock allows in all.
"""

import asyncio
import contextlib
import threading
import time

import pytest

from tests.support.apps import Message, Receive, Send, answer, echo, hello, read_body, refuse
from tests.support.client import Client, Ending, request
from tests.support.server import NOISE, Serve
from tests.support.waiting import PATIENCE, pause

# What the clocks are set to, seconds.
CLOCK = 0.4
# The same where the client keeps within the clock, so that it does on a busy machine, too.
LONGER = 1.0


def within(started: float, ending: Ending, clock: float = CLOCK) -> None:
    """Check that a connection ended once its clock had run out, and not much later. started: before the act that started the clock."""
    took = ending.at - started
    assert clock <= took <= clock + NOISE, took


def test_first_octet_clock_ends_a_silent_connection(serve: Serve) -> None:
    server = serve(hello, timeout_first_octet=CLOCK)
    started = time.monotonic()
    with server.client() as client:
        ending = client.ending()
    assert (ending.how, ending.rest) == ("fin", b"")
    within(started, ending)
    assert server.ends() == {"first_octet_timeout": 1}


@pytest.mark.parametrize("drip", [False, True])
def test_head_clock_ends_a_slow_head_with_408(serve: Serve, drip: bool) -> None:
    server = serve(hello, timeout_head=CLOCK)
    with server.client() as client:
        started = time.monotonic()
        client.send(b"GET / HTTP/1.1\r\nX: ")
        if drip:
            with contextlib.suppress(ConnectionError):
                while time.monotonic() < started + CLOCK - 0.05:
                    pause(0.05)
                    client.send(b"x")
        response = client.response()
        assert response.status == 408
        assert response.says_close
        ending = client.ending()
    assert ending.how == "fin"
    within(started, ending)
    assert server.ends() == {"head_timeout": 1}


def test_empty_lines_do_not_renew_the_first_octet_clock(serve: Serve) -> None:
    """Empty lines before a request line are ignored (2.2): they buy no time either."""
    server = serve(hello, timeout_first_octet=CLOCK)
    started = time.monotonic()
    with server.client() as client:
        for _ in range(3):
            client.send(b"\r\n")
            pause(0.1)
        ending = client.ending()
    assert (ending.how, ending.rest) == ("fin", b"")
    within(started, ending)
    assert server.ends() == {"first_octet_timeout": 1}


def test_body_clock_ends_a_body_that_stops_with_408(serve: Serve) -> None:
    server = serve(echo, timeout_body=CLOCK)
    with server.client() as client:
        started = time.monotonic()
        client.send(request("/", "Content-Length: 100", method="POST") + b"begun")
        response = client.response()
        assert response.status == 408
        assert response.says_close
        ending = client.ending()
    assert ending.how == "fin"
    within(started, ending)
    assert server.ends() == {"body_timeout": 1}


def test_body_with_pauses_shorter_than_its_clock_is_read(serve: Serve) -> None:
    """Each pause is shorter than the clock, all of them together are longer."""
    server = serve(echo, timeout_body=LONGER, body_rate=0)
    with server.client() as client:
        client.send(request("/", "Content-Length: 5", method="POST"))
        for _ in range(5):
            pause(LONGER / 4)
            client.send(b"x")
        assert client.response().content == b"xxxxx"
    assert server.ends() == {"client_eof_idle": 1}


def test_body_below_its_rate_ends_with_408(serve: Serve) -> None:
    """It never pauses for long, but comes at a twentieth of the rate that is asked for."""
    server = serve(echo, timeout_body=5.0, body_rate=1000, rate_grace=CLOCK)
    with server.client() as client:
        started = time.monotonic()
        client.ask("/", "Content-Length: 1000", method="POST")
        while client.silent_for(0.02):
            client.send(b"x")
            assert time.monotonic() < started + CLOCK + NOISE
        assert client.response().status == 408
        within(started, client.ending())
    assert server.ends() == {"body_timeout": 1}


def test_time_of_the_application_counts_for_no_clock(serve: Serve) -> None:
    """The body clock runs only while the application waits for the body, and no clock while it thinks."""
    thinking, thought = threading.Event(), asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        first = await receive()
        thinking.set()
        await thought.wait()
        second = await receive()
        await answer(send, first["body"] + second["body"])

    server = serve(app, timeout_body=CLOCK, timeout_idle=CLOCK, timeout_head=CLOCK, timeout_first_octet=CLOCK)
    with server.client() as client:
        client.send(request("/", "Content-Length: 2", method="POST") + b"a")
        assert thinking.wait(PATIENCE)
        pause(CLOCK * 2)
        client.send(b"b")
        server.call(thought.set)
        assert client.response().content == b"ab"
    assert server.ends() == {"client_eof_idle": 1}


def test_send_clock_resets_a_client_that_does_not_read(serve: Serve) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, bytes(30_000_000))

    server = serve(app, timeout_send=CLOCK)
    with server.client(receive_buffer=4096) as client:
        started = time.monotonic()
        client.ask()
        assert server.ends() == {"send_timeout": 1}
        assert CLOCK <= time.monotonic() - started <= CLOCK + NOISE
        assert client.ending().how == "reset"


def test_send_below_its_rate_ends_after_the_grace(serve: Serve) -> None:
    """The client reads without a pause, but slowly."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, bytes(30_000_000))

    server = serve(app, timeout_send=PATIENCE, send_rate=10_000_000, rate_grace=CLOCK)
    with server.client(receive_buffer=4096) as client:
        started = time.monotonic()
        client.ask()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < started + PATIENCE:
                client.sock.recv(2000)
                pause(0.01)
        assert CLOCK <= time.monotonic() - started <= CLOCK + NOISE
    assert server.ends() == {"send_timeout": 1}


def test_pauses_before_and_between_octets_do_not_count_as_a_rate(serve: Serve) -> None:
    """The rate is that of octets that move. A client that has stopped or not begun has the time of a pause."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, bytes(6_000_000 + len(await read_body(receive))))

    server = serve(app, timeout_send=PATIENCE, timeout_body=PATIENCE, send_rate=240, body_rate=240, rate_grace=0.2)
    with server.client(receive_buffer=4096) as client:
        client.ask("/", "Content-Length: 5", method="POST")
        pause(0.8)
        client.send(b"x" * 5)
        pause(0.8)
        assert len(client.response().content) == 6_000_005
    assert server.ends() == {"client_eof_idle": 1}


def test_reader_with_pauses_shorter_than_the_clock_gets_everything(serve: Serve) -> None:
    """Each pause is shorter than the clock, all of them are longer."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, bytes(6_000_000))

    server = serve(app, timeout_send=LONGER)
    with server.client(receive_buffer=65536) as client:
        client.ask()
        read = b""
        for _ in range(5):
            pause(LONGER / 4)
            read += client.exactly(500_000)
        client.buffer[:0] = read
        assert client.response().content == bytes(6_000_000)
    assert server.ends() == {"client_eof_idle": 1}


def test_idle_clock_half_closes_and_begins_anew_after_each_exchange(serve: Serve) -> None:
    server = serve(hello, timeout_idle=CLOCK)
    server.log.expect("a request arrived just as its idle connection was closed")
    with server.client() as client:
        client.get()
        pause(CLOCK / 2)
        started = time.monotonic()
        client.get()  # which begins the clock anew
        ending = client.ending()
        assert (ending.how, ending.rest) == ("fin", b"")
        within(started, ending)
        assert not client.is_closed_by_peer(), "half-closed first: a request may be on its way"
    assert server.ends() == {"idle_timeout": 1}
    assert server.counters.race_lost == 1


def test_idle_client_that_stays_is_closed_after_the_linger_clock(serve: Serve) -> None:
    """The client does not react to the end: it is closed all the same."""
    server = serve(hello, timeout_idle=CLOCK, timeout_linger=CLOCK)
    with server.client() as client:
        started = time.monotonic()
        client.get()
        assert client.ending().how == "fin"
        assert server.ends() == {"idle_timeout": 1}
        assert 2 * CLOCK <= time.monotonic() - started <= 2 * CLOCK + NOISE


def test_discard_clock_ends_an_unwanted_body(serve: Serve) -> None:
    server = serve(refuse, timeout_discard=CLOCK)
    with server.client() as client:
        started = time.monotonic()
        client.send(request("/", "Content-Length: 1000", method="POST") + b"begun")
        response = client.response()
        assert response.status == 413
        assert not response.says_close  # little is outstanding: to read it off is worth while
        ending = client.ending()
    assert (ending.how, ending.rest) == ("fin", b"")
    within(started, ending)
    assert server.ends() == {"request_unread": 1}


def test_linger_clock_ends_at_its_total_though_octets_come(serve: Serve) -> None:
    """Octets renew the linger clock, but not for ever."""
    server = serve(refuse, timeout_linger=LONGER, timeout_linger_total=2 * LONGER)
    with server.client() as client:
        started = time.monotonic()
        client.ask("/", "Content-Length: 100000000", method="POST")
        assert client.response().says_close
        assert client.ending().how == "fin"
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < started + PATIENCE:
                client.send(b"x")
                pause(0.05)
        took = time.monotonic() - started
    assert 2 * LONGER <= took <= 2 * LONGER + NOISE, took
    assert server.ends() == {"request_unread": 1}


def test_clocks_of_many_connections_end_each_for_its_reason(serve: Serve) -> None:
    """Twenty clients of each kind, on one server: each ends for its own reason."""
    server = serve(
        echo,
        timeout_first_octet=CLOCK,
        timeout_head=CLOCK,
        timeout_body=CLOCK,
        timeout_idle=CLOCK,
        timeout_linger=CLOCK,
    )
    beginnings = {
        "first_octet_timeout": b"",
        "head_timeout": b"GET / HT",
        "body_timeout": request("/", "Content-Length: 9", method="POST") + b"x",
        "idle_timeout": request(),
    }
    clients: list[Client] = []
    try:
        for _ in range(20):
            for octets in beginnings.values():
                clients.append(server.client())
                clients[-1].send(octets)
        for client in clients:
            assert client.ending().how == "fin"
    finally:
        for client in clients:
            client.close()
    assert server.ends() == dict.fromkeys(beginnings, 20)

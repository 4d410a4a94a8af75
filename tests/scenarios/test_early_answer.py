"""A response is sent while the client still uploads: it arrives in full, every time (9.6).

1. The client sends a request with a body of 10 MB, and reads nothing before it has written everything.
2. The application answers 413 at once and never reads the body.
3. The server announces close, half-closes, and reads and drops what still comes: a close would bring a reset, and with it the
   client would lose the answer.
4. The client reads the whole answer, then a FIN.

The same through a relay that holds everything back for a while, as a network does, and from a client that sends in chunks. A
server that just closes fails this: the last test shows that the client here would notice.
"""

import socket
import threading

import pytest

from tests.support.apps import Message, Receive, Send, answer, hello, read_body, refuse
from tests.support.client import Client, request
from tests.support.relay import Relay
from tests.support.server import Serve
from tests.support.waiting import pause

SIZE = 10_000_000
TIMES = 50
# Seconds: several times what a busy machine adds to a pause of a fifth of it.
LINGER = 1.0


def upload(client: Client, size: int = SIZE) -> None:
    client.ask("/upload", f"Content-Length: {size}", method="POST")
    piece = bytes(1 << 16)
    for offset in range(0, size, len(piece)):
        client.send(piece[: size - offset])


def upload_chunked(client: Client) -> None:
    client.ask("/upload", "Transfer-Encoding: chunked", method="POST")
    piece = b"%x\r\n%b\r\n" % (1 << 16, bytes(1 << 16))
    for _ in range(0, SIZE, 1 << 16):
        client.send(piece)
    client.send(b"0\r\n\r\n")


def refused(client: Client, *, announced: bool = True) -> None:
    response = client.response()
    assert response.status == 413
    assert response.content == b"too large\n"
    assert response.says_close == announced
    ending = client.ending()
    assert (ending.how, ending.rest) == ("fin", b"")


@pytest.mark.parametrize("how", ["half-close", "malformed"])
@pytest.mark.parametrize("announced", [False, True])
def test_client_that_stops_at_the_head_reads_the_rest(serve: Serve, how: str, announced: bool) -> None:
    """9.5: it is to cease sending, to close its side, and to read on. The rest of the answer comes; the application is told."""
    messages: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        fields = [(b"content-length", b"10"), *([(b"connection", b"close")] if announced else [])]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"01234", "more_body": True})
        messages.append(await receive())
        while messages[-1]["type"] == "http.request":
            messages.append(await receive())
        await send({"type": "http.response.body", "body": b"56789"})

    server = serve(app)
    with server.client() as client:
        client.ask("/", "Transfer-Encoding: chunked", method="POST")
        client.send(b"5\r\nhello\r\n")
        assert client.head().status == 200
        assert client.exactly(5) == b"01234"
        if how == "half-close":
            client.half_close()
        else:
            client.send(b"rubbish\r\n")
        assert client.exactly(5) == b"56789"
        assert client.ending().how == "fin"
    assert messages[-1] == {"type": "http.disconnect"}
    reason = "client_incomplete" if how == "half-close" else "body_rejected"
    assert server.ends() == {"response_close_option" if announced else reason: 1}


def test_upload_refused_is_answered_then_ended(serve: Serve) -> None:
    server = serve(refuse)
    for _ in range(TIMES):
        with server.client() as client:
            upload(client)
            refused(client)
    assert server.ends() == {"request_unread": TIMES}


def test_upload_refused_over_small_buffers_is_answered(serve: Serve) -> None:
    server = serve(refuse)
    for _ in range(5):
        with server.client(send_buffer=8192, receive_buffer=4096) as client:
            upload(client, 1_000_000)
            refused(client)
    assert server.ends() == {"request_unread": 5}


def test_upload_refused_in_chunks_is_answered(serve: Serve) -> None:
    """The size of a chunked body is unknown when the head leaves. A refused client is expected to send more."""
    server = serve(refuse)
    for _ in range(5):
        with server.client() as client:
            upload_chunked(client)
            refused(client)
    assert server.ends() == {"request_unread": 5}


def test_chunked_body_unread_but_small_keeps_the_connection(serve: Serve) -> None:
    server = serve(hello)
    with server.client() as client:
        for _ in range(3):
            client.ask("/", "Transfer-Encoding: chunked", method="POST")
            assert not client.response().says_close
            client.send(b"5\r\nhello\r\n0\r\n\r\n")
        assert client.get().content == b"hello\n"
    assert server.ends() == {"client_eof_idle": 1}


def test_body_read_after_the_head_of_the_response_keeps_the_connection(serve: Serve) -> None:
    """The application begins its answer first, then reads the body to its end."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
        await send({"type": "http.response.body", "body": b"%d" % len(await read_body(receive))})

    server = serve(app)
    with server.client() as client:
        for _ in range(2):
            client.ask("/", "Content-Length: 1000000", method="POST")
            client.send(bytes(1_000_000))
            response = client.response()
            assert response.content == b"begun 1000000"
            assert not response.says_close
    assert server.ends() == {"client_eof_idle": 1}


def test_upload_refused_over_a_slow_network_is_answered(serve: Serve) -> None:
    server = serve(refuse)
    with Relay(server.where, delay=0.02) as relay:
        for _ in range(5):
            with Client(relay.where) as client:
                upload(client)
                refused(client)
    assert server.ends() == {"request_unread": 5}


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_upload_refused_with_a_large_response_is_answered(serve: Serve, size: int) -> None:
    """The answer does not fit into the buffers: it is sent while the body is dropped."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, bytes(size), 413)

    server = serve(app)
    with server.client(receive_buffer=4096) as client:
        upload(client)
        response = client.response()
        assert response.content == bytes(size)
        assert client.ending().how == "fin"
    assert server.ends() == {"request_unread": 1}


def test_body_unread_but_small_keeps_the_connection(serve: Serve) -> None:
    server = serve(refuse)
    with server.client() as client:
        for _ in range(10):
            upload(client, 200_000)
            response = client.response()
            assert response.status == 413
            assert not response.says_close
    assert server.ends() == {"client_eof_idle": 1}


def test_body_read_in_part_is_answered_then_ended(serve: Serve) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await answer(send, b"too large\n", 413)

    server = serve(app)
    with server.client() as client:
        upload(client)
        refused(client)
    assert server.ends() == {"request_unread": 1}


def test_upload_to_a_careless_server_meets_a_reset() -> None:
    """A server that answers and closes, for comparison."""

    def careless(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1024)
            connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=careless, args=(listener,))
        thread.start()
        with Client(listener.getsockname()) as client, pytest.raises(ConnectionError):
            upload(client)
        thread.join()


def test_upload_refused_that_goes_on_slowly_is_answered(serve: Serve) -> None:
    """The client sends on for longer than the pause that lingering allows: it is the pauses that count."""
    server = serve(refuse, timeout_linger=LINGER)
    with server.client() as client:
        client.send(request("/", "Content-Length: 1000000", method="POST"))
        for _ in range(8):
            client.send(bytes(1000))
            pause(LINGER / 5)
        refused(client)
    assert server.ends() == {"request_unread": 1}

"""Octets behind a client's last request never spoil the answer that is owed to it (9.6).

1. The client says `Connection: close`, or speaks HTTP/1.0, and has small buffers: the answer takes a while to be read.
2. Some time later it sends more, such as the empty line that old clients put behind a body, while the answer is on its way.
3. The server has closed for good in the meantime? Then its kernel answers with a reset, and drops what it had not sent.
4. So it lingers: the client reads the whole answer, then a FIN.
"""

import time

import pytest

from tests.support.apps import Message, Receive, Send, answer, read_body
from tests.support.server import Serve

SIZE = 1_000_000


async def large(scope: Message, receive: Receive, send: Send) -> None:
    await read_body(receive)
    await answer(send, bytes(SIZE))


@pytest.mark.parametrize("line", ["POST / HTTP/1.0", "POST / HTTP/1.1\r\nHost: a\r\nConnection: close"])
@pytest.mark.parametrize("pause", [0.1, 0.8], ids=["soon", "later than the linger clock"])
def test_answer_is_read_whole(serve: Serve, line: str, pause: float) -> None:
    server = serve(large, timeout_linger=0.3)
    with server.client(receive_buffer=4096) as client:
        client.send(f"{line}\r\nContent-Length: 3\r\n\r\nabc".encode())
        time.sleep(pause)
        client.send(b"\r\n")
        time.sleep(0.1)
        response = client.response()
        assert response.says_close
        assert len(response.content) == SIZE
        assert client.ending().how == "fin"
    assert sum(server.ends().values()) == 1


def test_a_client_that_reads_nothing_holds_nothing_for_long(serve: Serve) -> None:
    """The linger has a bound in all, whatever is unread."""
    server = serve(large, timeout_linger=0.2, timeout_linger_total=0.6)
    with server.client(receive_buffer=4096) as client:
        client.ask("/", "Connection: close")
        server.until(lambda: server.open == 1)
        began = time.monotonic()
        server.until(lambda: not server.open)
        assert 0.4 < time.monotonic() - began < 4

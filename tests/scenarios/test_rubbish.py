"""Whatever clients send, and however they leave, every end has a reason, and nothing is left open or logged.

1. Clients send octets without sense, halves of requests, requests that are wrong, at once or in pieces.
2. They leave politely, in the middle, or with a reset; before, while and after they are answered.
3. The server goes on serving others. The log holds nothing above INFO, all connections, tasks and sockets are gone, and the
   ends counted by reason are as many as the connections were (which is checked after every other scenario, too).
"""

import random

import pytest

from tests.support.apps import Message, Receive, Send, answer, echo, hello, read_body
from tests.support.client import Client, chunked, request
from tests.support.server import Serve, Served
from tests.support.waiting import PATIENCE, pause

#: What bide says to octets that are no request, or not one that it serves.
REFUSALS = {400, 413, 414, 417, 431, 501, 505}

GOOD = [
    request(),
    request("/", method="POST", body=b"some body"),
    request("/", "Transfer-Encoding: chunked", method="POST") + chunked(b"some", b"body"),
    request("/", "Expect: 100-continue", "Content-Length: 3", method="POST"),
    request("/", "Connection: close"),
    request(version="1.0"),
    request(method="HEAD"),
]
BAD = [
    b"\0",
    b"\r",
    b"\n",
    b"\r\n" * 100,
    b"\xff" * 5000,
    b"GET\r\n\r\n",
    b"GET / HTTP/1.1\n\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"G\0T / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    b"GET /" + b"a" * 70_000,
    b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 500,
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 100_000,
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999999999999\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;" + b"x" * 10_000,
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"T: t\r\n" * 5000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),  # TLS
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\x80\x9e\x01\x03\x01" + bytes(100),
]


def everybody_is_still_served(server: Served) -> None:
    with server.client() as client:
        assert client.get().status == 200


@pytest.mark.parametrize("octets", BAD, ids=range(len(BAD)))
def test_bad_octets_in_any_form_are_refused_cleanly(serve: Serve, octets: bytes) -> None:
    """The octets come whole or one by one, after a good request and before one, and the client leaves with FIN or RST."""
    server = serve(echo)
    for before in (b"", request()):
        for after in (b"", request()):
            for how in ("fin", "reset", "slowly"):
                with server.client() as client:
                    try:
                        sent = before + octets + after
                        if how == "slowly" and len(sent) < 400:
                            for start in range(len(sent)):
                                client.send(sent[start : start + 1])
                        else:
                            client.send(sent)
                        if how == "reset":
                            client.reset()
                            continue
                        client.half_close()
                    except ConnectionError:
                        continue
                    ending = client.ending()
                    assert ending.how == "fin", "no answer is lost to a reset"
                    statuses = [int(line.split()[1]) for line in ending.rest.split(b"\r\n") if line[:5] == b"HTTP/"]
                    assert statuses[:1] == [200] or not before, "the good request is answered"
                    assert set(statuses) <= {200} | REFUSALS
    everybody_is_still_served(server)
    server.ends()


def test_octets_at_random_leave_nothing(serve: Serve) -> None:
    """Several hundred connections mix all of it."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if chance.random() < 0.5:
            body = await read_body(receive)
        else:
            body = b""
        await answer(send, body + bytes(chance.choice([0, 10, 100_000])))

    server = serve(app, timeout_linger=0.2, timeout_head=2.0, timeout_body=2.0, timeout_first_octet=2.0)
    clients: list[Client] = []
    for _ in range(400):
        client = server.client()
        octets = b"".join(chance.choice(GOOD if chance.random() < 0.8 else BAD) for _ in range(chance.randrange(1, 6)))
        if chance.random() < 0.5:
            octets = octets[: chance.randrange(len(octets) + 1)]
        if chance.random() < 0.3 and octets:
            place = chance.randrange(len(octets))
            octets = octets[:place] + bytes([chance.randrange(256)]) + octets[place + 1 :]
        try:
            while octets:
                size = chance.choice([1, 10, 1000, 100_000])
                client.send(octets[:size])
                octets = octets[size:]
                if chance.random() < 0.1:
                    client.sock.settimeout(0.01)
                    try:
                        client.sock.recv(1000)
                    except TimeoutError:
                        pass
                    client.sock.settimeout(PATIENCE)
            match chance.randrange(4):
                case 0:
                    client.reset()
                case 1:
                    client.close()
                case 2:
                    client.half_close()
                    clients.append(client)
                case _:
                    clients.append(client)
        except ConnectionError:
            client.close()
    for client in clients:
        if chance.random() < 0.5:
            client.sock.settimeout(0.005)
            try:
                client.ending()
            except TimeoutError:
                pass
        client.close()
    everybody_is_still_served(server)
    ends = server.ends()
    assert sum(ends.values()) == 401
    assert len(ends) >= 4, ends


def test_connections_that_ask_nothing_end_for_their_reason(serve: Serve) -> None:
    server = serve(hello)
    for number in range(60):
        client = server.client()
        if number % 3 == 0:
            client.reset()
        elif number % 3 == 1:
            client.close()
        else:
            client.half_close()
            assert client.ending().how == "fin"
            client.close()
    ends = server.ends()
    assert ends == {"client_eof_unused": 60}
    everybody_is_still_served(server)


def test_resets_at_each_point_of_an_exchange_leave_nothing(serve: Serve) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(20):
            await send({"type": "http.response.body", "body": body + bytes(50_000), "more_body": True})
        await send({"type": "http.response.body"})

    server = serve(app)
    for step in range(40):
        with server.client(receive_buffer=4096) as client:
            client.send(request("/", "Content-Length: 10", method="POST") + b"12345")
            pause(0.001 * (step % 5))
            if step % 3:
                client.send(b"67890")
            if step % 3 == 2:
                client.line()
            client.reset()
    ends = server.ends()
    assert set(ends) <= {"client_reset", "client_incomplete", "client_eof_unused", "client_eof_idle"}
    everybody_is_still_served(server)

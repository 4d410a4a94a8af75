"""WebSockets (RFC 6455) over real sockets, by the client of the `websockets` library and by octets of our own.

1. Messages pass whole, in order, in both directions, over plain HTTP and TLS.
2. A handshake that is not good, or not wanted, is answered as a response; the connection persists.
3. Each end has one reason, and the last octets are never lost to a reset.
4. A drain closes WebSockets with 1012, spread, and nobody is reset.
5. What a client may make the server hold is bounded.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import aiohttp
import pytest
import websockets
from websockets.sync.client import ClientConnection, connect

from bide.terms import State
from tests.support.apps import Message, Receive, Send, answer
from tests.support.client import request
from tests.support.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close, frame, read
from tests.support.server import Log, Serve, Served
from tests.support.tls import Authority
from tests.support.waiting import PATIENCE, until

ASKING: Final = request(
    "/echo",
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Do with a WebSocket what its path says; answer HTTP with `hello`."""
    if scope["type"] != "websocket":
        await answer(send, b"hello\n")
        return
    await receive()
    path = scope["path"]
    if path == "/deny":
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept", "subprotocol": next(iter(scope["subprotocols"]), None)})
    if path == "/return":
        return
    if path == "/fail":
        raise RuntimeError("a bug of the application")
    if path == "/close":
        await send({"type": "websocket.send", "text": "last"})
        await send({"type": "websocket.close", "code": 4000, "reason": "why"})
        return
    if path == "/flood":
        while True:
            await send({"type": "websocket.send", "bytes": bytes(1 << 16)})
    if path == "/sleep":
        await asyncio.Event().wait()
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


def address(server: Served, path: str = "/") -> str:
    return server.url.replace("http", "ws", 1).removesuffix("/") + path


def opened(server: Served, path: str = "/echo", **options: Any) -> ClientConnection:
    """Open a WebSocket by an independent client."""
    client: ClientConnection = connect(address(server, path), open_timeout=PATIENCE, close_timeout=PATIENCE, **options)
    return client


@contextlib.contextmanager
def raw(server: Served, path: str = "/echo") -> Iterator[socket.socket]:
    """Open a WebSocket by octets, without any extension."""
    with server.client() as client:
        client.send(ASKING.replace(b"/echo", path.encode()))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.sock.recv(1)
        assert head.startswith(b"HTTP/1.1 101 "), head
        yield client.sock


def exactly(sock: socket.socket, size: int) -> bytes:
    octets = b""
    while len(octets) < size:
        data = sock.recv(size - len(octets))
        assert data, "the connection ended"
        octets += data
    return octets


def rest_of(sock: socket.socket) -> list[tuple[int, bytes]]:
    """Return the frames until the server's FIN. A reset raises."""
    octets = b""
    while data := sock.recv(65536):
        octets += data
    return read(octets)


# -- Messages ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_messages_pass_whole_and_in_order(serve: Serve, compression: str | None) -> None:
    server = serve(app)
    with opened(server, compression=compression, max_size=None) as client:
        for message in ("", "text", b"", b"octets", "\u00e4" * 100_000, bytes(1_000_000)):
            client.send(message)
            assert client.recv(PATIENCE) == message
        for number in range(500):
            client.send(f"{number}")
        assert [client.recv(PATIENCE) for _ in range(500)] == [f"{number}" for number in range(500)]
        assert client.ping().wait(PATIENCE)
    assert server.ends() == {"websocket_client_close": 1}
    shown = server.snapshot()
    assert (shown["messages_received"], shown["messages_sent"]) == (506, 506)
    assert shown["websockets"] == {1000: 1}


def test_subprotocol_is_agreed_on(serve: Serve) -> None:
    server = serve(app)
    with opened(server, subprotocols=["chat", "other"]) as client:
        assert client.subprotocol == "chat"


def test_websocket_over_tls(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> None:
    authority = Authority.made(tmp_path_factory.mktemp("tls"))
    server = serve(app, **authority.issue("server"))
    with connect(
        address(server), ssl=authority.context(), server_hostname="localhost", open_timeout=PATIENCE
    ) as client:
        for message in ("text", bytes(1_000_000)):
            client.send(message)
            assert client.recv(PATIENCE) == message


def test_asyncio_client_has_many_at_once(serve: Serve) -> None:
    server = serve(app)

    async def talk(number: int) -> None:
        async with websockets.connect(address(server), open_timeout=PATIENCE) as client:
            for turn in range(20):
                await client.send(f"{number} {turn}")
                assert await client.recv() == f"{number} {turn}"

    async def all_of_them() -> None:
        await asyncio.gather(*(talk(number) for number in range(50)))

    asyncio.run(all_of_them())
    assert server.ends() == {"websocket_client_close": 50}


def test_aiohttp_client_talks_and_pings(serve: Serve) -> None:
    server = serve(app)

    async def talk() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(server.url, compress=15, heartbeat=0.05, protocols=["chat"]) as client,
        ):
            assert client.protocol == "chat"
            assert client.compress
            for number in range(20):
                await client.send_str(f"{number}" * 100)
                assert (await client.receive_str(timeout=PATIENCE)) == f"{number}" * 100
                await client.send_bytes(bytes(70_000))
                assert len(await client.receive_bytes(timeout=PATIENCE)) == 70_000
            await asyncio.sleep(0.2)  # its heartbeats have no clock that a test could pass in
            await client.send_str("last")
            assert (await client.receive_str(timeout=PATIENCE)) == "last"

    asyncio.run(talk())
    assert server.ends() == {"websocket_client_close": 1}


# -- The handshake ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"-Version: 13", b"-Version: 8", 426),
        (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Key: abc", 400),
        (b"/echo", b"/deny", 403),
        (b"Upgrade: websocket", b"Upgrade: other", 200),
        (b"keep-alive, Upgrade", b"keep-alive", 200),
        (b"GET ", b"DELETE ", 200),
    ],
)
def test_handshake_that_fails_is_a_response_and_the_connection_persists(
    serve: Serve, old: bytes, new: bytes, status: int
) -> None:
    server = serve(app)
    with server.client() as client:
        client.send(ASKING.replace(old, new, 1))
        response = client.response()
        assert response.status == status
        if status == 426:
            assert response["sec-websocket-version"] == "13"
        assert client.get("/after").status == 200


@pytest.mark.parametrize(("old", "new", "status"), [(b"/echo", b"/deny", 403), (b"-Version: 13", b"-Version: 8", 426)])
def test_frames_behind_a_handshake_that_fails_are_not_read_as_a_request(
    serve: Serve, old: bytes, new: bytes, status: int
) -> None:
    server = serve(app)
    with server.client() as client:
        client.send(ASKING.replace(old, new, 1) + frame(TEXT, b"early"))
        response = client.response()
        assert (response.status, response["connection"]) == (status, "close")
        client.ending()
    assert server.ends() == {"request_unread": 1}


def test_websocket_that_is_switched_off_is_plain_http(serve: Serve) -> None:
    server = serve(app, ws="none")
    with server.client() as client:
        client.send(ASKING)
        assert client.response().status == 200


# -- Ends -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "code", "reason"),
    [
        (close(1001, b"bye"), 1001, "websocket_client_close"),
        (frame(TEXT, b"\xff"), 1007, "websocket_rejected"),
        (frame(3), 1002, "websocket_rejected"),
        (frame(TEXT, b"a", mask=False), 1002, "websocket_rejected"),
        (frame(BINARY, length=b"\x7f" + (1 << 40).to_bytes(8, "big")), 1009, "websocket_rejected"),
        (frame(PING, bytes(126))[:2], 1002, "websocket_rejected"),
    ],
)
def test_close_frame_reaches_the_client_then_fin(serve: Serve, octets: bytes, code: int, reason: str) -> None:
    server = serve(app)
    with raw(server) as sock:
        sock.sendall(frame(TEXT, b"first") + octets + bytes(100_000))
        frames = rest_of(sock)
        assert frames[-1][0] == CLOSE
        assert int.from_bytes(frames[-1][1][:2], "big") == code
    assert server.ends() == {reason: 1}


@pytest.mark.parametrize(
    ("path", "code", "reason"),
    [
        ("/close", 4000, "websocket_application_close"),
        ("/return", 1000, "websocket_application_close"),
        ("/fail", 1011, "websocket_application_failed"),
    ],
)
def test_application_ends_it(serve: Serve, path: str, code: int, reason: str, log: Log) -> None:
    if path == "/fail":
        log.expect("the application failed")
    server = serve(app)
    with opened(server, path) as client:
        if path == "/close":
            assert client.recv(PATIENCE) == "last"
        with pytest.raises(websockets.ConnectionClosed) as caught:
            client.recv(PATIENCE)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == code
    assert server.ends() == {reason: 1}


def test_client_that_vanishes_has_not_closed(serve: Serve) -> None:
    server = serve(app)
    with raw(server) as sock:
        sock.shutdown(socket.SHUT_WR)
        assert rest_of(sock) == []
    assert server.ends() == {"websocket_eof": 1}


def test_client_that_resets_has_not_closed(serve: Serve) -> None:
    server = serve(app)
    with raw(server) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    assert server.ends() == {"client_reset": 1}


def test_silent_client_is_pinged_and_ended(serve: Serve) -> None:
    server = serve(app, ws_ping_interval=0.1, ws_ping_timeout=0.2)
    with raw(server) as sock:
        frames = rest_of(sock)
    assert frames == [(PING, b""), (CLOSE, b"\x03\xf3ping timeout")]
    assert server.ends() == {"websocket_ping_timeout": 1}


def test_client_that_answers_pings_stays(serve: Serve) -> None:
    server = serve(app, ws_ping_interval=0.05, ws_ping_timeout=PATIENCE)
    with raw(server) as sock:
        for _ in range(5):
            assert sock.recv(2) == b"\x89\x00"
            sock.sendall(frame(PONG))
        sock.sendall(close(1000))
        assert rest_of(sock)[-1][0] == CLOSE


def test_client_that_does_not_answer_a_close_is_left_after_its_time(serve: Serve) -> None:
    server = serve(app, timeout_ws_close=0.2)
    begun = time.monotonic()
    with raw(server, "/return") as sock:
        assert rest_of(sock) == [(CLOSE, b"\x03\xe8")]
        assert time.monotonic() - begun >= 0.2
    assert server.ends() == {"websocket_application_close": 1}


def test_client_that_takes_nothing_is_ended(serve: Serve) -> None:
    server = serve(app, timeout_send=0.3)
    with raw(server, "/flood"):
        assert server.ends() == {"send_timeout": 1}


# -- Drain ------------------------------------------------------------------------------------------------------------------

MANY: Final = 100


def test_drain_closes_a_hundred_with_1012_and_resets_nobody(serve: Serve) -> None:
    server = serve(app, drain_ws=0.4, drain_timeout=PATIENCE)
    codes: list[int] = []
    times: list[float] = []

    async def client() -> None:
        async with websockets.connect(address(server), open_timeout=PATIENCE) as connection:
            await connection.send("hello")
            assert await connection.recv() == "hello"
            arrived.append(True)
            with contextlib.suppress(websockets.ConnectionClosed):
                await connection.recv()
            times.append(time.monotonic())
            assert connection.protocol.close_rcvd is not None
            codes.append(connection.protocol.close_rcvd.code)

    async def clients() -> None:
        await asyncio.gather(*(client() for _ in range(MANY)))

    arrived: list[bool] = []
    with ThreadPoolExecutor() as pool:
        served = pool.submit(asyncio.run, clients())
        until(lambda: len(arrived) == MANY)
        begun = time.monotonic()
        server.stop()
        served.result()
    assert codes == [1012] * MANY
    assert min(times) - begun >= 0.2, "nothing before half of the time"
    assert max(times) - min(times) >= 0.1, "spread, so that not all connect anew at once"
    assert server.ends() == {"drain": MANY}


def test_drain_timeout_ends_clients_that_do_not_answer(serve: Serve, log: Log) -> None:
    log.expect("1 unfinished connections closed at the drain timeout")
    server = serve(app, drain_ws=30.0, drain_timeout=0.5)
    with raw(server) as sock:
        server.until(lambda: server.states()[State.TUNNEL.value] == 1)
        with ThreadPoolExecutor() as pool:
            stopping = pool.submit(server.stop)
            assert rest_of(sock) == [(CLOSE, b"\x03\xf4")]
            stopping.result()
    assert server.ends() == {"drain_deadline": 1}


# -- Bounds -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "octets",
    [frame(PING, b"x" * 100) * 600, frame(TEXT, b"x") * 9000, frame(BINARY, b"x" * 60_000)],
    ids=["pings", "small messages", "large messages"],
)
def test_client_that_sends_and_never_reads_is_held_back(serve: Serve, octets: bytes) -> None:
    server = serve(app)
    with raw(server, "/sleep") as sock:
        sock.setblocking(False)
        sent = 0
        quiet = 0
        while quiet < 20 and sent < 200 << 20:
            try:
                sent += sock.send(octets)
                quiet = 0
            except BlockingIOError:
                quiet += 1
                time.sleep(0.01)  # the kernel's buffers have no clock that a test could pass in
        if octets[0] & 0x0F == PING:
            return  # pings are answered, the last one of those that cannot be
        assert sent < 64 << 20, "no more than the kernel's buffers and ours"
        with server.client() as other:
            assert other.get().status == 200


def test_a_million_fragments_are_one_small_message(serve: Serve) -> None:
    server = serve(app)
    with raw(server) as sock:
        sock.sendall(frame(TEXT, b"x", final=False))
        piece = frame(CONTINUATION, b"x", final=False) * 10_000
        for _ in range(20):
            sock.sendall(piece)
        sock.sendall(frame(CONTINUATION))
        assert len(exactly(sock, 200_011)) == 200_011
        sock.sendall(close(1000))
        assert rest_of(sock) == [(CLOSE, b"\x03\xe8")]


def test_access_log_has_one_line_for_each(serve: Serve) -> None:
    server = serve(app, access_log=True)
    with opened(server, compression=None) as client:
        client.send("a")
        client.recv(PATIENCE)
    (line,) = server.access_log(1)
    assert '"GET /echo HTTP/1.1" 101 7 ' in line
    assert line.endswith("#1 code=1000 messages=1/1 close=websocket_client_close")

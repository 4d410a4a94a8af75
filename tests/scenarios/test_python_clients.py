"""The HTTP clients that Python programs use: httpx, aiohttp, http.client, urllib.

1. Each keeps its connection over many requests, of all kinds.
2. Each reads the answer to an upload that is refused.
3. Many requests at once, more than there are connections: each gets its own answer.
4. A connection that the server announced to close is not used again, and no request is lost by that.
"""

import asyncio
import http.client
import io
import urllib.request
from collections.abc import AsyncIterator

import aiohttp
import httpx
import pytest

from tests.support.apps import Message, Receive, Send, answer, echo, read_body, refuse, stream, target
from tests.support.server import Serve
from tests.support.waiting import PATIENCE

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]


async def everything(scope: Message, receive: Receive, send: Send) -> None:
    """Answer with method, target and body; `/stream` without a length, `/empty` with nothing."""
    body = await read_body(receive)
    content = f"{scope['method']} {scope['path']} ".encode() + body
    if scope["path"] == "/empty":
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
    elif scope["path"] == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for start in range(0, len(content), 7):
            await send({"type": "http.response.body", "body": content[start : start + 7], "more_body": True})
        await send({"type": "http.response.body"})
    else:
        await answer(send, content)


def expected(method: str, path: str, body: bytes) -> bytes:
    return b"" if method == "HEAD" or path == "/empty" else f"{method} {path} ".encode() + body


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1000):
        yield body[start : start + 1000]


# -- httpx ------------------------------------------------------------------------------------------------------------------


def test_httpx_keeps_its_connection(serve: Serve) -> None:
    server = serve(everything)
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        for method in METHODS:
            for path in ("/plain", "/stream", "/empty"):
                for body in (b"", b"x" * 5000):
                    response = client.request(method, path, content=body)
                    assert response.content == expected(method, path, body)
    assert server.ends() == {"client_eof_idle": 1}


def test_httpx_with_concurrent_requests_gets_each_answer(serve: Serve) -> None:
    server = serve(everything)

    async def ask() -> None:
        limits = httpx.Limits(max_connections=5)
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, limits=limits, timeout=30) as client:
            bodies = [b"%d," % number * 50 for number in range(100)]
            responses = await asyncio.gather(*(client.post("/stream", content=pieces(body)) for body in bodies))
            assert [response.content for response in responses] == [b"POST /stream " + body for body in bodies]

    asyncio.run(ask())
    ends = server.ends()
    assert set(ends) == {"client_eof_idle"}
    assert ends["client_eof_idle"] <= 5


def test_httpx_reads_the_answer_to_a_refused_upload(serve: Serve) -> None:
    server = serve(refuse)
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        for _ in range(10):
            response = client.post("/", content=bytes(3_000_000))
            assert (response.status_code, response.content) == (413, b"too large\n")
    assert server.ends() == {"request_unread": 10}


def test_httpx_told_to_close_loses_no_request(serve: Serve) -> None:
    server = serve(target, limit_requests=7)
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        for number in range(50):
            assert client.get(f"/{number}").text == f"/{number}"
    assert server.ends() == {"request_limit": 7, "client_eof_idle": 1}


# -- aiohttp ----------------------------------------------------------------------------------------------------------------


def test_aiohttp_keeps_its_connection(serve: Serve) -> None:
    server = serve(everything)

    async def ask() -> None:
        async with aiohttp.ClientSession(server.url) as session:
            for method in METHODS:
                for path in ("/plain", "/stream", "/empty"):
                    for body in (b"", b"x" * 5000):
                        async with session.request(method, path, data=body) as response:
                            assert await response.read() == expected(method, path, body)

    asyncio.run(ask())
    assert server.ends() == {"client_eof_idle": 1}


def test_aiohttp_with_concurrent_requests_gets_each_answer(serve: Serve) -> None:
    server = serve(everything)

    async def ask() -> None:
        connector = aiohttp.TCPConnector(limit=5)
        async with aiohttp.ClientSession(server.url, connector=connector) as session:

            async def post(body: bytes) -> bytes:
                async with session.post("/plain", data=pieces(body)) as response:
                    return await response.read()

            bodies = [b"%d," % number * 500 for number in range(100)]
            assert await asyncio.gather(*map(post, bodies)) == [b"POST /plain " + body for body in bodies]

    asyncio.run(ask())
    assert server.ends() == {"client_eof_idle": 5}


def test_aiohttp_reads_the_answer_to_a_refused_upload(serve: Serve) -> None:
    server = serve(refuse)
    other = serve(echo)

    async def ask() -> None:
        async with aiohttp.ClientSession() as session:
            for _ in range(5):
                async with session.post(server.url, data=io.BytesIO(bytes(3_000_000))) as response:
                    assert (response.status, await response.read()) == (413, b"too large\n")
            for _ in range(2):
                async with session.post(other.url, data=b"body", expect100=True) as response:
                    assert await response.read() == b"body"

    asyncio.run(ask())
    assert server.ends() == {"request_unread": 5}
    assert other.ends() == {"client_eof_idle": 1}


# -- The standard library ---------------------------------------------------------------------------------------------------


def test_http_client_keeps_its_connection(serve: Serve) -> None:
    server = serve(everything)
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=PATIENCE)
    connection.connect()
    sock = connection.sock
    for method in METHODS:
        for path in ("/plain", "/stream", "/empty"):
            for body in (b"", b"x" * 5000):
                connection.request(method, path, body)
                assert connection.getresponse().read() == expected(method, path, body)
                assert connection.sock is sock, "one connection for all"
    connection.close()
    assert server.ends() == {"client_eof_idle": 1}


def test_http_client_reads_the_answer_to_a_refused_upload(serve: Serve) -> None:
    """It writes all of its request before it reads an octet."""
    server = serve(refuse)
    for _ in range(10):
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=PATIENCE)
        connection.request("POST", "/", bytes(10_000_000))
        response = connection.getresponse()
        assert (response.status, response.read()) == (413, b"too large\n")
        assert response.will_close
        connection.close()
    assert server.ends() == {"request_unread": 10}


def test_http_client_told_to_close_loses_no_request(serve: Serve) -> None:
    server = serve(target, limit_requests=7)
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=PATIENCE)
    for number in range(50):
        connection.request("GET", f"/{number}")
        assert connection.getresponse().read() == b"/%d" % number
    connection.close()
    assert server.ends() == {"request_limit": 7, "client_eof_idle": 1}


@pytest.mark.parametrize("path", ["/5/0", "/20/0.01"])
def test_urllib_asks_for_close_and_gets_it(serve: Serve, path: str) -> None:
    """It asks for `Connection: close` each time."""
    server = serve(stream)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(3):
        with opener.open(server.url + path, timeout=PATIENCE) as response:
            assert response.read().count(b"line") == int(path.split("/")[1])
    assert server.ends() == {"client_close_option": 3}

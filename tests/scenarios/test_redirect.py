"""Plain HTTP is sent to https, and https says that it is to stay.

1. With `redirect_http` a second port answers every request with 308 to the same host and path over https.
2. With `hsts` responses over https, and only those, have Strict-Transport-Security, once.
"""

import socket
import ssl
from urllib.parse import urlsplit

import httpx
import pytest

from bide.errors import ListenError
from tests.support.apps import Message, Receive, Send, answer, hello, read_body
from tests.support.client import Client
from tests.support.server import Serve, Served
from tests.support.tls import Authority
from tests.support.waiting import PATIENCE


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def files(authority: Authority) -> dict[str, str]:
    return authority.issue("redirect")


def plain_port(server: Served) -> tuple[str, int]:
    """Return the address of the port that redirects: it is the last."""
    url = urlsplit(server.server.urls[-1])
    assert url.scheme == "http"
    assert url.hostname is not None
    assert url.port is not None
    return url.hostname, url.port


def test_plain_port_sends_every_request_to_https(serve: Serve, authority: Authority, files: dict[str, str]) -> None:
    server = serve(hello, redirect_http=0, **files)
    port = urlsplit(server.url).port
    where = plain_port(server)
    with Client(where) as client:
        for method, target in (("GET", "/"), ("POST", "/a?b=c"), ("GET", "/")):
            client.send(
                f"{method} {target} HTTP/1.1\r\nHost: localhost:{where[1]}\r\nContent-Length: 0\r\n\r\n".encode()
            )
            response = client.response()
            assert (response.status, response["location"]) == (308, f"https://localhost:{port}{target}")
            assert not response.says_close
    with authority.client(server.where) as client:
        assert client.get().content == b"hello\n"
    server.until(lambda: server.open == 0)


def test_client_that_follows_keeps_method_and_body(serve: Serve, authority: Authority, files: dict[str, str]) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, scope["method"].encode() + b" " + await read_body(receive))

    server = serve(app, redirect_http=0, **files)
    context: ssl.SSLContext = authority.context()
    with httpx.Client(verify=context, follow_redirects=True, timeout=PATIENCE) as client:
        response = client.post(f"http://localhost:{plain_port(server)[1]}/a", content=b"body")
        assert (response.status_code, response.content) == (200, b"POST body")
        assert response.url.scheme == "https"


def test_websocket_over_plain_http_is_redirected_too(serve: Serve, files: dict[str, str]) -> None:
    server = serve(hello, redirect_http=0, **files)
    with Client(plain_port(server)) as client:
        lines = ("Upgrade: websocket", "Connection: upgrade", "Sec-WebSocket-Version: 13")
        assert client.get("/", *lines, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==").status == 308


def test_plain_port_drains_with_the_other(serve: Serve, files: dict[str, str]) -> None:
    server = serve(hello, redirect_http=0, drain_idle=0.2, **files)
    with Client(plain_port(server)) as client:
        assert client.get().status == 308
        server.drain()
        assert client.ending().how == "fin"
    assert server.ends() == {"drain": 1}


def test_plain_port_that_is_taken_ends_the_start(serve: Serve, files: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ListenError, match="in use"):
            serve(hello, redirect_http=taken.getsockname()[1], **files)


def test_strict_transport_security_is_said_over_https_only(
    serve: Serve, authority: Authority, files: dict[str, str]
) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        own = [(b"Strict-Transport-Security", b"max-age=1")] if scope["path"] == "/own" else []
        await send({"type": "http.response.start", "status": 200, "headers": own})
        await send({"type": "http.response.body", "body": b"ok"})

    server = serve(app, redirect_http=0, hsts=31536000, **files)
    with authority.client(server.where) as client:
        assert client.get()["strict-transport-security"] == "max-age=31536000"
        assert client.get("/own")["strict-transport-security"] == "max-age=1"
    with Client(plain_port(server)) as client:
        assert "strict-transport-security" not in client.get()
    server = serve(app, hsts=60)
    with server.client() as client:
        assert "strict-transport-security" not in client.get()
        assert client.get("/", "X-Forwarded-Proto: https")["strict-transport-security"] == "max-age=60"

"""HTTP/1.0 clients: the connection ends unless they ask, and the answer says what will be (9.3).

1. A plain HTTP/1.0 request: the answer says `close`, and the connection ends.
2. With `keep-alive` and an answer of known length: the answer says `keep-alive`, and the connection persists.
3. With `keep-alive` and an answer whose length is not known: only the end can mark its end. The answer says `close`.
"""

import pytest

from tests.support.apps import Message, Receive, Send, echo, hello, stream
from tests.support.server import Serve


def test_http_1_0_request_is_answered_with_close(serve: Serve) -> None:
    server = serve(hello)
    with server.client() as client:
        response = client.get(version="1.0")
        assert response.content == b"hello\n"
        assert response.says_close
        assert response.version == "HTTP/1.1"
        ending = client.ending()
        assert (ending.how, ending.rest) == ("fin", b"")
    assert server.ends() == {"client_http10": 1}


@pytest.mark.parametrize("value", ["keep-alive", "Keep-Alive", "TE, keep-alive"])
def test_http_1_0_request_with_keep_alive_persists(serve: Serve, value: str) -> None:
    server = serve(echo)
    with server.client() as client:
        for number in range(10):
            body = b"%d" % number
            response = client.get("/", f"Connection: {value}", version="1.0", method="POST", body=body)
            assert response.content == body
            assert response.all("connection") == ["keep-alive"]
        assert client.get(version="1.0").says_close
        assert client.ending().how == "fin"
    assert server.ends() == {"client_http10": 1}


def test_http_1_0_request_with_close_and_keep_alive_closes(serve: Serve) -> None:
    server = serve(hello)
    with server.client() as client:
        assert client.get("/", "Connection: keep-alive, close", version="1.0").says_close
        assert client.ending().how == "fin"
    assert server.ends() == {"client_close_option": 1}


def test_http_1_0_response_of_unknown_length_closes(serve: Serve) -> None:
    server = serve(stream)
    with server.client() as client:
        response = client.get("/5/0.01", "Connection: keep-alive", version="1.0")
        assert response.close_delimited
        assert "transfer-encoding" not in response
        assert response.says_close
        assert response.content == b"".join(b"line %d\n" % number for number in range(5))
    assert server.ends() == {"close_delimited": 1}


def test_http_1_0_request_without_host_is_served(serve: Serve) -> None:
    server = serve(hello)
    with server.client() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.response().status == 200
        assert client.ending().how == "fin"
    assert server.ends() == {"client_http10": 1}


def test_http_1_0_client_gets_no_interim_response(serve: Serve) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        assert "http.response.early_hint" not in scope["extensions"]
        await hello(scope, receive, send)

    server = serve(app)
    with server.client() as client:
        assert client.get(version="1.0").interim == []
    assert server.ends() == {"client_http10": 1}


def test_http_1_0_response_of_unknown_length_cut_is_reset(serve: Serve) -> None:
    """A FIN would make half an answer look whole."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("no more")

    server = serve(app)
    server.log.expect("the application failed")
    with server.client() as client:
        client.ask(version="1.0")
        assert client.ending().how == "reset"
    assert server.ends() == {"response_incomplete": 1}

"""A connection persists unless somebody says otherwise (9.3, 9.6).

1. A client sends requests one after another on one connection; each response keeps it open and says nothing about it.
2. A request says `close`, in any case, at any place, in any field line: the response says so, then the connection ends, and
   octets sent after that request are not processed.
3. An application's response says `close`: the same.
4. A limit of requests is reached: the last response announces it.
"""

import pytest

from tests.support.apps import App, Message, Receive, Send, answer, hello, target
from tests.support.client import request
from tests.support.server import Serve


def test_requests_in_turn_keep_the_connection(serve: Serve) -> None:
    server = serve(target)
    with server.client() as client:
        for number in range(100):
            response = client.get(f"/{number}")
            assert response.content == b"/%d" % number
            assert "connection" not in response
            assert "keep-alive" not in response
        assert server.open == 1
    assert server.ends() == {"client_eof_idle": 1}
    assert server.explained() == [(100, "client_eof_idle")]


@pytest.mark.parametrize(
    "lines",
    [
        ["Connection: close"],
        ["Connection: Close"],
        ["connection: CLOSE"],
        ["Connection: keep-alive, close"],
        ["Connection: close , TE", "TE: trailers"],
        ["Connection: TE,,close", "TE: trailers"],
        ["Connection: keep-alive", "Connection: close"],
        ["Connection: close", "Connection: keep-alive"],
        ["CONNECTION:\tclose\t"],
    ],
)
def test_request_with_close_ends_the_connection(serve: Serve, lines: list[str]) -> None:
    server = serve(target)
    with server.client() as client:
        assert not client.get("/first").says_close
        client.send(request("/second", *lines) + request("/third"))
        response = client.response()
        assert response.content == b"/second"
        assert response.says_close
        ending = client.ending()
    assert (ending.how, ending.rest) == ("fin", b"")
    assert server.ends() == {"client_close_option": 1}


@pytest.mark.parametrize(
    "lines", [["Connection: closed"], ["Connection: close-not"], ["Connection: keep-alive"], ["X-Connection: close"]]
)
def test_request_with_another_option_keeps_the_connection(serve: Serve, lines: list[str]) -> None:
    server = serve(hello)
    with server.client() as client:
        for _ in range(2):
            assert "connection" not in client.get("/", *lines)
    assert server.ends() == {"client_eof_idle": 1}


def closing(value: bytes) -> App:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, b"bye\n", fields=[(b"Connection", value)])

    return app


@pytest.mark.parametrize("value", [b"close", b"Close", b"keep-alive, close"])
def test_response_with_close_ends_the_connection(serve: Serve, value: bytes) -> None:
    server = serve(closing(value))
    with server.client() as client:
        client.send(request() * 2)
        response = client.response()
        assert response.content == b"bye\n"
        assert response.says_close
        ending = client.ending()
    assert (ending.how, ending.rest) == ("fin", b"")
    assert server.ends() == {"response_close_option": 1}


def test_limit_of_requests_is_announced_on_the_last(serve: Serve) -> None:
    server = serve(hello, limit_requests=3)
    with server.client() as client:
        assert [client.get().says_close for _ in range(3)] == [False, False, True]
        assert client.ending().how == "fin"
    assert server.ends() == {"request_limit": 1}


def test_limit_of_age_is_announced_on_the_next_response(serve: Serve) -> None:
    server = serve(hello, limit_age=1.0)
    with server.client() as client:
        assert not client.get().says_close
        assert client.silent_for(1.2)  # an age is announced: an idle connection does not end for it
        assert client.get().says_close
        assert client.ending().how == "fin"
    assert server.ends() == {"age_limit": 1}


def test_connections_at_once_are_kept(serve: Serve) -> None:
    server = serve(target)
    clients = [server.client() for _ in range(100)]
    try:
        for turn in range(3):
            for number, client in enumerate(clients):
                client.ask(f"/{turn}/{number}")
            for number, client in enumerate(clients):
                assert client.response().content == b"/%d/%d" % (turn, number)
        assert server.open == 100
    finally:
        for client in clients:
            client.close()
    assert server.ends() == {"client_eof_idle": 100}

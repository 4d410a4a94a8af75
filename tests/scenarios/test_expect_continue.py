"""A client that asks before it sends (RFC 9110, 10.1.1).

1. The client sends a head with `Expect: 100-continue` and waits.
2. The application asks for the body: 100 (Continue), once, and only now. The body follows, then the answer.
3. Or the application answers without asking: no 100 ever, and the connection ends, since it cannot be known what follows.
4. Or the body is there already: no 100 is needed.
"""

import asyncio
import time

import pytest

from tests.support.apps import Message, Receive, Send, answer, echo, read_body, refuse
from tests.support.client import request
from tests.support.server import Serve

EXPECT = "Expect: 100-continue"
# How long the patient application thinks, seconds.
THOUGHT = 0.2
# An event loop may take up a timer this much early: its clock has coarser steps, seconds.
CLOCK_STEP = 0.01


async def patient(scope: Message, receive: Receive, send: Send) -> None:
    """Think first, then read."""
    await asyncio.sleep(THOUGHT)
    await answer(send, await read_body(receive))


def test_continue_is_sent_when_the_application_reads(serve: Serve) -> None:
    server = serve(patient)
    with server.client() as client:
        for _ in range(2):
            started = time.monotonic()
            client.ask("/", EXPECT, "Content-Length: 4", method="POST")
            head = client.head()
            assert (head.status, head.reason, head.fields) == (100, "Continue", [])
            assert time.monotonic() - started >= THOUGHT - CLOCK_STEP
            client.send(b"body")
            response = client.response()
            assert (response.content, response.interim) == (b"body", [])
            assert not response.says_close
    assert server.ends() == {"client_eof_idle": 1}


@pytest.mark.parametrize("value", ["100-continue", "100-Continue", "100-CONTINUE"])
def test_continue_for_an_expectation_in_any_case_is_sent(serve: Serve, value: str) -> None:
    server = serve(echo)
    with server.client() as client:
        client.ask("/", f"Expect: {value}", "Transfer-Encoding: chunked", method="POST")
        assert client.head().status == 100
        client.send(b"4\r\nbody\r\n0\r\n\r\n")
        assert client.response().content == b"body"
    assert server.ends() == {"client_eof_idle": 1}


def test_final_response_instead_of_continue_closes(serve: Serve) -> None:
    server = serve(refuse)
    with server.client() as client:
        client.ask("/", EXPECT, "Content-Length: 4", method="POST")
        response = client.response()
        assert (response.status, response.interim) == (413, [])
        assert response.says_close
        assert client.ending().how == "fin"
    assert server.ends() == {"expectation_unmet": 1}


def test_body_sent_after_a_final_response_is_dropped(serve: Serve) -> None:
    """The client gets its answer. The body is read and dropped."""
    server = serve(refuse)
    with server.client() as client:
        client.ask("/", EXPECT, "Content-Length: 1000000", method="POST")
        server.until(lambda: server.states()["closing"] or server.states()["linger"])
        client.send(bytes(1_000_000) + request("/next"))
        response = client.response()
        assert response.status == 413
        ending = client.ending()
        assert (ending.how, ending.rest) == ("fin", b"")
    assert server.ends() == {"expectation_unmet": 1}


def test_body_sent_without_waiting_needs_no_continue(serve: Serve) -> None:
    server = serve(patient)
    with server.client() as client:
        for _ in range(2):
            client.send(request("/", EXPECT, method="POST", body=b"body"))
            response = client.response()
            assert (response.content, response.interim) == (b"body", [])
    assert server.ends() == {"client_eof_idle": 1}


def test_refusal_with_the_body_received_keeps_the_connection(serve: Serve) -> None:
    server = serve(refuse)
    with server.client() as client:
        for _ in range(2):
            client.send(request("/", EXPECT, method="POST", body=b"body"))
            response = client.response()
            assert (response.status, response.interim, response.says_close) == (413, [], False)
    assert server.ends() == {"client_eof_idle": 1}


def test_expectation_without_a_body_is_ignored(serve: Serve) -> None:
    server = serve(echo)
    with server.client() as client:
        response = client.get("/", EXPECT)
        assert (response.status, response.interim, response.says_close) == (200, [], False)
        response = client.get("/", EXPECT, method="POST", body=b"")
        assert (response.status, response.interim, response.says_close) == (200, [], False)
    assert server.ends() == {"client_eof_idle": 1}


def test_expectation_of_http_1_0_gets_no_continue(serve: Serve) -> None:
    server = serve(echo)
    with server.client() as client:
        client.ask("/", EXPECT, "Content-Length: 4", method="POST", version="1.0")
        assert client.silent_for(0.2)
        client.send(b"body")
        response = client.response()
        assert (response.content, response.interim) == (b"body", [])
    assert server.ends() == {"client_http10": 1}


def test_expectation_unknown_is_417(serve: Serve) -> None:
    server = serve(echo)
    with server.client() as client:
        response = client.get("/", "Expect: tea")
        assert response.status == 417
        assert response.says_close
        assert client.ending().how == "fin"
    assert server.ends() == {"head_rejected": 1}


def test_body_read_after_the_head_of_the_response_gets_no_continue(serve: Serve) -> None:
    """With the final head on its way, a 100 would come too late."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"he", "more_body": True})
        assert (await receive())["body"] == b"body"
        await send({"type": "http.response.body", "body": b"re"})

    server = serve(app)
    with server.client() as client:
        client.ask("/", EXPECT, "Content-Length: 4", method="POST")
        head = client.head()
        assert head.status == 200
        assert head["connection"] == "close"
        assert client.exactly(2) == b"he"
        assert client.silent_for(0.1)
        client.send(b"body")
        assert client.exactly(2) == b"re"
        assert client.ending().how == "fin"
    assert server.ends() == {"expectation_unmet": 1}

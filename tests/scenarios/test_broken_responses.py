"""Applications that break their promises: nobody takes a broken answer for a whole one (8, 9.6).

1. The application fails before its head: 500, and the connection lives, for the request was read in full.
2. It fails, or just returns, after its head: the message is cut so that it cannot look whole, and the connection ends.
3. It breaks its own framing: an error to the application, and nothing of that on the wire.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.support.apps import App, Message, Receive, Send, answer, hello, read_body
from tests.support.client import IncompleteError, request
from tests.support.server import Serve

Step = Callable[[Send], Awaitable[None]]


async def failing(scope: Message, receive: Receive, send: Send) -> None:
    if scope["path"] == "/fail":
        raise RuntimeError("secret words")
    if scope["path"] == "/return":
        return
    if scope["path"] == "/held":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-secret", b"1")]})
        raise RuntimeError("secret words")
    await hello(scope, receive, send)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/fail", "the application failed"),
        ("/return", "the application returned before its response was complete"),
        ("/held", "the application failed"),
    ],
)
def test_failure_before_the_head_is_answered_500(serve: Serve, path: str, said: str) -> None:
    server = serve(failing)
    for method in ("GET", "HEAD"):
        server.log.expect(f"{method} {path}: {said}")
    with server.client() as client:
        for _ in range(3):
            response = client.get(path)
            assert response.status == 500
            assert not response.says_close
            assert b"secret" not in response.content
            assert "x-secret" not in response
            assert client.get("/").content == b"hello\n"
        response = client.get(path, method="HEAD")
        assert response.status == 500
        assert client.get("/").content == b"hello\n"
    assert server.ends() == {"client_eof_idle": 1}


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_failure_by_an_exit_leaves_the_server_running(serve: Serve, error: BaseException) -> None:
    """Neither its own connection nor those of others, whose answers are owed."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/exit":
            raise error
        await asyncio.sleep(0.2)
        await answer(send, b"done")

    server = serve(app)
    server.log.expect("the application failed")
    with server.client() as other, server.client() as client:
        other.ask("/")
        assert client.get("/exit").status == 500
        assert client.get("/").content == b"done"
        assert other.response().content == b"done"


def test_failure_with_an_unread_body_closes(serve: Serve) -> None:
    """The rest of the request may be anything, so no request is looked for after it."""
    server = serve(failing)
    server.log.expect("the application failed")
    with server.client() as client:
        client.send(request("/fail", "Content-Length: 100000", method="POST") + b"GET /x HTTP/1.1\r\n\r\n")
        response = client.response()
        assert response.status == 500
        assert response.says_close
        assert client.ending().how == "fin"
    assert server.ends() == {"request_unread": 1}


def cut(*fields: tuple[bytes, bytes], raising: bool) -> App:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        if raising:
            raise RuntimeError("no more")

    return app


@pytest.mark.parametrize("raising", [True, False])
@pytest.mark.parametrize("fields", [[], [(b"content-length", b"10")]])
def test_failure_after_the_head_cuts_the_response(
    serve: Serve, fields: list[tuple[bytes, bytes]], raising: bool
) -> None:
    server = serve(cut(*fields, raising=raising))
    server.log.expect("the application failed" if raising else "the application returned")
    with server.client() as client:
        client.send(request() * 2)
        with pytest.raises(IncompleteError):
            client.response()
    assert server.ends() == {"response_incomplete": 1}


async def too_short(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"four"})


async def split(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"a\r\nset-cookie: evil=1")]})


async def split_name(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x: a\r\ny", b"b")]})


async def nul(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"a\0b")]})


async def text_fields(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [("x", "y")]})


async def two_lengths(send: Send) -> None:
    fields = [(b"content-length", b"1"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})


async def no_status(send: Send) -> None:
    await send({"type": "http.response.start", "headers": []})


async def odd_status(send: Send) -> None:
    await send({"type": "http.response.start", "status": 99, "headers": []})


async def interim_status(send: Send) -> None:
    await send({"type": "http.response.start", "status": 101, "headers": []})


async def body_first(send: Send) -> None:
    await send({"type": "http.response.body", "body": b"x"})


async def unknown_event(send: Send) -> None:
    await send({"type": "http.response.teapot"})


async def no_type(send: Send) -> None:
    await send({"status": 200})


async def text_body(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": "text"})


async def second_head(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.start", "status": 200, "headers": []})


BROKEN_HEADS: list[Step] = [
    too_short,
    split,
    split_name,
    nul,
    text_fields,
    two_lengths,
    no_status,
    odd_status,
    interim_status,
    body_first,
    unknown_event,
    no_type,
    text_body,
    second_head,
]


@pytest.mark.parametrize("step", BROKEN_HEADS)
def test_broken_response_before_its_head_is_answered_500(serve: Serve, step: Step) -> None:
    """An error to the application; it does not catch it, and so the client gets 500, and keeps its connection."""
    raised: list[BaseException] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        try:
            await step(send)
        except Exception as error:
            raised.append(error)
            raise

    server = serve(app)
    server.log.expect("the application failed")
    with server.client() as client:
        for _ in range(2):
            response = client.get()
            assert response.status == 500
            assert not response.says_close
            assert "set-cookie" not in response
    assert len(raised) == 2
    assert server.ends() == {"client_eof_idle": 1}


@pytest.mark.parametrize("step", BROKEN_HEADS)
def test_broken_response_caught_by_the_application_can_be_replaced(serve: Serve, step: Step) -> None:
    """Nothing was written: it can answer something else, or go on with the head that it gave, if that was good."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        try:
            await step(send)
        except Exception:
            try:
                await answer(send, b"sorry", 502)
            except RuntimeError:  # the head was taken: only its content is missing
                await send({"type": "http.response.body", "body": b""})

    server = serve(app)
    if step is too_short:
        server.log.expect("the application failed")
        expected = 500, b"Internal Server Error\n"
    elif step in {text_body, second_head}:
        expected = 200, b""
    else:
        expected = 502, b"sorry"
    with server.client() as client:
        for _ in range(2):
            response = client.get()
            assert (response.status, response.content) == expected
    assert server.ends() == {"client_eof_idle": 1}


@pytest.mark.parametrize("pieces", [[b"whole, and more"], [b"wh", b"ole, and more"], [b"whole", b", and more"]])
def test_content_beyond_its_length_is_not_sent_and_the_connection_persists(serve: Serve, pieces: list[bytes]) -> None:
    """As a log file that has grown: what was declared is sent, the application gets the error, and no answer is lost."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    server = serve(app)
    server.log.expect("the application failed")
    with server.client() as client:
        for _ in range(2):
            assert client.get().content == b"whole"
    assert server.ends() == {"client_eof_idle": 1}


@pytest.mark.parametrize("status", [204, 205, 304])
@pytest.mark.parametrize("more", [False, True])
def test_content_of_a_status_without_content_is_dropped_and_one_line_names_the_route(
    serve: Serve, status: int, more: bool
) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"done", "more_body": more})
        if more:
            await send({"type": "http.response.body", "body": b"done"})

    server = serve(app)
    server.log.expect(f"DELETE /items/1: content given with status {status} was dropped")
    with server.client() as client:
        for _ in range(3):
            response = client.get("/items/1", method="DELETE")
            assert (response.status, response.content, response.says_close) == (status, b"", False)
    assert server.ends() == {"client_eof_idle": 1}


def test_events_after_the_response_raise(serve: Serve) -> None:
    seen: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, b"whole")
        for message in (
            {"type": "http.response.body", "body": b"more"},
            {"type": "http.response.start", "status": 500, "headers": []},
        ):
            try:
                await send(message)
            except Exception as error:
                seen.append(type(error).__name__)

    server = serve(app)
    with server.client() as client:
        for _ in range(2):
            assert client.get().content == b"whole"
    assert server.ends() == {"client_eof_idle": 1}
    assert seen == ["Misuse"] * 4, "an application is told, not left in the belief that it was sent"


def test_framing_fields_of_the_application_are_replaced(serve: Serve) -> None:
    """The server decides on framing, and does not take it from the application."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        fields = [(b"Transfer-Encoding", b"chunked"), (b"Keep-Alive", b"timeout=9999"), (b"Connection", b"keep-alive")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": await read_body(receive)})

    server = serve(app)
    with server.client() as client:
        response = client.get("/", method="POST", body=b"x")
        assert "transfer-encoding" not in response, "the length is known"
        assert response.content == b"x"
        assert "keep-alive" not in response
        assert "connection" not in response
        assert len(response.all("date")) == 1
    assert server.ends() == {"client_eof_idle": 1}

"""An application sees what ASGI says, to the letter: https://asgi.readthedocs.io/en/latest/specs/www.html."""

import asyncio
import contextvars
import inspect
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.apps import App, Message, Receive, Send, answer, hello, read_body
from tests.support.client import request
from tests.support.server import Serve, ipv6
from tests.support.waiting import PATIENCE

# Passes of the event loop in which whatever is ready is done.
PASSES = 20


class Witness:
    """Answers, and keeps every scope."""

    def __init__(self) -> None:
        self.scopes: list[Message] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        await answer(send, await read_body(receive))


# -- The scope --------------------------------------------------------------------------------------------------------------


def test_scope_of_a_request_has_each_part_of_it(serve: Serve) -> None:
    app = Witness()
    server = serve(app)
    with server.client() as client:
        client.get("/a/b%20c?x=%41&y=", "X-Mixed-Case: Value ", "X-Twice: 1", "X-Twice: 2", "User-Agent: me")
        address = client.address
    (scope,) = app.scopes
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": scope["asgi"]["spec_version"]},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a/b c",
        "raw_path": b"/a/b%20c",
        "query_string": b"x=%41&y=",
        "root_path": "",
        "headers": [
            (b"host", b"localhost"),
            (b"x-mixed-case", b"Value"),
            (b"x-twice", b"1"),
            (b"x-twice", b"2"),
            (b"user-agent", b"me"),
        ],
        "client": address,
        "server": server.where,
        "extensions": scope["extensions"],
    }
    assert scope["asgi"]["spec_version"] == "2.3", "from 2.4 on, frameworks do not listen for http.disconnect"


def test_scope_has_exact_types(serve: Serve) -> None:
    """Frameworks compare and concatenate: bytes are bytes, not bytearrays or views; text is text."""
    app = Witness()
    server = serve(app)
    with server.client() as client:
        client.get("/p?q", "A: b")
    (scope,) = app.scopes
    for name, kind in {
        "type": str,
        "asgi": dict,
        "http_version": str,
        "method": str,
        "scheme": str,
        "path": str,
        "raw_path": bytes,
        "query_string": bytes,
        "root_path": str,
        "extensions": dict,
    }.items():
        assert type(scope[name]) is kind, name
    assert isinstance(scope, dict)
    for pair in scope["headers"]:
        assert len(pair) == 2
        assert {type(part) for part in pair} == {bytes}
    for address in (scope["client"], scope["server"]):
        assert isinstance(address[0], str)
        assert isinstance(address[1], int)


def test_body_messages_hold_bytes(serve: Serve) -> None:
    messages: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        messages.append(await receive())
        while messages[-1]["more_body"]:
            messages.append(await receive())
        await answer(send)

    server = serve(app)
    with server.client() as client:
        client.get()
        client.get(method="POST", body=b"x" * 10)
        client.send(request("/", "Transfer-Encoding: chunked", method="POST") + b"1\r\nx\r\n")
        server.until(lambda: len(messages) == 3)
        client.send(b"0\r\n\r\n")
        client.response()
    assert messages[0] == {"type": "http.request", "body": b"", "more_body": False}
    assert messages[1] == {"type": "http.request", "body": b"x" * 10, "more_body": False}
    assert b"".join(message["body"] for message in messages[2:]) == b"x"
    assert [message["more_body"] for message in messages[2:]][-1] is False
    assert {type(message["body"]) for message in messages} == {bytes}


@pytest.mark.parametrize(
    ("sent", "raw", "path", "query"),
    [
        ("/", b"/", "/", b""),
        ("/?", b"/", "/", b""),
        ("/?a=b?c", b"/", "/", b"a=b?c"),
        ("//double//", b"//double//", "//double//", b""),
        ("/a%2Fb", b"/a%2Fb", "/a/b", b""),
        ("/%e4%bd%a0", b"/%e4%bd%a0", "/你", b""),
        ("/%C3%A4", b"/%C3%A4", "/ä", b""),
        ("/%zz%", b"/%zz%", "/%zz%", b""),
        ("/a+b", b"/a+b", "/a+b", b""),
        ("/a;b=c", b"/a;b=c", "/a;b=c", b""),
        ("/../x/./y", b"/../x/./y", "/../x/./y", b""),
        ("http://localhost/abs?q=1", b"/abs", "/abs", b"q=1"),
        ("http://localhost", b"/", "/", b""),
        ("/%00", b"/%00", "/\0", b""),
    ],
)
def test_target_is_given_raw_and_decoded(serve: Serve, sent: str, raw: bytes, path: str, query: bytes) -> None:
    app = Witness()
    server = serve(app)
    with server.client() as client:
        assert client.get(sent).status == 200
    (scope,) = app.scopes
    assert (scope["raw_path"], scope["path"], scope["query_string"]) == (raw, path, query)


def test_path_outside_utf8_is_decoded_with_replacement(serve: Serve) -> None:
    """Octets outside UTF-8 are replaced, not refused. They are in raw_path as sent."""
    app = Witness()
    server = serve(app)
    with server.client() as client:
        assert client.get("/%FF").status == 200
    assert app.scopes[0]["raw_path"] == b"/%FF"
    assert app.scopes[0]["path"] == "/\ufffd"


def test_path_of_an_asterisk_form_is_an_asterisk(serve: Serve) -> None:
    app = Witness()
    server = serve(app)
    with server.client() as client:
        assert client.get("*", method="OPTIONS").status == 200
    assert app.scopes[0]["method"] == "OPTIONS"
    assert app.scopes[0]["path"] == "*"


def test_path_begins_with_the_root_path(serve: Serve) -> None:
    """The path holds the root path, as of version 2.3 of the specification."""
    app = Witness()
    server = serve(app, root_path="/mounted")
    with server.client() as client:
        client.get("/a%20b?c")
    (scope,) = app.scopes
    assert scope["root_path"] == "/mounted"
    assert scope["path"] == "/mounted/a b"
    assert scope["raw_path"] == b"/mounted/a%20b"


def test_root_path_beyond_ascii_is_quoted_in_raw_path(serve: Serve) -> None:
    app = Witness()
    server = serve(app, root_path="/\u00e9t\u00e9")
    with server.client() as client:
        client.get("/a")
        client.get("*", method="OPTIONS")
    assert [(scope["path"], scope["raw_path"]) for scope in app.scopes] == [
        ("/\u00e9t\u00e9/a", b"/%C3%A9t%C3%A9/a"),
        ("*", b"*"),
    ]


@pytest.mark.parametrize("method", ["GET", "DELETE", "PROPFIND", "M-SEARCH", "x", "query"])
def test_method_is_given_in_upper_case(serve: Serve, method: str) -> None:
    app = Witness()
    server = serve(app)
    with server.client() as client:
        client.get(method=method)
    assert app.scopes[0]["method"] == method.upper()


def test_http_version_is_that_of_the_request(serve: Serve) -> None:
    app = Witness()
    server = serve(app)
    with server.client() as client:
        client.get()
        client.get("/", "Connection: keep-alive", version="1.0")
    assert [scope["http_version"] for scope in app.scopes] == ["1.1", "1.0"]


def test_scope_changed_by_middleware_leaves_the_next_one_alone(serve: Serve) -> None:
    """Middleware writes into scopes. The next request must not see it."""
    seen: list[Any] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        seen.append(
            (scope.get("mine"), scope["asgi"].get("mine"), scope["extensions"].get("mine"), len(scope["headers"]))
        )
        for place in (scope, scope["asgi"], scope["extensions"]):
            place["mine"] = True
        scope["headers"].append((b"mine", b"1"))
        await hello(scope, receive, send)

    server = serve(app)
    with server.client() as client:
        for _ in range(3):
            client.get("/", "A: b")
    assert seen == [(None, None, None, 2)] * 3


def test_client_of_a_unix_socket_without_a_name_is_none(serve: Serve, tmp_path: Path) -> None:
    app = Witness()
    path = str(tmp_path / "bide.sock")
    server = serve(app, uds=path)
    with server.client() as client:
        client.get()
    (scope,) = app.scopes
    assert scope["client"] is None
    assert scope["server"] == (path, None)


def test_client_of_a_unix_socket_with_a_name_is_its_path(serve: Serve, tmp_path: Path) -> None:
    app = Witness()
    name = str(tmp_path / "client.sock")
    serve(app, uds=str(tmp_path / "bide.sock"))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(name)
        sock.connect(str(tmp_path / "bide.sock"))
        sock.sendall(request())
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
    (scope,) = app.scopes
    assert scope["client"] == (name, None)


@ipv6
def test_client_over_ipv6_has_address_and_port(serve: Serve) -> None:
    app = Witness()
    server = serve(app, host="::1")
    with server.client() as client:
        client.get()
        port = client.sock.getsockname()[1]
    (scope,) = app.scopes
    assert scope["client"] == ("::1", port)
    assert scope["server"] == server.where


# -- receive ----------------------------------------------------------------------------------------------------------------


def test_body_in_pieces_is_given_piece_by_piece(serve: Serve) -> None:
    """Each piece is given when it is there; none is held back until the next one."""
    pieces: list[bytes] = []
    got = threading.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            pieces.append(message["body"])
            got.set()
        await answer(send)

    server = serve(app)
    with server.client() as client:
        client.ask("/", "Content-Length: 9", method="POST")
        for piece in (b"one", b"two", b"six"):
            client.send(piece)
            assert got.wait(PATIENCE)
            got.clear()
        client.response()
    assert b"".join(pieces) == b"onetwosix"
    assert len([piece for piece in pieces if piece]) == 3


def test_receive_after_the_body_waits_for_the_end(serve: Serve) -> None:
    """After the body, `receive` waits for the end of the exchange; it does not give the body's end again."""
    second: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await read_body(receive)
        waiting = asyncio.ensure_future(receive())
        for _ in range(PASSES):
            await asyncio.sleep(0)
        assert not waiting.done()
        await answer(send, b"x")
        second.append(await waiting)

    server = serve(app)
    with server.client() as client:
        client.get()
        server.until(lambda: second)
    assert second == [{"type": "http.disconnect"}]


def test_receive_called_twice_at_once_gives_each_piece_once(serve: Serve) -> None:
    """Each piece of the body goes to one of the two calls, and both end."""
    results: list[list[Message]] = []
    waiting = threading.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        first, second = asyncio.ensure_future(receive()), asyncio.ensure_future(receive())
        await asyncio.sleep(0)  # both have begun
        waiting.set()
        await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
        await answer(send, b"x")
        results.append([await first, await second])

    server = serve(app)
    with server.client() as client:
        client.ask("/", "Content-Length: 4", method="POST")
        assert waiting.wait(PATIENCE)
        client.send(b"body")
        assert client.response().content == b"x"
        server.until(lambda: results)
    (messages,) = results
    assert sorted(message["type"] for message in messages) == ["http.disconnect", "http.request"]
    assert [message["body"] for message in messages if "body" in message] == [b"body"]


def test_receive_cancelled_loses_nothing(serve: Serve) -> None:
    """The next call returns what has arrived meanwhile."""
    cancelled = threading.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receive(), 0.01)
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        waiting.cancel()
        cancelled.set()
        await answer(send, await read_body(receive))

    server = serve(app)
    with server.client() as client:
        client.ask("/", "Content-Length: 4", method="POST")
        assert cancelled.wait(PATIENCE)
        client.send(b"body")
        assert client.response().content == b"body"
    assert server.ends() == {"client_eof_idle": 1}


def test_receive_between_sends_goes_both_ways(serve: Serve) -> None:
    """Both directions at once: each line is answered before the next is sent."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send({"type": "http.response.body", "body": message["body"].upper(), "more_body": more})

    server = serve(app)
    with server.client() as client:
        client.send(request("/", "Transfer-Encoding: chunked", method="POST"))
        client.send(b"3\r\none\r\n")
        client.head()
        assert (client.line(), client.line()) == (b"3", b"ONE")
        client.send(b"3\r\ntwo\r\n")
        assert (client.line(), client.line()) == (b"3", b"TWO")
        client.send(b"0\r\n\r\n")
        assert (client.line(), client.line()) == (b"0", b"")
        assert client.get("/", method="POST", body=b"x").content == b"X"
    assert server.ends() == {"client_eof_idle": 1}


# -- send -------------------------------------------------------------------------------------------------------------------


def test_head_whose_content_is_not_ready_leaves_alone(serve: Serve) -> None:
    """A stream's client wants to know that it began: the head waits for content of the same pass only."""
    started, go = threading.Event(), asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        started.set()
        await go.wait()
        await send({"type": "http.response.body", "body": b"x"})

    server = serve(app)
    with server.client() as client:
        client.ask()
        client.head()
        assert started.is_set()
        server.call(go.set)
        assert (client.line(), client.line()) == (b"1", b"x")


def test_failure_in_the_pass_of_the_head_is_answered_500(serve: Serve) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("a bug of the application")

    server = serve(app)
    with server.client() as client:
        assert client.get().status == 500
    server.log.expect("a bug of the application|the application failed")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_content_of_any_bytes_like_type_is_sent(serve: Serve, kind: Any) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": kind(b"one"), "more_body": True})
        await send({"type": "http.response.body", "body": kind(b"two")})

    server = serve(app)
    with server.client() as client:
        assert client.get().content == b"onetwo"


def test_events_without_optional_keys_are_accepted(serve: Serve) -> None:
    """`headers`, `body` and `more_body` may be left out."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    server = serve(app)
    with server.client() as client:
        for _ in range(2):
            assert client.get().content == b""


@pytest.mark.parametrize("make", [list, tuple, iter])
def test_headers_from_any_iterable_are_sent(serve: Serve, make: Any) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        fields = make([[b"X-One", b"1"], (b"x-two", b"2")])
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"x"})

    server = serve(app)
    with server.client() as client:
        response = client.get()
        assert (response["x-one"], response["x-two"]) == ("1", "2")


@pytest.mark.parametrize("status", [200, 201, 299, 302, 404, 418, 451, 499, 500, 599, 600, 999])
def test_status_of_any_final_code_is_sent(serve: Serve, status: int) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, b"x", status)

    server = serve(app)
    with server.client() as client:
        for _ in range(2):
            assert client.get().status == status


@pytest.mark.parametrize("status", [204, 304])
def test_status_without_content_keeps_the_connection(serve: Serve, status: int) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"etag", b'"x"')]})
        await send({"type": "http.response.body", "body": b""})

    server = serve(app)
    with server.client() as client:
        for _ in range(2):
            response = client.get()
            assert response.status == status
            assert "transfer-encoding" not in response
    assert server.ends() == {"client_eof_idle": 1}


def test_status_of_an_enumeration_is_sent(serve: Serve) -> None:
    from http import HTTPStatus

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, b"x", HTTPStatus.NOT_FOUND)

    server = serve(app)
    with server.client() as client:
        assert client.get().status == 404


def test_date_and_server_of_the_application_are_kept(serve: Serve) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, b"x", fields=[(b"Date", b"Thu, 01 Jan 1970 00:00:00 GMT"), (b"Server", b"mine")])

    server = serve(app)
    with server.client() as client:
        response = client.get()
        assert response.all("date") == ["Thu, 01 Jan 1970 00:00:00 GMT"]
        assert response.all("server") == ["mine"]


def test_date_is_that_of_the_response(serve: Serve) -> None:
    from email.utils import parsedate_to_datetime

    server = serve(hello)
    with server.client() as client:
        assert abs(parsedate_to_datetime(client.get()["date"]).timestamp() - time.time()) <= 2


def test_send_awaited_as_a_task_works(serve: Serve) -> None:
    """What `send` returns can be awaited by whatever awaits coroutines."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await asyncio.wait_for(send({"type": "http.response.start", "status": 200, "headers": []}), 1)
        first: Any = send({"type": "http.response.body", "body": b"one", "more_body": True})
        await asyncio.ensure_future(first)
        second: Any = send({"type": "http.response.body", "body": b"two", "more_body": True})
        await asyncio.create_task(second)
        await asyncio.gather(send({"type": "http.response.body", "body": b""}))

    server = serve(app)
    with server.client() as client:
        assert client.get().content == b"onetwo"


def test_send_within_a_task_group_works(serve: Serve) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                step: Any = send({"type": "http.response.body", "body": b"x", "more_body": True})
                group.create_task(step)
        await send({"type": "http.response.body"})

    server = serve(app)
    with server.client() as client:
        assert client.get().content == b"x" * 10


def test_send_called_in_another_thread_acts_once_awaited(serve: Serve) -> None:
    """Adapters for WSGI call `send` in a thread, and hand on what it returns to the event loop: nothing may happen before."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()

        def work() -> None:
            for message in (
                {"type": "http.response.start", "status": 200, "headers": []},
                {"type": "http.response.body", "body": b"one", "more_body": True},
                {"type": "http.response.body", "body": b"two"},
            ):
                step: Any = send(message)
                assert inspect.iscoroutine(step)
                asyncio.run_coroutine_threadsafe(step, loop).result(PATIENCE)

        await asyncio.to_thread(work)

    server = serve(app)
    with server.client() as client:
        assert client.get().content == b"onetwo"


# -- Extensions -------------------------------------------------------------------------------------------------------------


async def with_trailers(scope: Message, receive: Receive, send: Send) -> None:
    trailers = "http.response.trailers" in scope["extensions"]
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"trailer", b"digest")], "trailers": trailers}
    )
    await send({"type": "http.response.body", "body": b"content", "more_body": False})
    if trailers:
        await send({"type": "http.response.trailers", "headers": [(b"digest", b"one")], "more_trailers": True})
        await send({"type": "http.response.trailers", "headers": [(b"digest", b"two")]})


def test_trailers_that_the_client_accepts_are_sent(serve: Serve) -> None:
    server = serve(with_trailers)
    with server.client() as client:
        for lines in (["TE: trailers", "Connection: TE"], ["TE: deflate;q=0.5, trailers", "Connection: TE"]):
            response = client.get("/", *lines)
            assert response.content == b"content"
            assert response.trailers == [("digest", "one"), ("digest", "two")]
        response = client.get()
        assert response.content == b"content"
        assert response.trailers == []
    assert server.ends() == {"client_eof_idle": 1}


def test_trailers_without_a_place_are_dropped(serve: Serve) -> None:
    """A length was declared, or the client speaks HTTP/1.0: the trailers are dropped, the answer is whole."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        fields = [(b"content-length", b"7")]
        await send({"type": "http.response.start", "status": 200, "headers": fields, "trailers": True})
        await send({"type": "http.response.body", "body": b"content"})
        await send({"type": "http.response.trailers", "headers": [(b"digest", b"one")]})

    server = serve(app)
    with server.client() as client:
        for _ in range(2):
            assert client.get("/", "TE: trailers", "Connection: TE").content == b"content"
        assert client.get(version="1.0").content == b"content"
    assert server.ends() == {"client_http10": 1}


@pytest.mark.parametrize("name", [b"content-length", b"transfer-encoding", b"connection"])
def test_trailers_that_frame_the_message_raise(serve: Serve, name: bytes) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "trailers": True})
        await send({"type": "http.response.body", "body": b"content"})
        with pytest.raises(RuntimeError):
            await send({"type": "http.response.trailers", "headers": [(name, b"1")]})
        await send({"type": "http.response.trailers", "headers": []})

    server = serve(app)
    with server.client() as client:
        for _ in range(2):
            response = client.get("/", "TE: trailers", "Connection: TE")
            assert (response.content, response.trailers) == (b"content", [])


def test_early_hints_are_sent_before_the_response(serve: Serve) -> None:
    links = [b"</style.css>; rel=preload; as=style", b"</script.js>; rel=preload; as=script"]
    hints_read = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        assert "http.response.early_hint" in scope["extensions"]
        await send({"type": "http.response.early_hint", "links": links})
        await send({"type": "http.response.early_hint", "links": links[:1]})
        await hints_read.wait()
        hints_read.clear()
        await answer(send, b"page")

    server = serve(app)
    with server.client() as client:
        for _ in range(2):
            client.ask()
            hints = client.head()
            server.call(hints_read.set)  # hints are of use only early
            assert hints.status == 103
            assert [value.encode() for value in hints.all("link")] == links
            response = client.response()
            assert [head.status for head in response.interim] == [103]
            assert response.content == b"page"
    assert server.ends() == {"client_eof_idle": 1}


def test_early_hints_within_the_response_raise(serve: Serve) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"page", "more_body": True})
        with pytest.raises(RuntimeError):
            await send({"type": "http.response.early_hint", "links": [b"</x>"]})
        await send({"type": "http.response.body"})

    server = serve(app)
    with server.client() as client:
        assert client.get().content == b"page"


def test_extensions_offered_are_those_supported(serve: Serve) -> None:
    app = Witness()
    server = serve(app)
    with server.client() as client:
        client.get()
    assert app.scopes[0]["extensions"] == {"http.response.early_hint": {}, "http.response.pathsend": {}}


# -- Around it --------------------------------------------------------------------------------------------------------------


def test_context_variables_of_a_request_are_its_own(serve: Serve) -> None:
    """Other requests do not see what one has set, nor does the next one on the same connection."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        seen.append(variable.get())
        variable.set(scope["path"])
        for _ in range(PASSES):  # others have their turn
            await asyncio.sleep(0)
        assert variable.get() == scope["path"]
        await hello(scope, receive, send)

    server = serve(app)
    with server.client() as client, server.client() as other:
        for number in range(3):
            client.ask(f"/{number}")
            other.ask(f"/other/{number}")
            client.response()
            other.response()
        client.send(request("/a") + request("/b"))
        client.response()
        client.response()
    assert seen == ["unset"] * 8


def test_request_runs_in_a_named_task_of_its_own(serve: Serve) -> None:
    """`asyncio.timeout`, task groups and cancel scopes need one; it has a name."""
    tasks: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task.get_name())
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            group.create_task(answer(send, b"from within"))

    server = serve(app)
    with server.client() as client:
        for _ in range(2):
            assert client.get().content == b"from within"
    assert len(tasks) == 2
    assert all("bide" in name for name in tasks)


def test_exception_handled_in_one_request_is_unseen_by_the_next(serve: Serve) -> None:
    """A pipelined request, whose predecessor was answered within an `except` block, does not see what was handled there."""
    handled: list[BaseException | None] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        handled.append(sys.exception())
        try:
            raise ValueError(scope["path"])
        except ValueError:
            await answer(send, b"x")

    server = serve(app)
    with server.client() as client:
        client.send(request("/1") + request("/2") + request("/3"))
        assert [client.response().content for _ in range(3)] == [b"x"] * 3
    assert handled == [None] * 3


def test_application_that_cancels_itself_is_answered_500(serve: Serve) -> None:
    """The log has a line, and the connection persists."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    server = serve(app)
    server.log.expect("cancelled before its response was complete")
    with server.client() as client:
        for _ in range(2):
            assert client.get().status == 500
    assert server.ends() == {"client_eof_idle": 1}


def double(inner: App) -> App:
    """Return an application of ASGI 2, which is called twice."""

    def outer(scope: Message) -> Any:
        async def instance(receive: Receive, send: Send) -> None:
            await inner(scope, receive, send)

        return instance

    result: Any = outer
    return result  # type: ignore[no-any-return]


def test_application_of_asgi_2_is_answered_500(serve: Serve) -> None:
    """Its signature hides that it cannot be called with three arguments. So each request is an error in the log."""
    wrong = double(hello)
    server = serve(lambda *arguments: wrong(*arguments), interface="asgi")  # noqa: PLW0108  # it takes anything
    server.log.expect("the application failed")
    with server.client() as client:
        for _ in range(2):
            assert client.get().status == 500


def test_application_that_is_an_object_serves(serve: Serve) -> None:
    class App:
        async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
            await hello(scope, receive, send)

    server = serve(App())
    with server.client() as client:
        assert client.get().content == b"hello\n"


def test_application_that_returns_an_awaitable_serves(serve: Serve) -> None:
    """A plain function that returns an awaitable is an application too."""

    def app(scope: Message, receive: Receive, send: Send) -> Any:
        return hello(scope, receive, send)

    server = serve(app)
    with server.client() as client:
        assert client.get().content == b"hello\n"

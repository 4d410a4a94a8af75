"""ASGI's `websocket` scope, to the letter of version 2.3: applications are served without a connection."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any, Final

import pytest

from bide.errors import DisconnectedError, Misuse
from bide.gateway import asgi_websocket_coroutines
from bide.gateway.asgi import AsgiGateway
from bide.message import Request
from tests.support.apps import App, Message, Receive, Send
from tests.support.exchanges import StubExchange, StubWebSocket
from tests.support.loops import JumpingLoop
from tests.support.server import Log, logged

FIELDS: Final = [
    (b"host", b"a"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-protocol", b"chat, superchat"),
]
CONNECT: Final = {"type": "websocket.connect"}
ACCEPT: Final = {"type": "websocket.accept"}

#: Seconds for which an application that listens may send to a client that is gone.
SEND_GRACE: Final = 5.0


@pytest.fixture(autouse=True)
def time_of_the_loop(loop: JumpingLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi_websocket_coroutines, "monotonic", loop.time)


@pytest.fixture
def log() -> Iterator[Log]:
    with logged() as log:
        yield log


def asking(*, method: str = "GET", fields: list[tuple[bytes, bytes]] | None = None, length: int = 0) -> Request:
    given = FIELDS if fields is None else fields
    return Request(method, b"/a%20b?x=1", b"/a%20b", b"x=1", list(given), 1, length, 0, False, None, b"websocket")


def run(loop: JumpingLoop) -> None:
    """Let everything go on as far as it can."""
    for _ in range(5):
        loop.run_until_complete(asyncio.sleep(0))


class Scene:
    """One call of an application. Events that it received are kept in order."""

    def __init__(self, loop: JumpingLoop, app: App, request: Request | None = None, **options: Any) -> None:
        self.loop = loop
        self.events: list[Message] = []
        self.scope: Message = {}
        self.errors: list[BaseException] = []

        async def kept(scope: Message, receive: Receive, send: Send) -> None:
            self.scope = scope

            async def keeping() -> Message:
                event = await receive()
                self.events.append(event)
                return event

            await app(scope, keeping, send)

        self.gateway = AsgiGateway(kept, loop, **options)
        self.exchange = StubExchange(request or asking())
        self.gateway.start(self.exchange)
        run(loop)

    @property
    def websocket(self) -> StubWebSocket:
        return self.exchange.websocket

    def go_on(self) -> None:
        run(self.loop)


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    """Accept, and send back what comes."""
    await receive()
    await send(ACCEPT)
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


async def sleeping(scope: Message, receive: Receive, send: Send) -> None:
    """Accept, and do nothing more."""
    await receive()
    await send(ACCEPT)
    await asyncio.Event().wait()


# -- The scope --------------------------------------------------------------------------------------------------------------


def test_scope_is_the_specifications(loop: JumpingLoop) -> None:
    scene = Scene(loop, sleeping, state={"pool": 1}, root_path="/root")
    assert scene.scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/root/a b",
        "raw_path": b"/root/a%20b",
        "query_string": b"x=1",
        "root_path": "/root",
        "headers": [*FIELDS, (b"connection", b"upgrade"), (b"upgrade", b"websocket")],
        "client": ("192.0.2.1", 4000),
        "server": ("192.0.2.2", 80),
        "subprotocols": ["chat", "superchat"],
        "state": {"pool": 1},
        "extensions": {"websocket.http.response": {}},
    }


def test_scheme_over_tls_is_wss(loop: JumpingLoop) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        schemes.append(scope["scheme"])
        await send({"type": "websocket.close"})

    schemes: list[str] = []
    gateway = AsgiGateway(app, loop)
    exchange = StubExchange(asking())
    exchange.scheme = "https"
    gateway.start(exchange)
    run(loop)
    assert schemes == ["wss"]


@pytest.mark.parametrize(("options", "kind"), [({}, "websocket"), ({"websockets": False}, "http")])
def test_request_is_plain_http_where_websockets_are_not_served(
    loop: JumpingLoop, options: dict[str, Any], kind: str
) -> None:
    scene = Scene(loop, sleeping, **options)
    assert scene.scope["type"] == kind


def test_request_by_another_method_is_plain_http(loop: JumpingLoop) -> None:
    assert Scene(loop, sleeping, asking(method="POST")).scope["type"] == "http"


@pytest.mark.parametrize(
    ("request_", "status"),
    [(asking(fields=FIELDS[:2]), 426), (asking(fields=FIELDS[2:]), 400), (asking(length=3), 400)],
)
def test_bad_handshake_is_answered_without_the_application(loop: JumpingLoop, request_: Request, status: int) -> None:
    scene = Scene(loop, sleeping, request_)
    assert scene.scope == {}
    assert scene.exchange.status == status
    fields = dict(field for field in scene.exchange.fields if len(field) == 2)
    assert fields[b"content-length"] == b"%d" % len(b"".join(scene.exchange.content))
    assert fields.get(b"sec-websocket-version") == (b"13" if status == 426 else None)
    assert scene.gateway.running == 0


# -- Messages ---------------------------------------------------------------------------------------------------------------


def test_messages_are_events_in_order(loop: JumpingLoop) -> None:
    scene = Scene(loop, echo)
    scene.websocket.arrive("text", b"octets", "")
    scene.go_on()
    scene.websocket.end(1001, "going away")
    scene.go_on()
    assert scene.events == [
        CONNECT,
        {"type": "websocket.receive", "text": "text"},
        {"type": "websocket.receive", "bytes": b"octets"},
        {"type": "websocket.receive", "text": ""},
        {"type": "websocket.disconnect", "code": 1001, "reason": "going away"},
    ]
    assert scene.websocket.sent == ["text", b"octets", ""]
    assert scene.websocket.finishes == [False]
    assert scene.gateway.running == 0


def test_messages_that_came_before_the_end_are_delivered_before_it(loop: JumpingLoop) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        while (await receive())["type"] != "websocket.disconnect":
            pass

    scene = Scene(loop, app)
    scene.websocket.arrive("last")
    scene.websocket.end(1006)
    scene.go_on()
    assert [event["type"] for event in scene.events[1:]] == ["websocket.receive", "websocket.disconnect"]


def test_accept_has_subprotocol_and_fields(loop: JumpingLoop) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept", "subprotocol": "chat", "headers": [(b"x-test", b"1")]})

    scene = Scene(loop, app)
    assert scene.exchange.subprotocol == "chat"
    assert scene.exchange.fields == [(b"x-test", b"1")]


@pytest.mark.parametrize(
    ("event", "sent"),
    [
        ({"text": "a"}, "a"),
        ({"bytes": b"a"}, b"a"),
        ({"text": None, "bytes": bytearray(b"a")}, b"a"),
        ({"text": "a", "bytes": None}, "a"),
        ({"bytes": memoryview(b"a")}, b"a"),
    ],
)
def test_message_is_sent_as_text_or_bytes(loop: JumpingLoop, event: Message, sent: str | bytes) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await send({"type": "websocket.send", **event})

    assert Scene(loop, app).websocket.sent == [sent]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (1000, "")),
        ({"code": 4000, "reason": "why"}, (4000, "why")),
        ({"code": 1001, "reason": None}, (1001, "")),
    ],
)
def test_close_has_code_and_reason(loop: JumpingLoop, given: Message, expected: tuple[int, str]) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await send({"type": "websocket.close", **given})

    assert Scene(loop, app).websocket.closed_with == expected


# -- Denial -----------------------------------------------------------------------------------------------------------------


def test_close_before_accept_is_403(loop: JumpingLoop) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close", "code": 4000})
        events.append(await receive())
        events.append(await receive())

    events: list[Message] = []
    scene = Scene(loop, app)
    assert scene.exchange.status == 403
    assert scene.exchange.fields == [(b"content-length", b"0")]
    assert scene.exchange.complete
    assert events == [CONNECT, {"type": "websocket.disconnect", "code": 1006, "reason": ""}]


def test_denial_is_a_response_of_any_size(loop: JumpingLoop) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-test", b"1")]})
        await send({"type": "websocket.http.response.body", "body": b"a", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": bytearray(b"b")})

    scene = Scene(loop, app)
    assert (scene.exchange.status, scene.exchange.fields) == (401, [(b"x-test", b"1")])
    assert scene.exchange.content == [b"a", b"b"]
    assert scene.exchange.complete
    assert not scene.exchange.has_finished, "it was complete before"


# -- Order ------------------------------------------------------------------------------------------------------------------

START: Final = {"type": "websocket.http.response.start", "status": 200}


@pytest.mark.parametrize(
    "events",
    [
        [{"type": "websocket.send", "text": "too early"}],
        [{"type": "http.response.start", "status": 200}],
        [START, ACCEPT],
        [START, {"type": "websocket.close"}],
        [ACCEPT, ACCEPT],
        [ACCEPT, START],
        [ACCEPT, {"type": "websocket.close"}, {"type": "websocket.close"}],
        [ACCEPT, {"type": "websocket.send"}],
        [ACCEPT, {"type": "websocket.send", "text": "a", "bytes": b"a"}],
        [ACCEPT, {"type": "unknown"}],
    ],
)
def test_event_out_of_order_raises(loop: JumpingLoop, events: list[Message], log: Log) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        for event in events[:-1]:
            await send(event)
        with pytest.raises((Misuse, ValueError)):
            await send(events[-1])
        done.append(True)

    done: list[bool] = []
    Scene(loop, app)
    assert done == [True]


# -- Ends -------------------------------------------------------------------------------------------------------------------


def test_application_that_returns_has_finished(loop: JumpingLoop) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(ACCEPT)

    assert Scene(loop, app).websocket.finishes == [False]


def test_application_that_fails_has_failed_with_one_traceback(loop: JumpingLoop, log: Log) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        raise RuntimeError("a bug")

    assert Scene(loop, app).websocket.finishes == [True]
    assert log.messages(logging.ERROR) == ["WebSocket /a%20b: the application failed"]


def test_failure_after_the_applications_own_close_is_logged(loop: JumpingLoop, log: Log) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await send({"type": "websocket.close"})
        raise RuntimeError("a bug")

    Scene(loop, app)
    assert log.messages(logging.ERROR) == ["WebSocket /a%20b: the application failed"]


def test_failure_after_the_client_has_left_is_for_the_debug_log(loop: JumpingLoop, log: Log) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await receive()
        await receive()
        raise RuntimeError("as Starlette's WebSocketDisconnect")

    scene = Scene(loop, app)
    scene.websocket.end(1001)
    scene.go_on()
    assert log.messages(logging.INFO) == []
    assert len(log.messages(logging.DEBUG, "bide.error")) == 1


@pytest.mark.parametrize("fails", [True, False])
def test_application_that_ends_without_an_answer_is_logged(loop: JumpingLoop, log: Log, fails: bool) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if fails:
            raise RuntimeError("a bug")

    scene = Scene(loop, app)
    assert scene.exchange.has_finished
    (message,) = log.messages(logging.ERROR)
    assert ("failed" in message) is fails


@pytest.mark.parametrize("leave", [StubExchange.leave, StubExchange.lose])
def test_client_that_leaves_before_the_answer_is_a_disconnect(loop: JumpingLoop, log: Log, leave: Any) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await receive()

    scene = Scene(loop, app)
    leave(scene.exchange)
    scene.go_on()
    assert scene.events == [CONNECT, {"type": "websocket.disconnect", "code": 1006, "reason": ""}]
    assert scene.exchange.has_delivered_disconnect
    assert log.messages(logging.INFO) == []


def test_cancelled_application_is_no_failure(loop: JumpingLoop, log: Log) -> None:
    scene = Scene(loop, sleeping)
    assert scene.gateway.running == 1
    scene.gateway.cancel()
    scene.go_on()
    assert scene.websocket.finishes == [False]
    assert log.messages(logging.WARNING) == ["WebSocket /a%20b: cancelled before its end"]
    assert scene.gateway.running == 0


# -- Sends that nobody takes --------------------------------------------------------------------------------------------------


def test_send_after_the_end_raises_unless_a_task_listens(loop: JumpingLoop) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await gate.wait()
        with pytest.raises(DisconnectedError):
            await send({"type": "websocket.send", "text": "a"})
        done.append(True)

    gate = asyncio.Event()
    done: list[bool] = []
    scene = Scene(loop, app)
    scene.websocket.end(1006)
    gate.set()
    scene.go_on()
    assert done == [True]


@pytest.mark.parametrize(("later", "raises"), [(0.0, False), (SEND_GRACE + 1.0, True)])
def test_send_after_the_end_is_ignored_for_a_while_where_a_task_listens(
    loop: JumpingLoop, later: float, raises: bool
) -> None:
    """The listener hears of the end, and cancels what sends."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        listener = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        exchange.websocket.over = True
        for wait in (0.0, later):
            await asyncio.sleep(wait)
            try:
                await send({"type": "websocket.send", "text": "a"})
            except DisconnectedError:
                failed.append(True)
        listener.cancel()

    failed: list[bool] = []
    gateway = AsgiGateway(app, loop)
    exchange = StubExchange(asking())
    gateway.start(exchange)
    loop.run_for(later + 1.0)
    run(loop)
    assert bool(failed) is raises


def test_send_that_waits_goes_on_or_raises(loop: JumpingLoop) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await gate.wait()
        await send({"type": "websocket.send", "text": "a"})
        done.append("sent")
        try:
            await send({"type": "websocket.send", "text": "b"})
        except DisconnectedError:
            done.append("gone")

    gate = asyncio.Event()
    done: list[str] = []
    scene = Scene(loop, app)
    scene.websocket.is_stuck = True
    gate.set()
    scene.go_on()
    assert done == []
    scene.websocket._news.set()
    scene.go_on()
    assert done == ["sent"]
    scene.websocket.end(1006)
    scene.go_on()
    assert done == ["sent", "gone"]


def test_send_from_another_thread_acts_in_the_loops_thread(loop: JumpingLoop) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        thread = threading.Thread(target=lambda: made.append(send({"type": "websocket.send", "text": "a"})))
        thread.start()
        thread.join()
        before.append(list(scene_websocket()))
        await made[0]

    made: list[Any] = []
    before: list[list[str | bytes]] = []
    gateway = AsgiGateway(app, loop)
    exchange = StubExchange(asking())

    def scene_websocket() -> list[str | bytes]:
        return exchange.websocket.sent

    gateway.start(exchange)
    run(loop)
    assert before == [[]]
    assert exchange.websocket.sent == ["a"]

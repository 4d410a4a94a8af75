"""Makes scopes, takes `send` events, and keeps count of what runs: applications are served without a connection.

Over a real socket, and to the letter of the specification: `tests/scenarios/test_asgi.py`.
"""

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

import pytest

from bide.errors import DisconnectedError, Misuse
from bide.exchange import DONE
from bide.gateway.asgi import AsgiExchange, AsgiGateway
from bide.message import Request
from tests.support.apps import App, Message, Receive, Send, echo, hello
from tests.support.exchanges import StubExchange, request_of
from tests.support.loops import JumpingLoop
from tests.support.server import logged

#: Passes of the event loop after which everything that can go on has gone on.
PASSES: Final = 5

#: Sends that nobody takes before others get their turn.
SENDS_PER_TURN: Final = 32


def run(loop: JumpingLoop) -> None:
    """Let everything go on as far as it can."""

    async def some_passes() -> None:
        for _ in range(PASSES):
            await asyncio.sleep(0)

    loop.run_until_complete(some_passes())


def serve(
    loop: JumpingLoop, app: App, *requests: Request, root_path: str = "", state: dict[str, Any] | None = None
) -> list[StubExchange]:
    """Serve each request by `app`, and return their exchanges."""
    gateway = AsgiGateway(app, loop, root_path, state)
    exchanges = [StubExchange(request) for request in requests or (request_of(),)]
    for exchange in exchanges:
        gateway.start(exchange)
    run(loop)
    return exchanges


class Witness:
    """Answers, and keeps every scope."""

    def __init__(self) -> None:
        self.scopes: list[Message] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        await hello(scope, receive, send)


# -- The scope --------------------------------------------------------------------------------------------------------------


def test_scope_has_what_the_request_says(loop: JumpingLoop) -> None:
    witness = Witness()
    request = request_of("GET", b"/a/b%20c?x=%41", [(b"host", b"a"), (b"x-twice", b"1"), (b"x-twice", b"2")])
    (exchange,) = serve(loop, witness, request)
    (scope,) = witness.scopes
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a/b c",
        "raw_path": b"/a/b%20c",
        "query_string": b"x=%41",
        "root_path": "",
        "headers": [(b"host", b"a"), (b"x-twice", b"1"), (b"x-twice", b"2")],
        "client": ("192.0.2.1", 4000),
        "server": ("192.0.2.2", 80),
        "extensions": {"http.response.early_hint": {}, "http.response.pathsend": {}},
    }
    assert exchange.content == [b"hello\n"]
    assert exchange.has_finished is False, "the response was complete before"


@pytest.mark.parametrize(
    ("root_path", "target", "path", "raw_path"),
    [
        ("", b"/a%2Fb", "/a/b", b"/a%2Fb"),
        ("", b"/%C3%A4", "/\u00e4", b"/%C3%A4"),
        ("", b"/%FF", "/\ufffd", b"/%FF"),
        ("", b"*", "*", b"*"),
        ("/mounted", b"/a%20b", "/mounted/a b", b"/mounted/a%20b"),
        ("/\u00e9", b"/a", "/\u00e9/a", b"/%C3%A9/a"),
        ("/mounted", b"*", "*", b"*"),
    ],
)
def test_path_is_decoded_after_the_root_path(
    loop: JumpingLoop, root_path: str, target: bytes, path: str, raw_path: bytes
) -> None:
    witness = Witness()
    serve(loop, witness, request_of("OPTIONS", target), root_path=root_path)
    (scope,) = witness.scopes
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == (root_path, path, raw_path)


def test_prefix_of_a_front_end_takes_the_place_of_the_root_path(loop: JumpingLoop) -> None:
    witness = Witness()
    gateway = AsgiGateway(witness, loop, "/mounted")
    exchange = StubExchange(request_of("GET", b"/a%20b"))
    exchange.prefix = b"/p%20q"
    gateway.start(exchange)
    run(loop)
    (scope,) = witness.scopes
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/p q", "/p q/a b", b"/p%20q/a%20b")


def test_method_is_in_upper_case(loop: JumpingLoop) -> None:
    witness = Witness()
    serve(loop, witness, request_of("query"))
    assert witness.scopes[0]["method"] == "QUERY"


@pytest.mark.parametrize(
    ("minor", "accepts_trailers", "version", "extensions"),
    [
        (1, False, "1.1", {"http.response.early_hint", "http.response.pathsend"}),
        (1, True, "1.1", {"http.response.early_hint", "http.response.pathsend", "http.response.trailers"}),
        (0, False, "1.0", {"http.response.pathsend"}),
    ],
)
def test_extensions_are_those_that_the_client_understands(
    loop: JumpingLoop, minor: int, accepts_trailers: bool, version: str, extensions: set[str]
) -> None:
    witness = Witness()
    request = request_of(minor=minor)
    request.accepts_trailers = accepts_trailers
    serve(loop, witness, request)
    (scope,) = witness.scopes
    assert (scope["http_version"], set(scope["extensions"])) == (version, extensions)


@pytest.mark.parametrize("state", [None, {"shared": [1]}])
def test_state_is_given_as_a_shallow_copy_if_there_is_one(loop: JumpingLoop, state: dict[str, Any] | None) -> None:
    witness = Witness()
    serve(loop, witness, state=state)
    (scope,) = witness.scopes
    assert scope.get("state") == state
    if state is not None:
        assert scope["state"] is not state
        assert scope["state"]["shared"] is state["shared"]


def test_scope_that_middleware_changes_is_not_that_of_the_next_request(loop: JumpingLoop) -> None:
    seen = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        places = (scope, scope["asgi"], scope["extensions"], scope["state"])
        seen.append(["mine" in place for place in places])
        for place in places:
            place["mine"] = True
        await hello(scope, receive, send)

    serve(loop, app, request_of(), request_of(), state={})
    assert seen == [[False] * 4] * 2


def test_context_variables_of_a_request_are_its_own(loop: JumpingLoop) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        seen.append(variable.get())
        variable.set("set")
        await hello(scope, receive, send)

    serve(loop, app, request_of(), request_of())
    assert seen == ["unset", "unset"]


def test_application_gets_the_request_and_answers_it(loop: JumpingLoop) -> None:
    gateway = AsgiGateway(echo, loop)
    exchange = StubExchange(request_of("POST"), body=b"body")
    gateway.start(exchange)
    run(loop)
    assert exchange.content == [b"body"]


# -- send -------------------------------------------------------------------------------------------------------------------

START: Final[Message] = {"type": "http.response.start", "status": 200, "headers": [(b"x", b"1")]}


@pytest.fixture
def exchange() -> StubExchange:
    return StubExchange()


@pytest.fixture
def cycle(exchange: StubExchange) -> AsgiExchange:
    return AsgiExchange(exchange, threading.get_ident())


def test_start_begins_the_response(exchange: StubExchange, cycle: AsgiExchange) -> None:
    assert cycle.send(START) is DONE
    assert (exchange.status, exchange.fields, exchange.content) == (200, [(b"x", b"1")], [])


def test_events_may_leave_out_what_has_a_default(exchange: StubExchange, cycle: AsgiExchange) -> None:
    cycle.send({"type": "http.response.start", "status": 200})
    assert cycle.send({"type": "http.response.body"}) is DONE
    assert (exchange.fields, exchange.content, exchange.complete) == ([], [b""], True)


def test_event_may_be_any_mapping(exchange: StubExchange, cycle: AsgiExchange) -> None:
    cycle.send(cast("Message", MappingProxyType(START)))
    assert exchange.status == 200


@pytest.mark.parametrize(("more_body", "complete"), [(True, False), (1, False), (False, True), (None, True)])
def test_body_is_the_last_unless_more_follows(
    exchange: StubExchange, cycle: AsgiExchange, more_body: object, complete: bool
) -> None:
    cycle.send(START)
    cycle.send({"type": "http.response.body", "body": b"x", "more_body": more_body})
    assert exchange.complete is complete


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_body_of_any_octets_is_sent_as_bytes(
    exchange: StubExchange, cycle: AsgiExchange, kind: Callable[[bytes], object]
) -> None:
    cycle.send(START)
    cycle.send({"type": "http.response.body", "body": kind(b"octets")})
    assert exchange.content == [b"octets"]
    assert type(exchange.content[0]) is bytes


def test_body_that_must_be_waited_for_is_awaitable(loop: JumpingLoop, cycle: AsgiExchange) -> None:
    gate = asyncio.Event()

    async def flows() -> None:
        await gate.wait()

    cycle.exchange.send = lambda content, more: flows()  # type: ignore[method-assign]

    async def send() -> None:
        await cycle.send({"type": "http.response.body", "body": b"x", "more_body": True})

    task = loop.create_task(send())
    run(loop)
    assert not task.done()
    gate.set()
    run(loop)
    assert task.done()


def test_trailers_are_passed_on(exchange: StubExchange, cycle: AsgiExchange) -> None:
    cycle.send({**START, "trailers": True})
    cycle.send({"type": "http.response.trailers", "headers": [(b"x", b"1")], "more_trailers": True})
    cycle.send({"type": "http.response.trailers"})
    assert exchange.trailers == [(b"x", b"1")]


def test_early_hints_are_an_interim_response(exchange: StubExchange, cycle: AsgiExchange) -> None:
    cycle.send({"type": "http.response.early_hint", "links": [b"</a>", b"</b>"]})
    assert exchange.informed == [103]


def test_unknown_event_is_an_error(exchange: StubExchange, cycle: AsgiExchange) -> None:
    with pytest.raises(ValueError, match=r"'http\.response\.push' is not an event"):
        cycle.send({"type": "http.response.push"})


def test_misuse_is_raised_where_the_event_is_sent(
    exchange: StubExchange, cycle: AsgiExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    def misuse(*_: object) -> None:
        raise Misuse("a bug of the application's")

    monkeypatch.setattr(exchange, "respond", misuse)
    with pytest.raises(Misuse):
        cycle.send(START)


def test_send_in_another_thread_happens_where_it_is_awaited(
    loop: JumpingLoop, exchange: StubExchange, cycle: AsgiExchange
) -> None:
    """Adapters call `send` in a thread, and hand its result to the event loop."""
    sent: list[Awaitable[None]] = []
    thread = threading.Thread(target=lambda: sent.append(cycle.send(START)))
    thread.start()
    thread.join()
    assert exchange.status == 0
    (result,) = sent

    async def finish() -> None:
        await result

    loop.run_until_complete(finish())
    assert exchange.status == 200


# -- A client that is gone --------------------------------------------------------------------------------------------------

BODY: Final[Message] = {"type": "http.response.body", "body": b"x", "more_body": True}


def test_send_to_nobody_raises_if_the_application_does_not_listen(exchange: StubExchange, cycle: AsgiExchange) -> None:
    exchange.lose()
    with pytest.raises(DisconnectedError):
        cycle.send(BODY)


def test_send_to_nobody_does_nothing_if_the_application_listens(
    loop: JumpingLoop, exchange: StubExchange, cycle: AsgiExchange
) -> None:
    exchange.lose()
    cycle.receivers_waiting = 1
    assert cycle.send(BODY) is DONE
    assert exchange.content == []


def test_sends_to_nobody_let_others_run_now_and_then(
    loop: JumpingLoop, exchange: StubExchange, cycle: AsgiExchange
) -> None:
    """A loop that awaits nothing else would keep the listener from running."""
    exchange.lose()
    cycle.receivers_waiting = 1
    order: list[object] = []

    async def send_on() -> None:
        for number in range(1, 2 * SENDS_PER_TURN + 1):
            loop.call_soon(order.append, "others")
            await cycle.send(BODY)
            order.append(number)

    loop.run_until_complete(send_on())
    sends = [
        number for number, before in zip(order[1:], order, strict=False) if before == "others" and number != "others"
    ]
    assert sends == [SENDS_PER_TURN, 2 * SENDS_PER_TURN]


# -- What runs --------------------------------------------------------------------------------------------------------------


async def never(scope: Message, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


def test_gateway_counts_the_applications_that_run(loop: JumpingLoop) -> None:
    go = asyncio.Event()
    names = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        names.append(task.get_name())
        await hello(scope, receive, send)
        await go.wait()

    gateway = AsgiGateway(app, loop)
    for _ in range(2):
        gateway.start(StubExchange())
    run(loop)
    counts = [gateway.running]
    go.set()
    run(loop)
    counts.append(gateway.running)
    assert counts == [2, 0], "complete or not"
    assert names == ["bide-request"] * 2


@pytest.mark.parametrize("has_begun", [True, False])
def test_gateway_that_cancels_ends_the_applications_that_run(loop: JumpingLoop, has_begun: bool) -> None:
    gateway = AsgiGateway(never, loop)
    gateway.start(StubExchange())
    if has_begun:
        run(loop)
    assert gateway.running == 1
    gateway.cancel()
    with logged():
        run(loop)
    assert gateway.running == 0


def test_gateway_with_a_stubborn_application_counts_it_after_it_was_cancelled(loop: JumpingLoop) -> None:
    go = asyncio.Event()

    async def stubborn(scope: Message, receive: Receive, send: Send) -> None:
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                pass
        await hello(scope, receive, send)

    gateway = AsgiGateway(stubborn, loop)
    gateway.start(StubExchange())
    run(loop)
    gateway.cancel()
    run(loop)
    counts = [gateway.running]
    go.set()
    run(loop)
    counts.append(gateway.running)
    assert counts == [1, 0]


def test_drain_is_no_news_for_applications(loop: JumpingLoop) -> None:
    gateway = AsgiGateway(never, loop)
    gateway.start(StubExchange())
    gateway.drain()
    run(loop)
    assert gateway.running == 1
    gateway.cancel()
    with logged():
        run(loop)


# -- What need not be waited for --------------------------------------------------------------------------------------------

WHOLE = {"type": "http.request", "body": b"content", "more_body": False}
GONE = {"type": "http.disconnect"}


def received(loop: JumpingLoop, body: bytes | None, scene: Callable[[AsgiExchange], Awaitable[Any]]) -> Any:
    """Return what a scene returns that is played on an exchange with that request body."""

    async def play() -> Any:
        return await scene(AsgiExchange(StubExchange(body=body), threading.get_ident()))

    return loop.run_until_complete(play())


def test_receive_in_a_task_of_its_own_takes_the_event_once_it_runs(loop: JumpingLoop) -> None:
    """One that is cancelled before has taken nothing, so that nothing is lost."""

    async def scene(asgi: AsgiExchange) -> Any:
        cancelled = asyncio.ensure_future(asgi.receive())
        cancelled.cancel()
        await asyncio.wait([cancelled])
        assert cancelled.cancelled()
        return await asyncio.wait_for(asgi.receive(), 1.0)

    assert received(loop, b"content", scene) == WHOLE


def test_receive_whose_event_another_one_takes_waits_for_the_next(loop: JumpingLoop) -> None:
    async def scene(asgi: AsgiExchange) -> list[Message]:
        one, other = asgi.receive(), asgi.receive()
        first = await other
        waiting = asyncio.ensure_future(one)
        await asyncio.sleep(0)
        assert asgi.receivers_waiting == 1
        cast(StubExchange, asgi.exchange).leave()
        return [first, await waiting]

    assert received(loop, b"content", scene) == [WHOLE, GONE]


def test_path_is_sent_after_the_head(loop: JumpingLoop, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": str(tmp_path / "file")})

    (exchange,) = serve(loop, app)
    assert (exchange.status, exchange.files, exchange.content) == (200, [(0, 7)], [b"content"])

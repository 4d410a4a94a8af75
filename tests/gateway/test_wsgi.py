"""The WSGI gateway makes calls, on threads or on the event loop's thread, and keeps count of them."""

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import pytest

from bide.exchange import DONE
from bide.gateway.threads import Threads
from bide.gateway.wsgi import WsgiGateway
from bide.message import CHUNKED
from tests.support.exchanges import StubExchange, request_of
from tests.support.loops import JumpingLoop
from tests.support.server import Log, logged
from tests.support.waiting import until

PASSES: Final = 5
LIMIT: Final = 1000

App = Callable[[dict[str, Any], Any], Any]


@pytest.fixture
def log() -> Iterator[Log]:
    with logged() as log:
        yield log
        log.check()


def run(loop: JumpingLoop) -> None:
    """Let everything go on as far as it can."""

    async def some_passes() -> None:
        for _ in range(PASSES):
            await asyncio.sleep(0)

    loop.run_until_complete(some_passes())


@pytest.fixture(params=[0, 2], ids=["loop", "threads"])
def make(request: pytest.FixtureRequest, loop: JumpingLoop) -> Iterator[Callable[..., WsgiGateway]]:
    """Make gateways; at the end no thread is left."""
    made: list[WsgiGateway] = []

    def make(app: App, **options: Any) -> WsgiGateway:
        threads = Threads(loop, request.param) if request.param else None
        gateway = WsgiGateway(app, loop, **({"threads": threads, "limit_body": LIMIT} | options))
        made.append(gateway)
        return gateway

    yield make
    for gateway in made:
        gateway.cancel()
        settled(loop, gateway)


def settled(loop: JumpingLoop, gateway: WsgiGateway) -> None:
    """Wait until no call runs."""

    def is_over() -> bool:
        run(loop)
        return not gateway.running

    until(is_over)


def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("X-Path", environ["SCRIPT_NAME"] + environ["PATH_INFO"])])
    return [body]


def test_application_is_called_with_environ_and_body(
    loop: JumpingLoop, make: Callable[..., WsgiGateway], log: Log
) -> None:
    gateway = make(echo, root_path="/mounted")
    exchange = StubExchange(request_of("POST", b"/a"), body=b"abc")
    gateway.start(exchange)
    settled(loop, gateway)
    assert (exchange.status, exchange.fields, exchange.content) == (200, [(b"X-Path", b"/mounted/a")], [b"abc"])
    assert exchange.complete
    assert not exchange.has_finished, "the response was complete before"


def test_body_that_is_yet_to_come_is_received(loop: JumpingLoop, make: Callable[..., WsgiGateway], log: Log) -> None:
    gateway = make(echo)
    exchange = StubExchange(request_of("POST"), body=None)
    exchange.request.length = 6
    exchange.arrive(b"abc", complete=False)
    gateway.start(exchange)
    run(loop)
    assert gateway.running == 1
    exchange.arrive(b"def", complete=True)
    settled(loop, gateway)
    assert exchange.content == [b"abcdef"]


@pytest.mark.parametrize("is_there", [True, False])
def test_chunked_body_is_received_before_the_call_and_has_a_length(
    loop: JumpingLoop, make: Callable[..., WsgiGateway], log: Log, is_there: bool
) -> None:
    bodies: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        bodies.append(environ["wsgi.input"])
        start_response("200 OK", [("X-Length", environ["CONTENT_LENGTH"])])
        return [environ["wsgi.input"].read(), environ.get("HTTP_TRANSFER_ENCODING", "").encode()]

    gateway = make(app)
    exchange = StubExchange(request_of("POST", fields=[(b"transfer-encoding", b"chunked")]), body=None)
    exchange.request.length = CHUNKED
    if is_there:
        exchange.arrive(b"abcdef", complete=True)
    gateway.start(exchange)
    if not is_there:
        exchange.arrive(b"abc", complete=False)
        run(loop)
        assert gateway.running == 1
        assert bodies == []
        exchange.arrive(b"def", complete=True)
    settled(loop, gateway)
    assert (exchange.fields, exchange.content) == ([(b"X-Length", b"6")], [b"abcdef"])
    if not is_there:
        assert bodies[0].closed


@pytest.mark.parametrize("passes", [True, False], ids=["waiting", "not-yet-run"])
def test_request_whose_body_is_awaited_at_the_stop_ends_without_a_call(
    loop: JumpingLoop, make: Callable[..., WsgiGateway], log: Log, passes: bool
) -> None:
    gateway = make(echo)
    exchange = StubExchange(request_of("POST"), body=None)
    exchange.request.length = CHUNKED
    gateway.start(exchange)
    if passes:
        run(loop)
    gateway.cancel()
    settled(loop, gateway)
    assert exchange.has_finished
    assert exchange.status == 0


def test_failed_application_is_reported_to_the_exchange(
    loop: JumpingLoop, make: Callable[..., WsgiGateway], log: Log
) -> None:
    log.expect("the application failed")

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise RuntimeError("no")

    gateway = make(app)
    exchange = StubExchange()
    gateway.start(exchange)
    settled(loop, gateway)
    assert exchange.has_finished
    assert exchange.status == 0


def test_each_call_has_a_context_of_its_own(loop: JumpingLoop, make: Callable[..., WsgiGateway], log: Log) -> None:
    variable = contextvars.ContextVar("variable", default="from the gateway's start")
    seen: list[str] = []

    class Result:
        def __iter__(self) -> Iterator[bytes]:
            seen.append(variable.get())
            yield b"a"
            seen.append(variable.get())

        def close(self) -> None:
            seen.append(variable.get())

    def app(environ: dict[str, Any], start_response: Any) -> Result:
        seen.append(variable.get())
        variable.set("from a call")
        start_response("200 OK", [])
        return Result()

    gateway = make(app)
    for _ in range(2):
        gateway.start(StubExchange())
        settled(loop, gateway)
    assert seen == ["from the gateway's start", *["from a call"] * 3] * 2
    assert variable.get() == "from the gateway's start"


@pytest.mark.parametrize("count", [0, 2])
def test_application_is_called_by_the_thread_that_was_asked_for(loop: JumpingLoop, count: int, log: Log) -> None:
    threads: set[str] = set()
    flags: list[bool] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        threads.add(threading.current_thread().name)
        flags.append(environ["wsgi.multithread"])
        start_response("200 OK", [])
        return []

    gateway = WsgiGateway(app, loop, threads=Threads(loop, count) if count else None, limit_body=0)
    gateway.start(StubExchange())
    settled(loop, gateway)
    gateway.cancel()
    settled(loop, gateway)
    assert flags == [count > 0]
    assert threads == {"bide-wsgi-0" if count else threading.current_thread().name}


def test_received_body_over_the_limit_is_answered_413(
    loop: JumpingLoop, make: Callable[..., WsgiGateway], log: Log
) -> None:
    gateway = make(echo)
    exchange = StubExchange(request_of("POST"), body=None)
    exchange.request.length = CHUNKED
    exchange.arrive(bytes(LIMIT + 1), complete=False)
    gateway.start(exchange)
    settled(loop, gateway)
    assert exchange.status == 413
    assert exchange.complete


class SlowExchange(StubExchange):
    """Has the application wait for the client before it goes on."""

    def send(self, content: bytes, more: bool) -> Awaitable[None]:
        super().send(content, more)
        return asyncio.sleep(1.0) if more else DONE


def test_call_on_the_loop_goes_on_later_while_the_client_is_behind(loop: JumpingLoop, log: Log) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        yield b"b"

    gateway = WsgiGateway(app, loop, threads=None, limit_body=LIMIT)
    exchange = SlowExchange()
    gateway.start(exchange)
    assert exchange.content == [b"a"]
    assert gateway.running == 1
    loop.run_for(3.0)
    assert exchange.content == [b"a", b"b", b""]
    assert gateway.running == 0


@pytest.mark.parametrize("passes", [True, False], ids=["waiting", "not-yet-run"])
def test_call_on_the_loop_that_waits_is_cancelled(loop: JumpingLoop, log: Log, passes: bool) -> None:
    log.expect("cancelled before its response was complete")
    closed: list[bool] = []

    class Result:
        def __iter__(self) -> Iterator[bytes]:
            yield b"a"
            yield b"b"

        def close(self) -> None:
            closed.append(True)

    def app(environ: dict[str, Any], start_response: Any) -> Result:
        start_response("200 OK", [])
        return Result()

    gateway = WsgiGateway(app, loop, threads=None, limit_body=LIMIT)
    exchange = SlowExchange()
    gateway.start(exchange)
    if passes:
        run(loop)
    gateway.cancel()
    settled(loop, gateway)
    assert closed == [True]
    assert exchange.has_finished


def test_drain_changes_nothing(loop: JumpingLoop, make: Callable[..., WsgiGateway], log: Log) -> None:
    gateway = make(echo)
    gateway.drain()
    exchange = StubExchange()
    gateway.start(exchange)
    settled(loop, gateway)
    assert exchange.complete

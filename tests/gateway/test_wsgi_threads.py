"""Content crosses between the thread of a call and its exchange, within bounds, and whoever waits is woken."""

import asyncio
import contextvars
import functools
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final, cast

import pytest

from bide.errors import DisconnectedError, Misuse
from bide.exchange import DONE
from bide.gateway.file_wrapper import FileWrapper
from bide.gateway.threads import Threads
from bide.gateway.wsgi_threads import Crossing, ThreadCall
from tests.support.exchanges import StubExchange, request_of
from tests.support.loops import JumpingLoop
from tests.support.server import Log, logged
from tests.support.waiting import PATIENCE, until

PASSES: Final = 5

#: Octets that a thread may give before it sleeps, and octets ahead of the client at which it goes on.
WINDOW: Final = 1 << 18
LOW_WATER: Final = 1 << 17

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


class Stage:
    """Calls applications on a thread."""

    def __init__(self, loop: JumpingLoop) -> None:
        self.loop = loop
        self.threads = Threads(loop, 1)
        self.ended: list[Crossing] = []

    def begin(self, app: Callable[[Crossing], App], exchange: StubExchange) -> Crossing:
        """Begin a call. `app` makes the application; it gets what content crosses by."""
        crossing = Crossing(self.threads, self.loop, exchange, contextvars.copy_context(), self.ended.append)
        call = ThreadCall(app(crossing), exchange, {})
        call.crosses_by(crossing)
        crossing.begin(call)
        return crossing

    def until(self, condition: Callable[[], object]) -> None:
        """Run the loop until a condition comes true."""

        def look() -> object:
            run(self.loop)
            return condition()

        until(look)

    def end(self, crossing: Crossing) -> None:
        """Wait until a call has ended."""
        self.until(lambda: crossing in self.ended)


@pytest.fixture
def stage(loop: JumpingLoop, log: Log) -> Iterator[Stage]:
    stage = Stage(loop)
    yield stage
    stage.threads.end()
    stage.until(lambda: not stage.threads.count)


def has_items(found: list[Any], count: int) -> bool:
    """Return whether a list has so many items."""
    return len(found) >= count


def answering(result: Any, headers: list[tuple[str, str]] | None = None) -> Callable[[Crossing], App]:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", headers or [])
        return result

    return lambda crossing: app


class SlowExchange(StubExchange):
    """Has the application wait until the client has taken what was sent.

    taken: pieces that the client has taken.
    """

    taken = 0

    def send(self, content: bytes, more: bool) -> Awaitable[None]:
        super().send(content, more)
        return self._space() if more and self.taken < len(self.content) else DONE

    async def _space(self) -> None:
        while self.taken < len(self.content) and not self.over and not self.client_left:
            await self._wait()
        if self.over and not self.complete:
            raise DisconnectedError("the client is gone")

    def flow(self, pieces: int = 1000) -> None:
        """Let the client take pieces."""
        self.taken += pieces
        self._news.set()


# -- Content of the response ------------------------------------------------------------------------------------------------


def test_response_crosses_in_order(stage: Stage) -> None:
    exchange = StubExchange()
    stage.end(stage.begin(answering(iter([b"a", b"b"]), [("A", "b")]), exchange))
    assert (exchange.status, exchange.fields, exchange.content) == (200, [(b"A", b"b")], [b"a", b"b", b""])
    assert exchange.complete


def test_response_leaves_before_its_result_is_closed(stage: Stage) -> None:
    exchange = StubExchange()
    go = threading.Event()

    class Result:
        def __iter__(self) -> Iterator[bytes]:
            yield b"a"

        def close(self) -> None:
            go.wait(PATIENCE)

    crossing = stage.begin(answering(Result()), exchange)
    stage.until(lambda: exchange.complete)
    assert stage.ended == []
    go.set()
    stage.end(crossing)


def test_response_is_complete_while_the_application_goes_on(stage: Stage) -> None:
    exchange = StubExchange()
    go = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"ab"
        go.wait(PATIENCE)

    crossing = stage.begin(answering(pieces(), [("Content-Length", "2")]), exchange)
    stage.until(lambda: exchange.complete)
    go.set()
    stage.end(crossing)
    assert exchange.content == [b"ab"]


def test_thread_gives_no_more_than_the_window_ahead_of_the_client(stage: Stage) -> None:
    exchange = SlowExchange()
    size = WINDOW // 16
    made: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(100):
            made.append(number)
            yield bytes(size)

    crossing = stage.begin(answering(pieces()), exchange)
    stage.until(lambda: len(made) >= 17)
    for _ in range(20):
        run(stage.loop)
    assert len(made) == 17, "the piece that exceeds the window is the last"
    assert len(exchange.content) == 1
    exchange.flow()
    stage.end(crossing)
    assert len(made) == 100
    assert b"".join(exchange.content) == bytes(100 * size)


def test_thread_goes_on_once_half_of_the_window_is_free(stage: Stage) -> None:
    """With each piece that leaves, it would be woken as often."""
    exchange = SlowExchange()
    size = WINDOW // 16
    made: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(18):
            made.append(number)
            yield bytes(size)

    crossing = stage.begin(answering(pieces()), exchange)
    stage.until(lambda: len(made) == 17)
    needed = 17 - LOW_WATER // size
    for taken in range(1, needed):
        exchange.flow(1)
        stage.until(functools.partial(has_items, exchange.content, taken + 1))
        assert len(made) == 17
    exchange.flow(1)
    stage.until(lambda: len(made) == 18)
    exchange.flow()
    stage.end(crossing)


def test_whole_response_does_not_hold_its_thread(stage: Stage) -> None:
    exchange = SlowExchange()
    stage.end(stage.begin(answering([bytes(10 * WINDOW)]), exchange))
    assert exchange.content == [bytes(10 * WINDOW)]


# -- The client leaves (W12) ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leaves", ["leave", "lose"])
def test_thread_that_waits_for_space_is_woken_when_the_client_leaves(stage: Stage, leaves: str) -> None:
    exchange = SlowExchange()
    raised: list[BaseException] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [])
        try:
            while True:
                write(bytes(WINDOW))
        except DisconnectedError as error:
            raised.append(error)
        return []

    crossing = stage.begin(lambda crossing: app, exchange)
    stage.until(lambda: exchange.content)
    run(stage.loop)
    getattr(exchange, leaves)()
    stage.end(crossing)
    assert len(raised) == 1
    assert not exchange.complete


@pytest.mark.parametrize("leaves", ["leave", "lose"])
def test_request_whose_client_leaves_before_a_thread_is_free_is_not_begun(stage: Stage, leaves: str) -> None:
    go = threading.Event()
    called: list[str] = []

    def first(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        called.append("first")
        go.wait(PATIENCE)
        start_response("200 OK", [])
        return []

    def second(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        called.append("second")
        return []

    stage.begin(lambda crossing: first, StubExchange())
    stage.until(lambda: called)
    exchange = StubExchange()
    crossing = stage.begin(lambda crossing: second, exchange)
    run(stage.loop)
    getattr(exchange, leaves)()
    go.set()
    stage.end(crossing)
    assert called == ["first"]
    assert exchange.over


def test_client_that_has_half_closed_gets_a_response_that_is_given_already(stage: Stage) -> None:
    exchange = StubExchange()
    go = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        go.wait(PATIENCE)
        start_response("200 OK", [])
        return [b"a"]

    crossing = stage.begin(lambda crossing: app, exchange)
    stage.until(lambda: stage.threads.figures()[1] == 1)
    exchange.leave()
    go.set()
    stage.end(crossing)
    assert exchange.content == [b"a"]
    assert exchange.complete


def test_cut_wakes_the_thread_and_sends_nothing_more(stage: Stage) -> None:
    exchange = SlowExchange()
    crossing = stage.begin(answering(iter([bytes(WINDOW)] * 5)), exchange)
    stage.until(lambda: exchange.content)
    crossing.cut(DisconnectedError("the server is stopping"))
    exchange.flow()
    stage.end(crossing)
    assert len(exchange.content) == 1
    assert exchange.has_finished


def test_thread_of_a_cancelled_call_has_the_name_of_its_request(stage: Stage) -> None:
    go = threading.Event()
    threads: list[threading.Thread] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        threads.append(threading.current_thread())
        go.wait(PATIENCE)
        start_response("200 OK", [])
        return [b"a"]

    exchange = StubExchange(request_of("PUT", b"/a%0A"))
    crossing = stage.begin(lambda crossing: app, exchange)
    waiting = stage.begin(lambda crossing: app, StubExchange())
    stage.until(lambda: threads)
    for cancelled in (crossing, waiting):
        cancelled.cancel()
    assert threads[0].name == "PUT /a%0A"
    go.set()
    stage.end(crossing)
    assert exchange.content == []
    stage.end(waiting)
    assert len(threads) == 1, "the other one was not begun"


# -- Errors -----------------------------------------------------------------------------------------------------------------


def test_head_that_http_does_not_allow_is_logged_once_and_ends_the_call(stage: Stage, log: Log) -> None:
    log.expect("GET /: the application failed")

    class Strict(StubExchange):
        def respond(self, *arguments: Any) -> None:
            raise Misuse("field name must be a token")

    exchange = Strict()
    asked = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"a"
        asked.wait(PATIENCE)
        yield b"b"
        raise AssertionError("iterated")

    crossing = stage.begin(answering(pieces()), exchange)
    stage.until(lambda: crossing.is_cut)
    asked.set()
    stage.end(crossing)
    assert exchange.has_finished
    assert len([record for record in log.records if record.exc_info]) == 1


def test_failure_after_the_first_piece_cuts_the_response_after_it(stage: Stage, log: Log) -> None:
    log.expect("GET /: the application failed")

    def pieces() -> Iterator[bytes]:
        yield b"a"
        raise RuntimeError("no")

    exchange = StubExchange()
    stage.end(stage.begin(answering(pieces()), exchange))
    assert exchange.content == [b"a"]
    assert exchange.has_finished


# -- Content of the request -------------------------------------------------------------------------------------------------


def reading(read: list[Any]) -> Callable[[Crossing], App]:
    """Return what makes an application that reads all content, piece by piece."""

    def make(crossing: Crossing) -> App:
        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            try:
                while content := crossing.receive():
                    read.append(content)
            except DisconnectedError as error:
                read.append(error)
                raise
            read.append(crossing.receive())
            start_response("200 OK", [])
            return []

        return app

    return make


def test_content_is_received_as_it_comes(stage: Stage) -> None:
    exchange = StubExchange(request_of("POST"), body=None)
    read: list[Any] = []
    crossing = stage.begin(reading(read), exchange)
    for number, content in enumerate((b"a", b"b", b"c")):
        exchange.arrive(content, complete=content == b"c")
        stage.until(functools.partial(has_items, read, number + 1))
    stage.end(crossing)
    assert read == [b"a", b"b", b"c", b""]


def test_body_that_ends_without_more_content_ends(stage: Stage) -> None:
    exchange = StubExchange(request_of("POST"), body=None)
    read: list[Any] = []
    crossing = stage.begin(reading(read), exchange)
    exchange.arrive(b"a", complete=False)
    stage.until(lambda: read)
    exchange.arrive(b"", complete=True)
    stage.end(crossing)
    assert read == [b"a", b""]


@pytest.mark.parametrize("leaves", ["leave", "lose"])
def test_thread_that_waits_for_content_is_woken_when_the_client_leaves(stage: Stage, leaves: str) -> None:
    exchange = StubExchange(request_of("POST"), body=None)
    read: list[Any] = []
    crossing = stage.begin(reading(read), exchange)
    exchange.arrive(b"a", complete=False)
    stage.until(lambda: read)
    getattr(exchange, leaves)()
    stage.end(crossing)
    assert [type(item) for item in read] == [bytes, DisconnectedError]


def test_thread_that_waits_for_content_is_woken_by_a_cut(stage: Stage) -> None:
    exchange = StubExchange(request_of("POST"), body=None)
    read: list[Any] = []
    crossing = stage.begin(reading(read), exchange)
    exchange.arrive(b"a", complete=False)
    stage.until(lambda: read)
    run(stage.loop)
    crossing.cut(DisconnectedError("the server is stopping"))
    stage.until(lambda: len(read) == 2)
    assert isinstance(read[1], DisconnectedError)
    exchange.lose()
    stage.end(crossing)


# -- Files ------------------------------------------------------------------------------------------------------------------


class SlowFileExchange(StubExchange):
    """Has a file wait until `flows` is set. error: raised then, if there is one."""

    error: BaseException | None = None
    has_begun = False

    def send_file(self, *arguments: Any) -> Awaitable[None]:
        if self.error is None:
            super().send_file(*arguments)
        self.has_begun = True
        self.flows = asyncio.Event()
        return self._space()

    async def _space(self) -> None:
        await self.flows.wait()
        if self.error is not None:
            raise self.error


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Any]:
    (tmp_path / "file").write_bytes(b"content")
    with (tmp_path / "file").open("rb") as opened:
        yield opened


def test_thread_waits_until_its_file_is_sent(stage: Stage, file: Any) -> None:
    exchange = SlowFileExchange()
    crossing = stage.begin(answering(FileWrapper(file)), exchange)
    stage.until(lambda: exchange.files == [(0, 7)])
    run(stage.loop)
    assert not file.closed
    exchange.flows.set()
    stage.end(crossing)
    assert file.closed
    assert exchange.content == [b"content"]


@pytest.mark.parametrize(
    ("error", "logged"), [(DisconnectedError("the client is gone"), False), (Misuse("the file ended"), True)]
)
def test_thread_is_woken_if_its_file_cannot_be_sent(
    stage: Stage, file: Any, log: Log, error: BaseException, logged: bool
) -> None:
    if logged:
        log.expect("GET /: the application failed")
    exchange = SlowFileExchange()
    exchange.error = error
    crossing = stage.begin(answering(FileWrapper(file)), exchange)
    stage.until(lambda: exchange.has_begun)
    exchange.flows.set()
    stage.end(crossing)
    assert file.closed
    assert crossing.is_cut


def test_thread_that_asks_again_before_its_feeding_is_over_is_answered(loop: JumpingLoop) -> None:
    exchange = StubExchange(request_of("POST"), body=None)
    exchange.arrive(b"more", complete=False)
    crossing = Crossing(Threads(loop, 1), loop, exchange, contextvars.copy_context(), lambda _: None)
    crossing._is_feeding = True
    crossing._asked = 1
    crossing.settle()
    before = crossing._answered
    crossing._fed(cast("asyncio.Task[None]", None))
    assert (before, crossing._answered) == (0, 1)

"""A call of a WSGI application to the letter of PEP 3333: what it may give, when the head leaves, what becomes of what it returns.

Calls are made on the event loop's thread, where all that they give reaches the exchange at once.
"""

import asyncio
import io
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from bide.errors import DisconnectedError, Misuse, Stopped
from bide.exchange import DONE
from bide.gateway.file_wrapper import FileWrapper
from bide.gateway.wsgi_loop import LoopCall
from tests.support.exchanges import StubExchange, request_of
from tests.support.server import Log, logged

Start = Callable[..., Callable[[bytes], None]]
App = Callable[[dict[str, Any], Start], Any]

PLAIN: Final = [("Content-Type", "text/plain")]


@pytest.fixture
def log() -> Iterator[Log]:
    with logged() as log:
        yield log
        log.check()


def call_of(app: App, exchange: StubExchange | None = None) -> tuple[LoopCall, StubExchange]:
    exchange = exchange or StubExchange()
    return LoopCall(app, exchange, {}), exchange


def called(app: App, exchange: StubExchange | None = None) -> StubExchange:
    """Call an application that has not to wait, and return its exchange."""
    call, exchange = call_of(app, exchange)
    assert call.run() is DONE
    assert call.has_ended
    return exchange


def answering(
    result: Any, headers: list[tuple[str, str]] | None = None, status: str = "200 OK", *, write: Iterable[bytes] = ()
) -> App:
    """Return an application that gives a head, writes, and returns `result`."""

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        give = start_response(status, PLAIN if headers is None else headers)
        for content in write:
            give(content)
        return result

    return app


class Result:
    """Yields pieces, and counts calls of `close`. Of the pieces, an exception is raised and a function called."""

    def __init__(self, *pieces: Any) -> None:
        self.pieces = list(pieces)
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        while self.pieces:
            piece = self.pieces.pop(0)
            if isinstance(piece, BaseException):
                raise piece
            if callable(piece):
                piece()
            else:
                yield piece

    def close(self) -> None:
        self.closed += 1


# -- What becomes of the iterable (W8, W9) ----------------------------------------------------------------------------------


@pytest.mark.parametrize("result", [[b"a", b"", b"b"], (b"ab",), [b"ab"]])
def test_list_or_tuple_is_sent_whole(result: Any, log: Log) -> None:
    exchange = called(answering(result))
    assert exchange.content == [b"ab"]
    assert (exchange.status, exchange.fields) == (200, [(b"Content-Type", b"text/plain")])
    assert exchange.complete


def test_other_iterable_is_sent_piece_by_piece(log: Log) -> None:
    exchange = StubExchange()
    sent: list[list[bytes]] = []
    result = Result(b"a", lambda: sent.append(list(exchange.content)), b"", b"b", b"c")
    called(answering(result), exchange)
    assert sent == [[b"a"]], "no piece was held back"
    assert exchange.content == [b"a", b"b", b"c", b""]
    assert exchange.complete
    assert result.closed == 1


@pytest.mark.parametrize("result", [[], [b""], Result(), Result(b"", b"")])
def test_no_content_is_a_complete_response(result: Any, log: Log) -> None:
    exchange = called(answering(result))
    assert exchange.content == [b""]
    assert exchange.complete


def test_head_waits_for_the_first_octet(log: Log) -> None:
    exchange = StubExchange()
    heads: list[int] = []
    look = lambda: heads.append(exchange.status)  # noqa: E731
    called(answering(Result(look, b"", look, b"a", look)), exchange)
    assert heads == [0, 0, 200]


def test_generator_may_give_its_head_when_it_first_runs(log: Log) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
        start_response("201 Created", PLAIN)
        yield b"a"

    exchange = called(app)
    assert (exchange.status, exchange.content) == (201, [b"a", b""])


def test_generator_runs_to_its_end_after_its_last_piece(log: Log) -> None:
    ends: list[str] = []

    def app(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "1")])
        yield b"a"
        ends.append("after the last piece")

    exchange = called(app)
    assert exchange.content == [b"a"]
    assert ends == ["after the last piece"]


@pytest.mark.parametrize("piece", ["text", None, 1, bytearray(b"a")])
def test_piece_that_is_no_bytes_is_refused(piece: Any, log: Log) -> None:
    log.expect("the application failed")
    result = Result(b"a", piece)
    exchange = called(answering(result))
    assert exchange.content == [b"a"]
    assert not exchange.complete
    assert result.closed == 1


def test_list_with_text_is_refused(log: Log) -> None:
    log.expect("the application failed")
    assert called(answering(["text"])).status == 0


def test_result_that_is_no_iterable_is_refused(log: Log) -> None:
    log.expect("the application failed")
    assert called(answering(None)).status == 0


@pytest.mark.parametrize("result", [[b"a"], Result(b"a"), []])
def test_application_that_gives_no_head_has_failed(result: Any, log: Log) -> None:
    log.expect("the application failed")
    exchange = called(lambda environ, start_response: result)
    assert (exchange.status, exchange.content) == (0, [])


def test_close_is_called_once_whatever_fails(log: Log) -> None:
    log.expect("the application failed")
    for result in (Result(RuntimeError("no")), Result(b"a", SystemExit()), Result(b"a", KeyboardInterrupt())):
        called(answering(result))
        assert result.closed == 1


def test_close_that_fails_is_logged_and_spoils_nothing(log: Log) -> None:
    log.expect("the application failed")

    class Failing(Result):
        def close(self) -> None:
            raise RuntimeError("no")

    assert called(answering(Failing(b"a"))).complete


# -- HEAD (W11) -------------------------------------------------------------------------------------------------------------


def test_answer_to_head_is_closed_but_not_iterated(log: Log) -> None:
    result = Result(AssertionError("iterated"))
    exchange = called(answering(result), StubExchange(request_of("HEAD")))
    assert (exchange.status, exchange.content, result.closed) == (200, [b""], 1)
    assert exchange.complete


def test_generator_that_answers_head_runs_until_its_head_is_there(log: Log) -> None:
    ran: list[str] = []

    def app(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "10")])
        yield b"a"
        ran.append("on")

    exchange = called(app, StubExchange(request_of("HEAD")))
    assert exchange.content == [b""]
    assert ran == []


def test_list_that_answers_head_tells_its_length(log: Log) -> None:
    """The exchange drops the content, and declares its length."""
    assert called(answering([b"ab"]), StubExchange(request_of("HEAD"))).content == [b"ab"]


def test_written_content_that_answers_head_is_dropped(log: Log) -> None:
    exchange = called(answering([], write=[b"a", b"b"]), StubExchange(request_of("HEAD")))
    assert exchange.content == [b""]


# -- start_response (W7) ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["200 OK", "200", "299 ", "404 Not Found", "999 \u00e4"])
def test_status_has_three_digits(status: str, log: Log) -> None:
    assert called(answering([], status=status)).status == int(status[:3])


@pytest.mark.parametrize(
    "status", ["", "OK", "20 OK", "2000 OK", "200OK", "100 Continue", " 200 OK", 200, b"200 OK", None]
)
def test_other_status_is_refused(status: Any, log: Log) -> None:
    log.expect("the application failed")
    exchange = called(answering([], status=status))
    assert exchange.status == 0
    assert "status must be a str of three digits" in str(log.records[-1].exc_info)


@pytest.mark.parametrize(
    "headers",
    [
        (("A", "b"),),
        {"A": "b"},
        None,
        [["A", "b"]],
        [("A",)],
        [("A", "b", "c")],
        [("A", b"b")],
        [(b"A", "b")],
        [("A", 1)],
        [("A", "b\r\nC: d")],
        [("A", "b\n")],
        [("A\r", "b")],
        [("A", "b\0")],
        [("A", "\u20ac")],
        [("\u20ac", "b")],
    ],
)
def test_headers_that_are_no_list_of_pairs_of_text_are_refused(headers: Any, log: Log) -> None:
    """It is refused within `start_response`, so that the application sees it."""
    refused: list[str] = []

    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        with pytest.raises(Misuse) as error:
            start_response("200 OK", headers)
        refused.append(str(error.value))
        start_response("500 No", [])
        return []

    assert [called(app).status for _ in range(2)] == [500, 500]
    assert len(refused) == 2


def test_any_number_of_statuses_and_names_is_converted(log: Log) -> None:
    """As many as are remembered, and more: they may be made of what a client sends."""
    for number in range(1100):
        exchange = called(answering([], [(f"X-{number}", "a")], f"{200 + number % 2} {number}"))
        assert (exchange.status, exchange.fields) == (200 + number % 2, [(b"X-%d" % number, b"a")])


def test_long_status_and_name_are_converted(log: Log) -> None:
    for _ in range(2):
        exchange = called(answering([], [("X" * 300, "a")], "200 " + "O" * 300))
        assert (exchange.status, exchange.fields) == (200, [(b"X" * 300, b"a")])


def test_characters_of_a_header_become_octets(log: Log) -> None:
    assert called(answering([], [("X-Name", "J\u00fcrgen")])).fields == [(b"X-Name", b"J\xfcrgen")]


def test_hop_by_hop_fields_are_dropped_but_close(log: Log) -> None:
    headers = [
        ("Connection", "keep-alive"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "Basic"),
        ("TE", "trailers"),
        ("Trailer", "X"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "websocket"),
        ("X-A", "b"),
    ]
    for _ in range(2):
        assert called(answering([b"a"], headers)).fields == [(b"X-A", b"b")]
    assert len(log.messages(logging.DEBUG, "bide.error")) == 14
    assert called(answering([b"a"], [("connection", "Close, x")])).fields == [(b"connection", b"close")]


def test_second_head_is_refused(log: Log) -> None:
    log.expect("the application failed")

    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        start_response("200 OK", [])
        start_response("201 Created", [])
        return []

    assert called(app).status == 0
    assert "second time without exc_info" in str(log.records[-1].exc_info)


def error() -> Any:
    try:
        raise LookupError("no")
    except LookupError:
        return sys.exc_info()


def test_head_that_was_not_sent_is_replaced_with_exc_info(log: Log) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "3")])
        yield b""
        start_response("500 No", [], exc_info=error())
        yield b"abcdef"

    exchange = called(app)
    assert (exchange.status, exchange.fields, exchange.content) == (500, [], [b"abcdef", b""])


def test_head_that_was_sent_is_not_replaced_but_the_exception_raised(log: Log) -> None:
    raised: list[BaseException] = []

    def app(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        try:
            start_response("500 No", [], error())
        except LookupError as caught:
            raised.append(caught)
            raise

    log.expect("the application failed")
    exchange = called(app)
    assert (exchange.status, exchange.content, exchange.complete) == (200, [b"a"], False)
    assert len(raised) == 1


def test_first_head_may_come_with_exc_info(log: Log) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        start_response("500 No", [], error())
        return [b"no"]

    assert called(app).status == 500


# -- write (W9) -------------------------------------------------------------------------------------------------------------


def test_written_content_comes_before_the_iterable(log: Log) -> None:
    assert called(answering([b"c"], write=[b"a", b"", b"b"])).content == [b"a", b"b", b"c"]
    assert called(answering(Result(b"c"), write=[b"a"])).content == [b"a", b"c", b""]


def test_write_after_the_application_has_returned_is_refused(log: Log) -> None:
    writes: list[Callable[[bytes], None]] = []

    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        writes.append(start_response("200 OK", []))
        return [b"a"]

    called(app)
    with pytest.raises(Misuse, match="after the application had returned"):
        writes[0](b"b")


# -- Lengths (W11) ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "write", "content"),
    [
        ([b"ab", b"cd"], [], [b"abc"]),
        (Result(b"ab", b"cd"), [], [b"ab", b"c"]),
        (Result(b"abc", b"d"), [], [b"abc"]),
        ([b"cd"], [b"ab"], [b"ab", b"c"]),
        ([b"d"], [b"abc"], [b"abc"]),
    ],
)
def test_content_beyond_the_declared_length_is_not_sent(
    result: Any, write: list[bytes], content: list[bytes], log: Log
) -> None:
    log.expect("the application failed")
    exchange = called(answering(result, [("Content-Length", "3")], write=write))
    assert exchange.content == content
    assert exchange.complete
    assert "longer than its Content-Length" in str(log.records[-1].exc_info)


def test_write_beyond_the_declared_length_raises(log: Log) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        write = start_response("200 OK", [("Content-Length", "3")])
        with pytest.raises(Misuse, match="1 octets longer"):
            write(b"abcd")
        return []

    exchange = called(app)
    assert exchange.content == [b"abc"]
    assert exchange.complete


def test_response_is_complete_with_its_last_declared_octet(log: Log) -> None:
    exchange = StubExchange()
    complete: list[bool] = []
    called(answering(Result(b"ab", lambda: complete.append(exchange.complete)), [("Content-Length", "2")]), exchange)
    assert complete == [True]
    assert exchange.content == [b"ab"]


def test_content_that_is_too_short_is_left_to_the_exchange(log: Log) -> None:
    assert called(answering(Result(b"ab"), [("Content-Length", "3")])).content == [b"ab", b""]


# -- The client leaves (W12) ------------------------------------------------------------------------------------------------


def test_next_piece_stops_the_iteration_once_the_connection_is_lost(log: Log) -> None:
    exchange = StubExchange()
    result = Result(b"a", exchange.lose, b"b", AssertionError("iterated"))
    called(answering(result), exchange)
    assert exchange.content == [b"a"]
    assert result.closed == 1


def test_next_piece_stops_the_iteration_once_the_client_has_left(log: Log) -> None:
    exchange = StubExchange()
    result = Result(b"a", exchange.leave, b"b", AssertionError("iterated"))
    called(answering(result), exchange)
    assert exchange.content == [b"a"]
    assert result.closed == 1


@pytest.mark.parametrize("result", [[b"ab"], Result(b"a", b"b")])
def test_client_that_has_half_closed_gets_a_response_whose_end_is_known(result: Any, log: Log) -> None:
    exchange = StubExchange()
    exchange.leave()
    called(answering(result, [("Content-Length", "2")]), exchange)
    assert b"".join(exchange.content) == b"ab"
    assert exchange.complete


def test_write_raises_once_the_connection_is_lost(log: Log) -> None:
    exchange = StubExchange()

    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        write = start_response("200 OK", [])
        exchange.lose()
        with pytest.raises(DisconnectedError):
            write(b"a")
        return []

    called(app, exchange)
    assert exchange.content == []


# -- Failures (W10) ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [RuntimeError("no"), SystemExit(1), KeyboardInterrupt()])
def test_failure_is_logged_with_one_traceback(failure: BaseException, log: Log) -> None:
    log.expect("GET /a: the application failed")

    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        start_response("200 OK", [])
        raise failure

    exchange = called(app, StubExchange(request_of(target=b"/a")))
    assert exchange.status == 0
    (record,) = log.records
    assert record.exc_info is not None
    assert record.exc_info[1] is failure


@pytest.mark.parametrize("failure", [Stopped(), asyncio.CancelledError()])
def test_call_that_is_stopped_is_no_failure_of_the_application(failure: BaseException, log: Log) -> None:
    log.expect("cancelled before its response was complete")
    called(answering(Result(failure)))


def test_failure_after_the_client_has_left_is_no_error(log: Log) -> None:
    exchange = StubExchange()
    called(answering(Result(exchange.lose, OSError("no"))), exchange)
    assert log.messages() == ["GET /: ended by OSError('no') after its client had left"]


# -- Waiting ----------------------------------------------------------------------------------------------------------------


class SlowExchange(StubExchange):
    """Asks to wait after each send that is followed by another."""

    waits: int = 0

    def send(self, content: bytes, more: bool) -> Awaitable[None]:
        super().send(content, more)
        return self._space() if more else DONE

    async def _space(self) -> None:
        SlowExchange.waits += 1
        if self.over:
            raise DisconnectedError("the client is gone")


def finish(call: LoopCall, flows: Awaitable[None]) -> int:
    """Wait for what the call waits for, and go on; return how often."""
    waits = 0
    while flows is not DONE:
        waits += 1
        assert isinstance(flows, Coroutine)
        with pytest.raises(StopIteration):
            flows.send(None)
        flows = call.go_on()
    return waits


def test_call_goes_on_once_the_client_has_taken_enough(log: Log) -> None:
    call, exchange = call_of(answering(result := Result(b"a", b"b", b"c")), SlowExchange())
    flows = call.run()
    assert exchange.content == [b"a"]
    assert finish(call, flows) == 3
    assert exchange.content == [b"a", b"b", b"c", b""]
    assert call.has_ended
    assert result.closed == 1


@pytest.mark.parametrize("result", [[b"c"], Result(b"c"), []])
def test_written_content_that_cannot_wait_leaves_once_the_application_has_returned(result: Any, log: Log) -> None:
    call, exchange = call_of(answering(result, write=[b"a", b"b1", b"b2"]), SlowExchange())
    flows = call.run()
    assert exchange.content == [b"a"]
    finish(call, flows)
    assert exchange.files == [(0, 4)]
    assert b"".join(exchange.content) == b"ab1b2c"[: 6 if result != [] else 5]
    assert exchange.complete
    assert call.has_ended


def test_written_content_that_cannot_wait_may_complete_the_response(log: Log) -> None:
    call, exchange = call_of(answering([], [("Content-Length", "2")], write=[b"a", b"b"]), SlowExchange())
    finish(call, call.run())
    assert exchange.content == [b"a", b"b"]
    assert exchange.complete


def test_written_content_is_dropped_if_the_application_fails(log: Log) -> None:
    log.expect("the application failed")

    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        write = start_response("200 OK", [])
        write(b"a")
        write(b"b")
        raise RuntimeError("no")

    exchange = called(app, SlowExchange())
    assert exchange.content == [b"a"]


def test_whole_response_after_written_content_waits_for_the_client(log: Log) -> None:
    call, exchange = call_of(answering([b"b"], write=[b"a"]), SlowExchange())
    flows = call.run()
    assert exchange.content == [b"a"]
    assert finish(call, flows) == 1
    assert exchange.content == [b"a", b"b"]


def test_call_that_is_given_up_closes_its_result(log: Log) -> None:
    call, exchange = call_of(answering(result := Result(b"a", b"b")), SlowExchange())
    flows = call.run()
    assert isinstance(flows, Coroutine)
    flows.close()
    call.give_up(DisconnectedError("the client is gone"))
    assert (call.has_ended, result.closed, exchange.content) == (True, 1, [b"a"])


# -- Files (W16) ------------------------------------------------------------------------------------------------------------


def file_app(path: Path, *, position: int = 0, headers: list[tuple[str, str]] | None = None, write: bytes = b"") -> App:
    """Return an application that sends a file from a position on."""

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        file = path.open("rb")
        file.seek(position)
        start_response("200 OK", headers or [])(write)
        files.append(file)
        return FileWrapper(file)

    return app


files: list[Any] = []


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "file").write_bytes(b"0123456789")
    yield tmp_path / "file"
    assert all(file.closed for file in files)
    files.clear()


def test_file_is_sent_from_its_position_on(path: Path, log: Log) -> None:
    exchange = called(file_app(path, position=4))
    assert exchange.files == [(4, 6)]
    assert exchange.content == [b"456789"]
    assert exchange.complete


def test_file_follows_what_was_written(path: Path, log: Log) -> None:
    assert called(file_app(path, write=b"first")).content == [b"first", b"0123456789"]


def test_file_after_all_declared_content_is_not_sent(path: Path, log: Log) -> None:
    exchange = called(file_app(path, headers=[("Content-Length", "1")], write=b"a"))
    assert exchange.content == [b"a"]


def test_other_file_is_iterated(log: Log) -> None:
    exchange = called(answering(FileWrapper(io.BytesIO(b"abc"), 2)))
    assert exchange.files == []
    assert exchange.content == [b"ab", b"c", b""]


def test_file_without_a_head_is_a_failure(path: Path, log: Log) -> None:
    log.expect("the application failed")

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        files.append(path.open("rb"))
        return FileWrapper(files[-1])

    assert called(app).status == 0


class SlowFileExchange(StubExchange):
    """Asks to wait after a file."""

    def send_file(self, *arguments: Any) -> Awaitable[None]:
        super().send_file(*arguments)
        return self._space()

    async def _space(self) -> None: ...


def test_file_is_closed_once_it_is_sent(path: Path, log: Log) -> None:
    call, _ = call_of(file_app(path), SlowFileExchange())
    flows = call.run()
    assert not files[0].closed
    assert finish(call, flows) == 1
    assert files[0].closed

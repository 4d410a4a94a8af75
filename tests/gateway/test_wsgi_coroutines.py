"""What calls of a WSGI application wait for on the event loop."""

import asyncio
import tempfile
from collections.abc import Awaitable
from typing import Any, Final

import pytest

from bide.exchange import DONE
from bide.gateway.wsgi_coroutines import complete, feed, flush_written, receive
from bide.message import Request
from tests.support.exchanges import StubExchange, request_of
from tests.support.loops import JumpingLoop
from tests.support.server import logged

PASSES: Final = 5


def run(loop: JumpingLoop) -> None:
    """Let everything go on as far as it can."""

    async def some_passes() -> None:
        for _ in range(PASSES):
            await asyncio.sleep(0)

    loop.run_until_complete(some_passes())


# -- complete ---------------------------------------------------------------------------------------------------------------


def test_waits_follow_one_another_until_none_is_left(loop: JumpingLoop) -> None:
    waits = [asyncio.sleep(1.0), asyncio.sleep(2.0)]

    def go_on() -> Awaitable[None]:
        return waits.pop(0) if waits else DONE

    loop.run_until_complete(complete(go_on(), go_on, lambda _: None))
    assert waits == []
    assert loop.elapsed == pytest.approx(3.0)


def test_wait_that_fails_ends_the_call(loop: JumpingLoop) -> None:
    failures: list[BaseException] = []
    error = OSError("no")

    async def fail() -> None:
        raise error

    def go_on() -> Awaitable[None]:
        raise AssertionError("gone on")

    loop.run_until_complete(complete(fail(), go_on, failures.append))
    assert failures == [error]


def test_wait_that_is_cancelled_ends_the_call(loop: JumpingLoop) -> None:
    failures: list[BaseException] = []
    task = loop.create_task(complete(asyncio.sleep(1.0), lambda: DONE, failures.append))
    run(loop)
    task.cancel()
    run(loop)
    assert [type(failure) for failure in failures] == [asyncio.CancelledError]


# -- flush_written ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [True, False])
def test_held_content_is_sent_once_the_client_has_taken_what_came_before(loop: JumpingLoop, more: bool) -> None:
    exchange = StubExchange()
    with tempfile.TemporaryFile() as held:
        held.write(b"held")
        task = loop.create_task(flush_written(asyncio.sleep(1.0), exchange, held, more))
        run(loop)
        assert exchange.content == []
        loop.run_until_complete(task)
    assert exchange.files == [(0, 4)]
    assert exchange.content == [b"held"]
    assert exchange.complete is not more


# -- feed -------------------------------------------------------------------------------------------------------------------


def test_content_is_waited_for_until_it_is_taken(loop: JumpingLoop) -> None:
    exchange = StubExchange(body=None)
    answers: list[bytes] = []

    def answer() -> bool:
        content = exchange.take()
        if content:
            answers.append(content)
        return bool(content)

    task = loop.create_task(feed(exchange, answer))
    run(loop)
    exchange.arrive(b"", complete=False)
    run(loop)
    assert not task.done()
    exchange.arrive(b"a", complete=False)
    run(loop)
    assert task.done()
    assert answers == [b"a"]


# -- receive ----------------------------------------------------------------------------------------------------------------

LIMIT: Final = 400_000


class Receiving:
    """Receives the body of an exchange. refused: exchanges that were refused."""

    def __init__(self, loop: JumpingLoop, exchange: StubExchange) -> None:
        self.refused: list[object] = []
        self.task = loop.create_task(receive(exchange, LIMIT, self.refused.append))
        run(loop)


def post(length: int = -1) -> Request:
    request = request_of("POST")
    request.length = length
    return request


@pytest.mark.parametrize("pieces", [[b"ab", b"c"], [bytes(200_000), bytes(200_000)]], ids=["memory", "file"])
def test_whole_body_is_returned(loop: JumpingLoop, pieces: list[bytes]) -> None:
    exchange = StubExchange(post(), body=None)
    receiving = Receiving(loop, exchange)
    for piece in pieces:
        assert not receiving.task.done()
        exchange.arrive(piece, complete=piece is pieces[-1])
        run(loop)
    body = receiving.task.result()
    assert body is not None
    with body:
        assert body.tell() == sum(map(len, pieces))
        body.seek(0)
        assert body.read() == b"".join(pieces)
    assert receiving.refused == []


@pytest.mark.parametrize("length", [-1, LIMIT + 1], ids=["chunked", "declared"])
def test_body_over_the_limit_is_refused(loop: JumpingLoop, length: int) -> None:
    exchange = StubExchange(post(length), body=None)
    receiving = Receiving(loop, exchange)
    exchange.arrive(bytes(LIMIT + 1), complete=False)
    run(loop)
    assert receiving.refused == [exchange]
    assert receiving.task.result() is None


def test_declared_body_over_the_limit_is_refused_before_it_comes(loop: JumpingLoop) -> None:
    exchange = StubExchange(post(LIMIT + 1), body=None)
    assert Receiving(loop, exchange).refused == [exchange]


@pytest.mark.parametrize("leaves", ["leave", "lose"])
def test_nothing_is_returned_if_the_body_does_not_come(loop: JumpingLoop, leaves: str) -> None:
    exchange = StubExchange(post(), body=None)
    receiving = Receiving(loop, exchange)
    exchange.arrive(b"a", complete=False)
    getattr(exchange, leaves)()
    run(loop)
    assert receiving.task.result() is None
    assert receiving.refused == []


def test_body_of_a_lost_connection_is_not_refused(loop: JumpingLoop) -> None:
    exchange = StubExchange(post(LIMIT + 1), body=None)
    exchange.lose()
    assert Receiving(loop, exchange).refused == []


def test_receiving_that_is_cancelled_ends_without_a_body(loop: JumpingLoop) -> None:
    receiving = Receiving(loop, StubExchange(post(), body=None))
    receiving.task.cancel()
    run(loop)
    assert receiving.task.result() is None


def test_body_that_cannot_be_stored_is_logged(loop: JumpingLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __init__(self, *arguments: Any) -> None: ...
        def close(self) -> None: ...
        def write(self, content: bytes) -> None:
            raise OSError("no space left on device")

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", Full)
    exchange = StubExchange(post(), body=None)
    with logged() as log:
        receiving = Receiving(loop, exchange)
        exchange.arrive(b"a", complete=True)
        run(loop)
    assert log.messages() == ["a request body could not be stored"]
    assert receiving.task.result() is None

"""What the ASGI gateway awaits: the run of an application, its `receive`, and sends that nobody takes."""

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from bide.errors import DisconnectedError, Stopped
from bide.gateway import asgi_coroutines
from bide.gateway.asgi import AsgiExchange
from bide.gateway.tasks import Call as ApplicationCall
from tests.support.apps import App, Message, Receive, Send, answer
from tests.support.exchanges import StubExchange, request_of
from tests.support.loops import JumpingLoop
from tests.support.server import Log, logged

#: Passes of the event loop after which everything that can go on has gone on.
PASSES: Final = 5

#: Seconds for which an application that listens may send to a client that is gone.
SEND_GRACE: Final = 5.0

SCOPE: Final[Message] = {"method": "GET", "raw_path": b"/a%0A"}


@pytest.fixture
def log() -> Iterator[Log]:
    with logged() as log:
        yield log


@pytest.fixture
def exchange() -> StubExchange:
    return StubExchange(request_of("POST"), body=None)


@pytest.fixture
def cycle(exchange: StubExchange) -> AsgiExchange:
    return AsgiExchange(exchange, threading.get_ident())


class Call:
    """An awaitable in a task of its own."""

    def __init__(self, loop: JumpingLoop, awaitable: Awaitable[Any]) -> None:
        async def wait() -> Any:
            return await awaitable

        self._loop = loop
        self.task = loop.create_task(wait())
        self.run()

    def run(self) -> None:
        """Let it go on as far as it can."""

        async def some_passes() -> None:
            for _ in range(PASSES):
                await asyncio.sleep(0)

        self._loop.run_until_complete(some_passes())

    @property
    def waits(self) -> bool:
        """Whether it has not returned, after everything that can go on has."""
        self.run()
        return not self.task.done()

    def result(self) -> Any:
        """Return what it returned, or raise what it raised."""
        assert not self.waits
        return self.task.result()


# -- run --------------------------------------------------------------------------------------------------------------------


def ran(loop: JumpingLoop, app: App, cycle: AsgiExchange) -> None:
    """Run an application to its end."""
    running: set[ApplicationCall] = {cycle}
    Call(loop, asgi_coroutines.run(app, cycle, SCOPE, running)).result()
    assert running == set()


def levels(log: Log) -> list[tuple[str, str]]:
    """Return level and beginning of each message, with the request that it is about."""
    return [(record.levelname, record.getMessage().partition(" by ")[0]) for record in log.records]


async def answering(scope: Message, receive: Receive, send: Send) -> None:
    await answer(send, b"x")


async def returning(scope: Message, receive: Receive, send: Send) -> None:
    pass


async def failing(scope: Message, receive: Receive, send: Send) -> None:
    raise ValueError("no luck today")


async def exiting(scope: Message, receive: Receive, send: Send) -> None:
    raise SystemExit(3)


async def cancelling(scope: Message, receive: Receive, send: Send) -> None:
    raise asyncio.CancelledError


async def stopping(scope: Message, receive: Receive, send: Send) -> None:
    raise Stopped


async def disconnected(scope: Message, receive: Receive, send: Send) -> None:
    raise DisconnectedError("the client is gone")


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        (answering, []),
        (returning, [("ERROR", "GET /a%0A: the application returned before its response was complete")]),
        (failing, [("ERROR", "GET /a%0A: the application failed")]),
        (exiting, [("ERROR", "GET /a%0A: the application failed")]),
        (disconnected, [("ERROR", "GET /a%0A: the application failed")]),
        (cancelling, [("WARNING", "GET /a%0A: cancelled before its response was complete")]),
        (stopping, [("WARNING", "GET /a%0A: cancelled before its response was complete")]),
    ],
)
def test_end_of_an_application_without_a_response_is_in_the_log(
    loop: JumpingLoop, cycle: AsgiExchange, log: Log, app: App, expected: list[tuple[str, str]]
) -> None:
    ran(loop, app, cycle)
    assert levels(log) == expected


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        (returning, []),
        (cancelling, []),
        (stopping, []),
        (failing, [("DEBUG", "GET /a%0A: ended")]),
        (disconnected, [("DEBUG", "GET /a%0A: ended")]),
    ],
)
@pytest.mark.parametrize("is_lost", [True, False])
def test_end_of_an_application_after_its_client_left_is_no_failure(
    loop: JumpingLoop,
    exchange: StubExchange,
    cycle: AsgiExchange,
    log: Log,
    app: App,
    expected: list[tuple[str, str]],
    is_lost: bool,
) -> None:
    exchange.lose() if is_lost else exchange.leave()
    ran(loop, app, cycle)
    assert levels(log) == expected


@pytest.mark.parametrize(
    ("app", "expected"),
    [(returning, []), (cancelling, []), (disconnected, ["DEBUG"]), (failing, ["ERROR"]), (exiting, ["ERROR"])],
)
def test_end_of_an_application_after_its_response_is_a_failure_if_it_raises(
    loop: JumpingLoop, exchange: StubExchange, cycle: AsgiExchange, log: Log, app: App, expected: list[str]
) -> None:
    exchange.over = exchange.complete = True
    ran(loop, app, cycle)
    assert [level for level, _ in levels(log)] == expected


def test_failure_of_an_application_is_in_the_log_with_its_traceback(
    loop: JumpingLoop, cycle: AsgiExchange, log: Log
) -> None:
    ran(loop, failing, cycle)
    (record,) = log.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)


@pytest.mark.parametrize(("app", "has_finished"), [(answering, False), (returning, True), (failing, True)])
def test_exchange_is_told_of_the_end_unless_it_is_over(
    loop: JumpingLoop, exchange: StubExchange, cycle: AsgiExchange, log: Log, app: App, has_finished: bool
) -> None:
    ran(loop, app, cycle)
    assert exchange.has_finished is has_finished


# -- receive ----------------------------------------------------------------------------------------------------------------

DISCONNECT: Final[Message] = {"type": "http.disconnect"}


def given(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def test_receive_of_a_body_that_has_arrived_returns_it_whole(loop: JumpingLoop) -> None:
    for body in (b"", b"body"):
        cycle = AsgiExchange(StubExchange(body=body), 0)
        assert Call(loop, cycle.receive()).result() == given(body, more=False)


def test_receive_of_a_body_returns_each_piece_as_it_arrives(
    loop: JumpingLoop, exchange: StubExchange, cycle: AsgiExchange
) -> None:
    call = Call(loop, cycle.receive())
    assert call.waits
    exchange.arrive(b"one", complete=False)
    assert call.result() == given(b"one", more=True)
    exchange.arrive(b"two", complete=True)
    assert Call(loop, cycle.receive()).result() == given(b"two", more=False)


def test_receive_of_a_body_that_ends_with_nothing_says_so(
    loop: JumpingLoop, exchange: StubExchange, cycle: AsgiExchange
) -> None:
    exchange.arrive(b"one", complete=False)
    Call(loop, cycle.receive()).result()
    exchange.arrive(b"", complete=True)
    assert Call(loop, cycle.receive()).result() == given(b"", more=False)


@pytest.mark.parametrize("is_lost", [True, False])
def test_receive_after_the_body_waits_for_the_disconnect(loop: JumpingLoop, is_lost: bool) -> None:
    exchange = StubExchange(body=b"body")
    cycle = AsgiExchange(exchange, 0)
    Call(loop, cycle.receive()).result()
    call = Call(loop, cycle.receive())
    assert call.waits
    assert cycle.receivers_waiting == 1
    assert not exchange.has_delivered_disconnect
    exchange.lose() if is_lost else exchange.leave()
    assert call.result() == DISCONNECT
    assert cycle.receivers_waiting == 0
    assert cycle.disconnect_delivered
    assert exchange.has_delivered_disconnect


def test_receive_that_wakes_for_nothing_waits_on(
    loop: JumpingLoop, exchange: StubExchange, cycle: AsgiExchange
) -> None:
    call = Call(loop, cycle.receive())
    exchange.arrive(b"", complete=False)
    assert call.waits


def test_receive_gives_what_has_arrived_before_the_disconnect(
    loop: JumpingLoop, exchange: StubExchange, cycle: AsgiExchange
) -> None:
    exchange.arrive(b"last", complete=False)
    exchange.leave()
    assert Call(loop, cycle.receive()).result() == given(b"last", more=True)
    assert Call(loop, cycle.receive()).result() == DISCONNECT
    assert Call(loop, cycle.receive()).result() == DISCONNECT


def test_receive_by_two_gives_the_body_to_one_and_the_disconnect_to_the_other(
    loop: JumpingLoop, exchange: StubExchange, cycle: AsgiExchange
) -> None:
    calls = [Call(loop, cycle.receive()), Call(loop, cycle.receive())]
    assert cycle.receivers_waiting == 2
    exchange.arrive(b"body", complete=True)
    assert [call.waits for call in calls] == [False, True]
    exchange.lose()
    assert [call.result()["type"] for call in calls] == ["http.request", "http.disconnect"]


def test_receive_that_is_cancelled_loses_nothing(
    loop: JumpingLoop, exchange: StubExchange, cycle: AsgiExchange
) -> None:
    call = Call(loop, cycle.receive())
    call.task.cancel()
    assert not call.waits
    assert cycle.receivers_waiting == 0
    exchange.arrive(b"body", complete=True)
    assert Call(loop, cycle.receive()).result() == given(b"body", more=False)


# -- Sends that nobody takes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("disconnect_delivered", "receivers_waiting", "complete", "is_allowed"),
    [(False, 0, False, False), (True, 0, False, True), (False, 1, False, True), (False, 0, True, True)],
)
def test_send_in_vain_is_allowed_if_the_application_will_end_without_an_error(
    exchange: StubExchange,
    cycle: AsgiExchange,
    disconnect_delivered: bool,
    receivers_waiting: int,
    complete: bool,
    is_allowed: bool,
) -> None:
    cycle.disconnect_delivered = disconnect_delivered
    cycle.receivers_waiting = receivers_waiting
    exchange.complete = complete
    assert asgi_coroutines.may_send_in_vain(cycle) is is_allowed


def test_send_in_vain_is_allowed_for_a_bounded_time(loop: JumpingLoop, cycle: AsgiExchange) -> None:
    """It counts from the first of these sends."""
    cycle.receivers_waiting = 1
    allowed = [asgi_coroutines.may_send_in_vain(cycle)]
    for seconds in (SEND_GRACE - 1.0, 1.0):
        loop.run_for(seconds)
        allowed.append(asgi_coroutines.may_send_in_vain(cycle))
    assert allowed == [True, True, False]


@pytest.mark.parametrize("is_listening", [True, False])
def test_send_that_waits_for_a_client_that_goes_raises_unless_the_application_listens(
    loop: JumpingLoop, cycle: AsgiExchange, is_listening: bool
) -> None:
    gate = asyncio.Event()

    async def flows() -> None:
        await gate.wait()
        raise DisconnectedError("the client is gone")

    cycle.disconnect_delivered = is_listening
    call = Call(loop, asgi_coroutines.flowing(cycle, flows()))
    assert call.waits
    gate.set()
    if is_listening:
        assert call.result() is None
    else:
        with pytest.raises(DisconnectedError):
            call.result()


def test_send_that_is_awaited_elsewhere_happens_there(
    loop: JumpingLoop, exchange: StubExchange, cycle: AsgiExchange
) -> None:
    sending = asgi_coroutines.send(cycle, {"type": "http.response.start", "status": 200})
    assert exchange.status == 0
    Call(loop, sending).result()
    assert exchange.status == 200


def test_turn_lets_others_run(loop: JumpingLoop) -> None:
    order: list[str] = []

    async def take_turns() -> None:
        loop.call_soon(order.append, "other")
        await asgi_coroutines.turn()
        order.append("sender")

    loop.run_until_complete(take_turns())
    assert order == ["other", "sender"]


# -- Files ------------------------------------------------------------------------------------------------------------------


def test_path_is_sent_as_the_whole_content(
    loop: JumpingLoop, exchange: StubExchange, cycle: AsgiExchange, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"content")
    before = descriptors_open()
    Call(loop, asgi_coroutines.send_path(cycle, str(tmp_path / "file"))).result()
    assert exchange.files == [(0, 7)]
    assert exchange.content == [b"content"]
    assert exchange.complete
    assert descriptors_open() == before


def descriptors_open() -> int:
    """Return the number of descriptors that this process has open."""
    return len(list(Path("/dev/fd").iterdir()))


def test_path_of_no_regular_file_is_refused(loop: JumpingLoop, cycle: AsgiExchange, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = descriptors_open()
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null"), Path("pyproject.toml")):
        with pytest.raises(ValueError, match="must be the absolute path of a regular file"):
            Call(loop, asgi_coroutines.send_path(cycle, str(path))).result()
    with pytest.raises(FileNotFoundError):
        Call(loop, asgi_coroutines.send_path(cycle, str(tmp_path / "none"))).result()
    assert descriptors_open() == before


@pytest.mark.parametrize("is_listening", [True, False])
def test_path_for_a_client_that_is_gone_lets_the_application_go_on(
    loop: JumpingLoop, exchange: StubExchange, cycle: AsgiExchange, tmp_path: Path, is_listening: bool
) -> None:
    """What follows the file is work of its own: Starlette's background task, for example."""
    (tmp_path / "file").write_bytes(b"content")
    exchange.lose()
    cycle.disconnect_delivered = is_listening
    Call(loop, asgi_coroutines.send_path(cycle, str(tmp_path / "file"))).result()

"""What an exchange awaits: content from the client, and a client that takes what was written."""

import asyncio
from collections.abc import Awaitable
from typing import Final

import pytest

from bide.errors import DisconnectedError
from bide.exchange import Exchange
from bide.session.session import Session
from bide.terms import Clock
from tests.support.loops import JumpingLoop
from tests.support.stage import GET, POST, SECONDS, Stage, StubWire

#: Passes of the event loop after which everything that can go on has gone on.
PASSES: Final = 5
#: Octets after which a sender lets others have their turn.
FAIR: Final = 1 << 20


async def some_passes() -> None:
    for _ in range(PASSES):
        await asyncio.sleep(0)


class Call:
    """A call that waits, in a task of its own."""

    def __init__(self, loop: JumpingLoop, awaitable: Awaitable[None]) -> None:
        async def wait() -> None:
            await awaitable

        self._loop = loop
        self.task = loop.create_task(wait())
        self.run()

    def run(self) -> None:
        """Let it go on as far as it can."""
        self._loop.run_until_complete(some_passes())

    @property
    def waits(self) -> bool:
        """Whether it has not returned, after everything that can go on has."""
        self.run()
        return not self.task.done()

    def result(self) -> None:
        """Raise what it raised."""
        assert not self.waits
        self.task.result()

    def give_up(self) -> None:
        """Cancel it."""
        self.task.cancel()
        self.run()
        assert self.task.cancelled()


# -- changed ----------------------------------------------------------------------------------------------------------------


def test_changed_while_the_body_is_incomplete_waits_for_content(loop: JumpingLoop, stage: Stage) -> None:
    session, _, exchange = stage.begun(POST[:-4])
    call = Call(loop, exchange.changed())
    assert call.waits
    assert stage.seconds_left(session) == SECONDS[Clock.BODY]
    session.octets_received(b"b")
    call.result()
    assert exchange.take() == b"b"


def test_changed_with_content_not_taken_returns_at_once(loop: JumpingLoop, stage: Stage) -> None:
    _, _, exchange = stage.begun(POST[:-2])
    Call(loop, exchange.changed()).result()


def test_changed_after_the_body_waits_for_the_end_of_the_exchange(loop: JumpingLoop, stage: Stage) -> None:
    session, _, exchange = stage.begun(POST)
    call = Call(loop, exchange.changed())
    assert call.waits, "content that is there is not news"
    session.lost()
    call.result()


def test_changed_after_the_exchange_returns_at_once(loop: JumpingLoop, stage: Stage) -> None:
    session, _, exchange = stage.begun(POST[:-4])
    session.lost()
    Call(loop, exchange.changed()).result()


def test_changed_of_a_client_that_leaves_within_its_body_returns(loop: JumpingLoop, stage: Stage) -> None:
    session, _, exchange = stage.begun(POST[:-4])
    call = Call(loop, exchange.changed())
    session.eof_received()
    call.result()
    assert exchange.over, "half a request has no answer"


def test_changed_that_is_given_up_stops_the_clock_of_the_body(loop: JumpingLoop, stage: Stage) -> None:
    session, _, exchange = stage.begun(POST[:-4])
    call = Call(loop, exchange.changed())
    assert stage.seconds_left(session) == SECONDS[Clock.BODY]
    call.give_up()
    assert stage.seconds_left(session) == float("inf")


# -- flowing ----------------------------------------------------------------------------------------------------------------


def test_send_of_more_than_a_megabyte_lets_others_have_their_turn(loop: JumpingLoop, stage: Stage) -> None:
    _, _, exchange = stage.begun(GET)
    exchange.respond(200, [], False)
    order: list[str] = []

    async def send() -> None:
        loop.call_soon(order.append, "another")
        await exchange.send(bytes(FAIR + 1), True)
        order.append("sender")

    loop.run_until_complete(send())
    assert order == ["another", "sender"]


def streaming(stage: Stage) -> tuple[Session, StubWire, Exchange]:
    """Return a connection whose client does not take what the application has begun to send."""
    session, wire, exchange = stage.begun(GET)
    exchange.respond(200, [], False)
    session.write_paused()
    return session, wire, exchange


def test_send_to_a_client_that_takes_nothing_waits_until_it_does(loop: JumpingLoop, stage: Stage) -> None:
    session, _, exchange = streaming(stage)
    call = Call(loop, exchange.send(b"part", True))
    assert call.waits
    session.write_resumed()
    call.result()


def test_send_waits_on_while_the_client_takes_nothing_whatever_arrives(loop: JumpingLoop, stage: Stage) -> None:
    session, _, exchange = streaming(stage)
    call = Call(loop, exchange.send(b"part", True))
    session.octets_received(GET)
    assert call.waits
    session.write_resumed()
    session.write_paused()
    assert call.waits, "it is stuck again before the call had its turn"
    session.write_resumed()
    call.result()


def test_send_that_waits_while_the_connection_is_lost_raises(loop: JumpingLoop, stage: Stage) -> None:
    session, _, exchange = streaming(stage)
    call = Call(loop, exchange.send(b"part", True))
    session.lost()
    with pytest.raises(DisconnectedError):
        call.result()


def test_send_that_waits_while_another_completes_the_response_returns(loop: JumpingLoop, stage: Stage) -> None:
    session, _, exchange = streaming(stage)
    call = Call(loop, exchange.send(b"part", True))
    assert call.waits
    exchange.send(b"last", False)
    session.write_resumed()
    call.result()


def test_send_that_waits_is_let_go_if_a_listener_hears_that_the_client_left(loop: JumpingLoop, stage: Stage) -> None:
    """The listener cancels the sender as a rule, and is to find it at an `await` of the application's own."""
    session, _, exchange = streaming(stage)
    sender = Call(loop, exchange.send(b"part", True))
    listener = Call(loop, exchange.changed())
    session.eof_received()
    stage.now += stage.context.durations.half_closed
    session.watch_peer(stage.now)
    listener.result()
    sender.result()
    assert exchange.client_left

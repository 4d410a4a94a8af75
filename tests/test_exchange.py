"""The contract of gateways: what `send` returns if nothing has to be waited for, and that its implementations are whole."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bide.exchange import DONE, Exchange, Gateway, Tunnel, TunnelEnd
from bide.gateway.asgi import AsgiGateway
from bide.gateway.builtin import BuiltinGateway
from bide.session.exchange import ServedExchange
from bide.session.tunnel import CarriedTunnel
from tests.support.carrier import StubTunnel
from tests.support.exchanges import StubExchange
from tests.support.loops import JumpingLoop
from tests.support.stage import StubGateway


def test_done_is_awaited_without_a_turn_of_the_loop_again_and_again() -> None:
    order: list[str] = []

    async def wait() -> None:
        asyncio.get_running_loop().call_soon(order.append, "others")
        for _ in range(3):
            await DONE
            order.append("awaited")

    asyncio.run(wait())
    assert order == [*["awaited"] * 3, "others"]


def test_done_is_taken_for_a_coroutine() -> None:
    """Applications hand on what `send` returns: to a task, to a group of tasks, to a wait with a timeout."""
    done: Any = DONE  # it is no subclass of `Coroutine`, and need not be

    async def hand_on() -> list[object]:
        task = asyncio.create_task(done)
        ensured = asyncio.ensure_future(done)
        async with asyncio.TaskGroup() as group:
            grouped = group.create_task(done)
        results: list[object] = [await task, await ensured, grouped.result()]
        results.append(await asyncio.wait_for(done, 1.0))
        results += await asyncio.gather(done, done)
        return results

    assert asyncio.run(hand_on()) == [None] * 6


def test_done_that_is_cancelled_within_a_task_ends_it() -> None:
    done: Any = DONE

    async def cancel() -> bool:
        task = asyncio.create_task(done)
        task.cancel()
        await asyncio.wait((task,))
        return task.cancelled()

    assert asyncio.run(cancel())


def test_done_raises_what_is_thrown_and_may_be_closed() -> None:
    with pytest.raises(ValueError, match="thrown"):
        DONE.throw(ValueError("thrown"))
    DONE.close()
    with pytest.raises(StopIteration):
        DONE.send(None)


@pytest.mark.parametrize(
    ("contract", "kind"),
    [
        (Exchange, ServedExchange),
        (Exchange, StubExchange),
        (Gateway, AsgiGateway),
        (Gateway, BuiltinGateway),
        (Gateway, StubGateway),
        (Tunnel, StubTunnel),
        (TunnelEnd, CarriedTunnel),
    ],
)
def test_implementation_has_every_method_of_its_contract(contract: type, kind: type) -> None:
    assert issubclass(kind, contract)
    assert contract.__abstractmethods__  # type: ignore[attr-defined]
    assert kind.__abstractmethods__ == frozenset()  # type: ignore[attr-defined]


def test_stand_in_of_an_exchange_wakes_for_each_kind_of_news() -> None:
    loop = JumpingLoop()
    exchange = StubExchange(body=None)

    async def hear() -> None:
        kinds: list[Callable[[], None]] = [
            lambda: exchange.arrive(b"x", complete=False),
            exchange.leave,
            exchange.lose,
        ]
        for news in kinds:
            waiting = asyncio.ensure_future(exchange.changed())
            await asyncio.sleep(0)
            assert not waiting.done()
            news()
            await waiting

    loop.run_until_complete(hear())
    loop.close()

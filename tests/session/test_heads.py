"""Response heads that wait for content until the pass of the event loop is over: exchanges are stand-ins, and so is the session."""

from bide.session.heads import HeadHolder, HeldHeads
from tests.support.exchanges import StubExchange
from tests.support.loops import JumpingLoop


class Holder(StubExchange, HeadHolder):
    """An exchange that may hold a head. released: how often it was told to release it."""

    def __init__(self) -> None:
        super().__init__()
        self.released = 0

    def release_head(self) -> None:
        self.released += 1


def give(heads: HeldHeads, *holders: Holder) -> None:
    """Have exchanges hold their heads, as their gateways would."""
    for holder in holders:
        if not heads.given:
            heads.schedule()
        heads.given.append(holder)


def test_heads_held_are_released_once_the_pass_is_over(loop: JumpingLoop) -> None:
    heads = HeldHeads(loop)
    first, second = Holder(), Holder()
    give(heads, first, second)
    assert (first.released, second.released) == (0, 0)
    loop.run_for(0.0)
    loop.run_for(0.0)
    assert (first.released, second.released) == (1, 1)
    assert heads.given == []


def test_heads_of_exchanges_that_are_over_are_not_released(loop: JumpingLoop) -> None:
    heads = HeldHeads(loop)
    over, other = Holder(), Holder()
    give(heads, over, other)
    over.lose()
    loop.run_for(0.0)
    assert (over.released, other.released) == (0, 1)


def test_heads_given_while_others_are_released_wait_for_the_next_pass(loop: JumpingLoop) -> None:
    heads = HeldHeads(loop)
    order: list[str] = []

    class Noting(Holder):
        def release_head(self) -> None:
            order.append("released")

    class Answering(Holder):
        def release_head(self) -> None:
            loop.call_soon(order.append, "next pass")
            give(heads, Noting())

    give(heads, Answering())
    loop.run_for(0.0)
    loop.run_for(0.0)
    assert order == ["next pass", "released"]

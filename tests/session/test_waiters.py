"""Calls that wait for the same news."""

import asyncio

from bide.session.waiters import complete, joined
from tests.support.loops import JumpingLoop


def test_all_that_have_joined_are_completed_but_for_the_cancelled(loop: JumpingLoop) -> None:
    first, second, third = (loop.create_future() for _ in range(3))
    waiters = joined(joined(joined(None, first), second), third)
    second.cancel()
    complete(waiters)
    assert [waiter.cancelled() for waiter in (first, second, third)] == [False, True, False]
    loop.run_until_complete(asyncio.gather(first, third))


def test_nobody_waits() -> None:
    complete(None)

"""How an application is stopped: its startup, its clean-up, and what is cut; time is that of a loop that jumps."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from bide.worker.cleanup import STARTUP_GRACE, stop_application
from tests.support.lifespans import StubLifespan
from tests.support.loops import JumpingLoop
from tests.support.server import Log, logged

TIMEOUT: Final = 10.0

#: Seconds that an application gets after its time is over.
LAST: Final = 1.0


@pytest.fixture
def log() -> Iterator[Log]:
    with logged() as log:
        yield log


def stop_of(
    loop: JumpingLoop,
    lifespan: StubLifespan,
    *,
    seconds: float = TIMEOUT,
    force: Callable[[asyncio.Event], object] = lambda _: None,
) -> float:
    """Stop the application; return the seconds that it took, to the millisecond."""
    forced = asyncio.Event()
    force(forced)
    before = loop.time()
    loop.run_until_complete(stop_application(lifespan.as_lifespan, forced, seconds))
    took = round(loop.time() - before, 3)
    loop.run_for(0.0)  # what was cancelled ends
    assert asyncio.all_tasks(loop) == set()
    return took


def test_clean_up_has_the_rest_of_the_time_and_a_moment_more(loop: JumpingLoop, log: Log) -> None:
    lifespan = StubLifespan(loop, stop_takes=TIMEOUT + LAST / 2)
    assert stop_of(loop, lifespan) == TIMEOUT + LAST / 2
    assert lifespan.calls == ["shutdown", "clean"]
    assert log.messages() == []


def test_clean_up_that_takes_longer_is_cancelled(loop: JumpingLoop, log: Log) -> None:
    lifespan = StubLifespan(loop, stop_takes=10 * TIMEOUT)
    assert stop_of(loop, lifespan) == pytest.approx(TIMEOUT + LAST)
    assert lifespan.calls == ["shutdown", "cancel"]
    (message,) = log.messages(logging.ERROR)
    assert message == "clean-up cancelled: the application had not ended its lifespan"


def test_clean_up_that_goes_on_after_it_was_cancelled_is_left_behind(loop: JumpingLoop, log: Log) -> None:
    lifespan = StubLifespan(loop, stop_takes=10 * TIMEOUT, is_stubborn=True)
    assert stop_of(loop, lifespan) == pytest.approx(TIMEOUT + LAST + LAST)
    assert lifespan.calls == ["shutdown", "cancel"]


@pytest.mark.parametrize("forced_after", [0.0, 5.0])
def test_clean_up_after_a_second_signal_has_a_moment(loop: JumpingLoop, forced_after: float) -> None:
    in_time = StubLifespan(loop, stop_takes=forced_after + LAST / 2)
    assert stop_of(loop, in_time, force=lambda forced: loop.call_later(forced_after, forced.set)) == (
        pytest.approx(forced_after + LAST / 2)
    )
    assert in_time.calls == ["shutdown", "clean"]
    late = StubLifespan(loop, stop_takes=TIMEOUT)
    assert stop_of(loop, late, force=lambda forced: loop.call_later(forced_after, forced.set)) == (
        pytest.approx(forced_after + LAST)
    )
    assert late.calls == ["shutdown", "cancel"]


def test_startup_under_way_may_complete_and_is_cleaned_up(loop: JumpingLoop, log: Log) -> None:
    lifespan = StubLifespan(loop, start_takes=STARTUP_GRACE / 2, stop_takes=2.0)
    assert stop_of(loop, lifespan) == pytest.approx(STARTUP_GRACE / 2 + 2.0)
    assert lifespan.calls == ["shutdown", "clean"]
    assert log.messages() == ["startup completed after the stop had begun: the application cleans up"]


def test_startup_under_way_for_longer_is_cancelled(loop: JumpingLoop, log: Log) -> None:
    lifespan = StubLifespan(loop, start_takes=2 * STARTUP_GRACE)
    assert stop_of(loop, lifespan) == pytest.approx(STARTUP_GRACE)
    assert lifespan.calls == ["shutdown", "cancel"]
    assert log.messages() == ["startup cancelled: not complete 1 s after the stop had begun"]


def test_startup_under_way_is_cancelled_by_a_second_signal(loop: JumpingLoop, log: Log) -> None:
    lifespan = StubLifespan(loop, start_takes=2 * STARTUP_GRACE)
    assert stop_of(loop, lifespan, force=lambda forced: forced.set()) == 0.0
    assert lifespan.calls == ["shutdown", "cancel"]
    assert log.messages() == ["startup cancelled: not complete when the stop was forced"]

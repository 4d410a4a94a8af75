"""Threads take jobs in batches, and what they tell comes back in batches; nothing that was given or told is lost."""

import asyncio
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from bide.gateway import threads as module
from bide.gateway.threads import Job, Threads
from tests.support.builds import require_interpreted
from tests.support.loops import JumpingLoop
from tests.support.server import Log, logged
from tests.support.waiting import PATIENCE, until

require_interpreted()

PASSES: Final = 5

# Seconds after which jobs that wait are spread over all threads.
STALL: Final = 1e-3


@pytest.fixture
def log() -> Iterator[Log]:
    with logged() as log:
        yield log
        log.check()


class Clock:
    """A clock that a test moves, in seconds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class StubJob(Job):
    """Runs `work`, then tells. settled: how often the event loop took the news."""

    def __init__(self, threads: Threads, work: Callable[[], object] = lambda: None) -> None:
        self.threads = threads
        self.work = work
        self.thread = ""
        self.settled = 0

    def run(self, thread: threading.Thread) -> None:
        assert thread is threading.current_thread()
        self.thread = thread.name
        self.work()
        self.threads.tell(self)

    def settle(self) -> None:
        self.settled += 1


def run(loop: JumpingLoop) -> None:
    """Let everything go on as far as it can."""

    async def some_passes() -> None:
        for _ in range(PASSES):
            await asyncio.sleep(STALL)

    loop.run_until_complete(some_passes())


def run_once(loop: JumpingLoop) -> None:
    """Run one pass of the loop, which hands over what was given before."""
    loop.run_until_complete(asyncio.sleep(0))


def settled(loop: JumpingLoop, *jobs: StubJob) -> None:
    """Wait until the news of these jobs was taken."""

    def is_settled() -> bool:
        run(loop)
        return all(job.settled for job in jobs)

    until(is_settled)


def has_ended(threads: Threads) -> bool:
    """Return whether no thread is left."""
    return not threads.count


def begun(loop: JumpingLoop, job: StubJob) -> None:
    """Wait until a thread runs this job."""

    def is_begun() -> bool:
        run(loop)
        return bool(job.thread)

    until(is_begun)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(loop: JumpingLoop, clock: Clock) -> Iterator[Callable[[int], Threads]]:
    """Make threads; at the end they end, and the interpreter is as it was."""
    before = sys.getswitchinterval()
    made: list[Threads] = []

    def make(most: int) -> Threads:
        made.append(Threads(loop, most, clock))
        return made[-1]

    yield make
    for threads in made:
        threads.end()
        until(functools.partial(has_ended, threads))
    assert sys.getswitchinterval() == before


Make = Callable[[int], Threads]


def test_jobs_are_handed_over_once_the_pass_is_over(loop: JumpingLoop, make: Make) -> None:
    threads = make(2)
    jobs = [StubJob(threads), StubJob(threads)]
    for job in jobs:
        threads.give(job)
    assert threads.count == 0
    settled(loop, *jobs)
    assert [job.settled for job in jobs] == [1, 1]


def test_jobs_that_block_have_a_thread_each(loop: JumpingLoop, make: Make) -> None:
    threads = make(5)
    together = threading.Barrier(5)
    jobs = [StubJob(threads, lambda: together.wait(PATIENCE)) for _ in range(5)]
    for job in jobs:
        threads.give(job)
    run_once(loop)
    until(lambda: bool(jobs[0].thread))
    run_once(loop)
    assert threads.figures()[:3] == (1, 1, 4)  # the first may be about to end
    settled(loop, *jobs)
    assert {job.thread for job in jobs} == {f"bide-wsgi-{number}" for number in range(5)}


def test_quick_jobs_of_a_pass_have_one_thread_even_after_others_were_needed(loop: JumpingLoop, make: Make) -> None:
    threads = make(3)
    together = threading.Barrier(3)
    slow = [StubJob(threads, lambda: together.wait(PATIENCE)) for _ in range(3)]
    for job in slow:
        threads.give(job)
    settled(loop, *slow)
    until(lambda: threads.figures() == (3, 0, 0, 0.0))
    quick = [StubJob(threads) for _ in range(20)]
    for job in quick:
        threads.give(job)
    run_once(loop)
    until(lambda: all(job.thread for job in quick))  # without the loop, which might find one that waits
    assert len({job.thread for job in quick}) == 1
    settled(loop, *quick)


def test_news_of_a_job_bring_another_thread_to_those_that_wait(loop: JumpingLoop, make: Make) -> None:
    threads = make(2)
    go = threading.Event()

    def tell_and_wait() -> None:
        threads.tell(first)
        go.wait(PATIENCE)

    first, second = StubJob(threads, tell_and_wait), StubJob(threads)
    threads.give(first)
    threads.give(second)
    begin = loop.time()

    def is_settled() -> bool:
        run_once(loop)
        return bool(second.settled)

    until(is_settled)
    assert loop.time() - begin < STALL
    go.set()


@pytest.mark.skipif(not str(module.__file__).endswith(".py"), reason="methods of a compiled class cannot be replaced")
def test_thread_that_takes_a_job_right_behind_the_look_for_it_leaves_no_other_waiting(
    loop: JumpingLoop, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = make(2)
    first, second = StubJob(threads), StubJob(threads)
    wake = Threads._wake

    def look_too_early(threads: Threads) -> None:
        """Find that a thread is waking. Then it takes the first job, and works for long."""
        monkeypatch.setattr(Threads, "_wake", wake)
        assert threads._queue.popleft() is first

    monkeypatch.setattr(Threads, "_wake", look_too_early)
    threads.give(first)
    threads.give(second)
    settled(loop, second)


def test_jobs_beyond_the_threads_wait_for_one(loop: JumpingLoop, make: Make) -> None:
    threads = make(2)
    go = threading.Event()
    busy = [StubJob(threads, lambda: go.wait(PATIENCE)) for _ in range(2)]
    others = [StubJob(threads) for _ in range(20)]
    for job in [*busy, *others]:
        threads.give(job)
    for job in busy:
        begun(loop, job)
    assert threads.figures()[1:3] == (2, 20)
    assert not any(job.thread for job in others)
    go.set()
    settled(loop, *busy, *others)


def test_thread_that_sleeps_is_woken_again_and_again(loop: JumpingLoop, make: Make) -> None:
    threads = make(3)
    for _ in range(200):
        job = StubJob(threads)
        threads.give(job)
        settled(loop, job)


def test_no_job_and_no_news_is_lost_among_many_threads(loop: JumpingLoop, make: Make) -> None:
    threads = make(8)
    jobs: list[StubJob] = []
    for batch in range(100):
        given = [StubJob(threads) for _ in range(1 + batch % 13)]
        for job in given:
            threads.give(job)
        jobs += given
        run(loop)
    settled(loop, *jobs)
    assert [job.settled for job in jobs] == [1] * len(jobs)


def test_news_of_several_threads_wake_the_loop_once(
    loop: JumpingLoop, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = make(1)
    jobs = [StubJob(threads), StubJob(threads)]
    wakes: list[object] = []
    call = loop.call_soon_threadsafe

    def wake(callback: Any, *rest: Any) -> asyncio.Handle:
        wakes.append(callback)
        return call(callback, *rest)

    monkeypatch.setattr(loop, "call_soon_threadsafe", wake)
    for job in jobs:
        threads.tell(job)
    run(loop)
    assert [job.settled for job in jobs] == [1, 1]
    assert len(wakes) == 1
    threads.tell(jobs[0])
    run(loop)
    assert jobs[0].settled == 2
    assert len(wakes) == 2


def test_error_in_a_job_is_logged_and_keeps_no_other_from_being_settled(
    loop: JumpingLoop, make: Make, log: Log
) -> None:
    log.expect("bide failed; please report this")

    class Failing(StubJob):
        def settle(self) -> None:
            raise AssertionError

    threads = make(1)
    good = StubJob(threads)
    threads.tell(Failing(threads))
    threads.tell(good)
    run(loop)
    assert good.settled == 1


def test_news_for_a_loop_that_is_closed_are_dropped() -> None:
    loop = asyncio.new_event_loop()
    threads = Threads(loop, 1)
    loop.close()
    threads.tell(StubJob(threads))


# -- The end ----------------------------------------------------------------------------------------------------------------


def test_threads_end_once_they_have_nothing_to_do(loop: JumpingLoop, make: Make) -> None:
    threads = make(2)
    go = threading.Event()
    idle, busy = StubJob(threads), StubJob(threads, lambda: go.wait(PATIENCE))
    threads.give(busy)
    begun(loop, busy)
    threads.give(idle)
    settled(loop, idle)
    assert threads.count == 2
    assert sys.getswitchinterval() == pytest.approx(1e-3)
    threads.end()
    until(lambda: threads.count == 1)
    go.set()
    until(lambda: threads.count == 0)


def test_threads_that_never_started_end(loop: JumpingLoop, make: Make) -> None:
    threads = make(2)
    threads.end()
    assert threads.is_ending
    assert threads.count == 0


def test_thread_that_cannot_be_started_is_tried_again(
    loop: JumpingLoop, make: Make, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.expect("a thread could not be started")
    threads = make(1)
    first, second = StubJob(threads), StubJob(threads)

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        threads.give(first)
        run(loop)
    assert threads.count == 0
    threads.give(second)
    settled(loop, first, second)


# -- Figures and the warning (W17) ------------------------------------------------------------------------------------------


def test_figures_say_how_long_the_first_job_waits(loop: JumpingLoop, make: Make, clock: Clock) -> None:
    threads = make(1)
    assert threads.figures() == (0, 0, 0, 0.0)
    go = threading.Event()
    busy = StubJob(threads, lambda: go.wait(PATIENCE))
    threads.give(busy)
    begun(loop, busy)
    waiting = [StubJob(threads), StubJob(threads)]
    for job in waiting:
        threads.give(job)
        run(loop)
        clock.now += 2.0
    assert threads.figures() == (1, 1, 2, 4.0)
    go.set()
    settled(loop, busy, *waiting)
    until(lambda: threads.figures() == (1, 0, 0, 0.0))


def test_long_wait_for_a_thread_is_warned_of_once_in_a_while(
    loop: JumpingLoop, make: Make, clock: Clock, log: Log
) -> None:
    threads = make(1)
    go = threading.Event()
    busy, waiting = StubJob(threads, lambda: go.wait(PATIENCE)), StubJob(threads)
    threads.give(busy)
    begun(loop, busy)
    threads.give(waiting)
    run(loop)
    clock.now += 1.0
    threads.watch()
    assert log.messages() == []
    log.expect("all 1 threads are busy: 1 requests wait for one, the first for 1.5 s; raise --threads")
    clock.now += 0.5
    for _ in range(2):
        threads.watch()
    assert len(log.messages()) == 1
    clock.now += 60.0
    threads.watch()
    assert len(log.messages()) == 2
    log.expect("the first for 61.5 s")
    go.set()
    settled(loop, busy, waiting)
    threads.watch()
    assert len(log.messages()) == 2

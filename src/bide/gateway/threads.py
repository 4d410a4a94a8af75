"""Runs jobs on threads, and hands over work and news in batches.

Each thread that is awake takes the interpreter lock from the others and from the event loop. So
jobs are handed over once the pass of the loop is over, and one thread is woken for all of them; the
next is woken once that one seems to wait for something itself. One wake-up of the loop brings the
news of all threads.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final, final

_log = logging.getLogger("bide")

# Python's switch interval, in seconds. The default of 5 ms makes the event loop wait for that long
# whenever a thread computes: beside 8 busy threads a health check took 16.6 ms, and 6.3 ms with
# this.
_SWITCH_INTERVAL_S: Final = 1e-3

# If jobs still wait after this, the thread that was woken for them waits, too, or computes for
# long: from then on each thread wakes the next. It is the switch interval, since a thread that
# computes has had its turn by then.
_STALL_S: Final = _SWITCH_INTERVAL_S

# A job that waits longer for a thread is a reason to warn.
_LONG_WAIT_S: Final = 1.0

# Least time between two warnings.
_WARN_EVERY_S: Final = 60.0


class Job(ABC):
    """Runs on a thread, and tells the event loop about it.

    since: when the job was given, by the clock of `Threads`.
    """

    __slots__ = ("since",)

    since: float

    @abstractmethod
    def run(self, thread: threading.Thread) -> None:
        """Do the work, on `thread`. Must not raise."""

    @abstractmethod
    def settle(self) -> None:
        """Take what the thread has to tell, on the event loop's thread, after `Threads.tell`."""


@final
class Threads:
    """Has up to `most` threads, which start as they are needed.

    is_ending: whether no job may be given any more.
    """

    __slots__ = (
        "_clock",
        "_given",
        "_interval",
        "_is_spreading",
        "_is_told",
        "_is_waking",
        "_is_watching",
        "_lock",
        "_loop",
        "_most",
        "_news",
        "_queue",
        "_sleeping",
        "_threads",
        "_warned_at",
        "is_ending",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int, clock: Callable[[], float] = monotonic) -> None:
        """Start no thread yet. clock: returns seconds."""
        self._loop = loop
        self._most = most
        self._clock = clock
        self._given: list[Job] = []  # in this pass of the event loop
        self._queue: deque[Job] = deque()  # for any thread to take
        self._news: deque[Job] = deque()  # jobs that have something to tell
        self._is_watching = False  # `_check` will be called
        self._is_told = False  # the event loop was woken, and has not looked yet
        self._lock = threading.Lock()  # guards the next three, and whether the queue is empty
        self._threads: list[threading.Thread] = []
        self._sleeping: list[threading.Lock] = []  # a thread sleeps until its lock is released
        self._is_waking = False  # a thread was woken, and has not taken a job yet
        self._is_spreading = False  # each thread wakes the next
        self.is_ending = False
        self._interval = 0.0  # Python's switch interval before the first thread
        self._warned_at = -_WARN_EVERY_S

    # -- On the event loop's thread ----------------------------------------------------------------

    def give(self, job: Job) -> None:
        """Have a thread run `job`."""
        job.since = self._clock()
        if not self._given:
            self._loop.call_soon(self._hand_over)
        self._given.append(job)

    def _hand_over(self) -> None:
        """Hand over the jobs of a pass, which is over."""
        given, self._given = self._given, []
        self._queue.extend(given)
        # Counted before: a thread that was woken earlier may take a job just after `_wake` has seen
        # that it is awake, and the rest would wait for it.
        are_several = len(self._queue) > 1
        self._wake()
        if are_several and not self._is_watching:
            self._is_watching = True
            self._loop.call_later(_STALL_S, self._check)

    def _check(self) -> None:
        """Spread jobs that still wait over all threads."""
        self._is_watching = False
        if self._queue:
            self._is_spreading = True
            self._wake()

    def _look(self) -> None:
        """Take the news of all threads."""
        self._is_told = False  # first: what is told from now on wakes the loop again
        for _ in range(len(self._news)):
            job = self._news.popleft()
            try:
                job.settle()
            except Exception:
                _log.exception("bide failed; please report this")
        if self._queue:  # this runs, so each thread at work waits for something, or has had its turn
            self._wake()

    def watch(self) -> None:
        """Warn if jobs wait for long. To be called again and again."""
        _, busy, waiting, wait = self.figures()
        now = self._clock()
        if wait > _LONG_WAIT_S and now - self._warned_at >= _WARN_EVERY_S:
            self._warned_at = now
            _log.warning(
                "all %d threads are busy: %d requests wait for one, the first for %.1f s; raise --threads if the "
                "application waits for others, start more processes if it computes",
                busy,
                waiting,
                wait,
            )

    def end(self) -> None:
        """End each thread once it has nothing to do. No job may be given any more."""
        with self._lock:
            self.is_ending = True
            sleeping, self._sleeping = self._sleeping, []
        for lock in sleeping:
            lock.release()
        if self._threads:
            sys.setswitchinterval(self._interval)

    @property
    def count(self) -> int:
        """Threads that have not ended."""
        return sum(thread.is_alive() for thread in self._threads)

    def figures(self) -> tuple[int, int, int, float]:
        """Return (threads, busy threads, waiting jobs, seconds for which the first waits)."""
        count = len(self._threads)
        waiting = len(self._queue)
        try:
            wait = self._clock() - self._queue[0].since
        except IndexError:
            wait = 0.0
        return count, count - len(self._sleeping), waiting, wait

    # -- On any thread -----------------------------------------------------------------------------

    def tell(self, job: Job) -> None:
        """Have `job.settle` called by the event loop."""
        self._news.append(job)
        if not self._is_told:
            self._is_told = True
            try:
                self._loop.call_soon_threadsafe(self._look)
            except RuntimeError:  # the loop is closed, and the thread has outlived it
                pass

    def _wake(self) -> None:
        """Wake or start a thread for the queue, unless one is being woken."""
        with self._lock:
            if self._is_waking or not self._queue:
                return
            if self._sleeping:
                self._is_waking = True
                self._sleeping.pop().release()
            elif len(self._threads) < self._most and not self.is_ending:
                self._is_waking = True
                self._start()

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name=f"bide-wsgi-{len(self._threads)}")
        try:
            thread.start()
        except RuntimeError:
            self._is_waking = False
            _log.exception("a thread could not be started; requests wait for the %d others", len(self._threads))
            return
        if not self._threads:
            self._interval = sys.getswitchinterval()
            sys.setswitchinterval(min(self._interval, _SWITCH_INTERVAL_S))
        self._threads.append(thread)

    # -- On a thread of ours -----------------------------------------------------------------------

    def _work(self) -> None:
        """Run jobs, one after another, until the end."""
        thread = threading.current_thread()
        alarm = threading.Lock()
        alarm.acquire()
        while True:
            self._is_waking = False
            try:
                job = self._queue.popleft()
            except IndexError:
                if not self._sleep(alarm):
                    return
                continue
            if self._is_spreading and self._queue and not self._is_waking:
                self._wake()
            job.run(thread)

    def _sleep(self, alarm: threading.Lock) -> bool:
        """Sleep until there may be a job; return False if there will be none."""
        with self._lock:
            if self._queue:  # it came just before the lock was taken
                return True
            if self.is_ending:
                return False
            self._is_spreading = False
            self._sleeping.append(alarm)
        alarm.acquire()
        return True

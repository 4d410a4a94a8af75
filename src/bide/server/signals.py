"""Handles the signals that stop a server, even if its event loop is blocked."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, NoReturn, Self, final

from bide.errors import Stopped
from bide.observe import log_files
from bide.worker.cleanup import STARTUP_GRACE

_log = logging.getLogger("bide")

#: The signals that stop a server. A terminal sends SIGHUP when it closes; nginx, too, drains at
#: SIGQUIT.
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)

#: Seconds after the drain for threads, tasks and exit handlers of the application to end.
LEAVE: Final = 1.0

# Seconds between checks that the event loop turns. It counts as blocked once checks have failed for
# STARTUP_GRACE in a row. Checks are counted, as a busy machine delays them, too.
_LOOK_EVERY_S: Final = 0.1
_MAX_LOOKS: Final = round(STARTUP_GRACE / _LOOK_EVERY_S)

# The number of the signal that ends the process at once. The offset of exit statuses after a
# signal, as in shells.
_LAST: Final = 3
_KILLED: Final = 128


class _Phase(enum.Enum):
    LOADING = enum.auto()
    STARTING = enum.auto()
    SERVING = enum.auto()
    LEAVING = enum.auto()


@final
class Signals:
    """Handles signals within a `with` statement in the main thread, then restores the program's
    handlers.

    While the application is imported, a signal raises Stopped. From `starting` on, each signal is
    passed to the event loop. The third signal ends the process.

    The stop is urgent from the first signal while the application starts, from the second signal
    later. If the event loop is then blocked for longer than a second, Stopped interrupts the code
    that blocks it.

    interrupted: whether Stopped has interrupted code.
    """

    def __init__(self, stops: Sequence[signal.Signals] = SIGNALS, *, reopens_logs: bool = False) -> None:
        """Take the signals that stop the server.

        reopens_logs: whether SIGUSR1 opens the log files again. Otherwise it is the application's.
        """
        self._handlers = dict.fromkeys(stops, self._handle)
        if reopens_logs:
            self._handlers[signal.SIGUSR1] = self._reopen_logs
        self._process = os.getpid()
        self._before: dict[int, Any] = {}
        self._phase = _Phase.LOADING
        self._count = 0
        self._loop: asyncio.AbstractEventLoop
        self._signalled: Callable[[], None]
        self._seen: Callable[[], None]
        self._unanswered: threading.Event | None = None
        self._turned = threading.Event()
        self._left = threading.Event()
        self._watcher: threading.Thread | None = None
        self.interrupted = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # other threads may not set handlers
            for number, handler in self._handlers.items():
                before = signal.getsignal(number)
                if number is not signal.SIGHUP or before is not signal.SIG_IGN:  # nohup has it ignored
                    self._before[number] = before
                    signal.signal(number, handler)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leaving()
        if self._watcher is not None:
            self._watcher.join()  # its signal is for no other handler
        for number, handler in self._before.items():
            if handler is not None:  # None: set by something other than Python
                signal.signal(number, handler)

    def starting(self, signalled: Callable[[], None], seen: Callable[[], None]) -> None:
        """Take the news that the application starts in the running event loop.

        signalled: called there for each signal, including earlier ones.
        seen: called at once for the first signal, between any two instructions of the main thread.
        """
        swallowed = self._count
        self._loop = asyncio.get_running_loop()
        self._signalled = signalled
        self._seen = seen
        self._phase = _Phase.STARTING
        for _ in range(swallowed):  # by an import
            self._tell()
        if swallowed:
            self._watch_loop(signal.SIGTERM)

    def serving(self) -> None:
        """Take the news that the application has started."""
        self._phase = _Phase.SERVING

    def leaving(self) -> None:
        """Take the news that the event loop is done."""
        self._phase = _Phase.LEAVING
        self._left.set()
        self._turned.set()

    @property
    def _is_urgent(self) -> bool:
        least = 1 if self._phase is _Phase.STARTING else 2
        return self._phase is not _Phase.LEAVING and self._count >= least

    def _handle(self, number: int, _frame: object) -> None:
        """Handle a signal, between any two instructions of the main thread.

        The main thread may be writing to the log, so this writes nothing to it.
        """
        if self._is_of_child(number):
            return
        turned, self._unanswered = self._unanswered, None
        if turned is not None:  # sent by `_watch`
            if self._is_urgent and not turned.is_set():
                self.interrupted = True
                raise Stopped
            return
        self._count += 1
        if self._count >= _LAST:
            self._phase = _Phase.LEAVING  # nothing is interrupted any more
            _end(_KILLED + number, (logging.ERROR, "third signal: the process ends, and nothing more is cleaned up"))
        if self._phase is _Phase.LOADING:
            raise Stopped
        if self._phase is not _Phase.LEAVING:
            self._tell()
            if self._count == 1:
                self._seen()
                self._watch_loop(number)

    def _is_of_child(self, number: int) -> bool:
        """Return whether this is a child that the application has forked.

        If so, restore its handler.
        """
        if os.getpid() == self._process:
            return False
        signal.signal(number, self._before[number] or signal.SIG_DFL)
        signal.raise_signal(number)
        return True

    def _reopen_logs(self, number: int, _frame: object) -> None:
        """Open the log files again, even if the event loop is blocked.

        The main thread may be writing to a log, so another one reports what failed.
        """
        if self._is_of_child(number):
            return
        failed = log_files.reopen()
        if failed:
            with contextlib.suppress(RuntimeError):  # no thread can be started
                threading.Thread(target=log_files.report, args=(failed,), name="bide-logs", daemon=True).start()

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is closed
            self._loop.call_soon_threadsafe(self._signalled)

    def _watch_loop(self, number: int) -> None:
        watcher = threading.Thread(target=self._watch, args=(number,), name="bide-signals", daemon=True)
        with contextlib.suppress(RuntimeError):  # no thread can be started: then nothing is interrupted
            watcher.start()
            self._watcher = watcher

    def _watch(self, number: int) -> None:
        """Interrupt the main thread if it blocks the event loop while the stop is urgent.

        If the loop stays blocked, end the process.

        Only a signal interrupts a thread that waits in the kernel, and Python handles it in the
        main thread.
        """
        main = threading.main_thread().ident
        assert main is not None
        in_vain = False
        while self._phase is not _Phase.LEAVING:
            if not self._is_urgent:
                self._left.wait(_LOOK_EVERY_S)
            elif self._turns():
                in_vain = False
                self._left.wait(_LOOK_EVERY_S)
            elif in_vain:
                _end(
                    0, (logging.ERROR, "the event loop stays blocked: the process ends, and nothing more is cleaned up")
                )
            else:
                in_vain = True
                self._unanswered = self._turned
                signal.pthread_kill(main, number)

    def _turns(self) -> bool:
        """Return whether the event loop turns within STARTUP_GRACE, or the stop is no longer
        urgent.
        """
        turned = self._turned = threading.Event()
        with contextlib.suppress(RuntimeError):  # it is closed
            self._loop.call_soon_threadsafe(turned.set)
        return any(turned.wait(_LOOK_EVERY_S) for _ in range(_MAX_LOOKS)) or not self._is_urgent


def leave_within(seconds: float, error: BaseException | None = None) -> threading.Event:
    """End the process after `seconds`, unless the returned event is set first.

    The server cannot end threads of an application, or tasks that swallow their cancellation. The
    interpreter would wait for them without bound.

    error: logged if it is given; the exit status is then 1, else 0.
    """
    done = threading.Event()

    def watch() -> None:
        if not done.wait(seconds):
            # A thread of the WSGI gateway has the name of its request by now.
            threads = [thread.name for thread in threading.enumerate() if _is_waited_for(thread)]
            named = f" ({', '.join(threads)})" if threads else ""
            lines = [
                (
                    logging.WARNING,
                    f"application threads, tasks or exit handlers still run{named}: the process ends without them",
                )
            ]
            if error is not None:
                lines.append((logging.ERROR, str(error)))
            _end(0 if error is None else 1, *lines)

    threading.Thread(target=watch, name="bide-leave", daemon=True).start()
    return done


def _is_waited_for(thread: threading.Thread) -> bool:
    """Return whether the interpreter waits for the end of a thread of the application."""
    return not thread.daemon and thread is not threading.main_thread()


def _end(status: int, *lines: tuple[int, str]) -> NoReturn:
    """Log `lines` as (level, text), then end the process with `status`.

    The process ends after LEAVE seconds if another thread holds the log, or no program reads it.
    """

    def say() -> None:
        for level, text in lines:
            _log.log(level, "%s", text)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()

    try:
        saying = threading.Thread(target=say, name="bide-end", daemon=True)
        saying.start()
        saying.join(LEAVE)
    finally:  # even if no thread can be started, or a signal interrupts the wait
        os._exit(status)

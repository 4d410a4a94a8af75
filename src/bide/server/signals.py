"""Hears the signals that stop a server, whether or not its event loop turns."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, NoReturn, Self, final

from bide.errors import Stopped
from bide.worker.drain import STARTUP_GRACE

_log = logging.getLogger("bide")

#: The signals that stop a server. A terminal sends SIGHUP when it closes; nginx, too, drains at SIGQUIT.
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)

#: Threads, tasks and exit handlers of the application get this long to end after the drain, seconds.
LEAVE: Final = 1.0

# Time between two looks whether the event loop turns, seconds; and how many looks in a row find it blocked: in all as long as a startup
# that awaits has. They are counted, because a machine that is too busy holds up the looks, too.
_LOOK: Final = 0.1
_LOOKS: Final = round(STARTUP_GRACE / _LOOK)

# The signal that ends the process whatever it does, and the status that a shell gives a process that a signal has ended.
_LAST: Final = 3
_KILLED: Final = 128


class _Phase(enum.Enum):
    LOADING = enum.auto()
    STARTING = enum.auto()
    SERVING = enum.auto()
    LEAVING = enum.auto()


@final
class Signals:
    """Handles SIGNALS while it is entered in the main thread, and puts the program's own handlers back.

    While the application is imported, a signal raises Stopped. From `starting` on, the event loop is told of each; it may not be
    blocked for longer than a second once the stop is urgent: from the first signal while the application starts, from the second
    one afterwards. What blocks it is interrupted by Stopped. The third signal ends the process.

    interrupted: whether that was necessary.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._before: dict[int, Any] = {}
        self._phase = _Phase.LOADING
        self._count = 0
        self._loop: asyncio.AbstractEventLoop
        self._signalled: Callable[[], None]
        self._unanswered: threading.Event | None = None
        self._turned = threading.Event()
        self._left = threading.Event()
        self._watcher: threading.Thread | None = None
        self.interrupted = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # no other may
            for number in SIGNALS:
                before = signal.getsignal(number)
                if number is not signal.SIGHUP or before is not signal.SIG_IGN:  # nohup has it ignored
                    self._before[number] = before
                    signal.signal(number, self._handle)
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

    def starting(self, signalled: Callable[[], None]) -> None:
        """The application starts in the running event loop. `signalled` is called there for each signal, and for those before."""
        swallowed = self._count
        self._loop = asyncio.get_running_loop()
        self._signalled = signalled
        self._phase = _Phase.STARTING
        for _ in range(swallowed):  # by an import
            self._tell()
        if swallowed:
            self._watch_loop(signal.SIGTERM)

    def serving(self) -> None:
        """The application has started."""
        self._phase = _Phase.SERVING

    def leaving(self) -> None:
        """The event loop is done."""
        self._phase = _Phase.LEAVING
        self._left.set()
        self._turned.set()

    @property
    def _is_urgent(self) -> bool:
        least = 1 if self._phase is _Phase.STARTING else 2
        return self._phase is not _Phase.LEAVING and self._count >= least

    def _handle(self, number: int, _frame: object) -> None:
        """Handle a signal, between any two instructions of the main thread. The log may be in use there, so this writes none."""
        if os.getpid() != self._process:  # a child that the application has forked: as if the server had not been there
            signal.signal(number, self._before[number] or signal.SIG_DFL)
            signal.raise_signal(number)
            return
        turned, self._unanswered = self._unanswered, None
        if turned is not None:  # our own
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
                self._watch_loop(number)

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is closed
            self._loop.call_soon_threadsafe(self._signalled)

    def _watch_loop(self, number: int) -> None:
        watcher = threading.Thread(target=self._watch, args=(number,), name="bide-signals", daemon=True)
        with contextlib.suppress(RuntimeError):  # no thread can be started: then nothing is interrupted
            watcher.start()
            self._watcher = watcher

    def _watch(self, number: int) -> None:
        """Interrupt the main thread if it blocks the event loop while the stop is urgent. If that is in vain, end the process.

        Only a signal interrupts a thread that waits in the kernel, and Python handles it in the main thread.
        """
        main = threading.main_thread().ident
        assert main is not None
        in_vain = False
        while self._phase is not _Phase.LEAVING:
            if not self._is_urgent:
                self._left.wait(_LOOK)
            elif self._turns():
                in_vain = False
                self._left.wait(_LOOK)
            elif in_vain:
                _end(
                    0, (logging.ERROR, "the event loop stays blocked: the process ends, and nothing more is cleaned up")
                )
            else:
                in_vain = True
                self._unanswered = self._turned
                signal.pthread_kill(main, number)

    def _turns(self) -> bool:
        """Whether the event loop turns within the looks, or need not any more."""
        turned = self._turned = threading.Event()
        with contextlib.suppress(RuntimeError):  # it is closed
            self._loop.call_soon_threadsafe(turned.set)
        return any(turned.wait(_LOOK) for _ in range(_LOOKS)) or not self._is_urgent


def leave_within(seconds: float, error: BaseException | None = None) -> threading.Event:
    """End the process after that time, unless the event that is returned is set before: with status 1, and that in the log, if there
    was an error.

    Threads that an application has started cannot be ended from outside, and tasks that swallow their cancellation neither: the
    interpreter would wait for them without bound.
    """
    done = threading.Event()

    def watch() -> None:
        if not done.wait(seconds):
            lines = [
                (
                    logging.WARNING,
                    "threads, tasks or exit handlers of the application do not end: the process ends without them",
                )
            ]
            if error is not None:
                lines.append((logging.ERROR, str(error)))
            _end(0 if error is None else 1, *lines)

    threading.Thread(target=watch, name="bide-leave", daemon=True).start()
    return done


def _end(status: int, *lines: tuple[int, str]) -> NoReturn:
    """Log these lines, and end the process: in LEAVE, too, if another thread holds the log, or nobody reads it."""

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
    finally:  # no thread can be started, or a signal interrupts the wait
        os._exit(status)

"""Says what a signal means to the supervisor."""

from __future__ import annotations

import contextlib
import signal
from enum import Enum
from pathlib import Path
from typing import Final

_TERMINAL: Final = Path("/dev/tty")  # of this process, whichever that is


class Word(Enum):
    """Names what an operator can ask for."""

    STOP = "stop"  # drain all workers; the second time, without waiting
    RELOAD = "reload"  # replace all workers
    UPGRADE = "upgrade"  # replace the supervisor, too
    REOPEN = "reopen"  # open the log files anew
    MORE = "more"  # one worker more
    FEWER = "fewer"  # one worker fewer


#: nginx and gunicorn give these signals the same meanings.
SIGNALS: Final[dict[signal.Signals, Word]] = {
    signal.SIGTERM: Word.STOP,
    signal.SIGINT: Word.STOP,
    signal.SIGQUIT: Word.STOP,
    signal.SIGHUP: Word.RELOAD,
    signal.SIGUSR1: Word.REOPEN,
    signal.SIGUSR2: Word.UPGRADE,
    signal.SIGTTIN: Word.MORE,
    signal.SIGTTOU: Word.FEWER,
}


def meaning(number: signal.Signals, *, had_terminal: bool) -> Word:
    """Return what a signal asks for.

    had_terminal: whether the supervisor was started on a terminal that it would leave with. SIGHUP
        then means that the terminal is gone, if it is.
    """
    if number is signal.SIGHUP and had_terminal and not has_terminal():
        return Word.STOP
    return SIGNALS[number]


def has_terminal() -> bool:
    """Return whether this process has a terminal."""
    with contextlib.suppress(OSError), _TERMINAL.open("rb"):
        return True
    return False

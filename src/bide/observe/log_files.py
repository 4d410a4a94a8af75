"""Opens log files for appending, and again after they were renamed.

Several processes may append to one file. Each call of `write` is one write to the system, so their
lines stay whole.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable
from typing import ClassVar, Final, Protocol, final

_log = logging.getLogger("bide")

# As `open`: the umask takes away what it takes away of every file.
_MODE: Final = 0o666


class Stream(Protocol):
    """Takes the text of a log: a LogFile, or a standard stream."""

    def write(self, text: str, /) -> int:
        """Write the text."""

    def flush(self) -> None:
        """Write what is kept."""


@final
class LogFile:
    """Appends text to a file. It never keeps any.

    opened: all that are open in this process. It is replaced, as a signal may come meanwhile.
    is_pipe: whether it is a pipe, which mixes long writes of several processes.
    """

    opened: ClassVar[tuple[LogFile, ...]] = ()

    def __init__(self, path: str) -> None:
        """Open the file, or make it. Raises OSError."""
        self._path = os.path.abspath(path)  # noqa: PTH100  # the application may change the folder
        self._fd = _descriptor(self._path)
        self.is_pipe = stat.S_ISFIFO(os.fstat(self._fd).st_mode)
        LogFile.opened = (*LogFile.opened, self)

    def write(self, text: str, /) -> int:
        """Append the text. Raises OSError."""
        octets = text.encode("utf-8", "backslashreplace")
        while octets:  # a full disk takes a part, then none
            octets = octets[os.write(self._fd, octets) :]
        return len(text)

    def flush(self) -> None:
        """Do nothing: all is written."""

    def reopen(self) -> None:
        """Go on in the file that has the name now. Raises OSError; then the old one stays.

        May be called in a signal handler and on any thread: the descriptor stays, and each write
        goes to one of the files as a whole.
        """
        fd = _descriptor(self._path)
        os.dup2(fd, self._fd, inheritable=False)
        os.close(fd)

    def close(self) -> None:
        """Close the file. What is written from now on raises OSError."""
        LogFile.opened = tuple(file for file in LogFile.opened if file is not self)
        fd, self._fd = self._fd, -1
        os.close(fd)

    def __str__(self) -> str:
        """Return the path."""
        return self._path


def reopen() -> list[str]:
    """Open all log files of this process again. Return a sentence about each that cannot be."""
    failed = []
    for file in LogFile.opened:
        try:
            file.reopen()
        except OSError as error:
            failed.append(f"log file {str(file)!r} cannot be opened: {error.strerror}; the one before is written on")
    return failed


def report(failed: Iterable[str]) -> None:
    """Log which files `reopen` could not open."""
    for sentence in failed:
        _log.error("%s", sentence)


def _descriptor(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)

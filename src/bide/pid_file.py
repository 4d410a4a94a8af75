"""Keeps the file that names the process which takes the server's signals."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from pathlib import Path
from typing import Final, final

from bide.errors import ConfigError

_log = logging.getLogger("bide")

# As gunicorn: everybody may read whom to signal.
_MODE: Final = 0o644

# A file is written after its process began. Its time may be rounded down, to a second or two.
_ROUNDING_S: Final = 2.0


@final
class PidFile:
    """Writes the file once the server accepts, and removes it at its end."""

    def __init__(self, path: str) -> None:
        """Keep the path. Raises ConfigError if another server lives that wrote the file."""
        self._path = Path(path).absolute()  # the application may change the folder
        folder = self._path.parent
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(
                f"pid_file must be in a folder that can be written, got {path!r}; choose another, or make the folder"
            )
        other = self._read()
        if other is not None and other != os.getpid() and _has_written(other, self._path):
            raise ConfigError(
                f"pid_file must belong to no other server, got {path!r} of process {other}, which runs; "
                "stop it, or choose another file"
            )

    def write(self) -> None:
        """Write the process id, unless it is there. The log says if that fails."""
        if self._read() == os.getpid():
            return
        made = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            made.write_text(f"{os.getpid()}\n", "ascii")
            made.chmod(_MODE)
            made.replace(self._path)
        except OSError as error:
            _log.error("pid file %r cannot be written: %s", str(self._path), error.strerror)

    def remove(self) -> None:
        """Remove the file, unless it names another process by now."""
        if self._read() == os.getpid():
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _read(self) -> int | None:
        """Return the process id in the file; None without one."""
        try:
            pid = int(self._path.read_text("ascii"))
        except (OSError, ValueError):
            return None
        return pid if pid > 0 else None


def _has_written(pid: int, path: Path) -> bool:
    """Return whether a process lives, and may have written the file.

    A process that began after the file was written only has the id of the one that wrote it.
    """
    try:
        os.kill(pid, 0)
    except PermissionError:  # another user's
        pass
    except (OSError, OverflowError):
        return False
    try:
        began = _began(pid)
        return began is None or began <= path.stat().st_mtime + _ROUNDING_S
    except OSError:  # it has ended meanwhile
        return False


def _began(pid: int) -> float | None:
    """Return when a process began, in seconds of the time of day. Raises OSError.

    Returns None on systems that do not tell.
    """
    if not Path("/proc/self/stat").exists():
        return None
    fields = Path(f"/proc/{pid}/stat").read_text("latin-1").rpartition(")")[2].split()
    ticks = int(fields[19])  # proc(5): the 22nd; the name, which may hold anything, is the second
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age

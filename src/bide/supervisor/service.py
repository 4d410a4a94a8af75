"""Speaks with systemd: takes its sockets, and notifies it (sd_listen_fds(3), sd_notify(3))."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final, final

from bide.transport import sockets

_log = logging.getLogger("bide")

_FIRST_FD: Final = 3  # SD_LISTEN_FDS_START
_LISTEN: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_NOTIFY: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")

# Each notification while workers start or drain allows for this time more. They come once a second.
_EXTENSION_US: Final = 5_000_000

# Notifications in the time within which one must come.
_PER_WATCHDOG: Final = 2


def listening(environment: MutableMapping[str, str]) -> list[socket.socket]:
    """Return the listening sockets that systemd passes to this process.

    Removes the variables that tell of them. Raises ListenError for a descriptor that does not
    listen.
    """
    values = [environment.pop(name, "") for name in _LISTEN]
    if values[0] != str(os.getpid()) or not values[1].isdecimal():
        return []
    found = []
    for fd in range(_FIRST_FD, _FIRST_FD + int(values[1])):
        os.set_inheritable(fd, False)
        found.append(sockets.inherited(fd, "LISTEN_FDS"))
    if found:
        _log.info("listening on %d sockets of systemd, whatever --host, --port and --uds say", len(found))
    return found


@final
class Notifier:
    """Notifies systemd, if it wants to be.

    environment: the variables that it was made from.
    watchdog: seconds between two signs of life; 0 for none.
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Take the address from the variables, and remove them."""
        self.environment = {name: environment[name] for name in _NOTIFY if name in environment}
        address = environment.pop("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address  # an abstract one
        usec = environment.pop("WATCHDOG_USEC", "")
        pid = environment.pop("WATCHDOG_PID", "") or str(os.getpid())
        is_watched = bool(address) and usec.isdecimal() and pid == str(os.getpid())
        self.watchdog = int(usec) / 1e6 / _PER_WATCHDOG if is_watched else 0.0

    def ready(self, status: str) -> None:
        """Say that the server serves, after a start or a reload."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Say that a reload has begun."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=reloading")

    def stopping(self) -> None:
        """Say that the stop has begun."""
        self._send("STOPPING=1", "STATUS=stopping")

    def goes_on(self) -> None:
        """Say that a start or a stop goes on within its bounds."""
        self._send(f"EXTEND_TIMEOUT_USEC={_EXTENSION_US}")

    def lives(self) -> None:
        """Give a sign of life."""
        if self.watchdog:
            self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if self._address:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(lines).encode(), self._address)

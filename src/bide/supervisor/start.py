"""Starts the supervisor on its sockets: bound here, systemd's, or those of the program before."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Final

from bide.config import Config
from bide.errors import ApplicationError, ListenError
from bide.pid_file import PidFile
from bide.supervisor import handover, upgrade
from bide.supervisor.run import Supervisor
from bide.supervisor.service import Notifier, listening
from bide.supervisor.settings import SupervisorSettings, at_address
from bide.supervisor.template import become_reaper
from bide.supervisor.watch import require
from bide.supervisor.words import has_terminal
from bide.transport import sockets

_log = logging.getLogger("bide")

# Workers of a supervisor that has died may hold the address for as long as they drain.
_BIND_TRIES: Final = 30
_BIND_EVERY_S: Final = 0.1


def supervise(app: str, settings: SupervisorSettings, read: Callable[[], Config]) -> None:
    """Serve with several workers until a signal to stop.

    Raises ListenError, or ApplicationError if no worker could ever start.

    app: "module:attribute".
    read: returns the options as they are at a reload. Raises ConfigError.
    """
    # A terminal that closes sends SIGHUP. nohup has it ignored, and then it never comes from there.
    had_terminal = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and has_terminal()
    if settings.watched is not None:
        require(settings.watched)
    if settings.preload:
        become_reaper()
    if upgrade.is_trial(os.environ):
        return
    pid_file = None if settings.pid_file is None else PidFile(settings.pid_file)
    left = upgrade.taken(os.environ)
    state = None if left is None else handover.loaded(left)
    if state is None:
        notifier = Notifier(os.environ)
        opened = listening(os.environ)
        is_ours = not opened and settings.listening.fd is None
        opened, redirecting = _bound(settings, opened)
    else:
        notifier = Notifier(state.notify)
        opened, redirecting = list(state.sockets), list(state.redirecting)
        is_ours, had_terminal = state.is_ours, state.had_terminal
        settings = at_address(settings, state.address)  # options may have changed since
    supervisor = Supervisor(
        app,
        settings,
        opened,
        redirecting,
        read=read,
        is_ours=is_ours,
        had_terminal=had_terminal,
        notifier=notifier,
        pid_file=pid_file,
        state=state,
    )
    try:
        asyncio.run(supervisor.run())
    finally:
        supervisor.close_sockets()
        supervisor.remove_path()
        if pid_file is not None:
            pid_file.remove()
    if supervisor.failure:
        raise ApplicationError(supervisor.failure)


def _bound(
    settings: SupervisorSettings, opened: list[socket.socket]
) -> tuple[list[socket.socket], list[socket.socket]]:
    """Return the bound sockets: to serve on, and for plain HTTP, which is redirected.

    Waits for a while if an address is still in use.

    opened: sockets to serve on that are there already.
    """
    opened = opened or _tried(lambda: sockets.opened(settings.listening))
    port = settings.redirect_http
    if port is None:
        return opened, []
    try:
        return opened, _tried(lambda: sockets.tcp(settings.listening.host, port))
    except ListenError:
        sockets.close(opened)
        raise


def _tried(bind: Callable[[], list[socket.socket]]) -> list[socket.socket]:
    for tries in range(_BIND_TRIES):
        try:
            return bind()
        except ListenError as error:
            if getattr(error.__cause__, "errno", None) != errno.EADDRINUSE or tries + 1 == _BIND_TRIES:
                raise
            if not tries:
                _log.warning("%s; trying again for %g s", error, _BIND_TRIES * _BIND_EVERY_S)
            time.sleep(_BIND_EVERY_S)
    raise AssertionError

"""Imports the application once, then forks a worker for each descriptor that the supervisor passes.

The process that forks has no event loop. Each worker is forked by a process in between, which ends
at once: so it becomes a child of the supervisor (prctl(2), PR_SET_CHILD_SUBREAPER), and depends on
the template no more.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Final

from bide.channel import BLOCKED, NOT_FOR_WORKERS, NUMBER, Begin, Channel, ChannelError, Forked, Ready, Unfit
from bide.gateway.application import AnyApplication
from bide.observe import log_setup
from bide.server.loading import load
from bide.worker.settings import ProgramSettings

# The threads of this process, each as a folder (proc(5)).
_THREADS: Final = Path("/proc/self/task")

# For the first message, which is there before the fork. Longest process id, in digits.
_BEGIN_S: Final = 10.0
_MAX_DIGITS: Final = 20


def forked(begin: Begin, program: ProgramSettings, channel: Channel) -> tuple[AnyApplication, Begin, Channel]:
    """Import the application, and fork until the supervisor wants no more workers.

    Returns in each worker: the application, what to serve, and the worker's channel. It does not
    return in this process. Raises ApplicationError.

    channel: to this process.
    """
    for number in NOT_FOR_WORKERS:
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)
    app = load(begin.app, program.factory, program.app_dir)
    threads = _threads()
    if threads:  # a fork copies none of them, and locks that they hold stay locked
        channel.send(Unfit(threads))
        channel.close()
        os._exit(0)
    log_setup.configure(program.log_level, program.log_format)  # holds no file open that was rotated
    gc.collect()
    gc.freeze()  # a collection would write to the pages of all objects, and so copy them
    channel.send(Ready())
    while True:
        try:
            descriptor = channel.passed()
        except ChannelError:
            os._exit(0)
        signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
        process = _fork()
        if process is None:
            channel.close()
            mine = Channel(socket.socket(fileno=descriptor))
            begin = mine.wait(_BEGIN_S)
            os.environ[NUMBER] = str(begin.number)
            return app, begin, mine
        os.close(descriptor)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)
        channel.send(Forked(process))


def _fork() -> int | None:
    """Return the id of a new process, 0 if the system cannot start one; in that process, None."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()  # or both processes would write it
    receiving, sending = os.pipe()
    try:
        between = os.fork()
    except OSError:
        os.close(receiving)
        os.close(sending)
        return 0
    if not between:
        try:
            process = os.fork()
            if not process:
                os.close(receiving)
                os.close(sending)
                return None
            os.write(sending, str(process).encode())
        except OSError:
            os._exit(1)
        os._exit(0)
    os.close(sending)
    os.waitpid(between, 0)
    told = os.read(receiving, _MAX_DIGITS)
    os.close(receiving)
    return int(told or 0)


def _threads() -> str:
    """Return the names of the threads beside this one; "" if there are none."""
    others = len(list(_THREADS.iterdir())) - 1
    named = [thread.name for thread in threading.enumerate() if thread is not threading.current_thread()]
    if others > len(named):
        named.append(f"{others - len(named)} of a library")
    return ", ".join(named)

"""Runs a worker for a supervisor: says that its event loop turns, and obeys its orders."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import importlib.metadata
import logging
import math
import os
import platform
import signal
import socket
import sys
from typing import Final, NoReturn, final

from bide.channel import (
    BLOCKED,
    DESCRIPTOR,
    NOT_FOR_WORKERS,
    Answer,
    Ask,
    Beat,
    Begin,
    Channel,
    ChannelError,
    Drain,
    Draining,
    Failed,
    Hello,
    Hurry,
    Ready,
    Reopen,
)
from bide.config import Config
from bide.errors import StartError, Stopped
from bide.gateway.application import AnyApplication, Interface
from bide.observe import log_files, log_setup
from bide.page import Page
from bide.server.loading import own_traceback
from bide.server.server import loop_factory, run_program, start
from bide.server.signals import LEAVE, SIGNALS, Signals, leave_within
from bide.server.template import forked
from bide.terms import Cause
from bide.worker.pressure import resident_memory
from bide.worker.settings import WorkerSettings, program_settings
from bide.worker.share import Share
from bide.worker.worker import Worker

_log = logging.getLogger("bide")

# For the first message, which is there when the process starts.
_BEGIN_S: Final = 10.0
# Between beats. After a third of `timeout_blocked` without one the stacks are printed.
_BEAT_EVERY_S: Final = 0.95
_BEATS_PER_TIMEOUT: Final = 6


@final
class SupervisedWorker:
    """Serves as a worker of a supervisor."""

    def __init__(self, begin: Begin, channel: Channel, settings: WorkerSettings, signals: Signals) -> None:
        self._begin = begin
        self._channel = channel
        self._settings = settings
        self._signals = signals
        self._worker: Worker
        self._stop = asyncio.Event()
        self._drain: Drain | None = None  # the supervisor's order
        self._is_orphan = False
        self._beat_at = 0.0
        blocked = begin.options.get("timeout_blocked") or math.inf
        self._beat_every = min(_BEAT_EVERY_S, blocked / _BEATS_PER_TIMEOUT)

    async def serve(self, app: AnyApplication, interface: Interface) -> None:
        """Serve until an order, a signal or the end of the supervisor."""
        loop = asyncio.get_running_loop()
        inherited = [socket.socket(fileno=fd) for fd, _ in self._begin.sockets]
        ours = [sock for sock, (_, is_ours) in zip(inherited, self._begin.sockets, strict=True) if is_ours]
        page = Page(self._begin.page, self._begin.number)
        options = self._begin.options
        share = Share(
            ours,
            self._swept,
            page,
            redirecting=[socket.socket(fileno=fd) for fd in self._begin.redirecting],
            shares_limit=bool(options.get("limit_connections")),
            may_rebalance=bool(options.get("rebalance", True)),
        )
        worker = self._worker = Worker(self._settings, app, inherited, interface=interface, share=share)
        loop.add_reader(self._channel.fileno(), self._read)
        try:
            if await start(worker, self._signals, self._stop):
                self._channel.send(Ready(worker.urls))
                _log.debug("ready (process %d)", os.getpid())
                await self._stop.wait()
                await self._end()
        finally:
            loop.remove_reader(self._channel.fileno())

    async def _end(self) -> None:
        """Drain as ordered; after a signal, beside the others; as an orphan, as the last one."""
        draining = self._settings.draining
        order = self._drain
        if order is not None:
            is_last = order.is_last
            delay = draining.delay if is_last else 0.0
            draining = draining._replace(timeout=order.seconds, delay=min(delay, order.seconds))
            cause = order.cause
        else:
            is_last = self._is_orphan
            draining = draining._replace(delay=0.0)
            cause = (Cause.HANGUP if is_last else Cause.SIGNAL).value
        if self._begin.options.get("reload") and order is not None and not is_last:
            # In development no browser is to get old code: what is idle ends at once.
            draining = draining._replace(idle=0.0, streams=0.0, tunnels=0.0)
        self._channel.send(Draining(cause))
        await self._worker.stop(draining, is_last=is_last)
        self._channel.send(self._figures(is_final=True))

    # -- The channel -------------------------------------------------------------------------------

    def _swept(self, now: float) -> None:
        if now - self._beat_at >= self._beat_every:
            self._beat_at = now
            self._channel.send(self._figures(), may_be_dropped=True)

    def _figures(self, *, is_final: bool = False) -> Beat:
        return Beat(self._worker.snapshot(), resident_memory(), is_final)

    def _read(self) -> None:
        try:
            messages = self._channel.receive()
        except ChannelError:
            self._is_orphan = self._drain is None
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            if not self._stop.is_set():
                _log.warning("the supervisor is gone: the worker drains")
            self._stop.set()
            return
        for message in messages:
            if isinstance(message, Drain):
                self._drain = message
                self._worker.expect_stop()
                self._stop.set()
            elif isinstance(message, Hurry):
                self._worker.force_stop()
            elif isinstance(message, Ask):
                self._channel.send(Answer(message.number, self._worker.connections(message.limit)))
            elif isinstance(message, Reopen):
                log_files.report(log_files.reopen())


def main() -> NoReturn:
    """Run a worker until its end. Status 1 means that it could not start, and has said why."""
    faulthandler.enable()  # prints the stacks at SIGABRT
    faulthandler.register(signal.SIGXCPU, all_threads=True)
    descriptor = int(os.environ.pop(DESCRIPTOR))
    os.set_inheritable(descriptor, False)  # otherwise programs of the application would keep it open
    channel = Channel(socket.socket(fileno=descriptor))
    try:
        begin: Begin = channel.wait(_BEGIN_S)
    except ChannelError:  # the supervisor is gone already
        sys.exit(1)
    for fd in (begin.page, *(fd for fd, _ in begin.sockets), *begin.redirecting):
        os.set_inheritable(fd, False)
    failure: StartError | None = None
    try:
        app: AnyApplication | str = begin.app
        if begin.is_template:
            program = program_settings(Config(**begin.options))
            log_setup.configure(program.log_level, program.log_format, path=program.log_file)
            loop_factory(program.loop)  # imports it
            app, begin, channel = forked(begin, program, channel)
        channel.send(Hello(os.getpid(), importlib.metadata.version("bide"), platform.python_version()))
        _run(begin, channel, app)
    except StartError as error:
        failure = error
        channel.send(Failed(" ".join(str(error).split()), own_traceback(error)))
    channel.close()
    for number in SIGNALS:  # from here on there is nothing left to stop
        signal.signal(number, signal.SIG_IGN)
    leave_within(LEAVE, failure)
    sys.exit(0 if failure is None else 1)


def _run(begin: Begin, channel: Channel, app: AnyApplication | str) -> None:
    """Serve until the end. Raises StartError."""
    config = Config(**begin.options)
    program = program_settings(config)
    log_setup.configure(program.log_level, program.log_format, begin.number, program.log_file)
    with Signals((signal.SIGTERM,)) as signals:
        for number in NOT_FOR_WORKERS:
            signal.signal(number, lambda *_: None)
        with contextlib.suppress(Stopped):  # by a signal that came before
            signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)
            worker = SupervisedWorker(begin, channel, WorkerSettings(config), signals)
            run_program(app, program, worker.serve, signals)

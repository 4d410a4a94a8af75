"""Runs the supervisor: whatever happens in its event loop becomes a fact about the workers.

Nothing waits within an action. So a signal in the middle of a reload, or a crash in the middle of
a drain, is a fact like any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, final

from bide.channel import Begin
from bide.config import Config
from bide.errors import StartError
from bide.observe import log_files
from bide.pid_file import PidFile
from bide.policy.staffing import FOREVER, Fleet, is_alive
from bide.supervisor import handover, upgrade
from bide.supervisor.announcer import STOPPING, Announcer
from bide.supervisor.control import Control, opened_control
from bide.supervisor.epochs import Bound, Epochs
from bide.supervisor.failure_page import FailurePage
from bide.supervisor.handover import State
from bide.supervisor.process import Process
from bide.supervisor.service import Notifier
from bide.supervisor.settings import SupervisorSettings, address, renewed
from bide.supervisor.status import status_of
from bide.supervisor.watch import watch
from bide.supervisor.words import SIGNALS, Word, meaning
from bide.supervisor.workers import Workers
from bide.transport import sockets

_log = logging.getLogger("bide")

# The supervisor looks at its own clock this often. If it comes later than that by _LATE_S, it did
# not run meanwhile: the machine slept, or it was stopped.
_TURN_EVERY_S: Final = 1.0
_LATE_S: Final = 1.0

# From the end of a trial to the upgrade, so that the answer leaves; between looks whether nothing
# is in its way.
_ANSWER_S: Final = 0.1
_REPLACE_LOOK_EVERY_S: Final = 0.05


@final
class Supervisor:
    """Takes signals, what an operator asks for, and the news of processes."""

    def __init__(
        self,
        app: str,
        settings: SupervisorSettings,
        opened: list[socket.socket],
        redirecting: list[socket.socket],
        *,
        read: Callable[[], Config],
        is_ours: bool,
        had_terminal: bool,
        notifier: Notifier,
        pid_file: PidFile | None = None,
        state: State | None = None,
        new_process: Callable[[Begin], Process] = Process,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep what to serve.

        opened, redirecting: bound sockets, as the settings describe them.
        read: returns the options as they are at a reload. Raises ConfigError.
        is_ours: whether no other server listens on `opened`.
        had_terminal: whether SIGHUP may mean that the terminal is gone.
        state: of the program that this one replaces; None if it starts the workers.
        """
        self._epochs = Epochs(settings, Bound(opened, settings.listening.uds if is_ours else None))
        self._read_options = read
        self._redirecting = redirecting
        self._is_ours = is_ours
        self._had_terminal = had_terminal
        self._notifier = notifier
        self._turn_every = min(_TURN_EVERY_S, notifier.watchdog or _TURN_EVERY_S)
        self._workers = Workers(
            app, self._epochs, redirecting, is_ours=is_ours, new_process=new_process, clock=clock, state=state
        )
        self._upgrading: asyncio.Task[str] | None = None
        self._asked_upgrade: asyncio.Task[str] | None = None  # by a signal
        self._trial: upgrade.Trial | None = None
        self._clock = clock
        self._over = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self._next_look: asyncio.TimerHandle | None = None
        self._turn: asyncio.TimerHandle | None = None
        self._turned_at = clock()
        self._control: Control | None = None
        self._failure_page: FailurePage | None = None
        generation = self._workers.fleet.generation
        if state is None:
            self._announcer = Announcer(notifier, pid_file, generation)
        else:
            self._announcer = Announcer(notifier, pid_file, generation, announced=state.announced, urls=state.urls)

    @property
    def failure(self) -> str:
        """Why no worker could ever start; "" otherwise."""
        return self._workers.failure

    @property
    def _fleet(self) -> Fleet:
        return self._workers.fleet

    @property
    def _settings(self) -> SupervisorSettings:
        return self._epochs.current.settings

    @property
    def _sockets(self) -> list[socket.socket]:
        return self._epochs.current.bound.opened

    async def run(self) -> None:
        """Run until all workers have ended after a stop."""
        self._loop = asyncio.get_running_loop()
        self._workers.begin(self._loop, read=self.read, look=self.reap)
        self._control = await opened_control(self._settings.control, self)
        for number in SIGNALS:
            self._loop.add_signal_handler(number, self.signalled, number)
        self._loop.add_signal_handler(signal.SIGCHLD, self.reap)
        if self._fleet.has_gap:  # from now on connections wait, whether a worker is there or not
            for sock in self._sockets:
                sock.listen(self._settings.listening.backlog)
        if self._workers.members:
            self._go_on()
        else:
            _log.info("starting %d workers (process %d)", self._fleet.wanted, os.getpid())
        self._turning()
        watching = self._loop.create_task(self._watch())
        with self._settling():
            pass
        await self._over.wait()
        await watching
        for timer in (self._turn, self._next_look):
            if timer is not None:
                timer.cancel()
        if self._control is not None:
            await self._control.stop()
        if not self.failure:
            _log.info("stopped")

    async def _watch(self) -> None:
        """In development: watch the files until the end."""
        watched = self._settings.watched
        if watched is not None:
            try:
                await watch(watched, self._changed, self._over)
            except (OSError, RuntimeError) as error:
                _log.error("files are watched no more: %s; SIGHUP still reloads", error)
        if self._failure_page is not None:
            await self._failure_page.close()

    def _changed(self, paths: list[str]) -> None:
        if not self._fleet.is_stopping:
            _log.info("%s changed%s", paths[0], f", and {len(paths) - 1} more" if len(paths) > 1 else "")
            self.asked(Word.RELOAD)

    def _show_failure(self) -> None:
        """In development: answer in the place of a worker that failed, until another one starts."""
        has_failed = self._fleet.has_gap and self._fleet.not_before == FOREVER and not self._fleet.is_stopping
        if has_failed:
            if self._failure_page is None:
                self._failure_page = FailurePage(self._settings.options)
            failure = f"{self._workers.traceback}\n{self._workers.reason}"
            again = "The application is started again when a file changes."
            self._failure_page.show(self._sockets, f"{failure}\n\n{again}\n".lstrip())
        elif self._failure_page is not None:
            self._failure_page.hide()

    # -- What an operator may ask ------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Return what is known of the server, as plain values."""
        workers = self._workers
        return status_of(workers.fleet, workers.members, self._announcer, workers.figures(), self._clock())

    def figures(self) -> dict[str, Any]:
        """Return the figures of all workers, including workers that have ended."""
        return self._workers.figures()

    async def connections(self) -> dict[str, Any]:
        """Return what workers know of their open connections, and which workers did not tell."""
        return await self._workers.connections()

    def stop(self) -> None:
        """Drain all workers, then end; the second time, without waiting."""
        self.asked(Word.STOP)

    def recycle(self, number: int) -> bool:
        """Replace a worker; return whether there is one of that number that is ready."""
        with self._settling():
            return self._workers.recycle(number)

    async def reload(self) -> str:
        """Reload; return why it failed, "" if it did not."""
        if self._fleet.is_stopping:
            return STOPPING
        before = self._fleet.newest
        self.asked(Word.RELOAD)
        if self._fleet.newest == before:
            return self._announcer.failed_reload
        return await self._announcer.ended(self._fleet.newest)

    async def upgrade(self) -> str:
        """Replace this program by that on the disk, then reload; return why not, "" if it will be.

        A trial shows whether the new program could run.
        """
        if self._fleet.is_stopping:
            return STOPPING
        if self._upgrading is None or self._upgrading.done():
            self._upgrading = self._loop.create_task(self._try_upgrade())
        return await self._upgrading

    async def _try_upgrade(self) -> str:
        _log.info("upgrading: the new program is tried")
        try:
            trial = self._trial = upgrade.Trial()
        except OSError as error:
            return f"the system cannot start a process: {error.strerror}"
        reason = await trial.result()
        self._trial = None
        if reason:
            _log.error("upgrade refused: %s; this program goes on", reason)
        else:
            self._loop.call_later(_ANSWER_S, self._replace_soon)
        return reason

    def _replace_soon(self) -> None:
        self._upgrading = self._loop.create_task(self._replace())

    async def _replace(self) -> str:
        """Replace this program, which ends here."""
        while self._epochs.has_moved or not self._workers.has_processes:
            await asyncio.sleep(_REPLACE_LOOK_EVERY_S)
        if self._control is not None:
            await self._control.stop()
            self._control = None
        if self._fleet.is_stopping:
            return STOPPING
        state = self._state()
        try:
            upgrade.replace(handover.dumped(state), handover.descriptors(state), tuple(SIGNALS))
        except OSError as error:
            _log.error("upgrade failed: %s; this program goes on", error.strerror)
            self._control = await opened_control(self._settings.control, self)
            return str(error.strerror)

    def _state(self) -> State:
        return State(
            fleet=self._fleet,
            members=self._workers.members,
            sockets=self._sockets,
            redirecting=self._redirecting,
            page=self._workers.page,
            totals=self._workers.totals.kept(),
            is_ours=self._is_ours,
            had_terminal=self._had_terminal,
            notify=self._notifier.environment,
            announced=self._announcer.announced,
            urls=self._announcer.urls,
            address=address(self._settings),
        )

    def _go_on(self) -> None:
        """Go on with the workers of the program before, and replace them."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        version = importlib.metadata.version("bide")
        count = len(self._workers.members)
        _log.info("upgraded to bide %s (process %d): %d workers adopted", version, os.getpid(), count)
        with self._settling():
            self._workers.adopted()
        self.reap()
        self.asked(Word.RELOAD)

    # -- Facts -------------------------------------------------------------------------------------

    def signalled(self, number: signal.Signals) -> None:
        """Take a signal."""
        self.asked(meaning(number, had_terminal=self._had_terminal))

    def asked(self, word: Word) -> None:
        """Take what an operator asks for."""
        with self._settling():
            if word is Word.STOP:
                if not self._fleet.is_stopping:
                    self._notifier.stopping()
                    _log.info("stopping: every response now says close; a second signal stops at once")
                self._workers.stop()
            elif word is Word.REOPEN:
                log_files.report(log_files.reopen())
                self._workers.reopen()
                _log.info("log files opened again")
            elif self._fleet.is_stopping:
                return
            elif word is Word.RELOAD:
                self._notifier.reloading()
                try:
                    self._read_settings()
                except StartError as error:
                    self._announcer.refused(" ".join(str(error).split()))
                    return
                self._workers.reload()
                _log.info("reloading: new workers start (generation %d)", self._fleet.generation)
            elif word is Word.UPGRADE:
                self._asked_upgrade = self._loop.create_task(self.upgrade())
            elif word is Word.MORE or word is Word.FEWER:
                self._workers.resize(1 if word is Word.MORE else -1)
                _log.info("%d workers wanted", self._fleet.wanted)

    def _read_settings(self) -> None:
        """Read the options again, and bind if the address has changed.

        Raises ConfigError or ListenError.
        """
        may_move = self._is_ours and not self._redirecting and not self._fleet.has_gap
        settings, kept = renewed(self._settings, self._read_options(), may_move=may_move)
        self._epochs.begin(self._fleet.newest + 1, settings)
        if kept:
            _log.warning("%s changed, which takes a restart", ", ".join(f"--{name.replace('_', '-')}" for name in kept))

    def reap(self) -> None:
        """Take the news that a process has ended."""
        with self._settling():
            self._workers.reap([] if self._trial is None else [self._trial.pid])

    def read(self, number: int) -> None:
        """Take the messages of a worker."""
        with self._settling():
            self._workers.read(number)

    # -- What follows ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _settling(self) -> Iterator[None]:
        """Take facts, then carry out what follows from them."""
        self._wake()
        try:
            yield
        finally:  # a message that makes no sense concerns one worker only
            self._settle()

    def _settle(self) -> None:
        look_at = self._workers.settle()
        self._show_failure()
        if self._next_look is not None:
            self._next_look.cancel()
        if look_at < FOREVER:
            self._next_look = self._loop.call_later(max(0.0, look_at - self._clock()), self._look)
        if self._fleet.is_stopping:
            if self._sockets:
                self._loop.call_later(self._settings.drain_delay, self.remove_path)
            self.close_sockets()
            self._announcer.stopping(self._fleet)
            if not self._fleet.workers:
                self._over.set()
        else:
            workers = self._workers
            self._announcer.look(workers.fleet, workers.members, workers.reason, workers.traceback)

    def close_sockets(self) -> None:
        """Let go of the sockets, so that the last worker's close is the end of them."""
        self._epochs.close()
        sockets.close(self._redirecting)

    def remove_path(self) -> None:
        """Remove the name of a Unix socket, once: later it may be another server's."""
        self._epochs.remove_paths()

    # -- Time --------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Read what the workers have said, then see which clocks have expired."""
        with self._settling():
            self._workers.read_all()

    def _turning(self) -> None:
        self._wake()
        self._turn = self._loop.call_later(self._turn_every, self._turning)
        now = self._clock()
        if is_alive(self._fleet, now):
            self._notifier.lives()
            if self._fleet.is_stopping or not self._announcer.announced:
                self._notifier.goes_on()

    def _wake(self) -> None:
        """Take the time, and leave out time in which this process did not run."""
        now = self._clock()
        late = now - self._turned_at - self._turn_every
        self._turned_at = now
        if late > _LATE_S:
            _log.warning("the supervisor was not run for %.3g s", late)
            self._workers.slept(late)

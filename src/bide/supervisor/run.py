"""Runs the supervisor: facts from processes and signals in, the orders of the plan out.

Nothing waits within an action. So a signal in the middle of a reload, or a crash in the middle of
a drain, is a fact like any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, final

from bide.channel import (
    Answer,
    Beat,
    Begin,
    ChannelError,
    Drain,
    Draining,
    Failed,
    Hurry,
    Ready,
    Reopen,
)
from bide.config import Config
from bide.errors import StartError
from bide.observe import log_files
from bide.observe.totals import Totals
from bide.page import Page, new_page
from bide.pid_file import PidFile
from bide.policy.recycling import cause
from bide.policy.staffing import (
    FOREVER,
    Fleet,
    Order,
    due,
    is_alive,
    is_settled,
    obeyed,
    plan,
    reloaded,
    resized,
    slept,
    stopped,
    told,
)
from bide.supervisor import handover, upgrade
from bide.supervisor.announcer import STOPPING, Announcer
from bide.supervisor.control import Control, opened_control
from bide.supervisor.epochs import Bound, Epochs
from bide.supervisor.failure_page import FailurePage
from bide.supervisor.fleet import Member
from bide.supervisor.handover import State
from bide.supervisor.process import Process, reap_orphans
from bide.supervisor.questions import Questions
from bide.supervisor.service import Notifier
from bide.supervisor.settings import SupervisorSettings, address, renewed
from bide.supervisor.status import status_of
from bide.supervisor.templates import Templates
from bide.supervisor.watch import watch
from bide.supervisor.words import SIGNALS, Word, meaning
from bide.terms import Cause, WorkerInput, WorkerOrder, WorkerState
from bide.transport import sockets

_log = logging.getLogger("bide")

# The supervisor looks at its own clock this often. If it comes later than that by _LATE_S, it did
# not run meanwhile: the machine slept, or it was stopped.
_TURN_EVERY_S: Final = 1.0
_LATE_S: Final = 1.0

# States of a worker that serves, or may still do so.
_SERVING: Final = (WorkerState.STARTING, WorkerState.READY, WorkerState.LOST)

# From the end of a trial to the upgrade, so that the answer leaves; between looks whether nothing
# is in its way.
_ANSWER_S: Final = 0.1
_REPLACE_LOOK_EVERY_S: Final = 0.05


@final
class Supervisor:
    """Starts, replaces and stops workers.

    failure: why no worker could ever start; "" otherwise.
    """

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
        self._app = app
        self._epochs = Epochs(settings, Bound(opened, settings.listening.uds if is_ours else None))
        self._read_options = read
        self._redirecting = redirecting
        self._is_ours = is_ours
        self._had_terminal = had_terminal
        self._notifier = notifier
        self._turn_every = min(_TURN_EVERY_S, notifier.watchdog or _TURN_EVERY_S)
        self._page = new_page() if state is None else state.page
        self._counts = Page(self._page)
        self._totals = Totals(None if state is None else state.totals)
        self._upgrading: asyncio.Task[str] | None = None
        self._asked_upgrade: asyncio.Task[str] | None = None  # by a signal
        self._trial: upgrade.Trial | None = None
        self._new_process = new_process
        self._clock = clock
        self._templates: Templates
        self._members: dict[int, Member] = {}
        self._over = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self._next_look: asyncio.TimerHandle | None = None
        self._turn: asyncio.TimerHandle | None = None
        self._turned_at = clock()
        self._control: Control | None = None
        self._questions = Questions()
        self._reason = ""  # of the last early end
        self._traceback = ""
        self.failure = ""
        self._failure_page: FailurePage | None = None
        has_gap = settings.watched is not None
        self._fleet = Fleet(settings.bounds, settings.wanted, settings.processors, has_gap)
        if state is None:
            self._announcer = Announcer(notifier, pid_file, self._fleet.generation)
        else:  # the workers of the program before
            self._fleet, self._members = state.fleet, dict(state.members)
            self._announcer = Announcer(
                notifier, pid_file, self._fleet.generation, announced=state.announced, urls=state.urls
            )

    @property
    def _settings(self) -> SupervisorSettings:
        return self._epochs.current.settings

    @property
    def _sockets(self) -> list[socket.socket]:
        return self._epochs.current.bound.opened

    async def run(self) -> None:
        """Run until all workers have ended after a stop."""
        self._loop = asyncio.get_running_loop()
        self._templates = Templates(self._loop, self.reap, self._new_process, preload=self._settings.preload)
        self._control = await opened_control(self._settings.control, self)
        for number in SIGNALS:
            self._loop.add_signal_handler(number, self.signalled, number)
        self._loop.add_signal_handler(signal.SIGCHLD, self.reap)
        if self._fleet.has_gap:  # from now on connections wait, whether a worker is there or not
            for sock in self._sockets:
                sock.listen(self._settings.listening.backlog)
        if self._members:
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
            again = "The application is started again when a file changes."
            self._failure_page.show(self._sockets, f"{self._traceback}\n{self._reason}\n\n{again}\n".lstrip())
        elif self._failure_page is not None:
            self._failure_page.hide()

    def figures(self) -> dict[str, Any]:
        """Return the figures of all workers, those that have ended included."""
        return self._totals.of(member.snapshot for member in self._members.values())

    # -- What an operator may ask ------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Return what is known of the server, as plain values."""
        return status_of(self._fleet, self._members, self._announcer, self.figures(), self._clock())

    async def connections(self) -> dict[str, Any]:
        """Return what workers know of their open connections, and which workers did not tell."""
        return await self._questions.ask(self._members)

    def stop(self) -> None:
        """Drain all workers, then end; the second time, without waiting."""
        self.asked(Word.STOP)

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
        while self._epochs.has_moved or not all(member.process.pid for member in self._members.values()):
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
            members=self._members,
            sockets=self._sockets,
            redirecting=self._redirecting,
            page=self._page,
            totals=self._totals.kept(),
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
        _log.info("upgraded to bide %s (process %d): %d workers adopted", version, os.getpid(), len(self._members))
        with self._settling():
            for number, member in list(self._members.items()):
                if member.process.channel.fileno() >= 0:
                    self._loop.add_reader(member.process.channel.fileno(), self.read, number)
                self._read(number)
        self.reap()
        self.asked(Word.RELOAD)

    def recycle(self, number: int) -> bool:
        """Replace a worker; return whether there is one of that number that is ready."""
        with self._settling():
            before = self._fleet
            if number in self._members:
                self._fleet = due(before, number, Cause.ASKED)
            return self._fleet is not before

    # -- Facts -------------------------------------------------------------------------------------

    def signalled(self, number: signal.Signals) -> None:
        """Take a signal."""
        self.asked(meaning(number, had_terminal=self._had_terminal))

    def asked(self, word: Word) -> None:
        """Take what an operator asks for."""
        with self._settling():
            now = self._clock()
            if word is Word.STOP:
                if not self._fleet.is_stopping:
                    self._notifier.stopping()
                    _log.info("stopping: every response now says close; a second signal stops at once")
                self._fleet = stopped(self._fleet, now)
            elif word is Word.REOPEN:
                log_files.report(log_files.reopen())
                for member in self._members.values():
                    member.process.channel.send(Reopen())
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
                self._fleet = reloaded(self._fleet, now, self._settings.wanted, self._settings.bounds)
                self._reason = self._traceback = ""
                _log.info("reloading: new workers start (generation %d)", self._fleet.generation)
            elif word is Word.UPGRADE:
                self._asked_upgrade = self._loop.create_task(self.upgrade())
            elif word is Word.MORE or word is Word.FEWER:
                self._fleet = resized(self._fleet, 1 if word is Word.MORE else -1)
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
            for process, failed in self._templates.take():
                for number, member in list(self._members.items()):
                    if member.process is process:
                        self._received(number, member, failed)
            for number, member in list(self._members.items()):
                if member.process.has_ended():
                    self._ended(number, member)
            if self._templates.is_forking:
                return  # a child has no known id yet; the news of it brings the next look
            ours = [*(member.process.pid for member in self._members.values()), *self._templates.pids]
            reap_orphans(ours if self._trial is None else [*ours, self._trial.pid], is_reaper=self._settings.preload)

    def read(self, number: int) -> None:
        """Take the messages of a worker."""
        with self._settling():
            self._read(number)

    def _read(self, number: int) -> None:
        member = self._members[number]
        channel = member.process.channel
        try:
            messages = channel.receive() if channel.fileno() >= 0 else []
        except ChannelError:
            self._loop.remove_reader(channel.fileno())
            channel.close()
            self._tell(number, WorkerInput.HANGUP)
            return
        for message in messages:
            self._received(number, member, message)

    def _received(self, number: int, member: Member, message: Any) -> None:  # noqa: ANN401
        if isinstance(message, Beat):
            before = member.memory
            member.snapshot, member.memory, member.beat_at = message.snapshot, message.memory, self._clock()
            self._tell(number, WorkerInput.BEAT)
            age = self._clock() - self._fleet.worker(number).ready_at
            requests = member.snapshot.get("requests", 0)
            reached = cause(member.limits, requests, age, member.memory, before)
            if reached is not None:
                self._fleet = due(self._fleet, number, reached)
        elif isinstance(message, Ready):
            member.urls = list(message.urls)
            _log.info("worker %d ready (process %d)", number, member.process.pid)
            self._tell(number, WorkerInput.READY)
        elif isinstance(message, Failed):
            member.failure, member.traceback = message.text, message.traceback
            self._reason, self._traceback = message.text, message.traceback
            self._tell(number, WorkerInput.FAILED)
        elif isinstance(message, Answer):
            self._questions.answered(message)
        elif isinstance(message, Draining):
            if self._fleet.worker(number).state is WorkerState.READY:
                _log.info("worker %d (process %d) drains: %s", number, member.process.pid, message.cause)
            member.accepts = False
            self._tell(number, WorkerInput.DRAINS)

    def _tell(self, number: int, event: WorkerInput) -> None:
        """Report a fact to the policy. If a worker failed, say so, and when the next one starts."""
        before = self._fleet
        self._fleet = told(before, number, event, self._clock())
        if self._fleet.strikes > before.strikes and self._fleet.has_gap:
            traceback = f"{self._traceback}" if self._traceback else ""
            _log.error("%s%s; it is started again when a file changes", traceback, self._reason)
        elif self._fleet.strikes > before.strikes and self._fleet.good:
            seconds = max(0.0, self._fleet.not_before - self._clock())
            _log.error(
                "worker failed (%d in a row): %s; next start in %.3g s", self._fleet.strikes, self._reason, seconds
            )

    def _ended(self, number: int, member: Member) -> None:
        """Take the end of a process: first what it had said."""
        with contextlib.suppress(ChannelError):
            while member.process.channel.fileno() >= 0 and (messages := member.process.channel.receive()):
                for message in messages:
                    self._received(number, member, message)
        how = member.process.end()
        worker = self._fleet.worker(number)
        if worker.state in (WorkerState.STARTING, WorkerState.READY, WorkerState.LOST):
            when = "before it was ready" if worker.ready_at == FOREVER else "after it had been ready"
            self._reason = f"worker {number} (process {member.process.pid}) ended {when}: {how}"
            _log.warning("%s", self._reason)
        else:
            _log.info("worker %d (process %d) ended: %s", number, member.process.pid, how)
        self._tell(number, WorkerInput.EXIT)
        if member.process.channel.fileno() >= 0:
            self._loop.remove_reader(member.process.channel.fileno())
            member.process.channel.close()
        self._totals.ended(member.snapshot)
        self._counts.clear(number)
        del self._members[number]

    # -- Orders ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _settling(self) -> Iterator[None]:
        """Take facts, then carry out what follows from them."""
        self._wake()
        try:
            yield
        finally:  # a message that makes no sense concerns one worker only
            self._settle()

    def _settle(self) -> None:
        if self._epochs.fall_back(self._fleet.generation):  # a reload has failed, and with it its options
            self._fleet = self._fleet._replace(wanted=self._settings.wanted, bounds=self._settings.bounds)
        orders, look_at = plan(self._fleet, self._clock())
        while orders:
            for order in orders:
                self._carry_out(order)
            orders, look_at = plan(self._fleet, self._clock())
        kept = () if self._fleet.is_stopping else (self._fleet.generation, self._fleet.good)
        self._templates.keep(kept)
        self._epochs.keep([*kept, *self._generations()])
        self._counts.settle(is_settled(self._fleet))
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
            self._announcer.look(self._fleet, self._members, self._reason, self._traceback)

    def _carry_out(self, order: Order) -> None:
        number, kind = order.number, order.kind
        now = self._clock()
        if kind is WorkerOrder.START:
            self._fleet = obeyed(self._fleet, order, now)
            self._start(number)
            return
        member = self._members.get(number)
        if kind is WorkerOrder.GIVE_UP:
            self.failure = self._reason or "no worker became ready"
            if self._traceback:
                _log.error("the application failed:\n%s", self._traceback.rstrip())
        elif member is not None:
            self._order(order, member)
        self._fleet = obeyed(self._fleet, order, now)

    def _start(self, number: int) -> None:
        generation = self._fleet.generation
        epoch = self._epochs.of(generation)
        passed = [(sock.fileno(), self._is_ours) for sock in epoch.bound.opened]
        redirecting = [sock.fileno() for sock in self._redirecting]
        begin = Begin(self._app, epoch.settings.options, number, generation, passed, redirecting, self._page)
        self._counts.clear(number)
        try:
            process = self._templates.start(begin)
        except OSError as error:
            self._reason = f"the system cannot start a process: {error.strerror}"
            _log.error("worker %d cannot start: %s", number, error.strerror)
            self._fleet = told(self._fleet, number, WorkerInput.EXIT, self._clock())
            return
        limits = epoch.settings.limits.spread(random.random())
        self._members[number] = Member(process, generation, limits)
        self._loop.add_reader(process.channel.fileno(), self.read, number)
        _log.debug("worker %d started (process %d, generation %d)", number, process.pid, generation)

    def _order(self, order: Order, member: Member) -> None:
        """Give an order to a worker that runs."""
        process = member.process
        name = f"worker {order.number} (process {process.pid})"
        kind = order.kind
        if kind is WorkerOrder.DRAIN:
            assert order.cause is not None
            _log.info("%s drains: %s", name, order.cause.value)
            others = self._generations(without=order.number)
            is_last = order.is_last or self._epochs.leave(member.generation, others)
            process.channel.send(Drain(order.seconds, is_last, order.cause.value))
        elif kind is WorkerOrder.HURRY:
            process.channel.send(Hurry())
        elif kind is WorkerOrder.STACKS:
            blocked = self._fleet.bounds.blocked
            _log.warning(
                "%s has not turned its event loop for %.3g s: its stacks follow; it is ended after %g s",
                name,
                blocked - (self._fleet.worker(order.number).until - self._clock()),
                blocked,
            )
            process.signal(signal.SIGXCPU)
        elif kind is WorkerOrder.ABORT:
            _log.error("%s has not turned its event loop for %g s: it is ended", name, self._fleet.bounds.blocked)
            process.signal(signal.SIGABRT)
        elif kind is WorkerOrder.TERMINATE:
            if self._fleet.worker(order.number).until <= self._clock():
                self._reason = f"worker {order.number} was not ready within {self._fleet.bounds.start:g} s"
                if not process.pid:  # the import takes too long
                    self._templates.drop(member.generation)
            process.signal(signal.SIGTERM)
        elif kind is WorkerOrder.KILL:
            _log.warning("%s is killed: it did not end in time", name)
            process.signal(signal.SIGKILL)
        if not process.pid:  # no signal will tell of its end
            self._loop.call_soon(self.reap)

    def _generations(self, *, without: int = 0) -> list[int]:
        """Return those of the workers that serve, or may still do so.

        without: number of a worker to leave out.
        """
        serving = [worker for worker in self._fleet.workers if worker.state in _SERVING]
        return [worker.generation for worker in serving if worker.number != without]

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
            for number in list(self._members):
                self._read(number)

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
            self._fleet = slept(self._fleet, late)

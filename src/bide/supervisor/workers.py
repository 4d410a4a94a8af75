"""Keeps the workers as the plan wants them: facts from their processes in, its orders out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final, final

from bide.channel import Answer, Beat, Begin, ChannelError, Drain, Draining, Failed, Hurry, Ready, Reopen
from bide.observe.totals import Totals
from bide.page import Page, new_page
from bide.policy.recycling import cause
from bide.policy.staffing import (
    FOREVER,
    Fleet,
    Order,
    due,
    is_settled,
    obeyed,
    plan,
    reloaded,
    resized,
    slept,
    stopped,
    told,
)
from bide.supervisor.epochs import Epochs
from bide.supervisor.fleet import Member
from bide.supervisor.handover import State
from bide.supervisor.process import Process, reap_orphans
from bide.supervisor.questions import Questions
from bide.supervisor.templates import Templates
from bide.terms import Cause, WorkerInput, WorkerOrder, WorkerState

_log = logging.getLogger("bide")

# States of a worker that serves, or may still do so.
_SERVING: Final = (WorkerState.STARTING, WorkerState.READY, WorkerState.LOST)


@final
class Workers:
    """Holds the workers. After facts, `settle` carries out what follows from them.

    fleet: what decides about them.
    members: what else is known of them, by number.
    page: descriptor of the counts that all processes share.
    totals: counters of workers that have ended.
    reason: of the last early end.
    traceback: of the application's error that caused it; "" without one.
    failure: why no worker could ever start; "" otherwise.
    """

    def __init__(
        self,
        app: str,
        epochs: Epochs,
        redirecting: Sequence[socket.socket],
        *,
        is_ours: bool,
        new_process: Callable[[Begin], Process],
        clock: Callable[[], float],
        state: State | None = None,
    ) -> None:
        """Keep what to serve.

        epochs: options and sockets of each generation.
        redirecting: sockets for plain HTTP, which is redirected.
        is_ours: whether no other server listens on the sockets.
        new_process: starts one in a fresh interpreter. Raises OSError.
        clock: of the fleet's instants.
        state: of the program before, whose workers these are; None without one.
        """
        self._app = app
        self._epochs = epochs
        self._redirecting = redirecting
        self._is_ours = is_ours
        self._new_process = new_process
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop
        self._read: Callable[[int], None]
        self._look: Callable[[], None]
        self._templates: Templates
        self._questions = Questions()
        self.page = new_page() if state is None else state.page
        self._counts = Page(self.page)
        self.totals = Totals(None if state is None else state.totals)
        settings = epochs.current.settings
        if state is None:
            has_gap = settings.watched is not None
            self.fleet = Fleet(settings.bounds, settings.wanted, settings.processors, has_gap)
            self.members: dict[int, Member] = {}
        else:
            self.fleet, self.members = state.fleet, dict(state.members)
        self.reason = ""
        self.traceback = ""
        self.failure = ""

    def begin(self, loop: asyncio.AbstractEventLoop, *, read: Callable[[int], None], look: Callable[[], None]) -> None:
        """Begin to hear from processes.

        read: called with a worker's number when there is something for `read` to take.
        look: called when there may be something for `reap` to take.
        """
        self._loop, self._read, self._look = loop, read, look
        preload = self._epochs.current.settings.preload
        self._templates = Templates(loop, look, self._new_process, preload=preload)

    @property
    def has_processes(self) -> bool:
        """Whether each worker has a process."""
        return all(member.process.pid for member in self.members.values())

    def figures(self) -> dict[str, Any]:
        """Return the figures of all workers, including workers that have ended."""
        return self.totals.of(member.snapshot for member in self.members.values())

    async def connections(self) -> dict[str, Any]:
        """Return what workers know of their open connections, and which workers did not tell."""
        return await self._questions.ask(self.members)

    # -- What is asked for -------------------------------------------------------------------------

    def stop(self) -> None:
        """Have all of them drain, then end; the second time, without waiting."""
        self.fleet = stopped(self.fleet, self._clock())

    def reload(self) -> None:
        """Have others take their places, of a new generation, with the options of now."""
        settings = self._epochs.current.settings
        self.fleet = reloaded(self.fleet, self._clock(), settings.wanted, settings.bounds)
        self.reason = self.traceback = ""

    def resize(self, by: int) -> None:
        """Change the number of workers that should run. by: the difference."""
        self.fleet = resized(self.fleet, by)

    def recycle(self, number: int) -> bool:
        """Have one replaced; return whether there is one of that number that is ready."""
        before = self.fleet
        if number in self.members:
            self.fleet = due(before, number, Cause.ASKED)
        return self.fleet is not before

    def reopen(self) -> None:
        """Have all of them open their log files again."""
        for member in self.members.values():
            member.process.channel.send(Reopen())

    # -- Facts -------------------------------------------------------------------------------------

    def slept(self, seconds: float) -> None:
        """Leave out time in which this process did not run."""
        self.fleet = slept(self.fleet, seconds)

    def adopted(self) -> None:
        """Take what the workers of the program before have said meanwhile."""
        for number, member in list(self.members.items()):
            if member.process.channel.fileno() >= 0:
                self._loop.add_reader(member.process.channel.fileno(), self._read, number)
            self.read(number)

    def reap(self, others: Sequence[int]) -> None:
        """Take the ends of processes. others: ids of children that are no workers."""
        for process, failed in self._templates.take():
            for number, member in list(self.members.items()):
                if member.process is process:
                    self._received(number, member, failed)
        for number, member in list(self.members.items()):
            if member.process.has_ended():
                self._ended(number, member)
        if self._templates.is_forking:
            return  # a child has no known id yet; the news of it brings the next look
        ours = [*(member.process.pid for member in self.members.values()), *self._templates.pids, *others]
        reap_orphans(ours, is_reaper=self._epochs.current.settings.preload)

    def read_all(self) -> None:
        """Take the messages of all of them."""
        for number in list(self.members):
            self.read(number)

    def read(self, number: int) -> None:
        """Take the messages of one."""
        member = self.members[number]
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
            age = self._clock() - self.fleet.worker(number).ready_at
            requests = member.snapshot.get("requests", 0)
            reached = cause(member.limits, requests, age, member.memory, before)
            if reached is not None:
                self.fleet = due(self.fleet, number, reached)
        elif isinstance(message, Ready):
            member.urls = list(message.urls)
            _log.info("worker %d ready (process %d)", number, member.process.pid)
            self._tell(number, WorkerInput.READY)
        elif isinstance(message, Failed):
            self.reason, self.traceback = message.text, message.traceback
            self._tell(number, WorkerInput.FAILED)
        elif isinstance(message, Answer):
            self._questions.answered(message)
        elif isinstance(message, Draining):
            if self.fleet.worker(number).state is WorkerState.READY:
                _log.info("worker %d (process %d) drains: %s", number, member.process.pid, message.cause)
            member.accepts = False
            self._tell(number, WorkerInput.DRAINS)

    def _tell(self, number: int, event: WorkerInput) -> None:
        """Report a fact to the policy. If a worker failed, say so, and when the next one starts."""
        before = self.fleet
        self.fleet = told(before, number, event, self._clock())
        if self.fleet.strikes > before.strikes and self.fleet.has_gap:
            _log.error("%s%s; it is started again when a file changes", self.traceback, self.reason)
        elif self.fleet.strikes > before.strikes and self.fleet.good:
            seconds = max(0.0, self.fleet.not_before - self._clock())
            _log.error(
                "worker failed (%d in a row): %s; next start in %.3g s", self.fleet.strikes, self.reason, seconds
            )

    def _ended(self, number: int, member: Member) -> None:
        """Take the end of a process: first what it had said."""
        with contextlib.suppress(ChannelError):
            while member.process.channel.fileno() >= 0 and (messages := member.process.channel.receive()):
                for message in messages:
                    self._received(number, member, message)
        how = member.process.end()
        worker = self.fleet.worker(number)
        if worker.state in _SERVING:
            when = "before it was ready" if worker.ready_at == FOREVER else "after it had been ready"
            self.reason = f"worker {number} (process {member.process.pid}) ended {when}: {how}"
            _log.warning("%s", self.reason)
        else:
            _log.info("worker %d (process %d) ended: %s", number, member.process.pid, how)
        self._tell(number, WorkerInput.EXIT)
        if member.process.channel.fileno() >= 0:
            self._loop.remove_reader(member.process.channel.fileno())
            member.process.channel.close()
        self.totals.ended(member.snapshot)
        self._counts.clear(number)
        del self.members[number]

    # -- Orders ------------------------------------------------------------------------------------

    def settle(self) -> float:
        """Carry out what follows from the facts; return the instant at which to look again."""
        if self._epochs.fall_back(self.fleet.generation):  # a reload has failed, and with it its options
            settings = self._epochs.current.settings
            self.fleet = self.fleet._replace(wanted=settings.wanted, bounds=settings.bounds)
        orders, look_at = plan(self.fleet, self._clock())
        while orders:
            for order in orders:
                self._carry_out(order)
            orders, look_at = plan(self.fleet, self._clock())
        kept = () if self.fleet.is_stopping else (self.fleet.generation, self.fleet.good)
        self._templates.keep(kept)
        self._epochs.keep([*kept, *self._generations()])
        self._counts.settle(is_settled(self.fleet))
        return look_at

    def _carry_out(self, order: Order) -> None:
        number, kind = order.number, order.kind
        now = self._clock()
        if kind is WorkerOrder.START:
            self.fleet = obeyed(self.fleet, order, now)
            self._start(number)
            return
        member = self.members.get(number)
        if kind is WorkerOrder.GIVE_UP:
            self.failure = self.reason or "no worker became ready"
            if self.traceback:
                _log.error("the application failed:\n%s", self.traceback.rstrip())
        elif member is not None:
            self._order(order, member)
        self.fleet = obeyed(self.fleet, order, now)

    def _start(self, number: int) -> None:
        generation = self.fleet.generation
        epoch = self._epochs.of(generation)
        passed = [(sock.fileno(), self._is_ours) for sock in epoch.bound.opened]
        redirecting = [sock.fileno() for sock in self._redirecting]
        begin = Begin(self._app, epoch.settings.options, number, generation, passed, redirecting, self.page)
        self._counts.clear(number)
        try:
            process = self._templates.start(begin)
        except OSError as error:
            self.reason = f"the system cannot start a process: {error.strerror}"
            _log.error("worker %d cannot start: %s", number, error.strerror)
            self.fleet = told(self.fleet, number, WorkerInput.EXIT, self._clock())
            return
        limits = epoch.settings.limits.spread(random.random())
        self.members[number] = Member(process, generation, limits)
        self._loop.add_reader(process.channel.fileno(), self._read, number)
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
            blocked = self.fleet.bounds.blocked
            _log.warning(
                "%s has not turned its event loop for %.3g s: its stacks follow; it is ended after %g s",
                name,
                blocked - (self.fleet.worker(order.number).until - self._clock()),
                blocked,
            )
            process.signal(signal.SIGXCPU)
        elif kind is WorkerOrder.ABORT:
            _log.error("%s has not turned its event loop for %g s: it is ended", name, self.fleet.bounds.blocked)
            process.signal(signal.SIGABRT)
        elif kind is WorkerOrder.TERMINATE:
            if self.fleet.worker(order.number).until <= self._clock():
                self.reason = f"worker {order.number} was not ready within {self.fleet.bounds.start:g} s"
                if not process.pid:  # the import takes too long
                    self._templates.drop(member.generation)
            process.signal(signal.SIGTERM)
        elif kind is WorkerOrder.KILL:
            _log.warning("%s is killed: it did not end in time", name)
            process.signal(signal.SIGKILL)
        if not process.pid:  # no signal will tell of its end
            self._loop.call_soon(self._look)

    def _generations(self, *, without: int = 0) -> list[int]:
        """Return the generations of the workers that serve, or may still do so.

        without: number of a worker to leave out.
        """
        serving = [worker for worker in self.fleet.workers if worker.state in _SERVING]
        return [worker.generation for worker in serving if worker.number != without]

"""Decides which worker processes there should be, and what is to be done about the difference.

A crash, a stuck event loop, recycling, a reload, a changed number and a stop are all differences
between the workers that should run and those that do. Nothing else starts, drains or kills one.

A fleet is a plain value. Functions named in the past tense return the fleet after a fact; `plan`
returns the orders that follow. Instants are seconds of one clock; FOREVER is none.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from bide.terms import Cause, WorkerInput, WorkerOrder, WorkerState

FOREVER: Final = float("inf")

# From the end of a drain's own time to SIGKILL: a second each for cut connections, tasks, lifespan
# and threads (`bide.worker.drain`).
_DRAIN_GRACE_S: Final = 4.0
# For a worker that is told to end at once.
_END_S: Final = 2.0
# From the end of a worker's channel to its exit. An application may close descriptors that are not
# its own: then there is no exit.
_EXIT_S: Final = 1.0

# A generation is good once one of its workers was ready for this time. Until then no worker of the
# one before is given up for it, and an early end brings the one before back.
_PROOF_S: Final = 1.0
# A worker that ends sooner after it was ready has failed (compare einhorn, which counts deaths
# before an ACK).
_STEADY_S: Final = 5.0
# Before the next start, by the number of early ends in a row (compare systemd's RestartSteps).
_DELAYS_S: Final[tuple[float, ...]] = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)

# One worker in four is replaced at a time (compare Kubernetes' maxSurge of 25 percent).
_SURGE_SHARE: Final = 4

#: At this share of the time for which an event loop may be stuck, its stacks are printed.
STACKS_SHARE: Final = 3

#: What follows from what. A pair outside the table cannot happen.
TRANSITIONS: Final[dict[WorkerState, dict[WorkerInput, WorkerState]]] = {
    WorkerState.STARTING: {
        WorkerInput.READY: WorkerState.READY,
        WorkerInput.FAILED: WorkerState.ENDING,
        WorkerInput.BEAT: WorkerState.STARTING,
        WorkerInput.DRAINS: WorkerState.DRAINING,
        WorkerInput.LATE: WorkerState.ENDING,
        WorkerInput.RETIRE: WorkerState.ENDING,
        WorkerInput.HANGUP: WorkerState.LOST,
        WorkerInput.EXIT: WorkerState.GONE,
    },
    WorkerState.READY: {
        WorkerInput.BEAT: WorkerState.READY,
        WorkerInput.DRAINS: WorkerState.DRAINING,
        WorkerInput.LATE: WorkerState.ENDING,
        WorkerInput.RETIRE: WorkerState.DRAINING,
        WorkerInput.HANGUP: WorkerState.LOST,
        WorkerInput.EXIT: WorkerState.GONE,
    },
    WorkerState.DRAINING: {
        WorkerInput.READY: WorkerState.DRAINING,  # said before the order arrived
        WorkerInput.FAILED: WorkerState.DRAINING,
        WorkerInput.BEAT: WorkerState.DRAINING,
        WorkerInput.DRAINS: WorkerState.DRAINING,
        WorkerInput.LATE: WorkerState.KILLED,
        WorkerInput.RETIRE: WorkerState.DRAINING,  # hurried
        WorkerInput.HANGUP: WorkerState.DRAINING,
        WorkerInput.EXIT: WorkerState.GONE,
    },
    WorkerState.ENDING: {
        WorkerInput.READY: WorkerState.ENDING,
        WorkerInput.FAILED: WorkerState.ENDING,
        WorkerInput.BEAT: WorkerState.ENDING,
        WorkerInput.DRAINS: WorkerState.ENDING,
        WorkerInput.LATE: WorkerState.KILLED,
        WorkerInput.HANGUP: WorkerState.ENDING,
        WorkerInput.EXIT: WorkerState.GONE,
    },
    WorkerState.LOST: {  # nothing can be said any more
        WorkerInput.LATE: WorkerState.DRAINING,
        WorkerInput.EXIT: WorkerState.GONE,
    },
    WorkerState.KILLED: {
        WorkerInput.READY: WorkerState.KILLED,
        WorkerInput.FAILED: WorkerState.KILLED,
        WorkerInput.BEAT: WorkerState.KILLED,
        WorkerInput.DRAINS: WorkerState.KILLED,
        WorkerInput.HANGUP: WorkerState.KILLED,
        WorkerInput.EXIT: WorkerState.GONE,
    },
    WorkerState.GONE: {},
}


class Bounds(NamedTuple):
    """Holds how long the states may last, in seconds.

    start: from a process's start until it is ready.
    blocked: from one beat to the next; FOREVER for no bound.
    drain: for a worker's connections to end.
    """

    start: float
    blocked: float
    drain: float


class Worker(NamedTuple):
    """Holds what is known of a worker process.

    number: its place, from 1; free for another once it is gone.
    generation: number of the reload that it was started for.
    started: when its process was started.
    until: when the clock of its state expires.
    stacks_at: when its stacks are to be printed, as its event loop seems stuck.
    ready_at: when it became ready.
    ready_until: when it stopped to be.
    due: the cause for which it is to be replaced.
    """

    number: int
    generation: int
    started: float
    until: float
    state: WorkerState = WorkerState.STARTING
    stacks_at: float = FOREVER
    ready_at: float = FOREVER
    ready_until: float = FOREVER
    due: Cause | None = None


class Fleet(NamedTuple):
    """Holds what should run, and what does.

    bounds: of the states.
    wanted: number of workers.
    processors: number of workers that may start at the same time.
    has_gap: whether a reload drains the old workers before new ones are ready.
    generation: that new workers are started for.
    newest: the last generation that was tried.
    good: the last generation that has proved itself; 0 before any worker was ever ready.
    strikes: number of workers of this generation in a row that ended early.
    struck_at: when the last of them did.
    not_before: when the next worker may be started.
    stop_at: deadline of the stop; FOREVER while there is none.
    is_hurried: whether the stop waits for nothing any more.
    workers: all that are not gone, by their place.
    """

    bounds: Bounds
    wanted: int
    processors: int
    has_gap: bool = False
    generation: int = 1
    newest: int = 1
    good: int = 0
    strikes: int = 0
    struck_at: float = -FOREVER
    not_before: float = -FOREVER
    stop_at: float = FOREVER
    is_hurried: bool = False
    workers: tuple[Worker, ...] = ()

    @property
    def is_stopping(self) -> bool:
        """Whether all workers are to end."""
        return self.stop_at < FOREVER

    def worker(self, number: int) -> Worker:
        """Return the worker of a place. KeyError if there is none."""
        for worker in self.workers:
            if worker.number == number:
                return worker
        raise KeyError(number)

    def count(self, state: WorkerState) -> int:
        """Return the number of workers in a state."""
        return sum(worker.state is state for worker in self.workers)


class Order(NamedTuple):
    """Says what to do.

    kind: with or to the worker.
    number: the worker's place.
    cause: of a drain.
    seconds: for a drain.
    is_last: whether no other process will listen on the socket after the drain.
    """

    kind: WorkerOrder
    number: int
    cause: Cause | None = None
    seconds: float = 0.0
    is_last: bool = False


# -- Facts -----------------------------------------------------------------------------------------


def step(state: WorkerState, event: WorkerInput) -> WorkerState:
    """Return the next state. AssertionError for a pair outside the table: a bug of bide's."""
    following = TRANSITIONS[state].get(event)
    assert following is not None, f"{event.name} cannot happen in {state.name}"
    return following


def told(fleet: Fleet, number: int, event: WorkerInput, now: float) -> Fleet:
    """Return the fleet after a fact about one worker."""
    fleet = judged(fleet, now)
    worker = fleet.worker(number)
    was = worker.state
    state = step(was, event)
    if was in _AT_WORK and event in _UNASKED and _is_early(worker, now):
        fleet = _struck(fleet, worker, now)
    worker = _entered(fleet, worker, state, event, now)
    if event is WorkerInput.READY and was is WorkerState.STARTING and not fleet.good:
        fleet = fleet._replace(good=worker.generation)
    return _with(fleet, worker)


# States in which no end was asked for, and the events that bring one.
_AT_WORK: Final = (WorkerState.STARTING, WorkerState.READY, WorkerState.LOST)
_UNASKED: Final = (WorkerInput.FAILED, WorkerInput.LATE, WorkerInput.EXIT)


def obeyed(fleet: Fleet, order: Order, now: float) -> Fleet:
    """Return the fleet after an order was carried out."""
    kind = order.kind
    if kind is WorkerOrder.GIVE_UP:
        return stopped(fleet, now)
    if kind is WorkerOrder.START:
        return _with(fleet, Worker(order.number, fleet.generation, now, now + fleet.bounds.start))
    worker = fleet.worker(order.number)
    if kind is WorkerOrder.STACKS:
        return _with(fleet, worker._replace(stacks_at=FOREVER))
    event = WorkerInput.LATE if now >= worker.until else WorkerInput.RETIRE
    fleet = told(fleet, order.number, event, now)
    worker = fleet.worker(order.number)
    if kind is WorkerOrder.DRAIN:
        worker = worker._replace(until=now + order.seconds + _DRAIN_GRACE_S, due=order.cause)
    elif kind is WorkerOrder.HURRY:
        worker = worker._replace(until=min(worker.until, now + _END_S))
    return _with(fleet, worker)


def due(fleet: Fleet, number: int, cause: Cause) -> Fleet:
    """Return the fleet after a worker became due for replacement, which it can be while READY."""
    worker = fleet.worker(number)
    if worker.state is not WorkerState.READY or worker.due is not None:
        return fleet
    return _with(fleet, worker._replace(due=cause))


def reloaded(fleet: Fleet, now: float, wanted: int, bounds: Bounds) -> Fleet:
    """Return the fleet after a reload was asked for. Earlier failures do not delay it."""
    fleet = judged(fleet, now)
    newest = fleet.newest + 1
    return fleet._replace(
        generation=newest, newest=newest, wanted=wanted, bounds=bounds, strikes=0, struck_at=now, not_before=now
    )


def resized(fleet: Fleet, by: int) -> Fleet:
    """Return the fleet after more or fewer workers were asked for; there is always one."""
    return fleet._replace(wanted=max(1, fleet.wanted + by))


def stopped(fleet: Fleet, now: float) -> Fleet:
    """Return the fleet after a signal to stop. The second one hurries."""
    if fleet.is_stopping:
        return fleet._replace(is_hurried=True)
    return fleet._replace(stop_at=now + fleet.bounds.drain)


def slept(fleet: Fleet, seconds: float) -> Fleet:
    """Return the fleet after the supervisor stood still for `seconds`, which no clock counts."""
    workers = tuple(
        worker._replace(until=worker.until + seconds, stacks_at=worker.stacks_at + seconds) for worker in fleet.workers
    )
    return fleet._replace(workers=workers)


def judged(fleet: Fleet, now: float) -> Fleet:
    """Return the fleet after what time alone has shown: which generation is good, who is steady."""
    for worker in fleet.workers:
        if worker.state is WorkerState.READY and worker.generation == fleet.generation:
            if now - worker.ready_at >= _PROOF_S:
                fleet = fleet._replace(good=fleet.generation)
            if now - worker.ready_at >= _STEADY_S and worker.started >= fleet.struck_at:
                fleet = fleet._replace(strikes=0)
    return fleet


def is_settled(fleet: Fleet) -> bool:
    """Return whether as many fresh workers are ready as are wanted, and no others are."""
    ready = [worker for worker in fleet.workers if worker.state is WorkerState.READY]
    return len(ready) == fleet.wanted and all(_is_fresh(fleet, worker) for worker in ready)


def is_alive(fleet: Fleet, now: float) -> bool:
    """Return whether a worker serves, starts or ends within its bounds: not all are stuck."""
    for worker in fleet.workers:
        if worker.state is WorkerState.READY:
            if now < worker.stacks_at and (worker.stacks_at < FOREVER or fleet.bounds.blocked == FOREVER):
                return True
        elif now < worker.until < FOREVER:
            return True
    return now < fleet.not_before < FOREVER


def _entered(fleet: Fleet, worker: Worker, state: WorkerState, event: WorkerInput, now: float) -> Worker:
    """Return the worker in a state, with the clock of that state."""
    bounds = fleet.bounds
    if state is WorkerState.READY:
        ready_at = now if event is WorkerInput.READY else worker.ready_at
        stacks_at = now + bounds.blocked / STACKS_SHARE
        return worker._replace(state=state, ready_at=ready_at, until=now + bounds.blocked, stacks_at=stacks_at)
    if state is worker.state:
        return worker
    seconds = FOREVER
    if state is WorkerState.DRAINING:
        seconds = max(0.0, min(bounds.drain, fleet.stop_at - now)) + _DRAIN_GRACE_S
    elif state is WorkerState.ENDING:
        seconds = _END_S
    elif state is WorkerState.LOST:
        seconds = _EXIT_S
    ready_until = now if worker.state is WorkerState.READY else worker.ready_until
    return worker._replace(state=state, until=now + seconds, stacks_at=FOREVER, ready_until=ready_until)


def _is_early(worker: Worker, now: float) -> bool:
    """Return whether a worker that ends now was ready for too short a time, or never."""
    return min(now, worker.ready_until) - worker.ready_at < _STEADY_S


def _struck(fleet: Fleet, worker: Worker, now: float) -> Fleet:
    """Return the fleet after the early end of a worker.

    If its generation has not proved itself, the one before comes back.
    """
    if worker.generation != fleet.generation or fleet.is_stopping:
        return fleet
    if fleet.good and fleet.good != fleet.generation and not fleet.has_gap:
        return fleet._replace(generation=fleet.good, strikes=0, struck_at=now, not_before=now)
    delay = FOREVER if fleet.has_gap else _DELAYS_S[min(fleet.strikes, len(_DELAYS_S) - 1)]
    return fleet._replace(strikes=fleet.strikes + 1, struck_at=now, not_before=now + delay)


def _with(fleet: Fleet, worker: Worker) -> Fleet:
    """Return the fleet with this worker in its place; without it if it is gone."""
    others = [other for other in fleet.workers if other.number != worker.number]
    if worker.state is not WorkerState.GONE:
        others.append(worker)
        others.sort(key=_place)
    return fleet._replace(workers=tuple(others))


def _place(worker: Worker) -> int:
    return worker.number


# -- Orders ----------------------------------------------------------------------------------------


def plan(fleet: Fleet, now: float) -> tuple[list[Order], float]:
    """Return the orders that are due, and the instant at which to look again.

    No worker gets two orders. Once they are carried out, further ones may follow.
    """
    fleet = judged(fleet, now)
    orders = _overdue(fleet, now)
    busy = {order.number for order in orders}
    if fleet.is_stopping:
        orders += _ends(fleet, now, busy)
    elif not fleet.good and fleet.strikes and not fleet.has_gap:
        orders.append(Order(WorkerOrder.GIVE_UP, 0))
    else:
        orders += _obsolete(fleet, busy)
        orders += _drains(fleet, busy)
        orders += _starts(fleet, now)
    return orders, _next_look(fleet, now)


def _overdue(fleet: Fleet, now: float) -> list[Order]:
    """Return orders about workers whose clock has expired."""
    orders = []
    for worker in fleet.workers:
        if now >= worker.until:
            orders.append(Order(_AT_ITS_END[worker.state], worker.number))
        elif now >= worker.stacks_at:
            orders.append(Order(WorkerOrder.STACKS, worker.number))
    return orders


_AT_ITS_END: Final[dict[WorkerState, WorkerOrder]] = {
    WorkerState.STARTING: WorkerOrder.TERMINATE,
    WorkerState.READY: WorkerOrder.ABORT,
    WorkerState.DRAINING: WorkerOrder.KILL,
    WorkerState.ENDING: WorkerOrder.KILL,
    WorkerState.LOST: WorkerOrder.TERMINATE,
}


def _ends(fleet: Fleet, now: float, busy: set[int]) -> list[Order]:
    """Return the orders of a stop."""
    orders = []
    seconds = max(0.0, fleet.stop_at - now)
    for worker in fleet.workers:
        if worker.number in busy:
            continue
        if worker.state is WorkerState.READY:
            orders.append(Order(WorkerOrder.DRAIN, worker.number, Cause.STOP, seconds, True))
        elif worker.state is WorkerState.STARTING:
            orders.append(Order(WorkerOrder.TERMINATE, worker.number))
        elif worker.state is WorkerState.DRAINING and fleet.is_hurried and worker.until > now + _END_S:
            orders.append(Order(WorkerOrder.HURRY, worker.number))
    return orders


def _obsolete(fleet: Fleet, busy: set[int]) -> list[Order]:
    """Return the end of workers that start for another generation: nothing waits for them."""
    return [
        Order(WorkerOrder.TERMINATE, worker.number)
        for worker in fleet.workers
        if worker.state is WorkerState.STARTING and worker.generation != fleet.generation and worker.number not in busy
    ]


def _drains(fleet: Fleet, busy: set[int]) -> list[Order]:
    """Return the drains that leave as many workers ready as are wanted."""
    ready = [worker for worker in fleet.workers if worker.state is WorkerState.READY and worker.number not in busy]
    stale = sorted((worker for worker in ready if not _is_fresh(fleet, worker)), key=_start)
    fresh = sorted((worker for worker in ready if _is_fresh(fleet, worker)), key=_start, reverse=True)
    unproven = [worker for worker in stale if worker.generation > fleet.good]
    proven = [worker for worker in stale if worker.generation <= fleet.good]
    spare = len(proven) + (len(fresh) if fleet.good == fleet.generation else 0) - fleet.wanted
    if fleet.has_gap:
        leaving = stale
    elif stale:
        leaving = unproven[: max(0, spare + len(unproven))] + proven[: max(0, spare)]
    else:
        leaving = fresh[: max(0, spare)]
    return [Order(WorkerOrder.DRAIN, worker.number, _cause(fleet, worker), fleet.bounds.drain) for worker in leaving]


def _starts(fleet: Fleet, now: float) -> list[Order]:
    """Return the starts that are due."""
    if now < fleet.not_before:
        return []
    starting = fresh = present = 0
    for worker in fleet.workers:
        if worker.state is WorkerState.READY or worker.state is WorkerState.STARTING:
            is_fresh = _is_fresh(fleet, worker)
            fresh += is_fresh
            starting += is_fresh and worker.state is WorkerState.STARTING
            present += worker.state is WorkerState.READY or is_fresh
    room = fleet.wanted + max(1, fleet.wanted // _SURGE_SHARE) - (fresh if fleet.has_gap else present)
    count = min(fleet.wanted - fresh, fleet.processors - starting, room)
    taken = {worker.number for worker in fleet.workers}
    orders: list[Order] = []
    number = 1
    while len(orders) < count:
        if number not in taken:
            orders.append(Order(WorkerOrder.START, number))
        number += 1
    return orders


def _is_fresh(fleet: Fleet, worker: Worker) -> bool:
    """Return whether a worker is of the current generation, and not due."""
    return worker.generation == fleet.generation and worker.due is None


def _cause(fleet: Fleet, worker: Worker) -> Cause:
    """Return the cause for which a worker is to drain."""
    if worker.due is not None:
        return worker.due
    return Cause.SURPLUS if worker.generation == fleet.generation else Cause.RELOAD


def _start(worker: Worker) -> tuple[float, int]:
    return worker.started, worker.number


def _next_look(fleet: Fleet, now: float) -> float:
    """Return the next instant at which time alone may change the plan."""
    instants = [fleet.not_before]
    for worker in fleet.workers:
        instants += [worker.until, worker.stacks_at, worker.ready_at + _PROOF_S]
    return min((instant for instant in instants if instant > now), default=FOREVER)

"""Returns the metrics of one moment as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, TypedDict

from bide.observe.counters import Counters
from bide.terms import CloseReason, State


class ThreadFigures(NamedTuple):
    """Holds the figures of the threads that call a WSGI application.

    longest_wait: seconds for which the first request has waited for a thread.
    """

    threads: int
    busy: int
    waiting: int
    longest_wait: float


#: The figures of an application that is called on the event loop's thread.
NO_THREADS: Final = ThreadFigures(0, 0, 0, 0.0)


class ConnectionFigures(TypedDict):
    """Holds what is known of an open connection.

    peer: the client's address without its port; "" if it has none.
    seconds: for which the clock of its state has run.
    """

    peer: str
    state: str
    requests: int
    seconds: float


class Snapshot(TypedDict):
    """Holds the value of each metric. `bide.observe.metrics` says what they mean.

    closed: close reason -> connections.
    states: state -> connections.
    websockets: close code -> WebSockets.
    requests_per_connection, idle_gaps_ms: upper bound (exclusive) -> count.
    """

    opened: int
    requests: int
    race_lost: int
    closed: dict[str, int]
    states: dict[str, int]
    websockets: dict[int, int]
    messages_received: int
    messages_sent: int
    requests_per_connection: dict[int, int]
    idle_gaps_ms: dict[int, int]
    pressure: float
    effective_idle_timeout: float
    accepting: bool
    threads: int
    threads_busy: int
    threads_waiting: int
    threads_longest_wait: float


def snapshot(
    counters: Counters,
    states: Mapping[State, int],
    requests: int,
    pressure: float,
    idle_timeout: float,
    paused: bool,
    threads: ThreadFigures = NO_THREADS,
) -> Snapshot:
    """Return a snapshot.

    counters: of all connections.
    states: state -> open connections.
    requests: of the open connections; `counters` has those of the ended ones.
    pressure: 1.0 if the scarcest resource is used up.
    idle_timeout: seconds for which idle connections are held.
    paused: whether accepting is paused.
    threads: of the threads that call the application.
    """
    return {
        "opened": counters.opened,
        "requests": counters.requests + requests,
        "race_lost": counters.race_lost,
        "closed": {reason.value: counters.closed[reason] for reason in CloseReason},
        "states": {state.value: states.get(state, 0) for state in State},
        "websockets": dict(counters.websockets),
        "messages_received": counters.messages_received,
        "messages_sent": counters.messages_sent,
        "requests_per_connection": _histogram(counters.served),
        "idle_gaps_ms": _histogram(counters.gaps),
        "pressure": pressure,
        "effective_idle_timeout": idle_timeout,
        "accepting": not paused,
        "threads": threads.threads,
        "threads_busy": threads.busy,
        "threads_waiting": threads.waiting,
        "threads_longest_wait": threads.longest_wait,
    }


def _histogram(buckets: list[int]) -> dict[int, int]:
    return {1 << index: count for index, count in enumerate(buckets) if count}

"""Defines every metric once: name, kind, unit, help."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple


class Metric(NamedTuple):
    """Describes a figure of `bide.observe.snapshot`.

    name: key of the snapshot; public.
    kind: a counter only rises; a gauge is read when it is asked for; a histogram is a dictionary,
        upper bound (exclusive) -> count.
    unit: of its value, or of a histogram's bounds.
    help: one sentence.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    help: str


METRICS: Final[tuple[Metric, ...]] = (
    Metric("opened", "counter", "connections", "Connections accepted."),
    Metric("requests", "counter", "requests", "Requests begun."),
    Metric("race_lost", "counter", "requests", "Requests that arrived just as their idle connection was closed."),
    Metric("closed", "counter", "connections", "Connections that have ended, by close reason."),
    Metric("states", "gauge", "connections", "Open connections, by state."),
    Metric("websockets", "counter", "websockets", "WebSockets that have ended, by close code."),
    Metric("messages_received", "counter", "messages", "Messages received on ended WebSockets."),
    Metric("messages_sent", "counter", "messages", "Messages sent on ended WebSockets."),
    Metric("requests_per_connection", "histogram", "requests", "Requests that each ended connection carried."),
    Metric("idle_gaps_ms", "histogram", "milliseconds", "Time that a connection was idle before each request."),
    Metric("pressure", "gauge", "ratio", "Used share of the scarcest resource; 1.0 if none is left."),
    Metric("effective_idle_timeout", "gauge", "seconds", "Idle timeout that applies at the current pressure."),
    Metric("accepting", "gauge", "boolean", "Whether new connections are accepted."),
    Metric("threads", "gauge", "threads", "Threads that call a WSGI application."),
    Metric("threads_busy", "gauge", "threads", "Threads that run the application at this moment."),
    Metric("threads_waiting", "gauge", "requests", "Requests that wait for a thread."),
    Metric("threads_longest_wait", "gauge", "seconds", "Time for which the first of them has waited."),
)

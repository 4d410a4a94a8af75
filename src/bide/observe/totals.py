"""Adds the figures of several worker processes, those that have ended included.

A counter never falls: what a process had counted stays counted when it has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, final

from bide.observe.metrics import METRICS
from bide.terms import CloseReason

Figures = Mapping[str, Any]

#: How the gauges of several processes are one: pressure is that of the process that has the most.
GAUGES: Final[dict[str, Callable[[Iterable[Any]], Any]]] = {
    "pressure": max,
    "effective_idle_timeout": min,
    "accepting": any,
    "threads": sum,
    "threads_busy": sum,
    "threads_waiting": sum,
    "threads_longest_wait": max,
}


@final
class Totals:
    """Holds the counters of processes that have ended."""

    def __init__(self, ended: Figures | None = None) -> None:
        """Begin. ended: counters of processes that have ended, as `kept` returns them."""
        self._ended: dict[str, Any] = dict(ended or {})

    def kept(self) -> dict[str, Any]:
        """Return the counters of processes that have ended."""
        return self._ended

    def ended(self, figures: Figures) -> None:
        """Take the last figures of a process that has ended.

        Connections that were open then have ended with it, and have a reason of their own.
        """
        if not figures:  # it never served
            return
        kept = {metric.name: figures.get(metric.name) for metric in METRICS if metric.kind != "gauge"}
        closed: dict[str, int] = dict(figures.get("closed", {}))
        lost = CloseReason.WORKER_LOST.value
        closed[lost] = closed.get(lost, 0) + figures.get("opened", 0) - sum(closed.values())
        self._ended = _added([self._ended, kept | {"closed": closed}])

    def of(self, running: Iterable[Figures]) -> dict[str, Any]:
        """Return the figures of all processes. running: those of processes that run."""
        alive = [figures for figures in running if figures]
        total = _added([self._ended, *alive])
        for name, combined in GAUGES.items():
            values = [figures[name] for figures in alive if name in figures]
            if values:
                total[name] = combined(values)
        return total


def _added(rows: Iterable[Figures]) -> dict[str, Any]:
    """Return the sum of each figure, a number or a dictionary of numbers. `GAUGES` are left out."""
    total: dict[str, Any] = {}
    for row in rows:
        for name, value in row.items():
            if name in GAUGES or value is None:
                continue
            if isinstance(value, Mapping):
                sums = total.setdefault(name, {})
                for key, count in value.items():
                    sums[key] = sums.get(key, 0) + count
            else:
                total[name] = total.get(name, 0) + value
    return total

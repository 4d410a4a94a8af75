"""Writes metrics in the text format of Prometheus, version 0.0.4."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from bide.observe.metrics import METRICS, Metric

#: Media type of the text.
MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

# Label of the metrics that are counted by something.
_LABELS: Final = {"closed": "reason", "states": "state", "websockets": "code"}


def text_of(figures: Mapping[str, Any]) -> str:
    """Return the metrics among these figures as text."""
    return "".join(f"{line}\n" for metric in METRICS if metric.name in figures for line in _lines(metric, figures))


def _lines(metric: Metric, figures: Mapping[str, Any]) -> Iterator[str]:
    name = f"bide_{metric.name}"
    value = figures[metric.name]
    if metric.kind == "counter":
        name += "_total"
    yield f"# HELP {name} {metric.help}"
    yield f"# TYPE {name} {metric.kind}"
    if metric.kind == "histogram":
        yield from _buckets(name, {int(bound): count for bound, count in value.items()}, metric.unit)
    elif metric.name in _LABELS:
        for key, count in value.items():
            yield f'{name}{{{_LABELS[metric.name]}="{key}"}} {count}'
    else:
        yield f"{name} {value:g}" if isinstance(value, float) else f"{name} {int(value)}"


def _buckets(name: str, counts: Mapping[int, int], unit: str) -> Iterator[str]:
    """Return the lines of a histogram. There is no sum: bide keeps the buckets only.

    Prometheus has inclusive bounds, and bide exclusive ones. Of whole numbers, the one before the
    bound is as good; a time is hardly ever the bound itself.
    """
    total = 0
    for bound in sorted(counts):
        total += counts[bound]
        yield f'{name}_bucket{{le="{bound if unit == "milliseconds" else bound - 1}"}} {total}'
    yield f'{name}_bucket{{le="+Inf"}} {total}'
    yield f"{name}_count {total}"

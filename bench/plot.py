"""Draws the plots as SVG: bars for the rows, lines for growth, for light and for dark pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

COLOURS = {
    "bide": "#e4572e",
    "granian": "#4c78a8",
    "uvicorn": "#54a24b",
    "gunicorn": "#b279a2",
    "gunicorn[fast]": "#d6a5c9",
    "hypercorn": "#a0785a",
    "peregrine": "#8e44ad",
    "weft": "#16738f",
    "fastpysgi": "#c0a000",
    "saltare": "#7a8f2a",
    "m0serve": "#c46b9c",
    "nginx": "#3fa7a0",
    "limit": "#8c8c8c",
}
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.dim { fill: #6e7781 }
.end { text-anchor: end }
.middle { text-anchor: middle }
.grid { stroke: #d0d7de; stroke-width: 1 }
.whisker { stroke: #24292f; stroke-width: 1 }
.line { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .dim { fill: #9198a1 }
  .grid { stroke: #3d444d }
  .whisker { stroke: #e6edf3 }
}
"""
WIDTH, COLUMNS, GAP, MARGIN = 900, 2, 28, 8
PANEL = (WIDTH - GAP * (COLUMNS - 1)) / COLUMNS
BAR, LEFT, RIGHT = 19, 96, 118  # in a bar chart: height of a bar, width of names, width of figures
HEIGHT, LEGEND = 215, 34  # heights of a line chart, and of the legend above them
STEPS = (1, 2, 5)


@dataclass(frozen=True)
class Bar:
    """Describes a bar.

    value: its length.
    low, high: spread of the samples.
    text: label beside it.
    """

    name: str
    value: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Bars:
    """Describes a panel of bars."""

    title: str
    unit: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Lines:
    """Describes a panel of lines: sizes at equal distances, costs on a logarithmic axis.

    across, up: labels of the axes.
    lines: server -> size -> cost.
    """

    title: str
    across: str
    up: str
    sizes: Sequence[str]
    lines: dict[str, dict[str, float]]


def bars(panels: Sequence[Bars]) -> str:
    """Draw panels of bars."""
    height = max(len(panel.bars) for panel in panels) * BAR + 44
    parts = []
    for number, panel in enumerate(panels):
        x, y = place(number, height, 0)
        parts += [text(x, y + 16, panel.title, "title"), text(x + PANEL, y + 16, panel.unit, "dim end")]
        scale = (PANEL - LEFT - RIGHT) / max(bar.high for bar in panel.bars)
        for line, bar in enumerate(panel.bars):
            top, middle = y + 26 + line * BAR, y + 26 + line * BAR + BAR / 2
            parts.append(text(x + LEFT - 6, middle + 4, bar.name, "title end" if bar.name == "bide" else "end"))
            parts.append(
                f'<rect x="{x + LEFT:.1f}" y="{top + 3:.1f}" width="{max(1, bar.value * scale):.1f}" '
                f'height="{BAR - 6}" fill="{COLOURS[bar.name]}"/>'
            )
            parts.append(stroke("whisker", x + LEFT + bar.low * scale, middle, x + LEFT + bar.high * scale, middle))
            parts.append(text(x + LEFT + bar.high * scale + 6, middle + 4, bar.text))
    return svg(parts, math.ceil(len(panels) / COLUMNS) * height)


def lines(panels: Sequence[Lines]) -> str:
    """Draw panels of lines below one legend."""
    parts = legend([name for name in COLOURS if any(name in panel.lines for panel in panels)])
    for number, panel in enumerate(panels):
        x, y = place(number, HEIGHT, LEGEND)
        parts += [text(x, y + 14, panel.title, "title"), text(x + PANEL, y + 14, panel.up, "dim end")]
        parts += axes(panel, x, y)
    return svg(parts, LEGEND + math.ceil(len(panels) / COLUMNS) * HEIGHT)


def axes(panel: Lines, x: float, y: float) -> list[str]:
    """Draw the grid of a panel and its lines."""
    left, right, top, bottom = x + 52, x + PANEL - 20, y + 28, y + HEIGHT - 48
    costs = [cost for line in panel.lines.values() for cost in line.values() if cost > 0]
    if not costs:
        return []
    ticks = scale(min(costs), max(costs))
    low, high = math.log(ticks[0]), math.log(ticks[-1])
    step = (right - left) / (len(panel.sizes) - 1)
    across = {size: left + step * number for number, size in enumerate(panel.sizes)}

    def up(cost: float) -> float:
        return bottom - (bottom - top) * (math.log(cost) - low) / (high - low)

    parts = [text((left + right) / 2, bottom + 34, panel.across, "dim middle")]
    for tick in ticks:
        parts.append(stroke("grid", left, up(tick), right, up(tick)))
        parts.append(text(left - 6, up(tick) + 4, f"{tick:,g}", "dim end"))
    parts += [text(across[size], bottom + 17, short(int(size)), "dim middle") for size in panel.sizes]
    for name in sorted(panel.lines, key=lambda name: name == "bide"):  # bide last, so it is on top
        points = [(across[size], up(cost)) for size, cost in panel.lines[name].items() if cost > 0]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        parts.append(f'<polyline class="line" stroke="{COLOURS[name]}" points="{path}"/>')
        parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{COLOURS[name]}"/>' for px, py in points]
    return parts


def scale(low: float, high: float) -> list[float]:
    """Return the round numbers (1, 2, 5, 10 ...) from at most `low` to at least `high`."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    ticks = [step * 10.0**power for power in range(first, last + 1) for step in STEPS]
    start = max(number for number, tick in enumerate(ticks) if tick <= low)
    end = min(number for number, tick in enumerate(ticks) if tick >= high and number > start)
    found = ticks[start : end + 1]
    return found if len(found) <= 7 else [10.0**power for power in range(first, last + 1)]


def short(size: int) -> str:
    """Return a size in a short form: 10k, 1M."""
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if size >= unit and size % unit == 0:
            return f"{size // unit}{letter}"
    return f"{size:,}"


def legend(names: Sequence[str]) -> list[str]:
    """Draw the legend."""
    parts = []
    for number, name in enumerate(names):
        x = number * 130
        parts.append(f'<line class="line" stroke="{COLOURS[name]}" x1="{x}" y1="14" x2="{x + 22}" y2="14"/>')
        parts.append(text(x + 28, 18, name, "title" if name == "bide" else ""))
    return parts


def place(number: int, height: float, top: float) -> tuple[float, float]:
    """Return the upper left corner of a panel."""
    return number % COLUMNS * (PANEL + GAP), top + number // COLUMNS * height


def text(x: float, y: float, content: str, style: str = "") -> str:
    """Write a text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}">{escape(content)}</text>'


def stroke(style: str, x1: float, y1: float, x2: float, y2: float) -> str:
    """Draw a straight line."""
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def svg(parts: Sequence[str], height: float) -> str:
    """Join the parts to a picture."""
    wide, high = WIDTH + 2 * MARGIN, height + 2 * MARGIN
    box = f'width="{wide:.0f}" height="{high:.0f}" viewBox="{-MARGIN} {-MARGIN} {wide:.0f} {high:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box}>'
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>\n"])

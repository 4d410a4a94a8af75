"""Writes results for people: tables for the terminal and in Markdown, JSON, plots."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from bench import plot
from bench.servers import SERVERS
from bench.work import ASGI

Results = dict[str, Any]
OURS, JSON = "bide", "results.json"
DISTURBED_SHARE = 0.05  # share of the server's core above which other processes get a note
COLUMNS = {  # key of a sample -> title, format
    "cpu_us": ("CPU us/request", "{:,.1f}"),
    "rps": ("requests/s", "{:,.0f}"),
    "p50_us": ("p50 us", "{:,.0f}"),
    "p99_us": ("p99 us", "{:,.0f}"),
    "pss": ("PSS octets/connection", "{:,.0f}"),
    "rss": ("RSS octets/connection", "{:,.0f}"),
    "start_ms": ("first answer ms", "{:,.0f}"),
    "cpu_ms": ("CPU ms", "{:,.0f}"),
}
GROWTH = (
    "Flat or falling lines are good. Longer heads and bodies are more work in each request: there, a line should be "
    "no steeper than the work. If a line ends early, the server failed; the note below its table says how."
)
BESIDE = {
    "cpu_us": ("rps", "p50_us", "p99_us"),
    "p50_us": ("p99_us", "rps", "cpu_us"),
    "pss": ("rss",),
    "start_ms": ("cpu_ms",),
}


def ratios(row: Results, server: str) -> list[float]:
    """Return server / bide for each round. Above 1, bide needs less."""
    ours, theirs = row["samples"].get(OURS, []), row["samples"].get(server, [])
    key = row["figure"]
    return [other[key] / mine[key] for mine, other in zip(ours, theirs, strict=False) if mine[key] > 0]


def spread(values: list[float], form: str) -> str:
    """Return median and extremes."""
    if not values:
        return "-"
    low, middle, high = (form.format(value) for value in (min(values), median(values), max(values)))
    return middle if low == high else f"{middle} ({low}-{high})"


def table(row: Results) -> list[list[str]]:
    """Return the lines of a row's table: the title line, then the servers, the best first."""
    key = row["figure"]
    title, form = COLUMNS[key]
    beside = BESIDE[key]
    lines = []
    for name, samples in sorted(row["samples"].items(), key=lambda item: median(sample[key] for sample in item[1])):
        figures = [COLUMNS[other][1].format(median(sample[other] for sample in samples)) for other in beside]
        ratio = "1" if name == OURS else spread(ratios(row, name), "{:.2f}")
        lines.append([name, spread([sample[key] for sample in samples], form), ratio, *figures])
    return [["server", title, f"ratio to {OURS}", *(COLUMNS[other][0] for other in beside)], *lines]


def notes(part: Results) -> list[str]:
    """Return notes: servers that failed, servers with socket errors, disturbance by others."""
    found = [f"{name} failed: {reason}." for name, reason in part["failed"].items()]
    errors = {name: sum(sample.get("errors", 0) for sample in samples) for name, samples in part["samples"].items()}
    found += [f"{name}: {number:.0f} socket errors in all rounds." for name, number in errors.items() if number]
    others = [sample["others"] for samples in part["samples"].values() for sample in samples if "others" in sample]
    if others and median(others) > DISTURBED_SHARE:
        found.append(f"Disturbed: other processes took {median(others):.0%} of the server's core.")
    return found


def verdict(row: Results) -> str:
    """Return a sentence on which of the row's goals were reached."""
    said = []
    for name, (must, aim) in row["goals"].items():
        found = ratios(row, name)
        if not found:
            continue
        ratio = median(found)
        if ratio >= aim:
            word = "as aimed"
        elif ratio >= must:
            word = "reached"
        else:
            word = "missed, within the spread" if max(found) >= must else "missed"
        said.append(f"{name} {ratio:.2f} (must {must:.3g}, aim {aim:.3g}): {word}")
    return "; ".join(said) + "." if said else "No peer was measured."


def plain(lines: list[list[str]]) -> str:
    """Lay lines out in columns for the terminal."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    form = "  ".join(f"{{:{'>' if place else '<'}{width}}}" for place, width in enumerate(widths))
    return "\n".join(form.format(*line) for line in lines)


def markdown(lines: list[list[str]]) -> str:
    """Lay lines out as a Markdown table."""
    first, *rest = lines
    rule = ["---", *["---:"] * (len(first) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [first, rule, *rest])


def summary(results: Results) -> list[list[str]]:
    """Return a line for each row: bide's figure, and the ratio of each peer to it."""
    peers = [server.name for server in SERVERS if server.name != OURS]
    lines = [["row", f"{OURS}", *peers]]
    for row in results["rows"]:
        title, form = COLUMNS[row["figure"]]
        ours = [sample[row["figure"]] for sample in row["samples"].get(OURS, [])]
        figure = f"{form.format(median(ours))} {title.removeprefix('CPU ')}" if ours else "-"
        found = [ratios(row, peer) for peer in peers]
        lines.append([row["title"], figure, *(f"{median(ratio):.2f}" if ratio else "-" for ratio in found)])
    return lines


def about(results: Results) -> list[str]:
    """Return the facts about machine, environments and effort, a line each."""
    lines = [f"{key}: {value}" for key, value in results["machine"].items()]
    for name, versions in results["environments"].items():
        lines.append(f"{name}: " + ", ".join(f"{package} {version}" for package, version in versions.items()))
    effort = results["effort"]
    lines.append(f"rounds: {effort['rounds']}, of {effort['seconds']} s after {effort['warm']} s of warming up")
    return lines


def show(row: Results) -> str:
    """Return a row for the terminal."""
    return "\n".join(["", row["title"], plain(table(row)), *notes(row), verdict(row)])


def curve(series: Results, server: str) -> dict[str, float]:
    """Return the median cost at each size that `server` reached in every round."""
    rounds = series["samples"][server]
    reached = [size for size in rounds[0] if all(size in costs for costs in rounds)]
    return {size: median(costs[size] for costs in rounds) for size in reached}


def heading(series: Results) -> str:
    """Return the heading of a series."""
    return f"{series['title']}: CPU us per {series['per']}"


def growth_table(series: Results) -> list[list[str]]:
    """Return the lines of a series' table: CPU time at each size."""
    lines = [[series["across"], *(f"{size:,}" for size in series["sizes"])]]
    for name in series["samples"]:
        costs = curve(series, name)
        lines.append([name, *(f"{costs[size]:,.2f}" if size in costs else "-" for size in map(str, series["sizes"]))])
    return lines


def show_growth(series: Results) -> str:
    """Return a series for the terminal."""
    return "\n".join(["", heading(series), plain(growth_table(series)), *notes(series)])


def draw_rows(results: Results) -> str:
    """Draw the rows."""
    panels = []
    for row in results["rows"]:
        title, form = COLUMNS[row["figure"]]
        found = []
        for name in sorted(row["samples"], key=lambda name: name not in ASGI):
            values = [sample[row["figure"]] for sample in row["samples"][name]]
            ratio = f" ({median(beside):.2f})" if (beside := ratios(row, name)) and name != OURS else ""
            found.append(plot.Bar(name, median(values), min(values), max(values), form.format(median(values)) + ratio))
        if found:
            panels.append(plot.Bars(row["title"], title, found))
    return plot.bars(panels)


def draw_growth(results: Results) -> str:
    """Draw the series."""
    panels = [
        plot.Lines(
            series["title"],
            series["across"],
            f"CPU us per {series['per']}",
            [str(size) for size in series["sizes"]],
            {name: curve(series, name) for name in series["samples"]},
        )
        for series in results["growth"]
    ]
    return plot.lines(panels)


def write(results: Results, folder: Path) -> None:
    """Write all results into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JSON).write_text(json.dumps(results, indent=1) + "\n")
    parts = ["# Results", *results["remarks"], "\n".join(f"- {line}" for line in about(results))]
    if results["rows"]:
        (folder / "rows.svg").write_text(draw_rows(results))
        parts += ["![the cost of each server, row by row](rows.svg)", markdown(summary(results))]
    for row in results["rows"]:
        parts += [f"## {row['title']}", markdown(table(row)), *notes(row), verdict(row)]
    if results["growth"]:
        (folder / "growth.svg").write_text(draw_growth(results))
        parts += ["## As the work grows", GROWTH, "![growth](growth.svg)"]
    for series in results["growth"]:
        parts += [f"### {heading(series)}", markdown(growth_table(series)), *notes(series)]
    (folder / "results.md").write_text("\n\n".join(parts) + "\n")

"""Writes the parts of the documentation that are made from tables in the code.

These are a picture, and tables between markers in Markdown pages.

    generate.py           writes the files that are out of date
    generate.py --check   writes nothing; if files are out of date, names them and exits with 1

`<!-- generated: NAME -->` and `<!-- end -->` mark the place of a table in a page. The text between
them is replaced.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
import textwrap
import typing
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final, NamedTuple

from bide.config import Config, about, kind_of, options
from bide.http1.lifetime import TRANSITIONS
from bide.observe.metrics import METRICS
from bide.policy.clocks import EXPIRIES, running
from bide.terms import REASONS, Clock, Input, State

ROOT: Final = Path(__file__).resolve().parent.parent


class NoPlaceError(Exception):
    """Raised if the code's tables hold something that this generator has no place for."""


# -- Words -----------------------------------------------------------------------------------------


def meanings() -> dict[State, str]:
    """Return the meaning of each state: the comment after it in `bide.terms`."""
    source = (ROOT / "src/bide/terms.py").read_text(encoding="utf-8")
    body = source.partition("class State(")[2].partition("\nclass ")[0]
    found: dict[str, str] = dict(re.findall(r'^    ([A-Z]+) = "[a-z]+"  # (.+)$', body, re.MULTILINE))
    missing = [state.name for state in State if state.name not in found]
    if missing:
        raise NoPlaceError(f"no comment in terms.py says what these states mean: {', '.join(missing)}")
    return {state: found[state.name] for state in State}


def clocks_of(state: State) -> list[tuple[Clock, str]]:
    """Return the clocks of a state, each with the condition on which it runs ("" for always)."""
    always = running(state, body_awaited=False, write_paused=False)
    if always is not None:
        return [(always, "")]
    if state is not State.EXCHANGE:
        return []
    awaited = running(state, body_awaited=True, write_paused=False)
    stuck = running(state, body_awaited=False, write_paused=True)
    if awaited is None or stuck is None:
        raise NoPlaceError(f"the generator has no words for the clocks of {state.name}")
    return [(awaited, "while awaited"), (stuck, "while output waits")]


def stuck_states() -> list[State]:
    """Return the states in which the SEND clock replaces all others while output waits."""
    return [state for state in State if running(state, body_awaited=False, write_paused=True) is Clock.SEND]


# The clocks of a WebSocket run in place of the tunnel's. When each does, and what it ends with.
_WEBSOCKET: Final = {
    Clock.WS_PING: ("while the WebSocket is silent", "a ping"),
    Clock.WS_PONG: ("while a ping is unanswered", ""),
    Clock.WS_CLOSE: ("while a Close frame is unanswered", "keeps its reason"),
}
# Options that have the names of uvicorn's.
_NAMED_OTHERWISE: Final = {Clock.WS_PING: "ws_ping_interval", Clock.WS_PONG: "ws_ping_timeout"}


def option_of(clock: Clock) -> str:
    """Return the option that sets the duration of a clock."""
    name = _NAMED_OTHERWISE.get(clock, f"timeout_{clock.value}")
    if name not in {option.name for option in options()}:
        raise NoPlaceError(f"no option {name} for the clock {clock.name}")
    return name


def seconds_of(clock: Clock) -> str:
    """Return the default duration of a clock."""
    return f"{getattr(Config(), option_of(clock)):g} s"


def spoken(happened: Input) -> str:
    """Return an input as the picture writes it."""
    return happened.value.replace("_", " ")


# -- The picture -----------------------------------------------------------------------------------

WIDTH: Final = 1380
HEIGHT: Final = 658


class Box(NamedTuple):
    """Places the box of a state.

    x, y: upper left corner, in pixels, as all lengths of the picture.
    width, height: size.
    wrap: characters in a line of the state's meaning.
    """

    x: int
    y: int
    width: int
    height: int
    wrap: int


class Route(NamedTuple):
    """Places the line of an edge.

    points: corners of the line.
    label: place of its inputs.
    anchor: alignment of the label.
    look: class of the style sheet.
    line: text between two inputs of the label.
    over: points at which it crosses a horizontal line; that line gets a gap there.
    """

    points: tuple[tuple[int, int], ...]
    label: tuple[int, int]
    anchor: str
    look: str
    line: str = "\n"
    over: tuple[tuple[int, int], ...] = ()


_TOP: Final = 148
_TALL: Final = 174
_UNDER: Final = _TOP + _TALL
_BAR: Final = 440  # upper edge of CLOSING
_LOW: Final = 548  # upper edge of LINGER and CLOSED

BOXES: Final[dict[State, Box]] = {
    State.HANDSHAKE: Box(21, _TOP, 138, _TALL, 18),
    State.NEW: Box(221, _TOP, 138, _TALL, 18),
    State.HEAD: Box(421, _TOP, 138, _TALL, 18),
    State.EXCHANGE: Box(621, _TOP, 138, _TALL, 18),
    State.DISCARD: Box(821, _TOP, 138, _TALL, 18),
    State.IDLE: Box(1021, _TOP, 138, _TALL, 18),
    State.TUNNEL: Box(1221, _TOP, 138, _TALL, 18),
    State.CLOSING: Box(21, _BAR, 1290, 50, 80),
    State.LINGER: Box(640, _LOW, 220, 98, 34),
    State.CLOSED: Box(1021, _LOW, 138, 98, 20),
}

#: The states before the end is decided. LOST leads from each to CLOSED, and one line shows all.
OPEN: Final = (State.HANDSHAKE, State.NEW, State.HEAD, State.EXCHANGE, State.DISCARD, State.IDLE, State.TUNNEL)


def _down(state: State) -> Route:
    """Return the route from an open state to CLOSING."""
    x = BOXES[state].x + 24
    return Route(((x, _UNDER), (x, _BAR)), (x + 9, _UNDER + 20), "start", "end")


ROUTES: Final[dict[tuple[State, State], Route]] = {
    (State.HANDSHAKE, State.NEW): Route(((159, 212), (221, 212)), (188, 206), "middle", "way"),
    (State.NEW, State.HEAD): Route(((359, 212), (421, 212)), (388, 191), "middle", "way"),
    (State.NEW, State.EXCHANGE): Route(((320, _TOP), (320, 104), (640, 104), (640, _TOP)), (396, 98), "middle", "way"),
    (State.HEAD, State.EXCHANGE): Route(((559, 212), (621, 212)), (588, 191), "middle", "loop"),
    (State.EXCHANGE, State.DISCARD): Route(((759, 212), (821, 212)), (788, 206), "middle", "loop"),
    (State.DISCARD, State.IDLE): Route(((959, 212), (1021, 212)), (988, 191), "middle", "loop"),
    (State.EXCHANGE, State.IDLE): Route(
        ((720, _TOP), (720, 118), (1050, 118), (1050, _TOP)), (885, 112), "middle", "loop"
    ),
    (State.IDLE, State.EXCHANGE): Route(
        ((1090, _TOP), (1090, 90), (680, 90), (680, _TOP)), (885, 84), "middle", "loop"
    ),
    (State.IDLE, State.HEAD): Route(
        ((1130, _TOP), (1130, 62), (490, 62), (490, _TOP)), (885, 56), "middle", "loop", over=((490, 104),)
    ),
    (State.EXCHANGE, State.TUNNEL): Route(
        ((746, _TOP), (746, 34), (1290, 34), (1290, _TOP)),
        (1228, 28),
        "middle",
        "way",
        over=((746, 118), (746, 90), (746, 62)),
    ),
    **{(state, State.CLOSING): _down(state) for state in OPEN},
    (State.CLOSING, State.CLOSING): Route(
        ((890, 490), (890, 516), (960, 516), (960, 490)), (925, 533), "middle", "end", ", "
    ),
    (State.CLOSING, State.LINGER): Route(((745, 490), (745, _LOW)), (753, 532), "start", "end"),
    (State.CLOSING, State.CLOSED): Route(((1050, 490), (1050, _LOW)), (1058, 532), "start", "end"),
    (State.LINGER, State.LINGER): Route(((640, 582), (614, 582), (614, 614), (640, 614)), (606, 587), "end", "end"),
    (State.LINGER, State.CLOSED): Route(((860, 598), (1021, 598)), (940, 591), "middle", "end"),
}

#: From the frame around the open states to CLOSED.
LOST: Final = Route(((1340, 412), (1340, 598), (1159, 598)), (1250, 591), "middle", "lost")

STYLE: Final = """
  svg { color-scheme: light dark; }
  text { fill: #24292f; }
  text { font: 12px ui-sans-serif, system-ui, "Segoe UI", "Liberation Sans", Helvetica, Arial, sans-serif; }
  .name { font-size: 14px; font-weight: 650; letter-spacing: .04em; }
  .lane-name { font-size: 12px; font-weight: 650; letter-spacing: .08em; }
  .quiet { fill: #57606a; }
  .label { fill: #424a53; }
  .time { font-weight: 600; }
  .lane { fill: #f6f8fa; stroke: #d0d7de; }
  .box { fill: #ffffff; stroke: #8c959f; stroke-width: 1.2; }
  .box.on-loop { stroke: #0969da; stroke-width: 1.8; }
  .box.ending { stroke: #bc4c00; }
  .box.over { fill: #eaeef2; stroke: #57606a; }
  .rule { stroke: #d0d7de; }
  .glyph { fill: none; stroke: #57606a; stroke-width: 1.3; stroke-linecap: round; }
  .gap { fill: none; stroke: #f6f8fa; stroke-width: 10; }
  .line { fill: none; stroke-width: 1.5; }
  .line.way, .line.lost { stroke: #6e7781; }
  .line.lost { stroke-dasharray: 5 4; }
  .line.loop { stroke: #0969da; stroke-width: 2.2; }
  .line.end { stroke: #bc4c00; }
  .tip.way, .tip.lost { fill: #6e7781; }
  .tip.loop { fill: #0969da; }
  .tip.end { fill: #bc4c00; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .quiet { fill: #9198a1; }
    .label { fill: #c3cad1; }
    .lane { fill: #151b23; stroke: #3d444d; }
    .box { fill: #0d1117; stroke: #656c76; }
    .box.on-loop { stroke: #4493f8; }
    .box.ending { stroke: #db6d28; }
    .box.over { fill: #262c36; stroke: #9198a1; }
    .rule { stroke: #3d444d; }
    .gap { stroke: #151b23; }
    .glyph { stroke: #9198a1; }
    .line.way, .line.lost { stroke: #9198a1; }
    .line.loop { stroke: #4493f8; }
    .line.end { stroke: #db6d28; }
    .tip.way, .tip.lost { fill: #9198a1; }
    .tip.loop { fill: #4493f8; }
    .tip.end { fill: #db6d28; }
  }
"""

_ROUND: Final = 9  # radius of corners
_TIP: Final = 8  # length of an arrow's tip
_LINE: Final = 15  # height of a line of text

_ON_LOOP: Final = (State.HEAD, State.EXCHANGE, State.DISCARD, State.IDLE)
_ENDING: Final = (State.CLOSING, State.LINGER)


def edges() -> dict[tuple[State, State], list[Input]]:
    """Return the inputs that lead from one state to another."""
    found: dict[tuple[State, State], list[Input]] = {}
    for state, row in TRANSITIONS.items():
        for happened, following in row.items():
            found.setdefault((state, following), []).append(happened)
    return found


def check_places() -> None:
    """Raise NoPlaceError if the tables and the layout do not fit each other."""
    wrong = [f"no box for the state {state.name}" for state in State if state not in BOXES]
    found = edges()
    wrong += [
        f"{state.name} is not LOST, and only that, to CLOSED: the common line says so"
        for state in OPEN
        if found.pop((state, State.CLOSED), None) != [Input.LOST]
    ]
    wrong += [f"no route from {a.name} to {b.name}" for a, b in found if (a, b) not in ROUTES]
    wrong += [f"a route from {a.name} to {b.name}, but no transition" for a, b in ROUTES if (a, b) not in found]
    if wrong:
        raise NoPlaceError("docs/lifetime.svg: " + "; ".join(wrong))


def _text(x: float, y: float, text: str, look: str = "", anchor: str = "start") -> str:
    extra = f' class="{look}"' if look else ""
    if anchor != "start":
        extra += f' text-anchor="{anchor}"'
    return f'<text x="{x:g}" y="{y:g}"{extra}>{escape(text)}</text>'


def _rectangle(x: int, y: int, width: int, height: int, look: str) -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" class="{look}"/>'


def _glyph(x: float, y: float) -> str:
    """Draw a small clock around (x, y)."""
    return f'<path class="glyph" d="M{x - 5:g} {y:g}a5 5 0 1 1 10 0a5 5 0 1 1 -10 0M{x:g} {y - 3:g}v3h2.4"/>'


def _towards(start: tuple[int, int], end: tuple[int, int], distance: float) -> tuple[float, float]:
    """Return the point at `distance` from `start` towards `end`. Lines run along the axes."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = abs(dx) + abs(dy)
    return start[0] + dx / length * distance, start[1] + dy / length * distance


def _arrow(points: Sequence[tuple[int, int]], look: str) -> list[str]:
    """Draw a line with round corners and a tip."""
    path = f"M{points[0][0]} {points[0][1]}"
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        ax, ay = _towards(corner, before, _ROUND)
        bx, by = _towards(corner, after, _ROUND)
        path += f"L{ax:g} {ay:g}Q{corner[0]} {corner[1]} {bx:g} {by:g}"
    end, before = points[-1], points[-2]
    bx, by = _towards(end, before, _TIP)
    path += f"L{bx:g} {by:g}"
    sideways = (bx - end[0]) / _TIP * 4.5, (by - end[1]) / _TIP * 4.5
    tip = f"M{end[0]} {end[1]}L{bx + sideways[1]:g} {by - sideways[0]:g}L{bx - sideways[1]:g} {by + sideways[0]:g}Z"
    return [
        f'<path class="line {look}" d="{path}"/>',
        f'<path class="tip {look}" d="{tip}"/>',
    ]


def _labels(route: Route, inputs: Iterable[Input]) -> list[str]:
    """Write the inputs beside their line: one word in a line if two boxes are close together."""
    words = [spoken(happened) for happened in inputs]
    narrow = route.anchor == "middle" and len(route.points) == 2 and route.points[1][0] - route.points[0][0] < 100
    lines = words[0].split(" ") if narrow else route.line.join(words).split("\n")
    x, y = route.label
    return [_text(x, y + number * _LINE, line, "label", route.anchor) for number, line in enumerate(lines)]


def _clock_lines(state: State, box: Box) -> list[str]:
    """Write the clocks of a state at the foot of its box."""
    shapes: list[str] = []
    rows = [(clock, condition) for clock, condition in clocks_of(state)]
    y = box.y + box.height - 12 - _LINE * sum(1 + bool(condition) for _, condition in rows) + _LINE
    if rows:
        shapes.append(f'<path class="rule" d="M{box.x + 10} {y - 20}h{box.width - 20}"/>')
    for clock, condition in rows:
        time = f"{clock.value.replace('_', ' ')} {seconds_of(clock)}"
        if clock is Clock.LINGER:
            time += f", in all {Config().timeout_linger_total:g} s"
        shapes += [_glyph(box.x + 17, y - 4), _text(box.x + 28, y, time, "time")]
        if condition:
            y += _LINE
            shapes.append(_text(box.x + 12, y, condition, "quiet"))
        y += _LINE
    return shapes


def _box(state: State, meaning: str) -> list[str]:
    box = BOXES[state]
    look = "over" if state is State.CLOSED else "on-loop" if state in _ON_LOOP else "ending" if state in _ENDING else ""
    shapes = [_rectangle(box.x, box.y, box.width, box.height, f"box {look}".strip())]
    name = _text(box.x + 12, box.y + 22, state.name, "name")
    lines = textwrap.wrap(meaning, box.wrap)
    if state is State.CLOSING:  # wide and low, so two lines hold everything
        ((clock, _),) = clocks_of(state)
        clock_x = box.x + box.width - 92
        return [
            *shapes,
            name,
            _text(box.x + 12, box.y + 39, meaning, "quiet"),
            _glyph(clock_x, box.y + 27),
            _text(clock_x + 11, box.y + 31, f"{clock.value} {seconds_of(clock)}", "time"),
        ]
    clocks = clocks_of(state)
    needed = 22 + _LINE * (len(lines) + 0.8 + sum(1 + bool(condition) for _, condition in clocks)) + 12
    if clocks:
        shapes += _clock_lines(state, box)
    if needed > box.height:
        raise NoPlaceError(f"docs/lifetime.svg: the box of {state.name} is too low for its text")
    shapes.append(name)
    shapes += [_text(box.x + 12, box.y + 41 + number * _LINE, line, "quiet") for number, line in enumerate(lines)]
    return shapes


def _legend() -> list[str]:
    """Write the legend at the lower left."""
    stuck = stuck_states()
    if stuck != [*OPEN, State.CLOSING]:
        raise NoPlaceError("docs/lifetime.svg: the legend on output that waits is no longer true")
    rows = [
        ('<path class="line loop" d="M21 {y}h20"/>', ["the connection persists"]),
        ('<path class="line end" d="M21 {y}h20"/>', ["it ends, and its one reason is set"]),
        ('<path class="line lost" d="M21 {y}h20"/>', ["the wire is lost, in any state"]),
        (
            "",
            ["the clock that runs, with its default; up to", f"CLOSING it is {Clock.SEND.value} while output waits"],
        ),
    ]
    shapes = [_text(21, 522, "ENDING", "lane-name quiet")]
    y = 548
    for line, texts in rows:
        shapes.append(line.format(y=y - 4) or _glyph(31, y - 4))
        for text in texts:
            shapes.append(_text(50, y, text, "quiet"))
            y += _LINE
        y += 5
    return shapes


def picture() -> str:
    """Return the life of a connection as an SVG document."""
    check_places()
    said = meanings()
    found = edges()
    sentences = [
        f"{state.name} ({said[state]}): "
        + (", ".join(f"{spoken(happened)} to {to.name}" for happened, to in row.items()) or "the end")
        + "."
        for state, row in TRANSITIONS.items()
    ]
    shapes = [
        _rectangle(6, 6, WIDTH - 12, 406, "lane"),
        _rectangle(6, 424, WIDTH - 12, HEIGHT - 430, "lane"),
        _text(21, 30, "OPEN", "lane-name quiet"),
        *_arrow(((60, 108), (60, _TOP)), "way"),
        '<circle cx="60" cy="106" r="5" class="tip way"/>',
        _text(60, 94, "accepted", "label", "middle"),
    ]
    for state in State:
        shapes += _box(state, said[state])
    for edge, route in ROUTES.items():
        shapes += [f'<path class="gap" d="M{x} {y - 6}v12"/>' for x, y in route.over]
        shapes += _arrow(route.points, route.look) + _labels(route, found[edge])
    shapes += _arrow(LOST.points, LOST.look) + _labels(LOST, [Input.LOST])
    shapes += _legend()
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img">',
            "<title>The life of a connection</title>",
            f"<desc>{escape(' '.join(sentences))}</desc>",
            "<!-- generated by tools/generate.py from the tables in src/bide -->",
            f"<style>{STYLE}</style>",
            *shapes,
            "</svg>",
            "",
        ]
    )


# -- The tables ------------------------------------------------------------------------------------


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join([_row(*head), "|" + "---|" * len(head), *(_row(*row) for row in rows)])


def _section(section: str) -> str:
    """Return a section as a link to its RFC."""
    if not section:
        return ""
    document, number = ("RFC 9112", section) if " " not in section else section.rsplit(" ", 1)
    if document == "PROXY":
        return f"[PROXY protocol, {number}](https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt)"
    rfc = document.removeprefix("RFC ")
    return f"[{rfc}, {number}](https://www.rfc-editor.org/rfc/rfc{rfc}#section-{number})"


def reasons_table() -> str:
    """Return the table of all close reasons."""
    return _table(
        ("reason", "ended by", "RFC", "what happened"),
        (
            (f"`{reason.value}`", row.initiator.value, _section(row.section), row.sentence)
            for reason, row in REASONS.items()
        ),
    )


def metrics_table() -> str:
    """Return the table of all metrics."""
    return _table(
        ("metric", "kind", "unit", "meaning"),
        ((f"`{metric.name}`", metric.kind, metric.unit, metric.help) for metric in METRICS),
    )


def _default(option: dataclasses.Field[Any]) -> str:
    value = option.default
    if value in (None, "", ()):
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    zero = about(option).zero
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{text} ({zero})" if zero else text


def _flags(option: dataclasses.Field[Any], kind: object) -> str:
    flag = f"--{option.name.replace('_', '-')}"
    if kind is bool and option.default:
        return f"`{flag}`, `--no-{flag[2:]}`"
    also = about(option).also
    return f"`{flag}`, `--{also.replace('_', '-')}`" if also else f"`{flag}`"


def options_tables() -> str:
    """Return a table of options for each group."""
    groups: dict[str, list[Sequence[str]]] = {}
    for option in options():
        known = about(option)
        kind = kind_of(option)
        text = known.help
        if typing.get_origin(kind) is typing.Literal:
            text += f" One of {', '.join(f'`{choice}`' for choice in kind.__args__)}."
        groups.setdefault(known.group, []).append(
            (_flags(option, kind), _default(option), f"`BIDE_{option.name.upper()}`", text, known.precedent)
        )
    head = ("option", "default", "environment", "what it is", "precedent")
    return "\n\n".join(f"### {group}\n\n{_table(head, rows)}" for group, rows in groups.items())


def clocks_table() -> str:
    """Return the table of clocks and the states in which they run."""
    rows: list[Sequence[str]] = []
    for state in State:
        for clock, condition in clocks_of(state):
            if clock is Clock.SEND and condition:
                continue  # has a row for all states
            reason, status = EXPIRIES[clock]
            given = "keeps its reason"
            if reason is not None and state not in (State.CLOSING, State.LINGER):
                given = f"`{reason.value}`"
            answer = "" if status is None else f"{status}, if no response has begun" if condition else str(status)
            when = "while the application waits for the body" if condition else ""
            rows.append(
                (
                    f"`{state.value}`",
                    clock.value,
                    when,
                    f"`--{option_of(clock).replace('_', '-')}`",
                    seconds_of(clock),
                    given,
                    answer,
                )
            )
    for clock, (when, given) in _WEBSOCKET.items():
        reason = EXPIRIES[clock].reason
        ends = given if reason is None else f"`{reason.value}`"
        flag = f"`--{option_of(clock).replace('_', '-')}`"
        rows.append((f"`{State.TUNNEL.value}`", clock.value, when, flag, seconds_of(clock), ends, ""))
    reason = EXPIRIES[Clock.SEND].reason
    assert reason is not None
    rows.append(
        (
            ", ".join(f"`{state.value}`" for state in stuck_states() if state is not State.CLOSING),
            Clock.SEND.value,
            "while the client does not take output",
            f"`--{option_of(Clock.SEND).replace('_', '-')}`",
            seconds_of(Clock.SEND),
            f"`{reason.value}`",
            "",
        )
    )
    return _table(("state", "clock", "runs", "option", "default", "ends with", "answer"), rows)


# -- The files -------------------------------------------------------------------------------------

#: The tables in pages: file -> name of the marker -> function that returns the table.
PAGES: Final[dict[str, dict[str, Callable[[], str]]]] = {
    "README.md": {"reasons": reasons_table, "metrics": metrics_table},
    "docs/options.md": {"options": options_tables},
    "docs/lifetime.md": {"clocks": clocks_table},
}


def between_markers(page: str, name: str, table: str) -> str:
    """Return `page` with `table` between the markers called `name`.

    Raises NoPlaceError unless the page has these markers once.
    """
    begin, end = f"<!-- generated: {name} -->", "<!-- end -->"
    if page.count(begin) != 1 or end not in page.partition(begin)[2]:
        raise NoPlaceError(f"the page must have one {begin} with {end} after it")
    before, _, rest = page.partition(begin)
    after = rest.partition(end)[2]
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def generated() -> dict[str, str]:
    """Return the text that each generated file should have. Raises NoPlaceError."""
    files = {"docs/lifetime.svg": picture()}
    for name, tables in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        for marker, make in tables.items():
            try:
                text = between_markers(text, marker, make())
            except NoPlaceError as error:
                raise NoPlaceError(f"{name}: {error}") from error
        files[name] = text
    return files


def out_of_date() -> dict[str, str]:
    """Return those texts of `generated` that differ from the files."""

    def differs(name: str, text: str) -> bool:
        path = ROOT / name
        return not path.exists() or path.read_text(encoding="utf-8") != text

    return {name: text for name, text in generated().items() if differs(name, text)}


def main() -> int:
    """Run the command, and return its exit code."""
    parser = argparse.ArgumentParser(description="Write the documentation that is made from tables in the code.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; if files are out of date, name them and exit with 1"
    )
    check: bool = parser.parse_args().check
    try:
        stale = out_of_date()
    except NoPlaceError as error:
        print(f"generate: {error}", file=sys.stderr)
        return 1
    for name, text in stale.items():
        if check:
            print(f"{name} is out of date; run make docs", file=sys.stderr)
        else:
            (ROOT / name).write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

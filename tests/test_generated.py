"""Pages that are generated from the code are current: `make docs` would change nothing."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bide.config import about, options
from bide.http1 import lifetime
from bide.policy.clocks import EXPIRIES
from bide.terms import CloseReason, Input, State
from tools import generate

PAGES = [
    str(path.relative_to(generate.ROOT))
    for folder in (".", "docs", "bench", "examples")
    for path in sorted((generate.ROOT / folder).glob("*.md"))
]
README = (generate.ROOT / "README.md").read_text(encoding="utf-8")


def page(name: str) -> str:
    return (generate.ROOT / name).read_text(encoding="utf-8")


def test_generated_pages_are_current() -> None:
    assert list(generate.out_of_date()) == [], "make docs"


def test_check_names_pages_that_are_out_of_date(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (*generate.PAGES, "src/bide/terms.py"):
        copy = tmp_path / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(page(name).replace("`idle_timeout`", "`idle_time`"), encoding="utf-8")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["generate.py", "--check"])
    assert generate.main() == 1
    stale = capsys.readouterr().err
    assert "README.md is out of date" in stale
    assert "docs/lifetime.md is out of date" in stale
    assert "docs/lifetime.svg is out of date" in stale
    assert "docs/options.md" not in stale
    assert not (tmp_path / "docs/lifetime.svg").exists()

    monkeypatch.setattr("sys.argv", ["generate.py"])
    assert generate.main() == 0
    assert list(generate.out_of_date()) == []


@pytest.mark.parametrize("reason", CloseReason)
def test_readme_has_every_reason_once(reason: CloseReason) -> None:
    table = README.partition("<!-- generated: reasons -->")[2].partition("<!-- end -->")[0]
    assert table.count(f"\n| `{reason.value}` |") == 1


def test_readme_names_known_reasons_only() -> None:
    said = set(re.findall(r"close=(\w+)", README)) | set(re.findall(r'"close": "(\w+)"', README))
    assert said, "the pattern finds nothing"
    assert said <= {reason.value for reason in CloseReason}


@pytest.mark.parametrize("option", [option.name for option in options()])
def test_options_page_has_every_option(option: str) -> None:
    assert f"`BIDE_{option.upper()}`" in page("docs/options.md")


def test_pages_name_known_options_only() -> None:
    known = (
        {option.name for option in options()}
        | {f"no_{option.name}" for option in options() if option.default is True}
        | {about(option).also for option in options()}
    )
    named = re.findall(r"`--([a-z-]+)", page("docs/lifetime.md") + page("docs/options.md") + page("docs/workers.md"))
    assert named, "the pattern finds nothing"
    assert {name.replace("-", "_") for name in named} <= known


def test_clocks_page_names_the_reason_of_each_clock() -> None:
    text = page("docs/lifetime.md")
    assert [
        clock
        for clock, expiry in EXPIRIES.items()
        if expiry.reason is not None and f"`{expiry.reason.value}`" not in text
    ] == []


def test_design_page_names_each_module() -> None:
    named = set(re.findall(r"\w+", page("docs/design.md").partition("```")[2].partition("```")[0]))
    modules = {path.stem for path in (generate.ROOT / "src/bide").rglob("*.py")} - {"__init__", "__main__"}
    assert modules - named == set()


def links(name: str) -> list[str]:
    """Return the links of a page that lead to files."""
    found: list[str] = re.findall(r"\]\(([^):#]+)[^):]*\)", page(name))
    return found


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    place = (generate.ROOT / name).parent
    assert [link for link in links(name) if not (place / link).exists()] == []


def test_links_are_found() -> None:
    assert "docs/options.md" in links("README.md")


def test_picture_shows_every_state_and_says_every_transition() -> None:
    root = ET.fromstring(generate.picture())  # our own
    shown = [element.text for element in root.iter() if element.tag.endswith("}text")]
    said = next(element.text or "" for element in root.iter() if element.tag.endswith("}desc"))
    for state, row in lifetime.TRANSITIONS.items():
        assert shown.count(state.name) == 1
        for happened, following in row.items():
            assert f"{generate.spoken(happened)} to {following.name}" in said


def test_picture_labels_stay_within_it() -> None:
    root = ET.fromstring(generate.picture())  # our own
    labels = [element for element in root.iter() if element.tag.endswith("}text")]
    assert len(labels) >= len(State)
    for label in labels:
        assert 0 < float(label.attrib["x"]) < generate.WIDTH
        assert 0 < float(label.attrib["y"]) < generate.HEIGHT


@pytest.mark.parametrize(
    ("state", "happened", "following", "complaint"),
    [
        (State.NEW, Input.UNREAD, State.IDLE, "no route from NEW to IDLE"),
        (State.LINGER, Input.HALF_CLOSED, State.CLOSING, "no route from LINGER to CLOSING"),
        (State.IDLE, Input.SHED, State.CLOSED, "IDLE is not LOST, and only that, to CLOSED"),
    ],
)
def test_transition_without_a_route_is_an_error(
    monkeypatch: pytest.MonkeyPatch, state: State, happened: Input, following: State, complaint: str
) -> None:
    monkeypatch.setitem(lifetime.TRANSITIONS, state, {**lifetime.TRANSITIONS[state], happened: following})
    with pytest.raises(generate.NoPlaceError, match=complaint):
        generate.picture()


def test_route_without_a_transition_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {happened: to for happened, to in lifetime.TRANSITIONS[State.CLOSING].items() if to is not State.LINGER}
    monkeypatch.setitem(lifetime.TRANSITIONS, State.CLOSING, row)
    with pytest.raises(generate.NoPlaceError, match="a route from CLOSING to LINGER, but no transition"):
        generate.picture()


def test_state_without_a_box_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(generate.BOXES, State.LINGER)
    with pytest.raises(generate.NoPlaceError, match="no box for the state LINGER"):
        generate.picture()


def test_page_without_its_markers_once_is_an_error() -> None:
    with pytest.raises(generate.NoPlaceError, match="generated: reasons"):
        generate.between_markers("# A page without markers", "reasons", "table")
    twice = "<!-- generated: a -->\n<!-- end -->\n" * 2
    with pytest.raises(generate.NoPlaceError, match="generated: a"):
        generate.between_markers(twice, "a", "table")
    once = generate.between_markers("x <!-- generated: a -->old<!-- end --> y", "a", "new")
    assert once == "x <!-- generated: a -->\n\nnew\n\n<!-- end --> y"
    assert generate.between_markers(once, "a", "new") == once

"""Which files are watched, and that a change is reported."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path

import pytest

from bide.errors import ApplicationError
from bide.supervisor.watch import Watched, require, watch


@pytest.mark.parametrize(
    ("path", "is_held"),
    [
        ("app.py", True),
        ("package/module.py", True),
        ("notes.txt", False),
        ("page.html", True),
        ("templates/page.html", True),
        ("tests/test_app.py", False),
        ("generated_x.py", False),
        (".git/hook.py", False),
        (".venv/lib/a.py", False),
        ("venv/lib/a.py", False),
        ("package/__pycache__/a.py", False),
        ("node_modules/a.py", False),
    ],
)
def test_sources_are_watched_but_those_that_are_excluded(tmp_path: Path, path: str, is_held: bool) -> None:
    folder = tmp_path / "venv" / "site"  # its own name counts for nothing
    folder.mkdir(parents=True)
    watched = Watched((str(tmp_path / "other"), str(folder)), ("*.html",), ("tests", "generated_*"), 0.25)
    assert watched.holds(str(folder / path)) is is_held


def test_file_outside_is_judged_by_its_whole_path() -> None:
    watched = Watched(("/nowhere/at/all",), (), (), 0.25)
    assert watched.holds("/elsewhere/app.py")
    assert not watched.holds("/elsewhere/.venv/app.py")


def test_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    require(Watched((str(tmp_path),), (), (), 0.25))
    with pytest.raises(ApplicationError, match=r"^--reload-dir must be an existing folder, got '/nowhere/at/all'$"):
        require(Watched((str(tmp_path), "/nowhere/at/all"), (), (), 0.25))


def test_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ApplicationError, match=r"^--reload needs the package watchfiles; install it: pip install "):
        require(Watched((".",), (), (), 0.25))


def test_changes_are_reported_together(tmp_path: Path) -> None:
    reported: list[list[str]] = []

    async def scene() -> None:
        stop = asyncio.Event()
        watching = asyncio.ensure_future(watch(Watched((str(tmp_path),), (), (), 0.05), reported.append, stop))
        await asyncio.sleep(0)  # it watches
        for name in ("b.py", "a.py", "c.txt"):
            (tmp_path / name).write_text("x")
        async with asyncio.timeout(30):
            while not reported:
                await asyncio.sleep(0.01)
        stop.set()
        await watching

    asyncio.run(scene())
    assert reported == [[str(tmp_path / "a.py"), str(tmp_path / "b.py")]]

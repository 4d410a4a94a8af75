"""Watches source files for changes, by the package watchfiles."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path, PurePath
from typing import Final, NamedTuple

from bide.errors import ApplicationError

# Folders whose changes never matter: of version control, of environments, of caches.
_NEVER: Final = frozenset({".git", ".hg", ".venv", "venv", "__pycache__", "node_modules"})

_SOURCES: Final = "*.py"


class Watched(NamedTuple):
    """Says which files are watched.

    folders: where they are.
    include: patterns of names or paths, besides Python's sources.
    exclude: patterns of names or paths.
    delay: seconds without a change, after which changes are reported.
    """

    folders: tuple[str, ...]
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    delay: float

    def holds(self, path: str) -> bool:
        """Return whether a file is watched."""
        pure = self._within(path)
        if not _NEVER.isdisjoint(pure.parts):
            return False
        if any(_matches(pure, pattern) for pattern in self.exclude):
            return False
        return any(_matches(pure, pattern) for pattern in (_SOURCES, *self.include))

    def _within(self, path: str) -> PurePath:
        """Return a path as it is within its folder, whose own name counts for nothing."""
        for folder in self.folders:
            with contextlib.suppress(ValueError):
                return Path(path).relative_to(folder)
        return PurePath(path)


def _matches(path: PurePath, pattern: str) -> bool:
    """Return whether a path, its name or one of its folders matches a pattern."""
    return any(fnmatch(part, pattern) for part in path.parts) or fnmatch(str(path), pattern)


def require(watched: Watched) -> None:
    """Raise ApplicationError unless files can be watched."""
    if importlib.util.find_spec("watchfiles") is None:
        raise ApplicationError("--reload needs the package watchfiles; install it: pip install 'bide[reload]'")
    for folder in watched.folders:
        if not Path(folder).is_dir():
            raise ApplicationError(f"--reload-dir must be an existing folder, got {folder!r}")


async def watch(watched: Watched, changed: Callable[[list[str]], None], stop: asyncio.Event) -> None:
    """Call `changed` with the paths of changed files until `stop` is set."""
    import watchfiles

    found = watchfiles.awatch(
        *watched.folders,
        watch_filter=lambda _, path: watched.holds(path),
        step=max(1, round(watched.delay * 1000)),
        stop_event=stop,
    )
    async for changes in found:
        changed(sorted({path for _, path in changes}))

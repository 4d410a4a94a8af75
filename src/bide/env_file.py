"""Sets environment variables from a file, which may be read again.

Variables that the program was started with win, as with uvicorn.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bide.errors import ConfigError

_LINE: Final = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_QUOTED: Final = re.compile(r"(['\"])(.*)\1(?:\s+#.*)?")
_COMMENT: Final = re.compile(r"(?:^|\s+)#.*")

# What was set from a file, by name.
_set: Final[dict[str, str]] = {}


def load(path: str) -> None:
    """Set the variables of the file in place of those that were set from a file before.

    Raises ConfigError; then nothing has changed.
    """
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"env_file must be a text file that can be read, got {path!r}: {reason}") from error
    given = parsed(text, path)
    environment = without(os.environ)
    for name in _set:
        if name not in environment:
            os.environ.pop(name, None)
    _set.clear()
    _set.update((name, value) for name, value in given.items() if name not in environment)
    os.environ.update(_set)


def without(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what was set from a file.

    It is for a program that reads the file itself.
    """
    return {name: value for name, value in environment.items() if _set.get(name) != value}


def parsed(text: str, path: str) -> dict[str, str]:
    """Return the variables of a text. Raises ConfigError.

    Its lines are NAME=VALUE, with or without `export` and quotes. A `#` begins a comment. Nothing
    is expanded.

    path: for the error.
    """
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()  # noqa: PLW2901
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigError(f"env_file must have lines NAME=VALUE, got {line!r} in line {number} of {path!r}")
        quoted = _QUOTED.fullmatch(match[2])
        found[match[1]] = _COMMENT.sub("", match[2]) if quoted is None else quoted[2]
    return found

"""Runs tests pure and compiled, on the oldest Python that bide supports and on the newest here: `test-matrix.py PYTEST_ARGUMENTS`.

The environment that runs this is one of the four, and its tests are left to it. The others are made in .venv-matrix, and
installed into again only when what is installed changes. One that cannot be made, for want of a C compiler, of Python's headers or
of venv, is skipped, and said to be; where CI is set, it fails.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parent.parent
_PLACE: Final = _ROOT / ".venv-matrix"
_ASK: Final = "import sys; print(sys.version_info.minor, sys.version_info.releaselevel)"


def _oldest() -> int:
    """Return the minor version of the oldest Python that bide supports."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return int(re.findall(r"\d+", project["requires-python"])[1])


def _pythons(oldest: int) -> dict[int, str]:
    """Return the Pythons of this machine that bide supports, by minor version: on PATH, or kept by pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    kept = sorted(pyenv.glob("3.*/bin/python3"), key=lambda path: [int(part) for part in re.findall(r"\d+", str(path))])
    found = {sys.version_info.minor: sys.executable}
    for name in chain((f"python3.{minor}" for minor in range(oldest, 30)), map(str, reversed(kept))):
        try:
            asked = subprocess.run([name, "-c", _ASK], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):  # not there, or pyenv's stand-in for one that is not chosen
            continue
        minor, level = asked.stdout.split()
        if level == "final" and int(minor) >= oldest:
            found.setdefault(int(minor), name)
    return found


def _installed() -> str:
    """Return a digest of everything that an installation is made from."""
    digest = hashlib.sha256()
    for path in [_ROOT / "pyproject.toml", _ROOT / "setup.py", *sorted((_ROOT / "src").rglob("*.py"))]:
        digest.update(f"{path}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _environment(name: str, python: str, compiled: bool) -> str:
    """Return the Python of an environment with bide and its tests' requirements."""
    place = _PLACE / name
    own = str(place / "bin" / "python")
    stamp = place / "installed"
    wanted = f"{python} {_installed()}"
    if stamp.exists() and stamp.read_text("utf-8") == wanted:
        return own
    print(f"matrix: {name}: installing", flush=True)
    subprocess.run([python, "-m", "venv", "--clear", str(place)], check=True)
    pip = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{_ROOT}[test]"]
    subprocess.run(pip, check=True, env={**os.environ, "BIDE_COMPILED": str(int(compiled))})
    stamp.write_text(wanted, "utf-8")
    return own


def main(arguments: list[str]) -> int:
    """Run pytest in each environment; all of them, also behind one that failed."""
    oldest = _oldest()
    pythons = _pythons(oldest)
    chosen = sorted({oldest, max(pythons)} & set(pythons))
    for minor in {oldest} - set(pythons):
        print(f"matrix: SKIPPED: Python 3.{minor} is not here")
    if len(chosen) == 1:
        print(f"matrix: SKIPPED: a second Python; only 3.{chosen[0]} is here")
    failed = []
    for minor, compiled in [(minor, compiled) for minor in chosen for compiled in (False, True)]:
        name = f"3.{minor}-{'compiled' if compiled else 'pure'}"
        if minor == sys.version_info.minor and not compiled:
            continue
        try:
            python = _environment(name, pythons[minor], compiled)
        except subprocess.CalledProcessError as error:
            print(f"matrix: SKIPPED: {name} cannot be made: {error}")
            if os.environ.get("CI"):
                failed.append(name)
            continue
        print(f"matrix: {name}", flush=True)
        # -P: the modules that are tested are the installed ones, whatever is in the current directory.
        if subprocess.run([python, "-P", "-m", "pytest", *arguments], cwd=_ROOT, check=False).returncode:
            failed.append(name)
    print(f"matrix: failed: {' '.join(failed)}" if failed else "matrix: passed")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

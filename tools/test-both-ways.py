"""Runs all tests in this environment, and some of them in other builds.

    test-both-ways.py [--each] TESTS

    TESTS     paths of the tests for the other builds
    --each    run them in each other build, not only in the farthest one

Builds are pure and compiled, on the oldest Python that bide supports and on the newest one here.
The environment that runs this script is one of the four; the farthest shares neither Python nor
kind with it, so that with it each Python and each kind is tested. Other environments are made in
.venv-matrix, and bide is installed again only if its sources have changed.

An environment that cannot be made, for want of a C compiler, Python's headers or venv, is skipped
with a message. If CI is set, this is a failure.

The tests of this environment begin at once. The other environments are made meanwhile, and each
runs its tests as soon as it is made: tests mostly wait. The output of this environment is printed,
then that of the failed ones.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path
from typing import IO, Final

_ROOT: Final = Path(__file__).resolve().parent.parent
_PLACE: Final = _ROOT / ".venv-matrix"
# Tests of one build at a time: most of them wait most of the time.
_AT_A_TIME: Final = ("-n", "3", "--dist", "worksteal")
_PRINT_VERSION: Final = "import sys; print(sys.version_info.minor, sys.version_info.releaselevel)"


def _oldest() -> int:
    """Return the minor version of the oldest Python that bide supports."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return int(re.findall(r"\d+", project["requires-python"])[1])


def _pythons(oldest: int) -> dict[int, str]:
    """Return the Pythons on PATH and in pyenv that bide supports, by minor version."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    kept = sorted(pyenv.glob("3.*/bin/python3"), key=lambda path: [int(part) for part in re.findall(r"\d+", str(path))])
    found = {sys.version_info.minor: sys.executable}
    for name in chain((f"python3.{minor}" for minor in range(oldest, 30)), map(str, reversed(kept))):
        try:
            asked = subprocess.run([name, "-c", _PRINT_VERSION], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):  # missing, or an inactive shim of pyenv's
            continue
        minor, level = asked.stdout.split()
        if level == "final" and int(minor) >= oldest:
            found.setdefault(int(minor), name)
    return found


def _installed() -> str:
    """Return a digest of all files that an installation is made from."""
    digest = hashlib.sha256()
    for path in [_ROOT / "pyproject.toml", _ROOT / "setup.py", *sorted((_ROOT / "src").rglob("*.py"))]:
        digest.update(f"{path}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _environment(name: str, python: str, compiled: bool) -> str:
    """Make an environment with bide and its tests' requirements, and return its Python."""
    place = _PLACE / name
    own = str(place / "bin" / "python")
    stamp = place / "installed"
    wanted = f"{python} {_installed()}"
    if stamp.exists() and stamp.read_text("utf-8") == wanted:
        return own
    subprocess.run([python, "-m", "venv", "--clear", str(place)], check=True)
    pip = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{_ROOT}[test]"]
    subprocess.run(pip, check=True, env={**os.environ, "BIDE_COMPILED": str(int(compiled))})
    stamp.write_text(wanted, "utf-8")
    return own


def _builds() -> list[tuple[str, str, bool]]:
    """Return the other environments, the farthest first: name, Python, whether bide is compiled."""
    oldest = _oldest()
    pythons = _pythons(oldest)
    chosen = sorted({oldest, max(pythons)} & set(pythons))
    if oldest not in pythons:
        print(f"SKIPPED: Python 3.{oldest} is not here")
    if len(chosen) == 1:
        print(f"SKIPPED: a second Python; only 3.{chosen[0]} is here")
    here = (sys.version_info.minor, False)
    others = [(minor, compiled) for minor in chosen for compiled in (False, True) if (minor, compiled) != here]
    others.sort(key=lambda build: (build[0] != here[0]) + build[1], reverse=True)
    return [(f"3.{minor}-{'compiled' if compiled else 'pure'}", pythons[minor], compiled) for minor, compiled in others]


def _begin(name: str, python: str, tests: list[str]) -> tuple[IO[str], subprocess.Popen[bytes]]:
    """Begin to test an environment; return its output and the process."""
    log = (_PLACE / name / "log").open("w+", encoding="utf-8")
    # -P: test the installed modules, not those of the current directory.
    command = [python, "-P", "-m", "pytest", *_AT_A_TIME, "-o", f"cache_dir={_PLACE / name / 'cache'}", *tests]
    return log, subprocess.Popen(command, cwd=_ROOT, stdout=log, stderr=subprocess.STDOUT)


def main(arguments: list[str]) -> int:
    """Run pytest in each environment; return 0 if all passed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--each", action="store_true")
    chosen = parser.parse_args(arguments)
    builds = _builds()[: None if chosen.each else 1]
    here = subprocess.Popen([sys.executable, "-m", "pytest", *_AT_A_TIME], cwd=_ROOT)
    runs = {}
    missing: dict[str, subprocess.CalledProcessError] = {}
    for name, python, compiled in builds:
        try:
            runs[name] = _begin(name, _environment(name, python, compiled), chosen.tests)
        except subprocess.CalledProcessError as error:
            missing[name] = error
    failed = ["this one"] if here.wait() else []
    for name, why in missing.items():
        print(f"SKIPPED: {name} cannot be made: {why}")
    for name, (log, run) in runs.items():
        bad = run.wait()
        log.seek(0)
        lines = log.read().splitlines()
        log.close()
        print(*(lines if bad else lines[-1:]), f"{name}: {'FAILED' if bad else 'passed'}", sep="\n", flush=True)
        if bad:
            failed.append(name)
    if os.environ.get("CI"):
        failed += missing
    if failed:
        print(f"failed: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

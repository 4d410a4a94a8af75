"""Runs the fuzz targets: over what they begin with and what was ever found, then for some seconds with atheris where it is there."""

import importlib.util
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import targets

HERE = Path(__file__).parent
SECONDS = 5
TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]] = {
    "connection": (targets.connection, targets.seeds),
    "chunked": (targets.chunked, targets.chunked_seeds),
}


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(name: str) -> None:
    run, seeds = TARGETS[name]
    for data in seeds():
        run(data)


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found(name: str) -> None:
    run, _ = TARGETS[name]
    for path in sorted((HERE / "found" / name).glob("*")):
        run(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_that_were_changed(name: str) -> None:
    """A fuzzer without coverage, for where there is no atheris: octets are changed, dropped, doubled, swapped between seeds."""
    run, make = TARGETS[name]
    seeds = make()
    chance = random.Random(20_240_801)
    for _ in range(1500):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(data)) if data else 0
            match chance.randrange(4):
                case 0:
                    data[at : at + 1] = bytes([chance.randrange(256)])
                case 1:
                    del data[at : at + chance.randrange(1, 8)]
                case 2:
                    data[at:at] = data[at : at + chance.randrange(1, 40)]
                case _:
                    other = chance.choice(seeds)
                    data[at:] = other[min(at, len(other)) :]
        run(bytes(data))


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed: pip install atheris")
@pytest.mark.parametrize("name", TARGETS)
def test_atheris(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.run", name, str(SECONDS)],
        cwd=HERE.parent.parent,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Done " in done.stderr

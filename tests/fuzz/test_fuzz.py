"""Runs the fuzz targets over their first inputs and over those found before, then for some seconds with atheris, if it is installed."""

import importlib.util
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bide.http1.body import ChunkedDecoder
from bide.http1.limits import Limits
from bide.message import Field
from bide.semantics.forwarded import Origin
from bide.terms import Address
from bide.transport.proxy import Header, read_header
from bide.websocket.messages import Messages
from bide.worker.trust import Trust
from tests.fuzz import targets
from tests.http1.driver import connect

HERE = Path(__file__).parent
SECONDS = 5
TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]] = {
    "connection": (targets.connection, targets.seeds),
    "chunked": (targets.chunked, targets.chunked_seeds),
    "proxy": (targets.proxy, targets.proxy_seeds),
    "forwarded": (targets.forwarded, targets.forwarded_seeds),
    "websocket": (targets.websocket, targets.websocket_seeds),
}
#: Inputs that once showed a fault, by target.
FOUND = sorted((HERE / "found").glob("*/*"))


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_of_each_target_hold(name: str) -> None:
    run, seeds = TARGETS[name]
    for data in seeds():
        run(data)


@pytest.mark.parametrize("path", FOUND, ids=[path.name for path in FOUND])
def test_input_found_before_holds_since_its_repair(path: Path) -> None:
    run, _ = TARGETS[path.parent.name]
    run(path.read_bytes())


def test_inputs_found_before_exist() -> None:
    assert FOUND, "a replay of nothing would pass"


class Forgetful:
    """A chunked decoder with a planted fault: it loses the last octet of a read."""

    def __init__(self, limits: Limits) -> None:
        self._decoder = ChunkedDecoder(limits)

    @property
    def complete(self) -> bool:
        return self._decoder.complete

    def feed(self, data: bytes, position: int, content: list[bytes]) -> int:
        end = self._decoder.feed(data, position, content)
        if content:
            content[-1] = content[-1][:-1]
        return end


class Undecided:
    """A connection with a planted fault: it ends without a reason."""

    reason = None

    def __init__(self) -> None:
        self._connection = connect()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def greedy(octets: bytes, versions: int) -> Header | None:
    """Read a PROXY header with a planted fault: it takes an octet of what follows."""
    header = read_header(octets, versions)
    return header and header._replace(size=header.size + 1)


class Gullible:
    """Reads forwarded fields with a planted fault: believes what a client sends."""

    def __init__(self, *_rules: object, **_options: object) -> None:
        pass

    def origin(self, peer: Address, scheme: str, fields: list[Field]) -> Origin:
        first = fields[0][1].split(b",")[0].decode("latin-1")
        return Origin((first, 0) if Trust("x", "*").judge(first)[0] else peer, scheme, b"", b"")


@pytest.mark.parametrize(
    ("name", "where", "fault"),
    [
        ("connection", "connect", lambda _: Undecided()),
        ("chunked", "ChunkedDecoder", Forgetful),
        ("proxy", "read_header", greedy),
        ("forwarded", "Forwarding", Gullible),
        ("websocket", "Messages", lambda *_: Messages(1000, None)),
    ],
)
def test_target_with_a_planted_fault_fails(
    monkeypatch: pytest.MonkeyPatch, name: str, where: str, fault: Callable[..., object]
) -> None:
    run, seeds = TARGETS[name]
    monkeypatch.setattr(targets, where, fault)

    def run_all() -> None:
        for data in seeds():
            run(data)

    with pytest.raises(AssertionError):
        run_all()


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_changed_at_random_hold(name: str) -> None:
    """A fuzzer without coverage, for machines without atheris: octets are changed, dropped, doubled, or swapped between seeds."""
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
def test_inputs_that_atheris_makes_hold(name: str, tmp_path: Path) -> None:
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

"""Workers are tested without clients, on an event loop whose time jumps, and in the time of that loop."""

import time
from collections.abc import Iterator

import pytest

from tests.support.loops import JumpingLoop


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[JumpingLoop]:
    loop = JumpingLoop()
    monkeypatch.setattr(time, "monotonic", loop.time)
    yield loop
    loop.close()

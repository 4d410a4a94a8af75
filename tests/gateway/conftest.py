"""Gateways are tested against exchanges of `tests.support.exchanges`, on an event loop whose time jumps."""

from collections.abc import Iterator

import pytest

from bide.gateway import asgi_coroutines
from tests.support.loops import JumpingLoop


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[JumpingLoop]:
    loop = JumpingLoop()
    monkeypatch.setattr(asgi_coroutines, "monotonic", loop.time)
    yield loop
    loop.close()

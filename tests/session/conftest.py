"""Sessions are tested without sockets, on an event loop whose time jumps; see `tests.support.stage`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.loops import JumpingLoop

if TYPE_CHECKING:
    from tests.support.stage import Stage


@pytest.fixture
def loop() -> Iterator[JumpingLoop]:
    loop = JumpingLoop()
    yield loop
    loop.close()


@pytest.fixture
def stage(loop: JumpingLoop) -> Stage:
    from tests.support.stage import Stage  # not above: in a compiled build its import skips the file that needs it

    return Stage(loop)

"""Waits: for a condition, or for time to pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: After this time a condition is not expected to come true any more, seconds. It bounds how long a test hangs, on a busy machine
#: too, and says nothing about how fast anything is.
PATIENCE = 30.0

#: Between two looks at a condition, seconds. What is waited for happens in another thread, in another process or in the kernel, and
#: none of them could wake the test.
LOOK = 0.005


def until(condition: Callable[[], T], timeout: float = PATIENCE, message: Callable[[], object] | str = "") -> T:
    """Wait until `condition` returns something true, and return that. `message`: what to say if it never does, or what returns it."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() >= deadline:
            said = message() if callable(message) else message
            raise AssertionError(f"the condition did not come true within {timeout:g} s. {said}")
        time.sleep(LOOK)
    return value


def pause(seconds: float) -> None:
    """Let time pass. A server that is asked over a socket runs on the machine's clock, and so do the kernel's queues: no test can move
    either.
    """
    time.sleep(seconds)

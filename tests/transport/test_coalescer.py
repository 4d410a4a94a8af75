"""Writes leave at once or are held back, in order, on a clock of the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from bide.transport.coalescer import WriteCoalescer

Pass = Callable[[], None]


class Loop:
    """An event loop whose passes end when the test says so."""

    def __init__(self) -> None:
        self.soon: list[Pass] = []

    def call_soon(self, callback: Pass) -> None:
        self.soon.append(callback)

    def end_pass(self) -> None:
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()


class Transport:
    """A transport that notes its writes in a list that all share."""

    def __init__(self, name: str, written: list[str]) -> None:
        self.name = name
        self.written = written
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        assert not self.closing
        self.written.append(self.name + data.decode())


class Stage:
    def __init__(self) -> None:
        self.now = 100.0
        self.loop = Loop()
        self.coalescer = WriteCoalescer(cast("asyncio.AbstractEventLoop", self.loop), lambda: self.now)
        self.written: list[str] = []
        self.transports = {name: Transport(name, self.written) for name in "abc"}

    def write(self, *whats: str, after: float = 0.0) -> list[str]:
        """Write each, `a1` to transport a, `after` seconds after the one before; return what has left so far."""
        for what in whats:
            self.now += after
            self.coalescer.write(cast("Any", self.transports[what[0]]), what[1:].encode())
        return self.written


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_lone_write_leaves_at_once(stage: Stage) -> None:
    assert stage.write("a1") == ["a1"]
    assert stage.write("a2", after=0.001) == ["a1", "a2"]
    assert stage.loop.soon == []


def test_write_soon_after_another_waits_for_the_end_of_the_pass(stage: Stage) -> None:
    assert stage.write("a1", "b1", "c1", "b2") == ["a1"]
    assert len(stage.loop.soon) == 1
    stage.loop.end_pass()
    assert stage.written == ["a1", "b1", "c1", "b2"]
    stage.loop.end_pass()
    assert stage.written == ["a1", "b1", "c1", "b2"]


def test_write_in_the_next_pass_leaves_at_once(stage: Stage) -> None:
    stage.write("a1", "b1")
    stage.loop.end_pass()
    assert stage.write("c1", after=0.001) == ["a1", "b1", "c1"]
    assert stage.write("a2") == ["a1", "b1", "c1"]
    stage.loop.end_pass()
    assert stage.written == ["a1", "b1", "c1", "a2"]


def test_write_after_held_ones_leaves_after_them(stage: Stage) -> None:
    stage.write("a1", "a2")
    assert stage.write("a3", after=0.001) == ["a1", "a2", "a3"]


def test_writes_some_time_apart_leave_at_once(stage: Stage) -> None:
    assert stage.write("a1", "b1", "c1", after=0.000_1) == ["a1", "b1", "c1"]


def test_writes_beyond_the_bound_leave(stage: Stage) -> None:
    everything = [f"a{number}" for number in range(1000)]
    for number, what in enumerate(everything):
        stage.write(what, after=0.000_01)
        assert number + 1 - len(stage.written) < 32
    stage.loop.end_pass()
    assert stage.written == everything


def test_flush_sends_what_is_held(stage: Stage) -> None:
    stage.write("a1", "b1", "c1")
    stage.coalescer.flush()
    assert stage.written == ["a1", "b1", "c1"]
    stage.loop.end_pass()
    assert stage.written == ["a1", "b1", "c1"]


def test_closing_transport_gets_no_more_writes(stage: Stage) -> None:
    stage.transports["a"].closing = True
    assert stage.write("a1", "b1", "a2", "c1") == []
    stage.transports["b"].closing = True
    stage.loop.end_pass()
    assert stage.written == ["c1"]

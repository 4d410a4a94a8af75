"""The book of connections, and the sweep."""

from typing import Any

from bide.worker.register import Register


class Stub:
    """What the register asks of a session."""

    def __init__(self, deadline: float, *, is_idle: bool = False) -> None:
        self.deadline = deadline
        self.is_idle = is_idle
        self.calls: list[str] = []

    def deadline_reached(self, now: float) -> None:
        self.calls.append("deadline")

    def watch_output(self, now: float) -> None:
        self.calls.append("output")

    def watch_peer(self, now: float) -> None:
        self.calls.append("peer")

    def failed(self) -> None:
        self.calls.append("failed")


def register_of(*stubs: Any) -> Register:
    register = Register()
    for stub in stubs:
        register.add(stub)
    return register


def test_book() -> None:
    one: Any = Stub(1.0)
    two: Any = Stub(2.0)
    register = register_of(one, two)
    register.stuck.add(one)
    register.unread.add(one)
    assert len(register) == 2
    for session in register:  # they may leave meanwhile
        register.remove(session)
    assert len(register) == 0
    assert not register.stuck
    assert not register.unread


def test_sweep() -> None:
    early, late, never = Stub(1.0), Stub(5.0), Stub(float("inf"))
    register = register_of(early, late, never)
    register.sweep(2.0, 0.0)
    assert (early.calls, late.calls, never.calls) == (["deadline"], [], [])
    register.sweep(5.0, 0.0)
    assert late.calls == ["deadline"]


def test_idle_time_cut_short() -> None:
    """Pressure shortens the idle clock, and only that."""
    idle, busy = Stub(10.0, is_idle=True), Stub(10.0)
    register = register_of(idle, busy)
    register.sweep(5.0, 6.0)
    assert (idle.calls, busy.calls) == (["deadline"], [])


def test_those_to_be_watched() -> None:
    stuck: Any = Stub(float("inf"))
    unread: Any = Stub(float("inf"))
    register = register_of(stuck, unread)
    register.stuck.add(stuck)
    register.unread.add(unread)
    register.sweep(1.0, 0.0)
    assert stuck.calls == ["output"]
    assert unread.calls == ["peer"]

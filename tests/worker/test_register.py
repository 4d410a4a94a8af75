"""The register of connections, and the sweep over their clocks."""

import pytest

from bide.worker.register import Register
from tests.support.managed import StubConnection

FOREVER = float("inf")


def register_of(*connections: StubConnection) -> Register:
    register = Register()
    for connection in connections:
        register.add(connection)
    return register


def test_register_of_connections_that_leave_while_iterated_is_empty() -> None:
    one, two = StubConnection(1.0), StubConnection(2.0)
    register = register_of(one, two)
    register.stalled.add(one)
    register.unread.add(one)
    assert len(register) == 2
    for connection in register:
        register.remove(connection)
    assert len(register) == 0
    assert not register.stalled
    assert not register.unread


def test_register_keeps_each_connection_that_stays_whoever_leaves() -> None:
    connections = [StubConnection() for _ in range(5)]
    for leaver in range(5):
        register = register_of(*connections)
        register.remove(connections[leaver])
        others = connections[:leaver] + connections[leaver + 1 :]
        assert set(register) == set(others)
        for left, connection in enumerate(others, 1):
            register.remove(connection)
            assert len(register) == 4 - left
            assert set(register) == set(others[left:])


def test_connection_that_stands_for_another_takes_its_place() -> None:
    one, other, stand_in = StubConnection(), StubConnection(), StubConnection()
    register = register_of(one, other)
    register.replace(one, stand_in)
    assert list(register) == [stand_in, other]
    assert register.at(stand_in.place) is stand_in
    register.remove(stand_in)
    assert list(register) == [other]


def test_sweep_reaches_deadlines_that_have_passed() -> None:
    early, late, never = StubConnection(1.0), StubConnection(5.0), StubConnection(FOREVER)
    register = register_of(early, late, never)
    register.sweep(2.0, 0.0)
    assert (early.calls, late.calls, never.calls) == (["deadline"], [], [])
    register.sweep(5.0, 0.0)
    assert late.calls == ["deadline"]


def test_sweep_with_a_cut_reaches_deadlines_within_it() -> None:
    within, beyond = StubConnection(10.0), StubConnection(12.0)
    register_of(within, beyond).sweep(5.0, 6.0)
    assert (within.calls, beyond.calls) == (["deadline"], [])


def test_sweep_watches_stalled_and_unread_connections() -> None:
    stalled, unread = StubConnection(FOREVER), StubConnection(FOREVER)
    register = register_of(stalled, unread)
    register.stalled.add(stalled)
    register.unread.add(unread)
    register.sweep(1.0, 0.0)
    assert stalled.calls == ["output"]
    assert unread.calls == ["peer"]


@pytest.mark.parametrize("look", ["deadline", "output", "peer"])
def test_sweep_with_a_failing_connection_ends_that_one_only(look: str) -> None:
    broken, other = StubConnection(1.0 if look == "deadline" else FOREVER, fails=True), StubConnection(1.0)
    register = register_of(broken, other)
    if look == "output":
        register.stalled.add(broken)
    elif look == "peer":
        register.unread.add(broken)
    register.sweep(2.0, 0.0)
    assert broken.calls == [look, "fail_internal"]
    assert other.calls == ["deadline"]

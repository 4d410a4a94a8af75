"""Lets connections in, and pauses accepting."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from bide.session.peers import Peers
from bide.worker.admission import Admission
from bide.worker.register import Register
from tests.support.server import logged

LIMIT = 3
HIGHEST_DESCRIPTOR = 100


class Listener:
    """Accepts, or not."""

    def __init__(self) -> None:
        self.accepting = True

    def pause(self) -> None:
        self.accepting = False

    def resume(self) -> None:
        self.accepting = True

    def waiting(self) -> bool:
        return True


class Session:
    """A connection that is busy."""

    host = "192.0.2.1"
    shed_before = False

    def may_be_shed(self, now: float, newcomer: float) -> bool:
        return False


class Loop:
    """Keeps what is to be called later."""

    def __init__(self) -> None:
        self.later: list[Callable[[], None]] = []

    def call_later(self, delay: float, call: Callable[[], None]) -> Any:
        self.later.append(call)
        return self

    def cancel(self) -> None:
        self.later.clear()


class Stage:
    """A door with one listener, and connections that are all busy."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.register = Register()
        self.door = Admission(
            cast("Any", self.loop),
            self.register,
            Peers(),
            limit=LIMIT,
            descriptors=HIGHEST_DESCRIPTOR,
            overflow=0,
            per_peer=0,
        )
        self.listener = Listener()
        self.door.listeners = [cast("Any", self.listener)]

    def enter(self, descriptor: int) -> None:
        session: Any = Session()
        self.register.add(session)
        self.door.entered(session, descriptor)


@pytest.fixture
def full() -> Stage:
    """A door that has paused accepting, since all connections are busy."""
    stage = Stage()
    with logged():
        for descriptor in range(LIMIT):
            stage.enter(descriptor)
    assert not stage.listener.accepting
    return stage


def test_last_call_while_paused_pauses_again_at_the_descriptor_limit(full: Stage) -> None:
    """A stop lets in all connections that wait, limit or not. Without descriptors, the event loop would drop them."""
    full.door.last_call()
    full.listener.resume()  # as it does at its end
    accepting = []
    for descriptor in (HIGHEST_DESCRIPTOR - 1, HIGHEST_DESCRIPTOR):
        full.enter(descriptor)
        accepting.append(full.listener.accepting)
    assert accepting == [True, False]
    assert full.door.paused


def test_last_call_without_a_free_descriptor_stays_paused(full: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paused listener takes the lowest free descriptor for itself again."""
    free = [HIGHEST_DESCRIPTOR - 50, HIGHEST_DESCRIPTOR]
    monkeypatch.setattr("bide.worker.admission.lowest_descriptor", lambda taken=0: free[taken])
    full.door.last_call()
    full.enter(HIGHEST_DESCRIPTOR)
    (look,) = full.loop.later
    look()
    outcomes = [full.door.paused]
    free[1] -= 1
    look()
    outcomes.append(full.door.paused)
    assert outcomes == [True, False]
    assert full.listener.accepting

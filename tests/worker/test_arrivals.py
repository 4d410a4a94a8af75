"""Who is made for a new connection, and for one that was parked, over real sockets."""

import asyncio
import socket
from collections.abc import Iterator
from typing import cast

import pytest

from bide.observe.counters import Counters
from bide.session.parked import ParkedSession
from bide.session.peers import Peers
from bide.session.session import Session
from bide.terms import State
from bide.transport.poller import Poller
from bide.transport.stream import SocketWire
from bide.wire import Receiver
from bide.worker.admission import Admission
from bide.worker.arrivals import Arrivals
from bide.worker.manager import Manager
from bide.worker.register import Register
from tests.support.loops import JumpingLoop
from tests.support.stage import GET, Stage

ROOM = 100


class Scene:
    def __init__(self, loop: JumpingLoop) -> None:
        stage = Stage(loop)
        self.register = Register()
        self.counters = Counters()
        peers = Peers()
        self.poller = Poller(cast("asyncio.AbstractEventLoop", loop))
        admission = Admission(loop, self.register, peers, limit=ROOM, descriptors=ROOM * 10, overflow=0, per_peer=0)
        manager = Manager(self.register, admission, self.counters, peers, self.poller.wake)
        stage.context.manager = manager
        arrivals = Arrivals(stage.context, manager, self.poller, None)
        self.poller.serve(arrivals.accepted, arrivals.woken)
        ours, self.client = socket.socketpair()
        ours.setblocking(False)
        self.wire = SocketWire(self.poller, ours.detach(), ("192.0.2.1", 4000), ("192.0.2.2", 80))
        self.client.setblocking(False)

    def accepted(self) -> Session:
        session = self.poller.accept(self.wire)
        assert isinstance(session, Session)
        self.wire.begin(session)
        return session

    def only(self) -> object:
        (connection,) = self.register
        return connection

    def close(self) -> None:
        for connection in self.register:
            connection.stop()
        self.client.close()
        while len(self.register):
            self.poller._pass()
            for connection in self.register:
                connection.stop()
            self.poller._called()
        self.poller.close()


@pytest.fixture
def scene(loop: JumpingLoop) -> Iterator[Scene]:
    made = Scene(loop)
    yield made
    made.close()


def test_new_connection_gets_a_session_that_is_entered_and_counted(scene: Scene) -> None:
    session = scene.accepted()
    assert scene.only() is session
    assert (session.state, session.peer, scene.counters.opened) == (State.NEW, ("192.0.2.1", 4000), 1)


def test_connection_that_was_parked_goes_on_in_its_place(scene: Scene) -> None:
    session = scene.accepted()
    for count in (1, 2, 3):
        scene.client.send(GET)
        scene.poller._pass()
        assert scene.client.recv(4096).endswith(b"hello\n")
        current = scene.only()
        assert isinstance(current, Session)
        assert current is session or count > 1
        assert (current.requests, current.peer) == (count, ("192.0.2.1", 4000))
        current.park()
        assert isinstance(scene.only(), ParkedSession)
    assert scene.counters.opened == 1


def test_parked_connection_whose_client_leaves_ends_as_an_idle_one(scene: Scene) -> None:
    session = scene.accepted()
    scene.client.send(GET)
    scene.poller._pass()
    session.park()
    scene.client.close()
    scene.poller._pass()
    assert len(scene.register) == 0
    assert {reason.value: count for reason, count in scene.counters.closed.items() if count} == {"client_eof_idle": 1}


def test_receiver_of_another_kind_cannot_rest_here(scene: Scene) -> None:
    session = scene.accepted()
    with pytest.raises(AssertionError):
        scene.poller._wake(scene.wire.descriptor(), cast("Receiver", session))

"""What a supervisor tells the program that replaces it, and what that one makes of it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from bide.channel import Beat, Channel, Reopen, encode
from bide.page import new_page
from bide.policy.recycling import WorkerLimits
from bide.policy.staffing import FOREVER, Bounds, Fleet, Worker
from bide.supervisor.fleet import Member
from bide.supervisor.handover import State, descriptors, dumped, loaded
from bide.supervisor.process import Process
from bide.terms import Cause, WorkerState

FLEET = Fleet(
    Bounds(1.0, FOREVER, 3.0),
    wanted=4,
    processors=2,
    generation=7,
    workers=(
        Worker(1, 6, 10.0, FOREVER, WorkerState.READY, FOREVER, 11.0, FOREVER, Cause.AGE),
        Worker(3, 7, 12.0, 20.0),
    ),
)
URL = "http://127.0.0.1:8000"
BEAT = encode(Beat({"opened": 7}, 4096))


class Scene:
    """What a supervisor of two workers knows. The channel of the second one is closed.

    its: the first worker's end of its channel.
    state: of the supervisor.
    """

    def __init__(self) -> None:
        ours, self.its = socket.socketpair()
        one, three = Channel(ours), Channel(socket.socket())
        three.close()
        self.its.send(BEAT[:5])
        one.receive()
        self.state = State(
            fleet=FLEET,
            members={
                1: Member(
                    Process.adopted(1001, one),
                    6,
                    WorkerLimits(100, 2.0, 3000),
                    [URL],
                    snapshot={"opened": 3},
                    memory=2048,
                    beat_at=5.0,
                    accepts=False,
                ),
                3: Member(Process.adopted(1003, three), 7, WorkerLimits()),
            },
            sockets=[socket.socket()],
            redirecting=[socket.socket()],
            page=new_page(),
            totals={"opened": 9},
            is_ours=True,
            had_terminal=False,
            notify={"NOTIFY_SOCKET": "@name"},
            announced=6,
            urls=[URL],
            address={"port": 8000},
        )

    def next(self, **changes: Any) -> State:
        """Return what the next program makes of it, which has these descriptors by `exec`. changes: of the row."""
        row = json.loads(json.dumps(dumped(self.state))) | changes
        for name in ("sockets", "redirecting"):
            row[name] = [os.dup(fd) for fd in row[name]]
        row["page"] = os.dup(row["page"])
        for member in row["members"]:
            member["channel"] = os.dup(member["channel"]) if member["channel"] >= 0 else -1
        made = loaded(row)
        close(made)
        return made


def close(state: State) -> None:
    """Close what a state holds, once it was seen that no program after it inherits any of it."""
    for fd in descriptors(state):
        assert not os.get_inheritable(fd)
    os.close(state.page)
    for sock in (*state.sockets, *state.redirecting):
        sock.close()


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    close(made.state)
    for member in made.state.members.values():
        member.process.channel.close()
    made.its.close()


def test_plain_values_come_back_as_they_were(scene: Scene) -> None:
    after = scene.next()
    for name in State._fields:
        if name not in ("members", "sockets", "redirecting", "page"):
            assert getattr(after, name) == getattr(scene.state, name), name
    for member in after.members.values():
        member.process.channel.close()


def test_workers_come_back_with_what_was_said_halfway(scene: Scene) -> None:
    after = scene.next()
    assert list(after.members) == [1, 3]
    for number, before in scene.state.members.items():
        member = after.members[number]
        assert member.process.pid == before.process.pid
        assert vars(member) | {"process": None} == vars(before) | {"process": None}
    one, three = (member.process.channel for member in after.members.values())
    assert three.fileno() == -1
    scene.its.send(BEAT[5:])
    assert one.receive() == [Beat({"opened": 7}, 4096)]
    one.send(Reopen())
    assert Channel(scene.its).receive() == [Reopen()]
    one.close()


def test_descriptors_are_those_of_the_page_of_sockets_and_of_open_channels(scene: Scene) -> None:
    state = scene.state
    one = state.members[1].process.channel
    bound = [state.sockets[0].fileno(), state.redirecting[0].fileno()]
    assert descriptors(state) == [state.page, *bound, one.fileno()]


def test_fields_of_another_version_are_ignored(scene: Scene) -> None:
    fleet = dumped(scene.state)["fleet"] | {"mood": "good"}
    fleet["workers"] = [worker | {"mood": "good"} for worker in fleet["workers"]]
    after = scene.next(mood="good", fleet=fleet, members=[])
    assert (after.fleet, after.members) == (FLEET, {})


def test_version_that_does_not_tell_of_the_address_is_understood(scene: Scene) -> None:
    row = dumped(scene.state) | {"sockets": [], "redirecting": [], "members": [], "page": os.dup(scene.state.page)}
    del row["address"]
    after = loaded(row)
    assert after.address == {}
    close(after)

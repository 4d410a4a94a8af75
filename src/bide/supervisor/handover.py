"""Tells the program that replaces a supervisor what this one knows, as plain values."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bide.channel import Channel
from bide.policy.recycling import WorkerLimits
from bide.policy.staffing import Bounds, Fleet, Worker
from bide.supervisor.fleet import Member
from bide.supervisor.process import Process
from bide.terms import Cause, WorkerState


class State(NamedTuple):
    """Holds what a supervisor knows that the next program needs.

    fleet: as the policy sees it.
    members: its workers, by number.
    sockets: to serve on.
    redirecting: for plain HTTP, which is redirected.
    page: descriptor of the counts that all processes share.
    totals: counters of workers that have ended.
    is_ours: whether no other server listens on `sockets`.
    had_terminal: whether SIGHUP may mean that the terminal is gone.
    notify: variables about systemd's notifications.
    announced: the last generation that was said to serve.
    urls: that clients of that generation connect to.
    address: options that say where to listen; none if the program before did not tell.
    """

    fleet: Fleet
    members: Mapping[int, Member]
    sockets: Sequence[socket.socket]
    redirecting: Sequence[socket.socket]
    page: int
    totals: dict[str, Any]
    is_ours: bool
    had_terminal: bool
    notify: dict[str, str]
    announced: int
    urls: list[str]
    address: Mapping[str, Any] = {}  # never changed


def descriptors(state: State) -> list[int]:
    """Return the descriptors that the next program goes on to use."""
    channels = [member.process.channel.fileno() for member in state.members.values()]
    bound = [sock.fileno() for sock in (*state.sockets, *state.redirecting)]
    return [state.page, *bound, *(fd for fd in channels if fd >= 0)]


def dumped(state: State) -> dict[str, Any]:
    """Return what a supervisor knows as plain values."""
    return state._asdict() | {
        "fleet": _fleet_row(state.fleet),
        "members": [_member_row(number, member) for number, member in state.members.items()],
        "sockets": [sock.fileno() for sock in state.sockets],
        "redirecting": [sock.fileno() for sock in state.redirecting],
    }


def loaded(row: Mapping[str, Any]) -> State:
    """Return what the program before knew. Unknown fields of another version are ignored.

    The descriptors are this program's from then on.
    """
    os.set_inheritable(row["page"], False)
    known = {name: value for name, value in row.items() if name in State._fields}
    return State(
        **known
        | {
            "fleet": _fleet(row["fleet"]),
            "members": {values["number"]: _member(values) for values in row["members"]},
            "sockets": _adopted(row["sockets"]),
            "redirecting": _adopted(row["redirecting"]),
        }
    )


def _adopted(numbers: Iterable[int]) -> list[socket.socket]:
    """Return the sockets of descriptors."""
    for fd in numbers:
        os.set_inheritable(fd, False)
    return [socket.socket(fileno=fd) for fd in numbers]


def _member_row(number: int, member: Member) -> dict[str, Any]:
    channel = member.process.channel
    received, unsent = channel.left()
    return {
        "number": number,
        "pid": member.process.pid,
        "channel": channel.fileno(),
        "received": received.decode("latin-1"),
        "unsent": unsent.decode("latin-1"),
        "generation": member.generation,
        "limits": list(member.limits),
        "urls": member.urls,
        "snapshot": member.snapshot,
        "memory": member.memory,
        "beat_at": member.beat_at,
        "accepts": member.accepts,
    }


def _member(row: Mapping[str, Any]) -> Member:
    end = socket.socket(fileno=row["channel"] if row["channel"] >= 0 else None)
    end.set_inheritable(False)
    channel = Channel(end, row["received"].encode("latin-1"), row["unsent"].encode("latin-1"))
    if row["channel"] < 0:
        channel.close()
    return Member(
        Process.adopted(row["pid"], channel),
        row["generation"],
        WorkerLimits(*row["limits"]),
        row["urls"],
        snapshot=row["snapshot"],
        memory=row["memory"],
        beat_at=row["beat_at"],
        accepts=row["accepts"],
    )


def _fleet_row(fleet: Fleet) -> dict[str, Any]:
    """Return a fleet as plain values."""
    workers = [
        worker._asdict() | {"state": worker.state.value, "due": None if worker.due is None else worker.due.value}
        for worker in fleet.workers
    ]
    return fleet._asdict() | {"bounds": list(fleet.bounds), "workers": workers}


def _fleet(row: Mapping[str, Any]) -> Fleet:
    """Return the fleet of plain values. Unknown fields of another version are ignored."""
    workers = []
    for values in row["workers"]:
        known = {name: value for name, value in values.items() if name in Worker._fields}
        known["state"] = WorkerState(known["state"])
        known["due"] = None if known["due"] is None else Cause(known["due"])
        workers.append(Worker(**known))
    known = {name: value for name, value in row.items() if name in Fleet._fields}
    return Fleet(**(known | {"bounds": Bounds(*row["bounds"]), "workers": tuple(workers)}))

"""What a pass serves, and what leaves together at its end, on a clock of the test."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import cast
from unittest.mock import MagicMock

import pytest

from bide.transport import poller
from bide.transport.polled import PolledWire
from bide.transport.poller import Poller
from bide.transport.readiness import READS, WRITES
from bide.wire import Receiver
from tests.support.managed import StubConnection
from tests.support.stage import StubWire

#: The longest time for which output is held, seconds.
MAX_HOLD = 2e-3
#: Descriptors served in one pass.
MOST_EVENTS = 32


class Loop:
    """An event loop whose passes end when the test says so."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []
        self.readers: list[int] = []

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        self.readers.append(fd)

    def remove_reader(self, fd: int) -> None:
        self.readers.remove(fd)

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def end_pass(self) -> None:
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()


class StubPolled(StubWire, PolledWire):
    """Says in a list that all share what it is told.

    acts: what it does when octets can be read.
    at_end: what it does once it is lost.
    """

    def __init__(self, name: str, told: list[str], acts: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.name = name
        self.told = told
        self.acts = acts
        self.at_end: Callable[[], object] = lambda: None

    def readable(self) -> None:
        self.told.append(f"{self.name} reads")
        self.acts()

    def writable(self) -> None:
        self.told.append(f"{self.name} writes")

    def send_held(self) -> None:
        self.told.append(f"{self.name} sends")

    def report_lost(self) -> None:
        self.told.append(f"{self.name} lost")
        self.at_end()

    def report_failure(self) -> None:
        self.told.append(f"{self.name} fails")


class Stage:
    """A poller on a clock of the test.

    told: what its wires were told, in order.
    """

    def __init__(self) -> None:
        self.now = 100.0
        self.loop = Loop()
        self.told: list[str] = []
        self.woken: list[tuple[int, Receiver]] = []
        self.poller = Poller(cast("asyncio.AbstractEventLoop", self.loop), lambda: self.now)
        self.poller.serve(MagicMock(), self._wake)
        self.ends: list[socket.socket] = []

    def _wake(self, fd: int, resting: Receiver) -> PolledWire:
        self.woken.append((fd, resting))
        wire = StubPolled("woken", self.told)
        self.poller.add(fd, wire)
        return wire

    def wire(self, name: str, acts: Callable[[], object] = lambda: None, events: int = READS) -> StubPolled:
        """Return a wire over a socket whose peer has sent something."""
        ours, theirs = socket.socketpair()
        self.ends += [ours, theirs]
        theirs.send(b"x")
        wire = StubPolled(name, self.told, acts)
        self.poller.add(ours.fileno(), wire)
        self.poller.watch(ours.fileno(), events, is_watched=False)
        wire_fds[wire] = ours.fileno()
        return wire


wire_fds: dict[StubPolled, int] = {}


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.poller.close()
    for end in made.ends:
        end.close()


# -- Within a pass ----------------------------------------------------------------------------------------------------------


def test_wire_alone_in_a_pass_holds_nothing(stage: Stage) -> None:
    held: list[bool] = []
    wire = stage.wire("a", lambda: held.append(stage.poller.output.holds(wire)))
    stage.poller._pass()
    assert held == [False]


def test_wires_of_one_pass_send_together_when_it_is_over(stage: Stage) -> None:
    wires: dict[str, StubPolled] = {}

    def hold(name: str) -> None:
        stage.poller.output.holds(wires[name])

    for name in "abc":
        wires[name] = stage.wire(name, functools.partial(hold, name))
    stage.poller._pass()
    assert stage.told == [f"{name} reads" for name in "abc"] + [f"{name} sends" for name in "abc"]
    assert stage.loop.soon == []


class Handler(StubConnection):
    """A receiver that leaves everything for `go_on`, unless it may not."""

    def __init__(self, stage: Stage, acts: Callable[[], object]) -> None:
        super().__init__()
        self.stage = stage
        self.acts = acts

    def reads(self) -> None:
        if not self.stage.poller.defers(self):
            self.acts()

    def go_on(self) -> None:
        self.acts()


def test_all_are_read_before_the_first_is_served(stage: Stage) -> None:
    for name in "ab":
        handler = Handler(stage, functools.partial(stage.told.append, f"{name} served"))
        stage.wire(name, handler.reads)
    stage.poller._pass()
    assert stage.told == ["a reads", "b reads", "a served", "b served"]
    stage.poller._pass()
    assert stage.told[4:] == ["a reads", "b reads", "a served", "b served"]


def test_one_that_is_alone_is_served_at_once(stage: Stage) -> None:
    handler = Handler(stage, lambda: stage.told.append("served"))

    def act() -> None:
        handler.reads()
        stage.told.append("read")

    wire = stage.wire("a", act)
    stage.poller._pass()
    assert stage.told == ["a reads", "served", "read"]
    assert not stage.poller.defers(handler), "outside a pass nothing is deferred"
    assert wire.name == "a"


def test_slow_handlers_of_one_pass_do_not_wait_for_each_other(stage: Stage) -> None:
    wires: dict[str, StubPolled] = {}

    def act(name: str) -> None:
        stage.now += 2 * MAX_HOLD
        stage.poller.output.holds(wires[name])

    for name in "ab":
        wires[name] = stage.wire(name, Handler(stage, functools.partial(act, name)).reads)
    stage.poller._pass()
    assert stage.told == ["a reads", "b reads", "a sends", "b sends"]


@pytest.mark.parametrize(
    ("seconds", "orders"),
    [(MAX_HOLD, ["ab", "ab", "cab", "dcab"]), (MAX_HOLD / 100, ["ab", "ab", "abc", "abcd"])],
    ids=["slow", "quick"],
)
def test_clients_that_wait_longest_come_first_if_answers_take_long(
    stage: Stage, seconds: float, orders: list[str]
) -> None:
    """The kernel names first what it has named before, though others have asked before."""

    def act() -> None:
        stage.now += seconds

    known = ""
    for order in orders:
        for name in sorted(set(order) - set(known)):
            stage.wire(name, Handler(stage, act).reads)
            known += name
        stage.told.clear()
        stage.poller._pass()
        assert "".join(told[0] for told in stage.told) == order


def test_pass_serves_a_bounded_number_and_the_others_in_the_next(stage: Stage) -> None:
    """Whoever becomes ready meanwhile is served soon, too."""
    for number in range(MOST_EVENTS + 5):
        stage.wire(str(number))
    stage.poller._pass()
    first = list(stage.told)
    assert len(first) == MOST_EVENTS
    stage.told.clear()
    stage.poller._pass()
    others = {f"{number} reads" for number in range(MOST_EVENTS + 5)} - set(first)
    assert others <= set(stage.told), "those that waited come first"
    assert set(stage.told[:5]) == others


class Listening:
    """A listening socket on which connections wait: as many as a turn takes, `turns` times, and fewer after these."""

    def __init__(self, stage: Stage, turns: int) -> None:
        self.stage = stage
        self.turns = turns
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.client = socket.create_connection(self.socket.getsockname())
        stage.ends += [self.socket, self.client]
        stage.poller.listen(self.socket.fileno(), self.accept)

    def accept(self) -> bool:
        self.stage.told.append("accepts")
        self.turns -= 1
        return self.turns >= 0


def turns_in(stage: Stage, passes: int) -> list[int]:
    """Return how often each of the next passes accepts."""
    counts = []
    for _ in range(passes):
        stage.told.clear()
        stage.poller._pass()
        counts.append(stage.told.count("accepts"))
    return counts


def test_those_who_wait_to_be_accepted_have_a_turn_in_each_pass(stage: Stage) -> None:
    """However many descriptors are ready beside the listening socket."""
    Listening(stage, turns=5)
    for number in range(4 * MOST_EVENTS):
        stage.wire(str(number))
    assert turns_in(stage, 5) == [1] * 5


def test_listening_socket_without_a_backlog_waits_until_the_kernel_names_it(stage: Stage) -> None:
    listening = Listening(stage, turns=1)
    for number in range(4 * MOST_EVENTS):
        stage.wire(str(number))
    assert turns_in(stage, 3) == [1, 1, 0]
    listening.socket.accept()[0].close()
    assert sum(turns_in(stage, 8)) == 0


def test_listening_socket_that_is_left_alone_has_no_turn_any_more(stage: Stage) -> None:
    listening = Listening(stage, turns=5)
    assert turns_in(stage, 1) == [1]
    stage.poller.listen_no_more(listening.socket.fileno())
    assert turns_in(stage, 1) == [0]


@pytest.mark.parametrize(("ready", "is_crowded"), [(1, False), (MOST_EVENTS - 1, False), (MOST_EVENTS, True)])
def test_poller_is_crowded_after_a_pass_that_was_full(stage: Stage, ready: int, is_crowded: bool) -> None:
    assert not stage.poller.is_crowded()
    for number in range(ready):
        stage.wire(str(number))
    stage.poller._pass()
    assert stage.poller.is_crowded() is is_crowded


def test_wire_closed_by_an_earlier_one_of_a_pass_is_not_served(stage: Stage) -> None:
    wires: dict[str, StubPolled] = {}

    def close_other() -> None:
        fd = os.dup(0)  # stands for the socket, which the stage closes
        os.dup2(fd, fd)
        stage.poller.add(fd, wires["b"])
        stage.poller.ignore(wire_fds[wires["b"]])
        stage.poller._wires[wire_fds[wires["b"]]] = None
        stage.poller.close_wire(fd, wires["b"], is_watched=False)

    wires["a"] = stage.wire("a", close_other)
    wires["b"] = stage.wire("b")
    stage.poller._pass()
    assert stage.told == ["a reads", "b lost"]


def fail() -> None:
    raise RuntimeError("a bug of ours")


def test_error_of_one_wire_leaves_the_others_served(stage: Stage) -> None:
    stage.wire("a", fail)
    stage.wire("b")
    stage.poller._pass()
    assert stage.told == ["a reads", "a fails", "b reads"]
    assert not stage.poller.output.holds(StubPolled("c", stage.told)), "the pass is over"


def test_error_in_the_report_of_an_end_leaves_the_other_ends_reported(stage: Stage) -> None:
    for name in "ab":
        wire = stage.wire(name)
        wire.at_end = fail
        fd = os.dup(wire_fds[wire])
        stage.poller.ignore(wire_fds[wire])
        stage.poller.add(fd, wire)
        stage.poller.close_wire(fd, wire, is_watched=False)
    stage.loop.end_pass()
    assert stage.told == ["a lost", "a fails", "b lost", "b fails"]


@pytest.mark.parametrize(
    ("events", "told"), [(READS, ["a reads"]), (WRITES, ["a writes"]), (READS | WRITES, ["a writes", "a reads"])]
)
def test_wire_is_told_what_it_is_ready_for(stage: Stage, events: int, told: list[str]) -> None:
    stage.wire("a", events=events)
    stage.poller._pass()
    assert stage.told == told


# -- At rest, and ended -----------------------------------------------------------------------------------------------------


def test_descriptor_at_rest_is_woken_once_and_told(stage: Stage) -> None:
    fd = wire_fds[stage.wire("a")]
    resting = cast("Receiver", object())
    stage.poller.rest(fd, resting)
    stage.poller._pass()
    assert stage.woken == [(fd, resting)]
    assert stage.told == ["woken reads"]
    stage.poller._pass()
    assert stage.woken == [(fd, resting)]


def test_wire_closed_outside_a_pass_is_reported_in_the_next(stage: Stage) -> None:
    wire = StubPolled("a", stage.told)
    fd = os.dup(stage.poller._poll.fileno())
    stage.poller.add(fd, wire)
    stage.poller.close_wire(fd, wire, is_watched=False)
    assert stage.told == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    stage.loop.end_pass()
    assert stage.told == ["a lost"]


@pytest.mark.parametrize("forked", [False, True])
def test_socket_that_a_forked_process_holds_open_is_not_reported_for_ever(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, forked: bool
) -> None:
    monkeypatch.setattr(poller, "_forks", [True] if forked else [])
    wire = stage.wire("a")
    fd = os.dup(wire_fds[wire])  # the copy stands for that of the child
    stage.poller.ignore(wire_fds[wire])
    stage.poller.add(fd, wire)
    stage.poller.watch(fd, READS, is_watched=False)
    stage.poller.close_wire(fd, wire, is_watched=True)
    assert (stage.poller._poll.poll(0) == []) == forked
    stage.poller._pass()
    assert stage.told == ["a lost"]


def test_fork_is_noticed() -> None:
    child = "import os; from bide.transport import poller; a = list(poller._forks); os.fork() or os._exit(0); print(a, poller._forks)"
    done = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True)
    assert done.stdout == "[] [True]\n"


def test_closed_poller_reads_no_more(stage: Stage) -> None:
    assert len(stage.loop.readers) == 1
    stage.poller.close()
    stage.poller.close()
    assert stage.loop.readers == []

"""Tells which sockets are ready: one poll object watches all of a worker.

The event loop watches one descriptor, that of the poll object.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from array import array
from collections.abc import Callable
from time import monotonic
from typing import Final, final

from bide.transport.held import HeldOutput
from bide.transport.polled import PolledWire
from bide.transport.readiness import READS, WRITES, new_poll
from bide.wire import Accept, Receiver

# A name of this module is found faster than one of another.
_READS: Final = READS
_WRITES: Final = WRITES

# Events taken in one pass. With more, a client that is answered last asks again when the next pass
# has begun, and waits for all of that, too: with 64 busy clients of a FastAPI application, p99 was
# 10.5 ms with 512 events and 6.4 ms with 32. With fewer, fewer answers leave together.
_MAX_EVENTS: Final = 32

# Whether this process has ever forked without an exec: holds one item from then on.
_forks: Final[list[bool]] = []
os.register_at_fork(after_in_parent=lambda: _forks.append(True) if not _forks else None)

_close: Final = os.close  # a name of the module is found faster


#: Makes the wire of a connection at rest: takes its descriptor, and the receiver that rests.
Wake = Callable[[int, Receiver], PolledWire]


@final
class Poller:
    """Watches the descriptors of one worker.

    accept: as for `serve`.
    output: what its wires hold back.
    """

    __slots__ = (
        "_acceptors",
        "_backlogged",
        "_deferred",
        "_ended",
        "_is_deferring",
        "_is_full",
        "_is_scheduled",
        "_is_within_pass",
        "_loop",
        "_poll",
        "_ready",
        "_resting",
        "_turn",
        "_turns",
        "_wake",
        "_wires",
        "accept",
        "output",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = monotonic) -> None:
        """Watch nothing yet. clock: returns seconds."""
        self._loop = loop
        self.accept: Accept
        self._wake: Wake
        # By descriptor; of the first two columns at most one is filled.
        self._wires: list[PolledWire | None] = []
        self._resting: list[Receiver | None] = []
        self._turns = array("Q")  # the turn in which it was served last, as `_order` counts
        self._turn = 0
        self._acceptors: dict[int, Callable[[], bool]] = {}
        self._backlogged: set[int] = set()  # listening sockets on which more may wait
        self._ended: list[PolledWire] = []  # closed, and not reported yet
        self._is_within_pass = False
        self._is_full = False  # whether the last pass took as many events as it may
        self._is_deferring = False  # whether several descriptors are being read
        self._deferred: list[Receiver] = []  # what they lead to follows
        self._is_scheduled = False
        self.output = HeldOutput(self._schedule, clock)
        self._poll = new_poll()
        self._ready = self._poll.poll
        loop.add_reader(self._poll.fileno(), self._pass)

    def serve(self, accept: Accept, wake: Wake) -> None:
        """Take what makes receivers. To be called before anything is watched.

        accept: called with the wire of each new connection; returns its receiver.
        wake: makes the wire of a connection at rest.
        """
        self.accept = accept
        self._wake = wake

    def close(self) -> None:
        """Watch nothing any more. No wire may be open."""
        if not self._poll.closed:
            self._loop.remove_reader(self._poll.fileno())
            self._poll.close()

    # -- What is watched ---------------------------------------------------------------------------

    def listen(self, fd: int, accept: Callable[[], bool]) -> None:
        """Call `accept` whenever connections wait on a listening socket. Raises OSError.

        accept: accepts some; returns whether more may wait.
        """
        self._acceptors[fd] = accept
        self._make_room(fd)
        self._poll.register(fd, _READS)

    def listen_no_more(self, fd: int) -> None:
        """Leave a listening socket alone."""
        if self._acceptors.pop(fd, None) is not None:
            self._backlogged.discard(fd)
            with contextlib.suppress(OSError):
                self._poll.unregister(fd)

    def add(self, fd: int, wire: PolledWire) -> None:
        """Enter a wire. Nothing is watched before `watch`."""
        self._make_room(fd)
        self._wires[fd] = wire

    def _make_room(self, fd: int) -> None:
        while len(self._wires) <= fd:
            self._wires.append(None)
            self._resting.append(None)
            self._turns.append(0)

    def watch(self, fd: int, events: int, is_watched: bool) -> None:
        """Watch the descriptor of a wire for `events`; is_watched: whether it is watched already.

        Raises OSError.
        """
        if is_watched:
            self._poll.modify(fd, events)
        else:
            self._poll.register(fd, events)

    def ignore(self, fd: int) -> None:
        """Watch the descriptor of a wire no more."""
        with contextlib.suppress(OSError):
            self._poll.unregister(fd)

    def rest(self, fd: int, receiver: Receiver) -> None:
        """Forget the wire of a descriptor that is watched for octets; wake it when they come."""
        self._wires[fd] = None
        self._resting[fd] = receiver

    def wake(self, fd: int) -> PolledWire:
        """Make a wire for a descriptor at rest."""
        receiver = self._resting[fd]
        assert receiver is not None
        self._resting[fd] = None
        return self._wake(fd, receiver)

    def close_wire(self, fd: int, wire: PolledWire, is_watched: bool) -> None:
        """Close the descriptor of a wire. `lost` is reported once the caller has returned."""
        self._wires[fd] = None
        # The kernel watches a socket no more once it is closed, unless a process that the
        # application has forked holds it open: that it would report for ever.
        if is_watched and _forks:
            self.ignore(fd)
        try:
            _close(fd)
        except OSError:  # the descriptor is closed whatever close(2) says (Linux)
            pass
        self.output.forget(wire)
        self._ended.append(wire)
        self._schedule()

    # -- A pass ------------------------------------------------------------------------------------

    def _pass(self) -> None:
        """Serve every descriptor that is ready."""
        ready: list[tuple[int, int]] = self._ready(0, _MAX_EVENTS)
        self._is_full = len(ready) == _MAX_EVENTS
        self._is_within_pass = True
        self._is_deferring = len(ready) > 1
        self.output.pass_begins(self._is_deferring)
        if self._is_deferring and self.output.is_slow:
            self._order(ready)
        try:
            # The kernel reports ready descriptors in turn. Among hundreds of busy clients it would
            # report a listening socket once for each round over all of them.
            if self._backlogged:
                for fd in tuple(self._backlogged):
                    self._accept_some(fd)
            for fd, events in ready:
                self._serve(fd, events)
            self._is_deferring = False
            if self._deferred:
                self._go_on()
        finally:
            self._is_within_pass = False
            self._is_deferring = False
            self.output.pass_ends()
            self._pass_over()

    def _order(self, ready: list[tuple[int, int]]) -> None:
        """Have descriptors come first that were served longest ago.

        The kernel first names descriptors that it has named before, though their clients have asked
        again later than others (epoll, if level-triggered). That matters if answers take long.
        """
        turns = self._turns
        ready.sort(key=lambda event: turns[event[0]])
        for fd, _ in ready:
            self._turn += 1
            turns[fd] = self._turn

    def _serve(self, fd: int, events: int) -> None:
        wire = self._wires[fd]
        if wire is None:
            if fd in self._acceptors:
                if fd not in self._backlogged:  # it has accepted in this pass already
                    self._accept_some(fd)
                return
            if self._resting[fd] is None:
                return  # closed by an earlier one in this pass
            wire = self.wake(fd)
        try:
            if events & _WRITES:
                wire.writable()
            if events & ~_WRITES:
                wire.readable()
        except Exception:
            wire.report_failure()

    def _accept_some(self, fd: int) -> None:
        accept = self._acceptors.get(fd)
        if accept is None:
            return
        self.output.expect_several()
        self._is_deferring = True
        if accept():
            self._backlogged.add(fd)
        else:
            self._backlogged.discard(fd)

    def is_crowded(self) -> bool:
        """Return whether more descriptors may be ready than the last pass has taken."""
        return self._is_full

    def defers(self, receiver: Receiver) -> bool:
        """Return whether to call `go_on` of `receiver` later in this pass."""
        if self._is_deferring:
            self._deferred.append(receiver)
        return self._is_deferring

    def _go_on(self) -> None:
        deferred = self._deferred
        self._deferred = []
        for receiver in deferred:
            self.output.send_overdue()
            receiver.go_on()
        self.output.made(len(deferred))

    def _pass_over(self) -> None:
        """Send what is held, then report the wires that have ended.

        An error in bide does not keep the others from being reported.
        """
        self.output.send()
        while self._ended:
            ended = self._ended
            self._ended = []
            for wire in ended:
                try:
                    wire.report_lost()
                except Exception:
                    wire.report_failure()

    def _schedule(self) -> None:
        """Have `_pass_over` called, unless it will be anyway."""
        if not self._is_within_pass and not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._called)

    def _called(self) -> None:
        self._is_scheduled = False
        self._pass_over()

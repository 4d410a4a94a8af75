"""Tells which sockets are ready, all of a worker through one poll object, and lets what is written
meanwhile leave together.

The event loop watches one descriptor: that of the poll object. A write wakes the process that waits
for it. Answers that leave one by one wake a client or proxy on the same machine once for each
answer. If they leave together, the first one wakes it, and it is still awake for the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from abc import abstractmethod
from collections.abc import Callable
from time import monotonic
from typing import Final, final

from bide.transport.readiness import READS, WRITES, new_poll
from bide.wire import Accept, Receiver, Wire

# A name of this module is found faster than one of another.
_READS: Final = READS
_WRITES: Final = WRITES

_log = logging.getLogger("bide.connection")

# Events taken in one pass. With more, the clients whose answers leave last find the next pass begun
# and wait for all of it, too: of 64 busy clients of a FastAPI application, p99 was 10.5 ms with 512
# events, 6.4 ms with 32, with the same p50. With fewer, fewer answers leave together.
_MAX_EVENTS: Final = 32

# While several connections are served, what one writes is held for at most this time, and the rest
# of what another one does. It decides where answers take from 60 us to 2 ms to make: quicker ones
# are sent with their pass, and slower ones wait for no other.
_MAX_HOLD_S: Final = 2e-3

# At most this many wires hold something back.
_MAX_HELD: Final = 64


# Whether this process has ever forked without an exec: holds one item from then on.
_forks: Final[list[bool]] = []
os.register_at_fork(after_in_parent=lambda: _forks.append(True) if not _forks else None)

_close: Final = os.close  # a name of the module is found faster


class PolledWire(Wire):
    """A wire over a descriptor that a poller watches."""

    __slots__ = ()

    @abstractmethod
    def readable(self) -> None:
        """Take the news that octets, EOF or an error can be read."""

    @abstractmethod
    def writable(self) -> None:
        """Take the news that the kernel takes octets again."""

    @abstractmethod
    def send_held(self) -> None:
        """Send what is held back."""

    @abstractmethod
    def report_lost(self) -> None:
        """Report `lost` to the receiver."""


#: Makes the wire of a connection at rest: takes its descriptor, and the receiver that rests.
Wake = Callable[[int, Receiver], PolledWire]


@final
class Poller:
    """Watches the descriptors of one worker.

    accept: as for `serve`.
    """

    __slots__ = (
        "_acceptors",
        "_clock",
        "_ended",
        "_held",
        "_is_batch",
        "_is_scheduled",
        "_is_within_pass",
        "_last",
        "_last_at",
        "_loop",
        "_poll",
        "_ready",
        "_resting",
        "_since",
        "_wake",
        "_wires",
        "accept",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = monotonic) -> None:
        """Watch nothing yet. clock: returns seconds."""
        self._loop = loop
        self.accept: Accept
        self._wake: Wake
        self._clock = clock
        # By descriptor; of the two columns at most one is filled.
        self._wires: list[PolledWire | None] = []
        self._resting: list[Receiver | None] = []
        self._acceptors: dict[int, Callable[[], None]] = {}
        self._held: list[PolledWire] = []
        self._ended: list[PolledWire] = []  # closed, and not reported yet
        self._is_within_pass = False
        self._is_batch = False  # whether several descriptors are ready in this pass
        self._is_scheduled = False
        self._since = 0.0  # when the pass began, or what was held last left
        self._last: PolledWire | None = None  # the wire that wrote last outside a pass
        self._last_at = float("-inf")
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

    def listen(self, fd: int, accept: Callable[[], None]) -> None:
        """Call `accept` whenever connections wait on a listening socket. Raises OSError."""
        self._acceptors[fd] = accept
        self._poll.register(fd, _READS)

    def listen_no_more(self, fd: int) -> None:
        """Leave a listening socket alone."""
        if self._acceptors.pop(fd, None) is not None:
            with contextlib.suppress(OSError):
                self._poll.unregister(fd)

    def add(self, fd: int, wire: PolledWire) -> None:
        """Enter a wire. Nothing is watched before `watch`."""
        while len(self._wires) <= fd:
            self._wires.append(None)
            self._resting.append(None)
        self._wires[fd] = wire

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
        wire = self._wires[fd] = self._wake(fd, receiver)
        return wire

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
        if self._last is wire:
            self._last = None
        self._ended.append(wire)
        self._schedule()

    # -- A pass ------------------------------------------------------------------------------------

    def _pass(self) -> None:
        """Serve every descriptor that is ready."""
        ready: list[tuple[int, int]] = self._ready(0, _MAX_EVENTS)
        self._is_within_pass = True
        self._is_batch = len(ready) > 1
        self._since = self._clock()
        try:
            for fd, events in ready:
                if self._held and self._clock() - self._since > _MAX_HOLD_S:
                    self.send_held()
                try:
                    self._serve(fd, events)
                except Exception:
                    self._fail(fd)
        finally:
            self._is_within_pass = False
            self._pass_over()

    def _serve(self, fd: int, events: int) -> None:
        wire = self._wires[fd] if fd < len(self._wires) else None
        if wire is None:
            accept = self._acceptors.get(fd)
            if accept is not None:
                self._is_batch = True
                accept()
                return
            if fd >= len(self._resting) or self._resting[fd] is None:
                return  # closed by an earlier one in this pass
            wire = self.wake(fd)
        if events & _WRITES:
            wire.writable()
        if events & ~_WRITES:
            wire.readable()

    def _fail(self, fd: int) -> None:
        """Log the exception that is being handled, an error in bide; end this connection only."""
        _log.exception("bide failed; please report this")
        wire = self._wires[fd] if fd < len(self._wires) else None
        if wire is not None:
            wire.abort()

    def _pass_over(self) -> None:
        """Send what is held, then report the wires that have ended."""
        self.send_held()
        while self._ended:
            ended = self._ended
            self._ended = []
            for wire in ended:
                wire.report_lost()

    def _schedule(self) -> None:
        """Have `_pass_over` called, unless it will be anyway."""
        if not self._is_within_pass and not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._called)

    def _called(self) -> None:
        self._is_scheduled = False
        self._pass_over()

    # -- Output that leaves together ---------------------------------------------------------------

    def holds(self, wire: PolledWire) -> bool:
        """Return whether `wire`, which holds nothing yet, is to hold back what it writes now.

        Within a pass it is, unless it is alone. Otherwise it is if another one wrote just before:
        one client's next request takes longer than a round trip.
        """
        held = self._held
        if self._is_within_pass:
            if not self._is_batch:
                return False
        else:
            now = self._clock()
            is_first = wire is self._last or now - self._last_at > _MAX_HOLD_S
            self._last = wire
            self._last_at = now
            if is_first and not held:
                return False
            if not held:
                self._since = now
            elif now - self._since > _MAX_HOLD_S:
                self.send_held()
                self._since = now
        if len(held) >= _MAX_HELD:
            self.send_held()
        self._held.append(wire)
        self._schedule()
        return True

    def send_held(self) -> None:
        """Send what is held back."""
        held = self._held
        if held:
            self._held = []
            for wire in held:
                wire.send_held()
            self._since = self._clock()

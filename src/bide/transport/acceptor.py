"""Takes connections from the queue of a listening socket."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any, Final, final

from bide.terms import Address
from bide.transport.poller import Poller
from bide.transport.stream import SocketWire, address
from bide.wire import Accept

# Connections accepted in one pass, so that open ones get their turn. Of 64 clients that
# came at once, with 500 us of the application for each request, the last had its first answer after
# 56 ms with 16, and after 36 ms with 64 (interpreted, medians of five).
_MAX_ACCEPTS_PER_PASS: Final = 64

# A process that holds more connections than another lets it accept first: it looks again after the
# first time, and accepts one after the second (Puma's wait_for_less_busy_worker: 5 ms).
_LOOK_EVERY_S: Final = 0.001
_PATIENCE_S: Final = 0.005


@final
class Acceptor:
    """Makes a wire of each connection, and has it read at once."""

    __slots__ = (
        "_accept",
        "_failed",
        "_fd",
        "_is_heavy",
        "_is_started",
        "_local",
        "_loop",
        "_next_look",
        "_poller",
        "_take",
        "_waits_until",
    )

    def __init__(
        self,
        poller: Poller,
        sock: socket.socket,
        local: Address | None,
        failed: Callable[[OSError], None],
        accept: Accept | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        is_heavy: Callable[[], bool] | None = None,
    ) -> None:
        """Keep the socket, which does not block.

        local: address that all its clients connect to; None if it has several.
        failed: called with the error if the system has no descriptor for a connection; it must
            call `stop`.
        accept: called with the wire of each connection; returns its receiver. By default it is the
            poller's.
        is_heavy: returns whether to let other processes accept first; None if no other one accepts.
        """
        self._loop = loop
        self._is_heavy = is_heavy
        self._next_look: asyncio.TimerHandle | None = None
        self._waits_until = 0.0
        self._poller = poller
        self._accept = accept
        self._fd = sock.fileno()
        self._local = local
        self._failed = failed
        self._is_started = False
        # The public `accept` makes an object of two layers, and asks the system for its kind.
        self._take: Callable[[], tuple[int, Any]] = sock._accept  # type: ignore[attr-defined]  # noqa: SLF001

    def start(self) -> None:
        """Accept until `stop`. Raises OSError."""
        self._poller.listen(self._fd, self._accept_some)
        self._is_started = True

    def stop(self) -> None:
        """Leave further connections in the queue."""
        self._is_started = False
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None
        else:
            self._poller.listen_no_more(self._fd)

    def accept_alone(self) -> None:
        """Wait for no other process any more."""
        self._is_heavy = None

    def _accept_some(self) -> bool:
        """Accept what may be accepted in one pass; return whether more may wait."""
        for _ in range(_MAX_ACCEPTS_PER_PASS):
            if not self._is_started:
                return False
            if self._must_wait():
                self._wait()
                return False
            if not self._accept_one():
                return False
        return self._is_started

    def _accept_one(self) -> bool:
        """Accept a connection; return whether there was one."""
        try:
            fd, name = self._take()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError as error:
            self._failed(error)
            return False
        os.set_blocking(fd, False)
        wire = SocketWire(self._poller, fd, address(name), self._local)
        accept = self._accept or self._poller.accept
        wire.begin(accept(wire))
        return True

    # -- Patience ----------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Leave the queue to other processes for a while."""
        loop = self._loop
        assert loop is not None
        self._poller.listen_no_more(self._fd)
        self._waits_until = loop.time() + _PATIENCE_S
        self._next_look = loop.call_later(_LOOK_EVERY_S, self._look)

    def fewer_held(self) -> None:
        """Take the news that this process holds fewer connections: go on if it need not wait."""
        if self._next_look is not None and not self._must_wait():
            self._next_look.cancel()
            self._go_on()

    def _look(self) -> None:
        """Accept one connection if no other process did in time; go on if one holds as many now."""
        loop = self._loop
        assert loop is not None
        if self._must_wait():
            if loop.time() < self._waits_until:
                self._next_look = loop.call_later(_LOOK_EVERY_S, self._look)
                return
            self._next_look = None
            self._accept_one()
        if self._is_started:
            self._go_on()

    def _must_wait(self) -> bool:
        """Return whether other processes are to accept first."""
        return self._is_heavy is not None and self._is_heavy()

    def _go_on(self) -> None:
        """Accept again, after patience."""
        self._next_look = None
        try:
            self.start()
        except OSError as error:  # no memory to watch the socket
            self._failed(error)

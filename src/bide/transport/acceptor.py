"""Takes connections from the queue of a listening socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any, Final, final

from bide.terms import Address
from bide.transport.poller import Poller
from bide.transport.stream import SocketWire, address
from bide.wire import Accept

# Connections accepted in one pass, so that those that are open get their turn.
_MAX_ACCEPTS_PER_PASS: Final = 16


@final
class Acceptor:
    """Makes a wire of each connection, and has it read at once."""

    __slots__ = ("_accept", "_failed", "_fd", "_is_started", "_local", "_poller", "_take")

    def __init__(
        self,
        poller: Poller,
        sock: socket.socket,
        local: Address | None,
        failed: Callable[[OSError], None],
        accept: Accept | None = None,
    ) -> None:
        """Keep the socket, which does not block.

        local: address that all its clients connect to; None if it has several.
        failed: called with the error if the system has no descriptor for a connection; it must
            call `stop`.
        accept: called with the wire of each connection; returns its receiver. By default it is the
            poller's.
        """
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
        self._poller.listen_no_more(self._fd)

    def _accept_some(self) -> None:
        for _ in range(_MAX_ACCEPTS_PER_PASS):
            if not self._is_started:
                return
            try:
                fd, name = self._take()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._failed(error)
                return
            os.set_blocking(fd, False)
            wire = SocketWire(self._poller, fd, address(name), self._local)
            accept = self._accept or self._poller.accept
            wire.begin(accept(wire))

"""Holds the poll object of the system: epoll on Linux, kqueue on macOS and BSD."""

from __future__ import annotations

import select
import sys
from typing import Any, Final

if sys.platform == "linux":
    #: Events: octets or EOF can be read; octets can be written. Any other means an error or an end,
    #: which a read will tell.
    READS: Final = select.EPOLLIN
    WRITES: Final = select.EPOLLOUT

    def new_poll() -> Any:  # noqa: ANN401
        """Return a poll object with the methods of `select.epoll`. It is level-triggered."""
        return select.epoll()

else:
    READS: Final = 1
    WRITES: Final = 4

    class _Kqueue:
        """Gives a kqueue the methods of `select.epoll`.

        closed: whether it is closed.
        """

        def __init__(self) -> None:
            self._kqueue = select.kqueue()
            self._watched: dict[int, int] = {}

        @property
        def closed(self) -> bool:
            return self._kqueue.closed

        def fileno(self) -> int:
            return self._kqueue.fileno()

        def close(self) -> None:
            self._kqueue.close()

        def register(self, fd: int, events: int) -> None:
            """Watch a descriptor. Raises OSError."""
            self._watched[fd] = 0
            self.modify(fd, events)

        def modify(self, fd: int, events: int) -> None:
            """Watch a descriptor for other events. Raises OSError."""
            changes = []
            for bit, kind in ((READS, select.KQ_FILTER_READ), (WRITES, select.KQ_FILTER_WRITE)):
                if (events ^ self._watched[fd]) & bit:
                    changes.append(select.kevent(fd, kind, select.KQ_EV_ADD if events & bit else select.KQ_EV_DELETE))
            if changes:
                self._kqueue.control(changes, 0)
            self._watched[fd] = events

        def unregister(self, fd: int) -> None:
            """Watch a descriptor no more. Raises OSError."""
            self.modify(fd, 0)
            del self._watched[fd]

        def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
            """Return (descriptor, events) of at most `most` descriptors that are ready."""
            return [
                (event.ident, READS if event.filter == select.KQ_FILTER_READ else WRITES)
                for event in self._kqueue.control(None, most, timeout)
            ]

    def new_poll() -> Any:  # noqa: ANN401
        """Return a poll object with the methods of `select.epoll`. It is level-triggered."""
        return _Kqueue()

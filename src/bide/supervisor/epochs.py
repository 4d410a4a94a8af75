"""Keeps the options and the sockets of each generation, since a reload may change both."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Collection, Iterable
from typing import NamedTuple, final

from bide.supervisor.settings import SupervisorSettings, has_moved
from bide.transport import sockets


@final
class Bound:
    """Holds the supervisor's copies of bound sockets. Its workers have their own.

    opened: the sockets; none after `close`.
    """

    def __init__(self, opened: list[socket.socket], path: str | None) -> None:
        """Keep the sockets. path: of a Unix socket that is ours to remove; None without one."""
        self.opened = opened
        self._path = path

    def close(self) -> None:
        """Let go of the sockets, so that the last worker's close is the end of them."""
        opened, self.opened = self.opened, []
        sockets.close(opened)

    def remove_path(self) -> None:
        """Remove the name of a Unix socket, once: later it may be another server's."""
        path, self._path = self._path, None
        if path is not None:
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108


class Epoch(NamedTuple):
    """Holds what the workers of a generation, and of later ones, are started with."""

    generation: int
    settings: SupervisorSettings
    bound: Bound


@final
class Epochs:
    """Holds the epochs whose generation has workers, or may get some again."""

    def __init__(self, settings: SupervisorSettings, bound: Bound) -> None:
        """Begin with one."""
        self._epochs = [Epoch(0, settings, bound)]

    @property
    def current(self) -> Epoch:
        """The newest one."""
        return self._epochs[-1]

    @property
    def has_moved(self) -> bool:
        """Whether workers serve on sockets of before."""
        return any(epoch.bound is not self.current.bound for epoch in self._epochs)

    def of(self, generation: int) -> Epoch:
        """Return the one of a generation."""
        fitting = [epoch for epoch in self._epochs if epoch.generation <= generation]
        return fitting[-1] if fitting else self._epochs[0]

    def begin(self, generation: int, settings: SupervisorSettings) -> None:
        """Begin one, with sockets of its own if it has another address. Raises ListenError."""
        bound = self.current.bound
        if has_moved(self.current.settings, settings):
            bound = Bound(sockets.opened(settings.listening), settings.listening.uds)
        self._epochs.append(Epoch(generation, settings, bound))

    def fall_back(self, generation: int) -> bool:
        """End the epochs after a generation; return whether there were any."""
        has_ended = False
        while self.current.generation > generation and len(self._epochs) > 1:
            given_up = self._epochs.pop()
            has_ended = True
            if all(epoch.bound is not given_up.bound for epoch in self._epochs):
                given_up.bound.close()
                given_up.bound.remove_path()
        return has_ended

    def keep(self, generations: Collection[int]) -> None:
        """End the epochs that no generation of these needs. The current one stays."""
        needed = [self.of(generation) for generation in generations]
        bounds = [epoch.bound for epoch in (*needed, self.current)]
        for epoch in self._epochs:
            if all(epoch.bound is not bound for bound in bounds):
                epoch.bound.close()
                epoch.bound.remove_path()
        self._epochs = [epoch for epoch in self._epochs if epoch in needed or epoch is self.current]

    def leave(self, generation: int, others: Iterable[int]) -> bool:
        """Return whether a worker that leaves is the last one at an address of before.

        If so, let go of the sockets, so that its close is the end of them.

        generation: of that worker.
        others: generations of the other workers that serve, or may still do so.
        """
        bound = self.of(generation).bound
        if bound is self.current.bound or any(self.of(other).bound is bound for other in others):
            return False
        bound.remove_path()
        bound.close()
        return True

    def close(self) -> None:
        """Let go of all sockets."""
        for epoch in self._epochs:
            epoch.bound.close()

    def remove_paths(self) -> None:
        """Remove the names of Unix sockets."""
        for epoch in self._epochs:
            epoch.bound.remove_path()

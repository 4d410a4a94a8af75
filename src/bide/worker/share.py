"""Holds what a worker process has in common with the others of its supervisor."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Share(NamedTuple):
    """Holds what a worker needs of its supervisor.

    ours: the listening sockets that no other server listens on.
    swept: called in each sweep with the loop time in seconds.
    """

    ours: Sequence[socket.socket]
    swept: Callable[[float], None]

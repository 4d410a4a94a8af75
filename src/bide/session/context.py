"""What all connections of a worker have in common."""

from __future__ import annotations

import asyncio
from typing import Final, final

from bide.exchange import Gateway
from bide.http1.connection import Connection
from bide.http1.limits import Limits
from bide.http1.response import CommonFields
from bide.observe.access_log import AccessLog
from bide.observe.counters import Counters
from bide.policy.clocks import FOREVER
from bide.session.durations import Durations
from bide.session.reception import Reception
from bide.worker.admission import Admission
from bide.worker.register import Register

# Kept for the next ones: as many as are likely to be at work in one pass of the event loop.
_MOST_SPARE: Final = 256


@final
class SessionContext:
    """See the module.

    standing: fact bits that hold for every connection, new ones included.
    attentive: whether the server may have something of its own to say to a request.
    unread_since: the instant since which octets may have waited to be read, because the event loop was blocked; where it was not,
        one to come.
    """

    __slots__ = (
        "access_log",
        "attentive",
        "common_fields",
        "counters",
        "door",
        "durations",
        "gateway",
        "limits",
        "loop",
        "reception",
        "register",
        "spare",
        "spares",
        "standing",
        "unread_since",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        gateway: Gateway,
        limits: Limits,
        durations: Durations,
        access_log: AccessLog | None,
        reception: Reception,
        door: Admission,
        register: Register,
        standing: int = 0,
    ) -> None:
        self.loop = loop
        self.reception = reception
        self.door = door
        self.register = register
        self.gateway = gateway
        self.limits = limits
        self.durations = durations
        self.access_log = access_log
        self.standing = standing
        self.attentive = False
        self.unread_since = FOREVER
        self.counters = Counters()
        self.common_fields = CommonFields()
        self.spare: Connection | None = None
        self.spares = 0

    def lend(self, served: int) -> Connection:
        """Return what stands for a connection that was at rest, after so many requests."""
        connection = self.spare
        if connection is None:
            connection = Connection(self.limits, self.common_fields)
        else:
            self.spare = connection.spare
            self.spares -= 1
            connection.spare = None
        connection.begin(self.standing, served)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Take back what stood for a connection that is at rest again."""
        if self.spares < _MOST_SPARE:
            connection.spare = self.spare
            self.spare = connection
            self.spares += 1

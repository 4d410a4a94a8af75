"""Holds the state that all sessions of one worker share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Final, final

from bide.exchange import Gateway
from bide.http1.limits import Limits
from bide.http1.response import CommonFields
from bide.managed import ConnectionManager
from bide.message import Request
from bide.observe.access_log import AccessLog, peer_name
from bide.observe.counters import Counters
from bide.policy.clocks import FOREVER
from bide.semantics.forwarded import Forwarding
from bide.session.clients import ClientFacts
from bide.session.durations import Durations
from bide.session.heads import HeldHeads
from bide.session.idle import IdleTimeout
from bide.session.pool import ConnectionPool
from bide.session.websocket_limits import WebSocketLimits
from bide.terms import Address, CloseReason

_log = logging.getLogger("bide.error")
_connection_log = logging.getLogger("bide.connection")

# Seconds between lines about dropped content, and between lines about failed handshakes.
_WARN_EVERY_S: Final = 60.0

#: Draws the age in seconds and the number of requests at which a new connection is to close; None
#: for no limit.
DrawLimits = Callable[[], tuple[float, float] | None]


@final
class SessionContext:
    """Holds the objects and facts that every session of a worker reads.

    clock: returns the loop time in seconds.
    facts: fact bits that hold for every connection, new ones included.
    forwarding: what is read from forwarded fields; None if nothing is.
    hsts: field line of responses over https (RFC 6797, 6.1), with its CRLF; b"" for none.
    unread_since: loop time in seconds at which the event loop became blocked, so that octets may
        have waited since then. A time in the future if it was not blocked.
    pool: protocol objects for connections that are at work.
    """

    __slots__ = (
        "_content_warned_at",
        "_handshake_logged_at",
        "access_log",
        "clients",
        "clock",
        "common_fields",
        "counters",
        "draw_limits",
        "durations",
        "facts",
        "forwarding",
        "gateway",
        "heads",
        "hsts",
        "idle",
        "loop",
        "manager",
        "pool",
        "unread_since",
        "websocket_limits",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        gateway: Gateway,
        manager: ConnectionManager,
        *,
        limits: Limits,
        durations: Durations,
        idle: IdleTimeout,
        draw_limits: DrawLimits,
        clients: ClientFacts,
        counters: Counters,
        access_log: AccessLog | None,
        websocket_limits: WebSocketLimits,
        forwarding: Forwarding | None = None,
        hsts: int = 0,
        facts: int = 0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.loop = loop
        self.gateway = gateway
        self.manager = manager
        self.durations = durations
        self.idle = idle
        self.draw_limits = draw_limits
        self.clients = clients
        self.counters = counters
        self.access_log = access_log
        self.websocket_limits = websocket_limits
        self.forwarding = forwarding
        self.hsts = b"Strict-Transport-Security: max-age=%d\r\n" % hsts if hsts else b""
        self.facts = facts
        self.clock = clock
        self.unread_since = FOREVER
        self.heads = HeldHeads(loop)
        self._content_warned_at = -_WARN_EVERY_S
        self._handshake_logged_at = -_WARN_EVERY_S
        self.common_fields = CommonFields()
        self.pool = ConnectionPool(limits, self.common_fields)

    def add_facts(self, facts: int) -> None:
        """Take facts that hold for every connection from now on.

        The caller must tell active connections.
        """
        self.facts |= facts

    def content_dropped(self, request: Request, status: int) -> None:
        """Warn that the application gave content with a status that allows no content.

        At most one warning is logged in 60 seconds.
        """
        now = self.clock()
        if now - self._content_warned_at >= _WARN_EVERY_S:
            self._content_warned_at = now
            _log.warning(
                "%s %s: content given with status %d was dropped; a %d response has none (RFC 9110, 15)",
                request.method,
                request.path.decode("ascii"),
                status,
                status,
            )

    def handshake_rejected(self, peer: Address | None, reason: CloseReason, detail: str) -> None:
        """Write to the log why a handshake failed: at most one line in 60 seconds.

        Scanners fail all the time. If all connections of a front end do, its settings are wrong.
        """
        now = self.clock()
        if now - self._handshake_logged_at >= _WARN_EVERY_S:
            self._handshake_logged_at = now
            _connection_log.info(
                "%s: handshake failed, close=%s (%s); further ones go to the debug log for %g s",
                peer_name(peer),
                reason.value,
                detail,
                _WARN_EVERY_S,
            )

    def loop_looked_at(self, unread_since: float) -> None:
        """Set `unread_since`."""
        self.unread_since = unread_since

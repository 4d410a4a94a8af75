"""Makes a session for each wire: that of a new connection, and that of one that was parked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, final

from bide.session.context import SessionContext
from bide.session.parked import ParkedSession
from bide.session.session import Session
from bide.terms import Address, CloseReason
from bide.transport.polled import PolledWire
from bide.transport.poller import Poller
from bide.transport.proxy import HeaderReader
from bide.transport.stream import SocketWire
from bide.transport.tls import TlsWire
from bide.transport.turns import Turns
from bide.wire import Receiver, Wire
from bide.worker.certificates import Certificates
from bide.worker.manager import Manager

_REJECTED: Final = CloseReason.PROXY_HEADER_REJECTED


class Introductions(NamedTuple):
    """Says which PROXY headers connections begin with.

    versions: V1, V2 or ANY of `bide.transport.proxy`.
    trusts: tells whether a peer may send one.
    """

    versions: int
    trusts: Callable[[Address | None], bool]


@final
class Arrivals:
    """Makes the sessions of one worker."""

    __slots__ = ("_certificates", "_context", "_introductions", "_manager", "_poller", "_turns")

    def __init__(
        self,
        context: SessionContext,
        manager: Manager,
        poller: Poller,
        certificates: Certificates | None,
        introductions: Introductions | None = None,
    ) -> None:
        """Keep what each session needs.

        certificates: for new connections, which then begin with a handshake; None without TLS.
        introductions: for new connections, if they begin with a PROXY header.
        """
        self._context = context
        self._manager = manager
        self._poller = poller
        self._certificates = certificates
        self._introductions = introductions
        self._turns = Turns(context.loop.call_soon, poller.is_crowded)

    def accepted(self, wire: Wire) -> Receiver:
        """Return what takes the facts of a new connection's wire."""
        return self._introduced(wire, self._certificates)

    def accepted_plain(self, wire: Wire) -> Receiver:
        """Return what takes the facts of the wire of a new connection that does not speak TLS."""
        return self._introduced(wire, None)

    def _introduced(self, wire: Wire, certificates: Certificates | None) -> Receiver:
        """Return what takes the facts of a wire, of which a PROXY header may come first."""
        introductions = self._introductions
        if introductions is None:
            return self._opened(wire, certificates)[1]
        assert isinstance(wire, SocketWire)
        is_trusted = introductions.trusts(wire.peer())
        wire.expect_header()
        session, receiver = self._opened(wire, certificates)
        if is_trusted:
            return HeaderReader(wire, receiver, introductions.versions)
        session.rejected(_REJECTED, f"{wire.sender()} is not in --proxy-allow-ips", False)
        return receiver

    def _opened(self, wire: Wire, certificates: Certificates | None) -> tuple[Session, Receiver]:
        """Return the session of a new connection, and what takes the facts of its wire."""
        if certificates is None:
            session = Session(self._context, wire)
            self._manager.opened(session, wire.descriptor())
            return session, session
        tls = TlsWire(wire, certificates.context(), self._context.loop.call_soon, self._turns)
        session = Session(self._context, tls)
        tls.begin(session)
        self._manager.opened(session, wire.descriptor())
        return session, tls.below

    def woken(self, fd: int, resting: Receiver) -> PolledWire:
        """Return the wire of a connection that was parked."""
        assert isinstance(resting, ParkedSession)
        wire = SocketWire(self._poller, fd)
        session = Session(self._context, wire, resting)
        self._manager.replaced(resting, session)
        wire.begin_again(session)
        return wire

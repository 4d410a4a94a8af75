"""Makes a session for each wire: that of a new connection, and that of one that was parked."""

from __future__ import annotations

from typing import final

from bide.session.context import SessionContext
from bide.session.parked import ParkedSession
from bide.session.session import Session
from bide.transport.polled import PolledWire
from bide.transport.poller import Poller
from bide.transport.stream import SocketWire
from bide.transport.tls import TlsWire
from bide.wire import Receiver, Wire
from bide.worker.certificates import Certificates
from bide.worker.manager import Manager


@final
class Arrivals:
    """Makes the sessions of one worker."""

    __slots__ = ("_certificates", "_context", "_manager", "_poller")

    def __init__(
        self, context: SessionContext, manager: Manager, poller: Poller, certificates: Certificates | None
    ) -> None:
        """Keep what each session needs.

        certificates: for new connections, which then begin with a handshake; None without TLS.
        """
        self._context = context
        self._manager = manager
        self._poller = poller
        self._certificates = certificates

    def accepted(self, wire: Wire) -> Receiver:
        """Return what takes the facts of a new connection's wire."""
        if self._certificates is None:
            session = Session(self._context, wire)
            self._manager.opened(session, wire.descriptor())
            return session
        tls = TlsWire(wire, self._certificates.context(), self._context.loop.call_soon)
        session = Session(self._context, tls)
        tls.begin(session)
        self._manager.opened(session, wire.descriptor())
        return tls.below

    def woken(self, fd: int, resting: Receiver) -> PolledWire:
        """Return the wire of a connection that was parked."""
        assert isinstance(resting, ParkedSession)
        wire = SocketWire(self._poller, fd)
        session = Session(self._context, wire, resting)
        self._manager.replaced(resting, session)
        wire.begin_again(session)
        return wire

"""Passes octets between the wire and the implementation of another protocol."""

from __future__ import annotations

from typing import final

from bide.exchange import Tunnel, TunnelEnd, WebSocket
from bide.message import Request
from bide.observe.access_log import TunnelSummary
from bide.session.carrier import Carrier
from bide.terms import Address, CloseReason


@final
class CarriedTunnel(TunnelEnd):
    """Connects a tunnel with the session that carries it.

    tunnel: takes the octets.
    request, begun: the request that asked for it, and the loop time in seconds at which its head
        was complete.
    client: address of the client.
    """

    __slots__ = ("_carrier", "_is_closed", "_is_drained", "begun", "client", "request", "tunnel")

    def __init__(
        self, carrier: Carrier, tunnel: Tunnel, request: Request, client: Address | None, begun: float
    ) -> None:
        self._carrier = carrier
        self.tunnel = tunnel
        self.request = request
        self.client = client
        self.begun = begun
        self._is_closed = False
        self._is_drained = False

    def write(self, data: bytes) -> None:
        if not self._is_closed:
            self._carrier.tunnel_written(data)

    def pause_reading(self) -> None:
        if not self._is_closed:
            self._carrier.tunnel_reading(False)

    def resume_reading(self) -> None:
        if not self._is_closed:
            self._carrier.tunnel_reading(True)

    def close(self) -> None:
        if not self._is_closed:
            self._carrier.tunnel_closed(CloseReason.TUNNEL_CLOSED)

    def end(self, reason: CloseReason) -> None:
        if not self._is_closed:
            self._carrier.tunnel_closed(reason)

    @property
    def summary(self) -> TunnelSummary | None:
        """What the access log says of a WebSocket; None of any other protocol."""
        tunnel = self.tunnel
        if isinstance(tunnel, WebSocket):
            return TunnelSummary(tunnel.code, tunnel.messages_received, tunnel.messages_sent)
        return None

    def drain(self) -> None:
        """Tell the tunnel once that the server is stopping."""
        if not self._is_drained:
            self._is_drained = True
            self.tunnel.drain()

    def ended(self) -> None:
        """Take the news that the connection closes, for whatever reason."""
        if not self._is_closed:
            self._is_closed = True
            self.tunnel.closed()

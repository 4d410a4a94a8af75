"""Passes octets between the wire and the implementation of another protocol."""

from __future__ import annotations

from typing import final

from bide.exchange import Tunnel, TunnelEnd
from bide.session.carrier import Carrier


@final
class CarriedTunnel(TunnelEnd):
    """Connects a tunnel with the session that carries it.

    tunnel: takes the octets.
    """

    __slots__ = ("_carrier", "_is_closed", "tunnel")

    def __init__(self, carrier: Carrier, tunnel: Tunnel) -> None:
        self._carrier = carrier
        self.tunnel = tunnel
        self._is_closed = False

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
            self._carrier.tunnel_closed()

    def ended(self) -> None:
        """Take the news that the connection closes, for whatever reason."""
        if not self._is_closed:
            self._is_closed = True
            self.tunnel.closed()

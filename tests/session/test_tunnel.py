"""The server's end of a tunnel, between a stand-in of the session and one of what speaks the other protocol."""

from collections.abc import Callable
from typing import Final

import pytest

from bide.exchange import Tunnel, TunnelEnd
from bide.session.tunnel import CarriedTunnel
from bide.terms import CloseReason
from tests.support.carrier import StubCarrier, StubTunnel
from tests.support.exchanges import request_of

ORDERS: Final[dict[str, Callable[[TunnelEnd], None]]] = {
    "tunnel_written": lambda end: end.write(b"octets"),
    "tunnel_reading False": lambda end: end.pause_reading(),
    "tunnel_reading True": lambda end: end.resume_reading(),
    "tunnel_closed tunnel_closed": lambda end: end.close(),
    "tunnel_closed drain": lambda end: end.end(CloseReason.DRAIN),
}


def carried_by(carrier: StubCarrier, tunnel: Tunnel) -> CarriedTunnel:
    return CarriedTunnel(carrier, tunnel, request_of(), None, 0.0)


@pytest.mark.parametrize("order", ORDERS)
def test_order_to_an_open_tunnel_is_one_to_its_session(order: str) -> None:
    carrier = StubCarrier()
    ORDERS[order](carried_by(carrier, StubTunnel()))
    assert carrier.told == [order]
    assert carrier.written == (b"octets" if order == "tunnel_written" else b"")


@pytest.mark.parametrize("order", ORDERS)
def test_order_to_a_tunnel_that_has_ended_does_nothing(order: str) -> None:
    carrier = StubCarrier()
    carried = carried_by(carrier, StubTunnel())
    carried.ended()
    ORDERS[order](carried)
    assert carrier.told == []


def test_drain_of_a_tunnel_is_told_once() -> None:
    tunnel = StubTunnel()
    carried = carried_by(StubCarrier(), tunnel)
    carried.drain()
    carried.drain()
    assert tunnel.told == ["drain"]


def test_end_of_a_tunnel_is_told_once() -> None:
    tunnel = StubTunnel()
    carried = carried_by(StubCarrier(), tunnel)
    assert carried.tunnel is tunnel
    assert tunnel.told == []
    carried.ended()
    carried.ended()
    assert tunnel.told == ["closed"]


def test_access_log_has_nothing_to_say_of_a_tunnel_that_carries_no_messages() -> None:
    assert carried_by(StubCarrier(), StubTunnel()).summary is None

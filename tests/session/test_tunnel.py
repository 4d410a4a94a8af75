"""The server's end of a tunnel, between a stand-in of the session and one of what speaks the other protocol."""

from collections.abc import Callable
from typing import Final

import pytest

from bide.exchange import TunnelEnd
from bide.session.tunnel import CarriedTunnel
from tests.support.carrier import StubCarrier, StubTunnel

ORDERS: Final[dict[str, Callable[[TunnelEnd], None]]] = {
    "tunnel_written": lambda end: end.write(b"octets"),
    "tunnel_reading False": lambda end: end.pause_reading(),
    "tunnel_reading True": lambda end: end.resume_reading(),
    "tunnel_closed": lambda end: end.close(),
}


@pytest.mark.parametrize("order", ORDERS)
def test_order_to_an_open_tunnel_is_one_to_its_session(order: str) -> None:
    carrier = StubCarrier()
    ORDERS[order](CarriedTunnel(carrier, StubTunnel()))
    assert carrier.told == [order]
    assert carrier.written == (b"octets" if order == "tunnel_written" else b"")


@pytest.mark.parametrize("order", ORDERS)
def test_order_to_a_tunnel_that_has_ended_does_nothing(order: str) -> None:
    carrier = StubCarrier()
    carried = CarriedTunnel(carrier, StubTunnel())
    carried.ended()
    ORDERS[order](carried)
    assert carrier.told == []


def test_end_of_a_tunnel_is_told_once() -> None:
    tunnel = StubTunnel()
    carried = CarriedTunnel(StubCarrier(), tunnel)
    assert carried.tunnel is tunnel
    assert tunnel.told == []
    carried.ended()
    carried.ended()
    assert tunnel.told == ["closed"]

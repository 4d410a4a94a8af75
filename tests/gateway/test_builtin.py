"""The server's own answers, and what is passed on to the application."""

import pytest

from bide.exchange import Exchange, Gateway
from bide.gateway.builtin import BuiltinGateway
from tests.support.exchanges import StubExchange, request_of

RETRY_AFTER = 7.0


class StubGateway(Gateway):
    """Keeps the orders that are passed on."""

    def __init__(self) -> None:
        self.orders: list[object] = []

    def start(self, exchange: Exchange) -> None:
        self.orders.append(exchange)

    @property
    def running(self) -> int:
        return 3

    def cancel(self) -> None:
        self.orders.append("cancel")

    def drain(self) -> None:
        self.orders.append("drain")


def gateways(health_path: str = "/health") -> tuple[BuiltinGateway, StubGateway]:
    inner = StubGateway()
    return BuiltinGateway(inner, health_path, RETRY_AFTER), inner


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health_check_of_a_serving_server_is_answered_200(method: str) -> None:
    builtin, inner = gateways()
    exchange = StubExchange(request_of(method, b"/health?verbose"))
    builtin.start(exchange)
    assert (exchange.status, exchange.content) == (200, [b"ok\n"])
    assert (b"cache-control", b"no-store") in exchange.fields
    assert exchange.complete
    assert inner.orders == []


def test_health_check_of_a_stopping_server_is_answered_503() -> None:
    builtin, inner = gateways()
    builtin.drain()
    exchange = StubExchange(request_of("GET", b"/health"))
    builtin.start(exchange)
    assert exchange.status == 503
    assert inner.orders == ["drain"]


@pytest.mark.parametrize(
    ("health_path", "method", "target"),
    [("/health", "POST", b"/health"), ("/health", "GET", b"/healthy"), ("/health", "GET", b"/"), ("", "GET", b"")],
)
def test_request_that_is_no_health_check_is_passed_on(health_path: str, method: str, target: bytes) -> None:
    builtin, inner = gateways(health_path)
    exchange = StubExchange(request_of(method, target))
    builtin.start(exchange)
    assert inner.orders == [exchange]
    assert exchange.status == 0


@pytest.mark.parametrize("target", [b"/", b"/health"])
def test_refused_client_is_answered_503_with_retry_after(target: bytes) -> None:
    builtin, inner = gateways()
    exchange = StubExchange(request_of("GET", target), is_refused=True)
    builtin.start(exchange)
    assert exchange.status == 503
    assert (b"retry-after", b"7") in exchange.fields
    assert inner.orders == []


def test_running_and_cancel_are_those_of_the_application() -> None:
    builtin, inner = gateways()
    assert builtin.running == 3
    builtin.cancel()
    assert inner.orders == ["cancel"]

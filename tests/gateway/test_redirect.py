"""Redirects of the plain port: to which host, port and path, and what passes them."""

import pytest

from bide.exchange import Exchange, Gateway
from bide.gateway.redirect import RedirectGateway
from bide.terms import Address, Security
from tests.support.exchanges import StubExchange, request_of

TLS = Security(0x0304, 0x1301, "PEM", [], None)


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


def asked(
    host: bytes | None, target: bytes = b"/", *, method: str = "GET", local: Address | None = ("192.0.2.2", 8000)
) -> StubExchange:
    fields = [(b"accept", b"*/*")] + ([(b"host", host)] if host is not None else [])
    exchange = StubExchange(request_of(method, target, fields))
    exchange.local = local
    return exchange


def location(exchange: StubExchange, port: int) -> bytes:
    inner = StubGateway()
    RedirectGateway(inner, port).start(exchange)
    assert (exchange.status, exchange.content, inner.orders) == (308, [b""], [])
    assert exchange.complete
    (found,) = [field[1] for field in exchange.fields if field[0] == b"location"]
    return found


@pytest.mark.parametrize(
    ("host", "listens_on", "port", "authority"),
    [
        (b"a.example", 80, 443, b"a.example"),
        (b"a.example:80", 80, 443, b"a.example"),
        (b"a.example", 80, 8443, b"a.example:8443"),
        (b"a.example:8080", 8080, 8443, b"a.example:8443"),
        (b"a.example:8080", 8080, 443, b"a.example"),
        (b"a.example", 8080, 8443, b"a.example"),  # ports 80 and 443 are mapped to those
        (b"a.example:", 8080, 8443, b"a.example"),
        (b"[::1]", 8080, 8443, b"[::1]"),
        (b"[::1]:8080", 8080, 8443, b"[::1]:8443"),
    ],
)
def test_client_is_sent_to_the_host_that_it_asked_for(
    host: bytes, listens_on: int, port: int, authority: bytes
) -> None:
    assert location(asked(host, local=("192.0.2.2", listens_on)), port) == b"https://" + authority + b"/"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/a%20b?c=d&e", b"/a%20b?c=d&e"),
        (b"//evil.example/", b"//evil.example/"),
        (b"*", b"/"),
    ],
)
def test_path_and_query_stay_as_they_were_sent(target: bytes, path: bytes) -> None:
    assert location(asked(b"a.example", target, method="OPTIONS"), 443) == b"https://a.example" + path


def test_address_without_a_port_is_no_obstacle() -> None:
    assert location(asked(b"a.example", local=None), 8443) == b"https://a.example/"


@pytest.mark.parametrize("host", [None, b"", b":8080"])
def test_request_that_names_no_host_is_refused(host: bytes | None) -> None:
    exchange = asked(host)
    RedirectGateway(StubGateway(), 443).start(exchange)
    assert (exchange.status, exchange.content) == (400, [b"a Host field is needed\n"])


def test_exchange_over_tls_and_orders_are_passed_on() -> None:
    inner = StubGateway()
    gateway = RedirectGateway(inner, 443)
    exchange = asked(b"a.example")
    exchange.tls = TLS
    gateway.start(exchange)
    gateway.drain()
    gateway.cancel()
    assert inner.orders == [exchange, "drain", "cancel"]
    assert gateway.running == 3

"""Redirects clients from the plain port to https."""

from __future__ import annotations

from typing import Final, final

from bide.exchange import Exchange, Gateway
from bide.message import Request

# Ports that a URI need not name (RFC 9110, 4.2.1 and 4.2.2).
_HTTP_PORT: Final = 80
_HTTPS_PORT: Final = 443

_NO_HOST: Final = b"a Host field is needed\n"


@final
class RedirectGateway(Gateway):
    """Passes on to `inner` every exchange of a connection that speaks TLS, and redirects others."""

    def __init__(self, inner: Gateway, port: int) -> None:
        """`port`: that of the server's own https."""
        self._inner = inner
        self._port = port

    def start(self, exchange: Exchange) -> None:
        """Redirect `exchange`, or pass it on."""
        if exchange.security() is not None:
            self._inner.start(exchange)
            return
        target = self._location(exchange)
        if target:
            # 308 keeps the method and the content (RFC 9110, 15.4.9).
            exchange.respond(308, [(b"location", target), (b"content-length", b"0")], False)
            exchange.send(b"", False)
        else:
            exchange.respond(400, [(b"content-length", b"%d" % len(_NO_HOST))], False)
            exchange.send(_NO_HOST, False)

    def _location(self, exchange: Exchange) -> bytes:
        """Return the URI to use instead; b"" if the request does not name its host.

        The port is the server's own if clients reach it by the ports that it listens on: if one
        names a port, or if this one is port 80. Otherwise something maps the ports that URIs need
        not name to those that the server listens on.
        """
        request = exchange.request
        host, has_port = _host(request)
        if not host:
            return b""
        local = exchange.local
        is_direct = has_port or (local is not None and local[1] == _HTTP_PORT)
        port = b":%d" % self._port if is_direct and self._port != _HTTPS_PORT else b""
        path = b"/" if request.path == b"*" else request.path
        query = b"?" + request.query if request.query else b""
        return b"https://" + host + port + path + query

    def drain(self) -> None:
        """Pass it on."""
        self._inner.drain()

    @property
    def running(self) -> int:
        """Exchanges of the application that have not ended; redirects end at once."""
        return self._inner.running

    def cancel(self) -> None:
        """Cancel the exchanges of the application."""
        self._inner.cancel()


def _host(request: Request) -> tuple[bytes, bool]:
    """Return the host that the client has asked for, and whether it named a port."""
    value = next((value for name, value in request.fields if name == b"host"), b"")
    host, colon, port = value.rpartition(b":")
    if not colon or value.endswith(b"]"):  # the colon is one of an IPv6 address
        return value, False
    return host, port != b""

"""Answers health checks and refused clients in front of the application."""

from __future__ import annotations

from typing import Final, NamedTuple, final

from bide.exchange import Exchange, Gateway


class _Answer(NamedTuple):
    status: int
    fields: list[tuple[bytes, bytes]]
    content: bytes


def _answer(status: int, content: bytes, *more: tuple[bytes, bytes]) -> _Answer:
    fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(content)), *more]
    return _Answer(status, fields, content)


# Methods of a health check. The application gets requests for its path with other methods.
_HEALTH_METHODS: Final = frozenset({"GET", "HEAD"})

_HEALTHY: Final = _answer(200, b"ok\n", (b"cache-control", b"no-store"))
_STOPPING: Final = _answer(503, b"stopping\n", (b"cache-control", b"no-store"))


@final
class BuiltinGateway(Gateway):
    """Passes on to `inner` every exchange that is not the server's own."""

    def __init__(self, inner: Gateway, health_path: str, retry_after: float) -> None:
        """Keep the values that the answers are made from.

        health_path: path of the health check; "" for none.
        retry_after: seconds after which a refused client may try again (RFC 9110, 10.2.3).
        """
        self._inner = inner
        self._health_path = health_path.encode()
        self._refusal = _answer(
            503, b"no room for another connection\n", (b"retry-after", b"%d" % max(1, round(retry_after)))
        )
        self._is_stopping = False

    def start(self, exchange: Exchange) -> None:
        """Answer `exchange`, or pass it on."""
        request = exchange.request
        if exchange.is_refused:  # RFC 9110, 15.6.4
            answer = self._refusal
        elif self._health_path and request.path == self._health_path and request.method in _HEALTH_METHODS:
            answer = _STOPPING if self._is_stopping else _HEALTHY
        else:
            self._inner.start(exchange)
            return
        exchange.respond(answer.status, answer.fields, False)
        exchange.send(answer.content, False)

    def drain(self) -> None:
        """Fail the health check from now on, so that front ends choose another server."""
        self._is_stopping = True
        self._inner.drain()

    @property
    def running(self) -> int:
        """Exchanges of the application that have not ended; the server's own end at once."""
        return self._inner.running

    def cancel(self) -> None:
        """Cancel the exchanges of the application."""
        self._inner.cancel()

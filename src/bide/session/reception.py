"""What the server itself has to say to a request, before the application sees it."""

from __future__ import annotations

from typing import Final, NamedTuple, final

from bide.message import Request
from bide.session.peers import Peers
from bide.session.rules import CloseRules
from bide.terms import CLIENT_POLICY, DRAIN, PRESSURE, Address


class Answer(NamedTuple):
    """A response of the server's own."""

    status: int
    fields: list[tuple[bytes, bytes]]
    content: bytes


def _answer(status: int, content: bytes, *more: tuple[bytes, bytes]) -> Answer:
    fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(content)), *more]
    return Answer(status, fields, content)


# What a health check asks with; the rest is the application's.
_SAFE: Final = frozenset({"GET", "HEAD"})

_HEALTHY = _answer(200, b"ok\n", (b"cache-control", b"no-store"))
_STOPPING = _answer(503, b"stopping\n", (b"cache-control", b"no-store"))


@final
class Reception:
    """Health checks, and clients that need no persistence.

    pressed: whether close is to be announced to clients that gain little from persistence.
    """

    __slots__ = ("_health", "_refusal", "_rules", "peers", "pressed")

    def __init__(self, health: str, rules: CloseRules, retry_after: float) -> None:
        """`health`: the path that the server answers itself; empty for none. `retry_after`: seconds, for those refused."""
        self._health = health.encode()
        self._rules = rules
        self._refusal = _answer(
            503, b"no room for another connection\n", (b"retry-after", b"%d" % max(1, round(retry_after)))
        )
        self.peers = Peers()
        self.pressed = False

    def facts(self, peer: Address | None, request: Request) -> int:
        """Return the fact bits that hold for this client."""
        facts = 0
        if self._rules and self._rules.match(peer, request):
            facts |= CLIENT_POLICY
        if self.pressed and peer is not None and self.peers.rarely_reuse(peer[0]):
            facts |= PRESSURE
        return facts

    def answer(self, request: Request, standing: int, refused: bool) -> Answer | None:
        """Return the server's own answer, or None where the application is to answer.

        standing: the facts that hold for the server. refused: there is no room for this client (RFC 9110, 15.6.4).
        """
        if refused:
            return self._refusal
        if self._health and request.path == self._health and request.method in _SAFE:
            return _STOPPING if standing & DRAIN else _HEALTHY
        return None

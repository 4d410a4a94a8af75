"""Says which facts about a client bear on the persistence of its connection: rules of the operator, and what was learned."""

from __future__ import annotations

from typing import final

from bide.message import Request
from bide.session.peers import Peers
from bide.session.rules import CloseRules
from bide.terms import CLIENT_POLICY, PRESSURE, Address


@final
class ClientFacts:
    """Applies the rules of `--close-for`, and under pressure what is known of the peers.

    may_apply: whether `facts` can return anything but 0 at present.
    peers: what was learned of peers.
    """

    __slots__ = ("_is_pressed", "_rules", "may_apply", "peers")

    def __init__(self, rules: CloseRules) -> None:
        self._rules = rules
        self._is_pressed = False
        self.peers = Peers()
        self.may_apply = bool(rules)

    def pressure_measured(self, is_high: bool) -> None:
        """Take the news whether close is to be announced to clients that gain little from persistence."""
        self._is_pressed = is_high
        self.may_apply = is_high or bool(self._rules)

    def facts(self, peer: Address | None, request: Request) -> int:
        """Return the fact bits that hold for this client."""
        facts = 0
        if self._rules and self._rules.match(peer, request):
            facts |= CLIENT_POLICY
        if self._is_pressed and peer is not None and self.peers.rarely_reuse(peer[0]):
            facts |= PRESSURE
        return facts

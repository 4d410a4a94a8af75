"""Decides which facts about a client bear on the persistence of its connection."""

from __future__ import annotations

from typing import final

from bide.message import Request
from bide.session.peers import Peers
from bide.session.rules import CloseRules
from bide.terms import CLIENT_POLICY, PRESSURE, REBALANCED, Address


@final
class ClientFacts:
    """Applies the rules of `--close-for`; under pressure also the habits of the peers.

    may_apply: whether `facts` or `take_surplus` can return anything but 0 at present.
    peers: requests per connection that each peer sends.
    """

    __slots__ = ("_is_pressed", "_rules", "_surplus", "may_apply", "peers")

    def __init__(self, rules: CloseRules) -> None:
        self._rules = rules
        self._is_pressed = False
        self._surplus = 0
        self.peers = Peers()
        self.may_apply = bool(rules)

    def pressure_measured(self, is_high: bool) -> None:
        """Take the news whether pressure is high.

        While it is high, close is announced to clients that rarely reuse connections.
        """
        self._is_pressed = is_high
        self._changed()

    def surplus_measured(self, count: int) -> None:
        """Take the number of connections to give up to other workers until the next sweep."""
        self._surplus = count
        self._changed()

    def take_surplus(self) -> int:
        """Return the fact bit of a connection that is given up to another worker; 0 for none.

        To be asked only of connections that would lose nothing (`Connection.may_move`).
        """
        if not self._surplus:
            return 0
        self._surplus -= 1
        self._changed()
        return REBALANCED

    def _changed(self) -> None:
        self.may_apply = self._is_pressed or self._surplus > 0 or bool(self._rules)

    def facts(self, client: Address | None, peer: Address | None, request: Request) -> int:
        """Return the fact bits that hold for a request.

        client: address of the client, to which the rules apply.
        peer: address of the connection's other end, whose habits count.
        """
        facts = 0
        if self._rules and self._rules.match(client, request):
            facts |= CLIENT_POLICY
        if self._is_pressed and peer is not None and self.peers.rarely_reuse(peer[0]):
            facts |= PRESSURE
        return facts

"""Remembers which peers reuse their connections, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, final

# Peers remembered. The peer whose last connection ended longest ago is dropped first.
_MAX_PEERS: Final = 4096
# Ended connections of a peer before its habits count.
_MIN_CONNECTIONS: Final = 4
# At this count both totals are halved, so that recent behaviour outweighs old.
_HALVE_AT_CONNECTIONS: Final = 64
# Requests per connection up to which persistence is wasted. With exactly 1, a single busy
# connection would count for ever.
_WASTED_REQUESTS: Final = 1.1


@final
class Peers:
    """Learns from ended connections how many requests each peer sends on one."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        # host -> (connections, requests)
        self._known: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def learn(self, host: str, served: int) -> None:
        """Count a connection of `host` that has ended after `served` requests."""
        connections, requests = self._known.get(host, (0.0, 0.0))
        if connections >= _HALVE_AT_CONNECTIONS:
            connections /= 2
            requests /= 2
        self._known[host] = (connections + 1, requests + served)
        self._known.move_to_end(host)
        if len(self._known) > _MAX_PEERS:
            self._known.popitem(last=False)

    def rarely_reuse(self, host: str) -> bool:
        """Return whether connections of `host` carry hardly more than one request each."""
        connections, requests = self._known.get(host, (0.0, 0.0))
        return connections >= _MIN_CONNECTIONS and requests <= connections * _WASTED_REQUESTS

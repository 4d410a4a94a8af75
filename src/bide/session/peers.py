"""Remembers which peers reuse their connections, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, final

# Peers remembered; the one not heard of for the longest time is forgotten first.
_MOST: Final = 4096
# What is known of a peer counts from so many ended connections on.
_ENOUGH: Final = 4
# Of old habits half is forgotten at so many, so that a changed peer is soon seen to have changed.
_MANY: Final = 64
# Requests per connection up to which persistence is wasted: above 1, or a single busy connection would count for ever.
_LITTLE: Final = 1.1


@final
class Peers:
    """Learned from connections that have ended: how many requests each carried."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[float, float]] = OrderedDict()  # host -> (connections, requests)

    def learn(self, host: str, served: int) -> None:
        """A connection of `host` has ended after `served` requests."""
        connections, requests = self._known.get(host, (0.0, 0.0))
        if connections >= _MANY:
            connections /= 2
            requests /= 2
        self._known[host] = (connections + 1, requests + served)
        self._known.move_to_end(host)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)

    def rarely_reuse(self, host: str) -> bool:
        """Whether connections of `host` hardly carry more than one request each: persistence is wasted on it."""
        connections, requests = self._known.get(host, (0.0, 0.0))
        return connections >= _ENOUGH and requests <= connections * _LITTLE

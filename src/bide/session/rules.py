"""Which clients need no persistence, by rules that the operator gives: `agent:PATTERN`, `path:PATTERN`, `peer:NETWORK`."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, final

from bide.errors import ConfigError
from bide.message import Request
from bide.terms import Address

if TYPE_CHECKING:
    import ipaddress


@final
class CloseRules:
    """The rules, made ready. Patterns are those of a shell (`*`, `?`, `[...]`), in any case for user agents."""

    def __init__(self, rules: Iterable[str]) -> None:
        """Raises ConfigError for a rule that is none."""
        self._agents: list[re.Pattern[str]] = []
        self._paths: list[re.Pattern[str]] = []
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for rule in rules:
            kind, colon, pattern = rule.partition(":")
            if not colon:
                kind = ""
            if kind == "agent":
                self._agents.append(re.compile(fnmatch.translate(pattern), re.IGNORECASE))
            elif kind == "path":
                if pattern[:1] not in ("/", "*", "?", "["):
                    raise ConfigError(f"close_for: {rule!r} matches no path; write path:/{pattern}")
                self._paths.append(re.compile(fnmatch.translate(pattern)))
            elif kind == "peer":
                import ipaddress  # slow to import, and seldom needed

                try:
                    self._networks.append(ipaddress.ip_network(pattern, strict=False))
                except ValueError as error:
                    raise ConfigError(f"close_for: {rule!r}: {error}") from error
            else:
                raise ConfigError(f"close_for: {rule!r} is no rule; write agent:PATTERN, path:PATTERN or peer:NETWORK")

    def __bool__(self) -> bool:
        return bool(self._agents or self._paths or self._networks)

    def match(self, peer: Address | None, request: Request) -> bool:
        """Whether a rule says that this client needs no persistence."""
        if self._paths:
            path = request.path.decode("latin-1")
            if any(pattern.match(path) for pattern in self._paths):
                return True
        if self._agents:
            agent = next((value for name, value in request.fields if name == b"user-agent"), b"").decode("latin-1")
            if any(pattern.match(agent) for pattern in self._agents):
                return True
        if self._networks and peer is not None and peer[1] is not None:
            import ipaddress

            address = ipaddress.ip_address(peer[0].partition("%")[0])
            return any(address in network for network in self._networks)
        return False

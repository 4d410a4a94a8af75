"""Finds clients that need no persistence, by the operator's rules (`--close-for`).

A rule is `agent:PATTERN`, `path:PATTERN` or `peer:NETWORK`.
"""

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
    """Matches requests against the rules.

    Patterns are those of a shell (`*`, `?`, `[...]`). User agents match in any case.
    """

    def __init__(self, rules: Iterable[str]) -> None:
        """Compile the rules. Raises ConfigError for an invalid rule."""
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
                    remedy = f"path:/{pattern.strip().lstrip('/')}"
                    raise ConfigError(
                        "close_for must be path:PATTERN with a pattern that starts with / or a wildcard, "
                        f"got {rule!r}; write {remedy!r}"
                    )
                self._paths.append(re.compile(fnmatch.translate(pattern)))
            elif kind == "peer":
                import ipaddress  # slow to import, and seldom needed

                try:
                    self._networks.append(ipaddress.ip_network(pattern, strict=False))
                except ValueError as error:
                    raise ConfigError(
                        "close_for must be peer:NETWORK with an IP address or network, as peer:192.0.2.0/24, "
                        f"got {rule!r}"
                    ) from error
            else:
                raise ConfigError(f"close_for must be agent:PATTERN, path:PATTERN or peer:NETWORK, got {rule!r}")

    def __bool__(self) -> bool:
        return bool(self._agents or self._paths or self._networks)

    def match(self, client: Address | None, request: Request) -> bool:
        """Return whether a rule matches this client or its request. client: its address."""
        if self._paths:
            path = request.path.decode("latin-1")
            if any(pattern.match(path) for pattern in self._paths):
                return True
        if self._agents:
            agent = next((value for name, value in request.fields if name == b"user-agent"), b"").decode("latin-1")
            if any(pattern.match(agent) for pattern in self._agents):
                return True
        if self._networks and client is not None and client[1] is not None:
            import ipaddress

            address = ipaddress.ip_address(client[0].partition("%")[0])
            return any(address in network for network in self._networks)
        return False

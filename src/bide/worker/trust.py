"""Tells which front ends are trusted, by the address of their end of a connection."""

from __future__ import annotations

import ipaddress
from typing import Final, final

from bide.errors import ConfigError
from bide.terms import Address

#: Trusts every peer.
EVERYBODY: Final = "*"
# Trusts the peers of a Unix socket, which its folder and its permissions guard.
_UNIX: Final = "unix"

# Bounds of the table of judged addresses: clients repeat, front ends more so.
_MAX_JUDGED: Final = 1024
_MAX_JUDGED_OCTETS: Final = 64


@final
class Trust:
    """Holds a list of trusted addresses.

    is_blind: whether every peer is trusted.
    """

    __slots__ = ("_hosts", "_judged", "_networks", "_trusts_unix", "is_blind")

    def __init__(self, name: str, entries: str) -> None:
        """Read the list. Raises ConfigError.

        name: of the option.
        entries: addresses, networks, `unix`, separated by commas; or `*`.
        """
        self.is_blind = entries.strip() == EVERYBODY
        self._trusts_unix = self.is_blind
        self._hosts: set[str] = set()
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self._judged: dict[str, tuple[str, bool]] = {}  # text -> what `judge` returned
        if self.is_blind:
            return
        for part in entries.split(","):
            entry = part.strip()
            if entry == _UNIX:
                self._trusts_unix = True
            elif entry == EVERYBODY:
                raise ConfigError(f"{name} must be * alone, or a list without it, got {entries!r}")
            elif entry:
                self._add(name, entry)

    def _add(self, name: str, entry: str) -> None:
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError as error:
            raise ConfigError(
                f"{name} must be IP addresses, networks, unix or *, separated by commas, got {entry!r}; "
                "as 10.0.0.0/8,unix"
            ) from error
        if network.num_addresses == 1:
            self._hosts.add(_canonical(network.network_address))
        else:
            self._networks.append(network)

    def trusts(self, peer: Address | None) -> bool:
        """Return whether the peer of a connection is trusted.

        peer: None, or a path without a port, on a Unix socket.
        """
        if self.is_blind:
            return True
        if peer is None or peer[1] is None:
            return self._trusts_unix
        return self.judge(peer[0].partition("%")[0])[1]  # without the zone of a link-local address

    def judge(self, text: str) -> tuple[str, bool]:
        """Return the canonical form of an IP address, and whether its front end is trusted.

        If `text` is no IP address, return ("", False). An IPv4 address within an IPv6 address
        (RFC 4291, 2.5.5.2) is that IPv4 address. If every peer is trusted, that says nothing of
        the addresses that they tell: none of them is.
        """
        judged = self._judged.get(text)
        if judged is None:
            judged = self._judge(text)
            if len(text) <= _MAX_JUDGED_OCTETS:
                if len(self._judged) >= _MAX_JUDGED:
                    self._judged.clear()
                self._judged[text] = judged
        return judged

    def _judge(self, text: str) -> tuple[str, bool]:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return "", False
        canonical = _canonical(address)
        if canonical in self._hosts:
            return canonical, True
        address = ipaddress.ip_address(canonical)
        return canonical, any(address in network for network in self._networks)


def _canonical(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return the text of an address; of IPv4 within IPv6, the text of the IPv4 address."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(address if mapped is None else mapped)

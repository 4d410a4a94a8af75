"""Tells what the TLS of a connection is like, for applications that ask."""

from __future__ import annotations

import functools
import re
import ssl
from typing import Any, Final

from bide.terms import Security

# Versions as Python names them -> ProtocolVersion of RFC 8446, 4.1.2, and of RFC 5246.
_VERSIONS: Final = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}

# A cipher suite has two octets (RFC 8446, 4.1.2). OpenSSL's numbers have more in front.
_SUITE_MASK: Final = 0xFFFF

# Names of attributes as OpenSSL writes them -> the short names of RFC 4514, 3.
_ATTRIBUTES: Final = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
# Contexts whose cipher suites are remembered. A program has few.
_MAX_CONTEXTS: Final = 16

_SPECIAL: Final = re.compile(r'[,+"\\<>;]|^[ #]| $')  # RFC 4514, 2.4


class ServerContext(ssl.SSLContext):
    """Holds, besides what OpenSSL needs, what applications may be told.

    certificate: the server's own, in PEM form.
    suites: cipher suites by OpenSSL's names.
    """

    certificate: str = ""
    suites: dict[str, int]

    def complete(self, certificate: str) -> None:
        """Take the certificate, once the ciphers are set."""
        self.certificate = certificate
        self.suites = _suites_of(self)


@functools.lru_cache(_MAX_CONTEXTS)
def _suites_of(context: ssl.SSLContext) -> dict[str, int]:
    return {cipher["name"]: cipher["id"] & _SUITE_MASK for cipher in context.get_ciphers()}


def security_of(tls: ssl.SSLObject) -> Security:
    """Return what there is to tell of a connection whose handshake is complete."""
    context = tls.context
    if isinstance(context, ServerContext):
        certificate, suites = context.certificate, context.suites
    else:  # of the program's own making
        certificate, suites = None, _suites_of(context)
    cipher = tls.cipher()
    subject: Any = (tls.getpeercert() or {}).get("subject", ())
    return Security(
        _VERSIONS.get(tls.version() or ""),
        None if cipher is None else suites.get(cipher[0]),
        certificate,
        [ssl.DER_cert_to_PEM_cert(octets) for octets in _chain(tls)],
        distinguished_name(subject) or None,
    )


def _chain(tls: ssl.SSLObject) -> list[bytes]:
    """Return the client's certificates, its own first; before Python 3.13 only that one."""
    if hasattr(tls, "get_verified_chain"):
        chain: list[bytes] = tls.get_verified_chain()
        return chain
    own = tls.getpeercert(True)
    return [] if own is None else [own]


def distinguished_name(subject: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    """Return a subject, as Python gives it, in the form of RFC 4514: the last part first."""
    return ",".join(
        "+".join(f"{_ATTRIBUTES.get(kind, kind)}={_escaped(value)}" for kind, value in part)
        for part in reversed(subject)
    )


def _escaped(value: str) -> str:
    return _SPECIAL.sub(lambda found: "\\" + found[0], value).replace("\0", "\\00")

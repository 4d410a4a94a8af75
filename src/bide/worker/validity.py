"""Reads until when a certificate is valid: RFC 5280, 4.1.2.5.

Python's ssl tells it only of a peer's certificate.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import Final

# Tags of DER (X.690).
_VERSION: Final = 0xA0  # [0]; left out of certificates of version 1
_UTC_TIME: Final = 0x17

# Lengths of more octets than one: a bit, and how many octets follow.
_LONG: Final = 0x80

# Elements of a certificate between its version and its validity: serial number, algorithm, issuer.
_BEFORE_VALIDITY: Final = 3


def valid_until(certificate: str) -> datetime | None:
    """Return when a certificate in PEM form expires; None if that cannot be read."""
    try:
        octets = ssl.PEM_cert_to_DER_cert(certificate)
        start, _ = _content(octets, 0)  # Certificate
        start, _ = _content(octets, start)  # TBSCertificate
        if octets[start] == _VERSION:
            start = _content(octets, start)[1]
        for _ in range(_BEFORE_VALIDITY):
            start = _content(octets, start)[1]
        start, _ = _content(octets, start)  # Validity
        start = _content(octets, start)[1]  # notBefore
        begin, end = _content(octets, start)
        text = octets[begin:end].decode("ascii")
        if octets[start] == _UTC_TIME:  # with two digits of the year: from 1950 to 2049
            text = ("20" if text < "5" else "19") + text
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except (ValueError, IndexError):
        return None


def _content(octets: bytes, start: int) -> tuple[int, int]:
    """Return where the content of the element at `start` begins and ends."""
    length = octets[start + 1]
    begin = start + 2
    if length & _LONG:
        count = length & ~_LONG
        length = int.from_bytes(octets[begin : begin + count], "big")
        begin += count
    return begin, begin + length

"""Until when a certificate is valid: times of both forms, and what is no certificate."""

import ssl
from datetime import UTC, datetime

import pytest
import trustme

from bide.worker.validity import valid_until


@pytest.mark.parametrize("until", [datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2050, 12, 31, tzinfo=UTC)])
def test_end_of_a_certificate_is_read(until: datetime) -> None:
    """From 2050 on years have four digits."""
    ca = trustme.CA()
    for identity in ("a.example", "a-name-that-makes-the-certificate-longer." * 5 + "example"):
        issued = ca.issue_cert(identity, not_after=until)
        assert valid_until(issued.cert_chain_pems[0].bytes().decode()) == until


def der(tag: int, content: bytes) -> bytes:
    return bytes([tag, len(content)]) + content


def with_end(tag: int, text: bytes, *, version: bytes = b"") -> str:
    """Return a certificate that has only what is read."""
    validity = der(0x30, der(0x17, b"200101000000Z") + der(tag, text))
    body = version + der(2, b"1") + der(0x30, b"") + der(0x30, b"") + validity
    return ssl.DER_cert_to_PEM_cert(der(0x30, der(0x30, body)))


@pytest.mark.parametrize(
    ("certificate", "until"),
    [
        (with_end(0x17, b"491231235959Z"), datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (with_end(0x17, b"500101000000Z"), datetime(1950, 1, 1, tzinfo=UTC)),
        (with_end(0x18, b"20500101000000Z"), datetime(2050, 1, 1, tzinfo=UTC)),
        (with_end(0x17, b"300101000000Z", version=der(0xA0, der(2, b"2"))), datetime(2030, 1, 1, tzinfo=UTC)),
        (with_end(0x17, b"soon"), None),
        (ssl.DER_cert_to_PEM_cert(b"0"), None),
        (ssl.DER_cert_to_PEM_cert(b"\x30\x84"), None),
        ("no certificate", None),
        ("", None),
    ],
)
def test_time_has_the_century_of_its_form(certificate: str, until: datetime | None) -> None:
    assert valid_until(certificate) == until

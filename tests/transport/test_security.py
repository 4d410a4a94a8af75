"""What applications are told of TLS: versions, ciphers and names, from handshakes in memory."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path

import pytest

from bide.terms import Security
from bide.transport.security import ServerContext, distinguished_name, security_of
from tests.support.tls import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made(tmp_path_factory.mktemp("tls"))


def told(
    authority: Authority, client: ssl.SSLContext, context: ssl.SSLContext | None = None, **server: object
) -> Security:
    """Return what a server with these attributes tells of a client. context: its own, or one of bide's."""
    files = authority.issue("told")
    context = context or ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["ssl_certfile"], files["ssl_keyfile"])
    context.load_verify_locations(authority.ca_file)
    for name, value in server.items():
        setattr(context, name, value)
    if isinstance(context, ServerContext):
        context.complete("PEM")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = context.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    for side in (theirs, ours) * 3:
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return security_of(ours)


@pytest.mark.parametrize(
    ("version", "number", "suite"),
    [
        (ssl.TLSVersion.TLSv1_3, 0x0304, 0x1302),
        (ssl.TLSVersion.TLSv1_2, 0x0303, 0xC02B),
    ],
)
def test_version_and_cipher_have_their_registered_numbers(
    authority: Authority, version: ssl.TLSVersion, number: int, suite: int
) -> None:
    client = authority.context()
    client.maximum_version = version
    client.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    assert told(authority, client) == Security(number, suite, "PEM", [], None)


def test_context_of_a_program_tells_all_but_the_certificate(authority: Authority) -> None:
    client = authority.context()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    found = told(authority, client, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    assert found == Security(0x0303, 0xC02B, None, [], None)


def test_client_without_a_certificate_has_no_name(authority: Authority) -> None:
    found = told(authority, authority.context(), verify_mode=ssl.CERT_OPTIONAL)
    assert (found.client_chain, found.client_name) == ([], None)


def test_client_with_a_certificate_is_named(authority: Authority) -> None:
    files = authority.issue("client", "client.example", common_name="Jane, Doe")
    client = authority.context()
    client.load_cert_chain(files["ssl_certfile"], files["ssl_keyfile"])
    found = told(authority, client, verify_mode=ssl.CERT_REQUIRED)
    assert found.client_name is not None
    assert "CN=Jane\\, Doe" in found.client_name
    assert found.client_chain[0].startswith("-----BEGIN CERTIFICATE-----\n")
    assert found.client_chain[0] in Path(files["ssl_certfile"]).read_text()


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ((), ""),
        (((("countryName", "DE"),), (("organizationName", "A"),), (("commonName", "b"),)), "CN=b,O=A,C=DE"),
        (((("commonName", "a"), ("userId", "b")),), "CN=a+UID=b"),
        (((("emailAddress", "a@b"),),), "emailAddress=a@b"),
        (((("commonName", '#a,b+c"d\\e<f>g;h '),),), 'CN=\\#a\\,b\\+c\\"d\\\\e\\<f\\>g\\;h\\ '),
        (((("commonName", " a # b"),),), "CN=\\ a # b"),
        (((("commonName", "a\0b"),),), "CN=a\\00b"),
    ],
)
def test_name_of_a_certificate_has_the_form_of_rfc_4514(
    subject: tuple[tuple[tuple[str, str], ...], ...], name: str
) -> None:
    assert distinguished_name(subject) == name

"""Makes certificates, and clients that speak TLS."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

import trustme

from tests.support.client import Client, Where


class Authority(NamedTuple):
    """A certificate authority. ca_file: what clients trust."""

    ca: trustme.CA
    folder: Path
    ca_file: Path

    @classmethod
    def made(cls, folder: Path) -> Authority:
        """Make one that keeps its files in a folder."""
        ca = trustme.CA()
        file = folder / "ca.pem"
        ca.cert_pem.write_to_path(file)
        return cls(ca, folder, file)

    def issue(self, name: str, host: str = "localhost", *, common_name: str | None = None) -> dict[str, str]:
        """Write a certificate and its key; return the options that name them."""
        issued = self.ca.issue_cert(host, common_name=common_name)
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        return {"ssl_certfile": str(cert), "ssl_keyfile": str(key)}

    def context(self) -> ssl.SSLContext:
        """Return the context of a client that trusts this authority."""
        return ssl.create_default_context(cafile=self.ca_file)

    def client(self, where: Where, context: ssl.SSLContext | None = None, *, host: str = "localhost") -> Client:
        """Return a client with its handshake done. host: what it asks for, and what the certificate must be for."""
        client = Client(where)
        client.sock = (context or self.context()).wrap_socket(
            client.sock, server_hostname=host, suppress_ragged_eofs=False
        )
        return client

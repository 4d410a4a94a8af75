"""Makes the TLS context of new connections from the certificate's files, and again once they
change.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Callable
from time import monotonic
from typing import Final, NamedTuple, final

from bide.errors import ConfigError

_log = logging.getLogger("bide")

# Seconds between looks at the files. They are looked at when a connection is accepted.
_LOOK_EVERY_S: Final = 1.0

_VERSIONS: Final = {"tlsv1.2": ssl.TLSVersion.TLSv1_2, "tlsv1.3": ssl.TLSVersion.TLSv1_3}
_REQUIREMENTS: Final = (ssl.CERT_NONE, ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED)


class TlsOptions(NamedTuple):
    """Holds the options of TLS, which `bide.config` describes."""

    certfile: str
    keyfile: str | None
    password: str | None
    ca_certs: str | None
    cert_reqs: int
    ciphers: str | None
    minimum_version: str


@final
class Certificates:
    """Keeps the context of new connections. Open connections keep the one that they began with."""

    __slots__ = ("_clock", "_context", "_looked_at", "_options", "_seen")

    def __init__(self, options: TlsOptions, clock: Callable[[], float] = monotonic) -> None:
        """Load the files. Raises ConfigError. clock: returns seconds."""
        self._options = options
        self._clock = clock
        self._seen = _signature(options)
        self._context = new_context(options)
        self._looked_at = clock()

    def context(self) -> ssl.SSLContext:
        """Return the context for a new connection.

        Files that have changed are loaded. If they cannot be, or the key does not fit yet, one line
        says so, and the context stays as it was until they change again.
        """
        now = self._clock()
        if now - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = now
            seen = _signature(self._options)
            if seen != self._seen:
                self._seen = seen
                try:
                    self._context = new_context(self._options)
                except ConfigError as error:
                    _log.error("%s; new connections get the certificate that was loaded before", error)
                else:
                    _log.info("loaded the certificate again: %s", self._options.certfile)
        return self._context


def new_context(options: TlsOptions) -> ssl.SSLContext:
    """Return the context that the options describe. Raises ConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[options.minimum_version]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])  # RFC 7301
    if options.ciphers is not None:
        try:
            context.set_ciphers(options.ciphers)
        except ssl.SSLError as error:
            raise ConfigError(
                f"ssl_ciphers must be a list in OpenSSL's form, got {options.ciphers!r}; see `openssl ciphers`"
            ) from error
    _load(context, options)
    if options.ca_certs is not None:
        _readable("ssl_ca_certs", options.ca_certs)
        try:
            context.load_verify_locations(options.ca_certs)
        except ssl.SSLError as error:
            raise ConfigError(
                f"ssl_ca_certs must be a file of certificates in PEM form, got {options.ca_certs!r}: {_cause(error)}"
            ) from error
    context.verify_mode = _REQUIREMENTS[options.cert_reqs]
    return context


def _load(context: ssl.SSLContext, options: TlsOptions) -> None:
    """Load certificate and key. Raises ConfigError."""
    key = options.keyfile or options.certfile
    _readable("ssl_certfile", options.certfile)
    if options.keyfile is not None:
        _readable("ssl_keyfile", options.keyfile)
    asked: list[bool] = []

    def password() -> str:
        asked.append(True)  # without this function OpenSSL would ask on the terminal
        return options.password or ""

    try:
        context.load_cert_chain(options.certfile, options.keyfile, password)
    except (ssl.SSLError, ValueError) as error:
        if asked:
            given = "does not open" if options.password else "must be given: it is needed for"
            raise ConfigError(f"ssl_keyfile_password {given} {key!r}") from error
        reason = getattr(error, "reason", None)
        if reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                f"ssl_keyfile must be the key of ssl_certfile, got {key!r} for {options.certfile!r}"
            ) from error
        raise ConfigError(
            f"ssl_certfile and ssl_keyfile must be a certificate and its key in PEM form, got {options.certfile!r} "
            f"and {key!r}: {_cause(error)}"
        ) from error


def _readable(name: str, path: str) -> None:
    """Raise ConfigError unless the file can be opened."""
    try:
        with open(path, "rb"):  # noqa: PTH123
            pass
    except OSError as error:
        raise ConfigError(f"{name} must be a file that can be read, got {path!r}: {error.strerror}") from error


def _cause(error: Exception) -> str:
    """Return what OpenSSL says, in words."""
    return str(getattr(error, "reason", None) or "no such content").replace("_", " ").lower()


def _signature(options: TlsOptions) -> list[tuple[int, int, int] | None]:
    """Return what changes with the files: times, sizes and inodes; None for a missing one."""
    found: list[tuple[int, int, int] | None] = []
    for path in (options.certfile, options.keyfile, options.ca_certs):
        if path is not None:
            try:
                state = os.stat(path)  # noqa: PTH116
                found.append((state.st_mtime_ns, state.st_size, state.st_ino))
            except OSError:
                found.append(None)
    return found

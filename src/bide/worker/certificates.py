"""Makes the TLS context of new connections from the certificate's files, and again once they
change.
"""

from __future__ import annotations

import functools
import itertools
import logging
import os
import re
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final, NamedTuple, final

from bide.errors import ConfigError
from bide.transport.security import ServerContext
from bide.worker.validity import valid_until

_log = logging.getLogger("bide")

# Seconds between looks at the files. They are looked at when a connection is accepted.
_LOOK_EVERY_S: Final = 1.0

_VERSIONS: Final = {"tlsv1.2": ssl.TLSVersion.TLSv1_2, "tlsv1.3": ssl.TLSVersion.TLSv1_3}
_REQUIREMENTS: Final = (ssl.CERT_NONE, ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED)

# A host name of letters, digits, hyphens and underscores, with or without `*` as its first label.
_HOST: Final = re.compile(r"(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


class TlsOptions(NamedTuple):
    """Holds the options of TLS, which `bide.config` describes.

    certfile: None only if the program makes its own context, without this file.
    others: `ssl_sni`.
    """

    certfile: str | None
    keyfile: str | None
    others: tuple[str, ...]
    password: str | None
    ca_certs: str | None
    cert_reqs: int
    ciphers: str | None
    minimum_version: str


def _today() -> datetime:
    return datetime.now(UTC)


@final
class Certificates:
    """Keeps the context of new connections. Open connections keep the one that they began with."""

    __slots__ = ("_clock", "_context", "_looked_at", "_make", "_options", "_seen", "_today")

    def __init__(
        self,
        options: TlsOptions,
        clock: Callable[[], float] = monotonic,
        today: Callable[[], datetime] = _today,
        make: Callable[[TlsOptions], ssl.SSLContext] | None = None,
    ) -> None:
        """Load the files. Raises ConfigError. An expired certificate is served, and warned of.

        clock: returns seconds.
        today: returns the time of day, in UTC.
        make: makes the context, at the start and whenever a file of the options has changed; None
            for `new_context`.
        """
        self._make = make or new_context
        self._options = options
        self._clock = clock
        self._today = today
        self._seen = _signature(options)
        self._context = self._make(options)
        self._looked_at = clock()
        if expired := expired_certificate(options, today()):
            _log.warning("%s; clients refuse it", expired)

    def context(self) -> ssl.SSLContext:
        """Return the context for a new connection.

        Files that have changed are loaded. If they cannot be, the key does not fit yet, or they
        have expired, one line says so, and the context stays as it was until they change again.
        """
        now = self._clock()
        if now - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = now
            seen = _signature(self._options)
            if seen != self._seen:
                self._seen = seen
                try:
                    context = self._make(self._options)
                    if expired := expired_certificate(self._options, self._today()):
                        raise ConfigError(expired)
                except (ConfigError, OSError) as error:  # OSError: a file vanished meanwhile
                    _log.error("%s; new connections get the certificate that was loaded before", error)
                else:
                    self._context = context
                    _log.info("loaded certificates again: %s", ", ".join(_certfiles(self._options)))
        return self._context


def new_context(options: TlsOptions) -> ssl.SSLContext:
    """Return the context that the options describe. Raises ConfigError."""
    if options.certfile is None:
        raise ConfigError(
            "ssl_certfile must be given for the context of the options, got None; set it, or make another one"
        )
    context = _context(options, options.certfile, options.keyfile, "ssl_certfile", "ssl_keyfile")
    if options.others:
        others: dict[str, ServerContext] = {}
        for entry in options.others:
            host, certfile, keyfile = named_certificate(entry)
            if host in others:
                raise ConfigError(f"ssl_sni must name each host once, got {host!r} twice")
            others[host] = _context(options, certfile, keyfile, "ssl_sni", "ssl_sni")
        context.sni_callback = functools.partial(_choose, others)
    return context


def own_context(
    factory: Callable[[Callable[[], ssl.SSLContext]], ssl.SSLContext], options: TlsOptions
) -> ssl.SSLContext:
    """Return the context that a program makes. Raises ConfigError.

    factory: makes it; takes what makes the context of the options.
    """
    try:
        context: Any = factory(functools.partial(new_context, options))
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"ssl_context_factory must return an ssl.SSLContext, got {error!r}") from error
    if not isinstance(context, ssl.SSLContext) or context.protocol == ssl.PROTOCOL_TLS_CLIENT:
        raise ConfigError(f"ssl_context_factory must return an ssl.SSLContext for a server, got {context!r}")
    return context


def expired_certificate(options: TlsOptions, now: datetime) -> str | None:
    """Return which certificate has expired, as a sentence; None if none has."""
    for certfile in _certfiles(options):
        until = valid_until(_first_certificate(certfile))
        if until is not None and until <= now:
            return f"the certificate in {certfile!r} expired on {until:%Y-%m-%d}"
    return None


def named_certificate(entry: str) -> tuple[str, str, str | None]:
    """Return (host name in lower case, certificate's file, key's file or None) of an entry.

    Raises ConfigError.
    """
    host, _, files = entry.partition("=")
    certfile, _, keyfile = files.partition(",")
    if not _HOST.fullmatch(host) or not certfile:
        raise ConfigError(
            f"ssl_sni must be HOST=CERTFILE or HOST=CERTFILE,KEYFILE, got {entry!r}; "
            "HOST is a name as a.example, or *.a.example"
        )
    return host.lower(), certfile, keyfile or None


def _choose(
    others: dict[str, ServerContext], tls: ssl.SSLObject | ssl.SSLSocket, name: str | None, _context: ssl.SSLContext
) -> None:
    """Give a handshake the certificate of the name that the client asks for (RFC 6066, 3).

    `*` stands for one label (RFC 9525, 6.3). Without a certificate of its own a name gets that of
    `ssl_certfile`.
    """
    if name is not None:
        name = name.lower()
        chosen = others.get(name) or others.get("*." + name.partition(".")[2])
        if chosen is not None:
            tls.context = chosen


def _context(
    options: TlsOptions, certfile: str, keyfile: str | None, cert_option: str, key_option: str
) -> ServerContext:
    """Return a context for one certificate. Raises ConfigError, which names these options."""
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
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
    _load(context, certfile, keyfile, options.password, cert_option, key_option)
    if options.ca_certs is not None:
        _readable("ssl_ca_certs", options.ca_certs)
        try:
            context.load_verify_locations(options.ca_certs)
        except ssl.SSLError as error:
            raise ConfigError(
                f"ssl_ca_certs must be a file of certificates in PEM form, got {options.ca_certs!r}: {_cause(error)}"
            ) from error
    context.verify_mode = _REQUIREMENTS[options.cert_reqs]
    context.complete(_first_certificate(certfile))
    return context


def _first_certificate(path: str) -> str:
    """Return the first certificate of a file in PEM form, which is the server's own."""
    with open(path, encoding="latin-1") as file:  # noqa: PTH123
        found = _CERTIFICATE.search(file.read())
    return "" if found is None else f"{found[0]}\n"


def _load(
    context: ssl.SSLContext,
    certfile: str,
    keyfile: str | None,
    given_password: str | None,
    cert_option: str,
    key_option: str,
) -> None:
    """Load certificate and key. Raises ConfigError."""
    key = keyfile or certfile
    _readable(cert_option, certfile)
    if keyfile is not None:
        _readable(key_option, keyfile)
    asked: list[bool] = []

    def password() -> str:
        asked.append(True)  # without this function OpenSSL would ask on the terminal
        return given_password or ""

    try:
        context.load_cert_chain(certfile, keyfile, password)
    except (ssl.SSLError, ValueError) as error:
        if asked:
            given = "does not open" if given_password else "must be given: it is needed for"
            raise ConfigError(f"ssl_keyfile_password {given} {key!r}") from error
        reason = getattr(error, "reason", None)
        both = cert_option if cert_option == key_option else f"{cert_option} and {key_option}"
        if reason == "KEY_VALUES_MISMATCH":
            fit = "name a certificate and its key" if cert_option == key_option else f"be the key of {cert_option}"
            raise ConfigError(f"{key_option} must {fit}, got {key!r} for {certfile!r}") from error
        raise ConfigError(
            f"{both} must be a certificate and its key in PEM form, got {certfile!r} and {key!r}: {_cause(error)}"
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


def _certfiles(options: TlsOptions) -> list[str]:
    own = [] if options.certfile is None else [options.certfile]
    return [*own, *(named_certificate(entry)[1] for entry in options.others)]


def _signature(options: TlsOptions) -> list[tuple[int, int, int] | None]:
    """Return what changes with the files: times, sizes and inodes; None for a missing one."""
    found: list[tuple[int, int, int] | None] = []
    pairs = [named_certificate(entry)[1:] for entry in options.others]
    for path in (options.certfile, options.keyfile, options.ca_certs, *itertools.chain.from_iterable(pairs)):
        if path is not None:
            try:
                state = os.stat(path)  # noqa: PTH116
                found.append((state.st_mtime_ns, state.st_size, state.st_ino))
            except OSError:
                found.append(None)
    return found

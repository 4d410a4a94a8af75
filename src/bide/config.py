"""Defines every option with its unit, default and precedent. The command line follows from it."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import os
import re
import ssl
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from bide.errors import ConfigError

T = TypeVar("T")

SERVING: Final = "Serving"
TLS: Final = "TLS"
WEBSOCKETS: Final = "WebSockets"
FRONT_ENDS: Final = "Front ends"
CLOCKS: Final = "Clocks (seconds; rates in octets per second)"
PERSISTENCE: Final = "Persistence"
CONNECTIONS: Final = "Connections (counts, unless said otherwise)"
LIMITS: Final = "Limits (octets, unless counted)"
STOPPING: Final = "Stopping (seconds)"
WORKERS: Final = "Worker processes (counts, unless said otherwise)"
LOGS: Final = "Logs"

#: Stands for standard output or standard error in the place of a file, as in gunicorn.
STANDARD: Final = "-"

# Options that programs, too, take from the environment, by the `variable` of other servers, as
# uvicorn does: whoever deploys a program knows its front end. The other variables are for the
# command line.
_TOLD_TO_PROGRAMS: Final = ("forwarded_allow_ips",)

# Type of an option -> the types that its value may have, and how an error names them.
_TYPES: Final[dict[Any, tuple[tuple[type, ...], str]]] = {
    bool: ((bool,), "True or False"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "a str"),
}


@dataclass(frozen=True)
class About:
    """Describes an option.

    group: heading in the help and on the page of options.
    help: one sentence.
    precedent: software whose default, or whose way, the default follows; "" if there is none.
    least, most: bounds of the value; None for no bound.
    also: second name, for command line and environment.
    zero: meaning of 0, if that is the default.
    octets: whether it counts octets.
    word: stands for 0; "" if no word does.
    variable: environment variable of other servers that sets it, too.
    """

    group: str
    help: str
    precedent: str = ""
    least: float | None = None
    most: float | None = None
    also: str = ""
    zero: str = ""
    octets: bool = False
    word: str = ""
    variable: str = ""


def _option(
    default: T,
    group: str,
    help: str,  # noqa: A002
    precedent: str = "",
    *,
    least: float | None = None,
    most: float | None = None,
    also: str = "",
    zero: str = "",
    octets: bool = False,
    word: str = "",
    variable: str = "",
) -> T:
    """Declare an option. Returns a dataclass field, typed as its default."""
    described = About(group, help, precedent, least, most, also, zero, octets, word, variable)
    value: T = field(default=default, metadata={"about": described})
    return value


@dataclass(frozen=True, kw_only=True)
class Config:
    """Holds the options of a server.

    Raises ConfigError for values that are invalid, alone or together.
    """

    host: str = _option("127.0.0.1", SERVING, "Address to listen on; empty for all interfaces.", "as uvicorn")
    port: int = _option(8000, SERVING, "Port to listen on; 0 for any free one.", "as uvicorn", least=0, most=65535)
    uds: str | None = _option(None, SERVING, "Path of a Unix socket to listen on, instead of host and port.")
    uds_mode: str | None = _option(
        None,
        SERVING,
        "Permissions of the Unix socket, octal; by default those of a stale socket that it replaces, or 666.",
        "as HAProxy's mode; compare Caddy's |0222",
    )
    uds_owner: str | None = _option(
        None,
        SERVING,
        "Owner of the Unix socket, by name or number; by default that of a stale socket that it replaces.",
        "as HAProxy's user and uid",
    )
    uds_group: str | None = _option(
        None,
        SERVING,
        "Group of the Unix socket, by name or number; by default that of a stale socket that it replaces.",
        "as HAProxy's group and gid",
    )
    fd: int | None = _option(None, SERVING, "File descriptor of an inherited listening socket.", least=0)
    backlog: int = _option(
        2048, SERVING, "Connections that the kernel queues until they are accepted.", "as uvicorn", least=1, most=65535
    )
    factory: bool = _option(False, SERVING, "APP is a function that returns the application.", "as uvicorn")
    app_dir: str = _option("", SERVING, "Folder to look for APP in, before the current one.", "as uvicorn")
    root_path: str = _option("", SERVING, "Path under which a front end mounts the application.", "as ASGI's root_path")
    env_file: str | None = _option(
        None,
        SERVING,
        "File of environment variables, for APP and for these options; a reload of several workers reads it again.",
        "as uvicorn",
    )
    interface: Literal["auto", "asgi", "wsgi"] = _option(
        "auto", SERVING, "Interface that the application speaks; auto tells it by its arguments.", "as uvicorn"
    )
    threads: int = _option(
        10,
        SERVING,
        "Threads that call a WSGI application; 0 calls it on the event loop's thread.",
        "as cheroot; waitress: 4",
        least=0,
    )
    loop: Literal["auto", "uvloop", "asyncio"] = _option(
        "auto", SERVING, "Event loop; auto is uvloop if it is installed."
    )
    lifespan: Literal["auto", "on", "off"] = _option("auto", SERVING, "Whether to run the application's lifespan.")
    pid_file: str | None = _option(
        None,
        SERVING,
        "File for the id of the process that takes signals; written once the server accepts, removed at its end.",
        "as gunicorn",
        also="pid",
    )
    underscore_fields: Literal["drop", "refuse", "pass"] = _option(
        "drop",
        SERVING,
        "Request fields with an underscore in their name: drop the field, refuse the request with 400, or pass the "
        "field to the application. CGI and WSGI cannot tell an underscore from a hyphen.",
        "as nginx's underscores_in_headers and gunicorn's header_map",
    )

    ssl_certfile: str | None = _option(
        None,
        TLS,
        "Certificate, and the chain that leads to it, in PEM form. With it bide speaks HTTPS only.",
        "as uvicorn",
    )
    ssl_keyfile: str | None = _option(
        None, TLS, "Key of the certificate, in PEM form; by default it is in the same file.", "as uvicorn"
    )
    ssl_sni: tuple[str, ...] = _option(
        (),
        TLS,
        "Certificate for clients that ask for this host: HOST=CERTFILE or HOST=CERTFILE,KEYFILE. The * of *.a.example "
        "stands for one label; repeatable.",
        "compare HAProxy's crt-list",
    )
    ssl_keyfile_password: str | None = _option(None, TLS, "Password of the key.", "as uvicorn")
    ssl_ca_certs: str | None = _option(
        None, TLS, "Certificates, in PEM form, that those of clients must lead to.", "as uvicorn"
    )
    ssl_cert_reqs: int = _option(
        0,
        TLS,
        "Whether clients must show a certificate: 0 no, 1 one that is shown must be valid, 2 yes.",
        "as uvicorn",
        least=0,
        most=2,
    )
    ssl_ciphers: str | None = _option(
        None, TLS, "Ciphers for TLS 1.2, in OpenSSL's form; by default OpenSSL's own choice."
    )
    ssl_minimum_version: Literal["tlsv1.2", "tlsv1.3"] = _option(
        "tlsv1.2", TLS, "Oldest version of TLS that is spoken.", "as Go and nginx"
    )
    redirect_http: int | None = _option(
        None,
        TLS,
        "Port that answers plain HTTP with 308 to https; 0 for any free one.",
        "compare Caddy, which does so on port 80",
        least=0,
        most=65535,
    )
    hsts: int = _option(
        0,
        TLS,
        "Seconds for which clients are to use https only: Strict-Transport-Security on responses over https; 0 for no "
        "such field.",
        "RFC 6797",
        least=0,
        zero="none",
    )

    ws: Literal["auto", "none", "websockets", "websockets-sansio", "wsproto"] = _option(
        "auto",
        WEBSOCKETS,
        "Whether WebSockets are served; with none, a request for one is served as plain HTTP. Further names of uvicorn "
        "mean auto.",
        "as uvicorn",
    )
    ws_max_size: int = _option(
        16777216, WEBSOCKETS, "A message, octets; inflated, if it is compressed.", "as uvicorn", least=1, octets=True
    )
    ws_max_queue: int = _option(32, WEBSOCKETS, "Messages held before reading pauses (count).", "as uvicorn", least=1)
    ws_ping_interval: float = _option(
        20.0, WEBSOCKETS, "Seconds without an octet until a ping is sent; 0 for no pings.", "as uvicorn", least=0
    )
    ws_ping_timeout: float = _option(
        20.0,
        WEBSOCKETS,
        "Seconds from a ping to the client's next octet; 0 for no limit.",
        "as uvicorn",
        least=0,
    )
    ws_per_message_deflate: bool = _option(
        True, WEBSOCKETS, "Whether messages are compressed if the client offers it.", "as uvicorn"
    )
    timeout_ws_close: float = _option(
        10.0,
        WEBSOCKETS,
        "Seconds from a Close frame that is sent to the client's.",
        "as the websockets library's close_timeout",
        least=0.001,
    )
    proxy_headers: bool = _option(
        True, FRONT_ENDS, "Read from trusted front ends which client and scheme they serve.", "as uvicorn"
    )
    forwarded_allow_ips: str = _option(
        "127.0.0.1,::1,unix",
        FRONT_ENDS,
        "Front ends whose forwarded fields are trusted: addresses, networks, unix for the peers of a Unix socket; "
        "or * for every peer. Also from FORWARDED_ALLOW_IPS.",
        "as uvicorn, and its Unix socket",
        variable="FORWARDED_ALLOW_IPS",
    )
    forwarded_with: Literal["x-forwarded", "forwarded"] = _option(
        "x-forwarded",
        FRONT_ENDS,
        "Fields that front ends write: X-Forwarded-For and -Proto, or Forwarded (RFC 7239). The others are not read.",
        "as uvicorn",
    )
    forwarded_hops: int = _option(
        1,
        FRONT_ENDS,
        "Front ends in a row, if every peer is trusted: this entry from the right is the client.",
        "as Werkzeug's ProxyFix",
        least=1,
    )
    forwarded_host: bool = _option(
        False, FRONT_ENDS, "Take Host from X-Forwarded-Host, or Forwarded, too.", "as uvicorn, which never does"
    )
    forwarded_prefix: bool = _option(
        False, FRONT_ENDS, "Take root_path from X-Forwarded-Prefix, too.", "as uvicorn, which never does"
    )

    proxy_protocol: Literal["off", "v1", "v2", "auto"] = _option(
        "off",
        FRONT_ENDS,
        "PROXY header that each connection must begin with: of version 1, of version 2, or auto for either.",
        "as gunicorn",
    )
    proxy_allow_ips: str = _option(
        "127.0.0.1,::1,unix",
        FRONT_ENDS,
        "Peers that may send a PROXY header: addresses, networks, unix, or * for every peer.",
        "as gunicorn's proxy_allow_ips",
    )

    timeout_handshake: float = _option(
        10.0,
        CLOCKS,
        "From a connection's start to the end of its PROXY header and its TLS handshake.",
        "as Kestrel's HandshakeTimeout",
        least=0.001,
    )
    timeout_first_octet: float = _option(
        30.0, CLOCKS, "From a connection's start to its first octet.", "as Puma's first_data_timeout", least=0.001
    )
    timeout_head: float = _option(
        20.0,
        CLOCKS,
        "From a request head's first octet to its last.",
        "Apache's RequestReadTimeout: 20 to 40",
        least=0.001,
    )
    timeout_body: float = _option(
        30.0, CLOCKS, "Between octets of a body that the application waits for.", "Apache: 20, nginx: 60", least=0.001
    )
    timeout_send: float = _option(
        60.0, CLOCKS, "Longest pause in which the client takes no output.", "as nginx's send_timeout", least=0.001
    )
    timeout_idle: float = _option(
        75.0,
        CLOCKS,
        "From one exchange to the next request.",
        "as nginx's keepalive_timeout",
        least=0.001,
        also="timeout_keep_alive",
    )
    timeout_idle_least: float = _option(
        5.0, CLOCKS, "The idle timeout under high pressure.", "as uvicorn's and Apache's idle timeout", least=0.001
    )
    timeout_half_closed: float = _option(
        1.0,
        CLOCKS,
        "From a client's EOF until the application is told that it left.",
        "uvicorn: 0",
        least=0,
    )
    timeout_tunnel: float = _option(
        3600.0,
        CLOCKS,
        "Between octets, in either direction, after a switch to another protocol.",
        "as HAProxy's manual suggests for its timeout tunnel",
        least=0.001,
    )
    timeout_discard: float = _option(
        5.0, CLOCKS, "Reading off an unread request body.", "as gunicorn's gthread worker", least=0.001
    )
    timeout_linger: float = _option(
        2.0, CLOCKS, "Between octets dropped after the end.", "as Apache; nginx: 5", least=0.001
    )
    timeout_linger_total: float = _option(30.0, CLOCKS, "Lingering in all.", "as Apache and nginx", least=0.001)
    body_rate: float = _option(240.0, CLOCKS, "Minimum rate of a request body; 0 for none.", "as Kestrel", least=0)
    send_rate: float = _option(
        240.0, CLOCKS, "Minimum rate at which the client takes output; 0 for none.", "as Kestrel", least=0
    )
    rate_grace: float = _option(5.0, CLOCKS, "Seconds before a minimum rate counts.", "as Kestrel", least=0)
    limit_age: float = _option(
        0.0,
        CLOCKS,
        "Age at which close is announced; 0 for none.",
        "nginx's keepalive_time: 3600",
        least=0,
        zero="none",
    )

    keep_alive: bool = _option(
        True, PERSISTENCE, "Whether connections persist; without it, each response announces close."
    )
    advertise_keep_alive: bool = _option(
        False,
        PERSISTENCE,
        "Tell clients how long idle connections are held, less one second.",
        "as Node and nginx",
    )
    close_for: tuple[str, ...] = _option(
        (),
        PERSISTENCE,
        "Close after each response to agent:PATTERN, path:PATTERN or peer:NETWORK; repeatable.",
        "compare nginx's keepalive_disable",
    )
    health_path: str = _option(
        "", PERSISTENCE, "Path of a health check that the server answers itself; 503 during a stop."
    )

    limit_connections: int = _option(
        0,
        CONNECTIONS,
        "Connections in all, of all workers; 0 derives it for each worker from its descriptor limit.",
        "compare nginx's worker_connections",
        least=0,
        zero="from the descriptor limit",
    )
    limit_connections_per_peer: int = _option(
        0,
        CONNECTIONS,
        "Connections of one address; 0 for no limit.",
        "compare nginx's limit_conn",
        least=0,
        zero="no limit",
    )
    limit_overflow: int = _option(
        0,
        CONNECTIONS,
        "Connections beyond the limit that are answered 503; further ones wait.",
        "compare Envoy",
        least=0,
        zero="none",
    )
    limit_memory: int = _option(
        0,
        CONNECTIONS,
        "Resident memory of the process, octets; 0 for no limit.",
        "compare granian's workers-max-rss",
        least=0,
        zero="no limit",
        octets=True,
    )
    lag_target: float = _option(
        0.1,
        CONNECTIONS,
        "Event loop lag that counts as full pressure, seconds.",
        "Node's toobusy: 0.07",
        least=0.001,
    )

    limit_head: int = _option(
        65536, LIMITS, "A request head.", "h11: 16 KiB, hyper: 400 KB, Go: 1 MiB", least=256, octets=True
    )
    limit_target: int = _option(
        16384, LIMITS, "A request target.", "RFC 9112, 3 asks for 8,000 at least", least=64, octets=True
    )
    limit_fields: int = _option(100, LIMITS, "Field lines in a head (count).", "as hyper and Apache", least=1)
    limit_chunk_line: int = _option(
        4096,
        LIMITS,
        "A chunk-size line, all chunk extensions of a body, and a line of its trailer section.",
        "as Go's maxLineLength",
        least=32,
        octets=True,
    )
    limit_trailer: int = _option(
        16384, LIMITS, "A trailer section.", "compare nginx's large_client_header_buffers", least=64, octets=True
    )
    limit_discard: int = _option(
        262144, LIMITS, "Request body that is read off so that the connection persists.", "as Go", least=0, octets=True
    )
    limit_buffer: int = _option(
        65536, LIMITS, "Octets of a request held before reading pauses.", "as asyncio", least=1024, octets=True
    )
    limit_body_spooled: int = _option(
        1 << 30,
        LIMITS,
        "A request body that is received before a WSGI application is called: chunked, or with threads 0.",
        "as waitress's max_request_body_size",
        least=0,
        octets=True,
    )
    limit_requests: int = _option(
        0,
        LIMITS,
        "Requests on one connection (count); 0 for no limit.",
        "nginx's keepalive_requests: 1000",
        least=0,
        zero="no limit",
    )

    drain_delay: float = _option(
        0.0, STOPPING, "Seconds to go on accepting after the signal.", "as Caddy's shutdown_delay", least=0
    )
    drain_idle: float = _option(
        2.0, STOPPING, "For idle connections to send one more request.", "as gunicorn's gthread worker", least=0
    )
    drain_streams: float = _option(
        2.0,
        STOPPING,
        "For event streams (text/event-stream) to go on; then their applications are told http.disconnect.",
        "as drain_idle",
        least=0,
    )
    drain_ws: float = _option(
        5.0,
        STOPPING,
        "For WebSockets and other tunnels to go on; they are closed one by one in its last half (WebSockets: 1012).",
        least=0,
    )
    drain_timeout: float = _option(
        25.0,
        STOPPING,
        "The whole stop; unfinished exchanges are then cut.",
        "below Kubernetes' 30",
        least=0,
        also="timeout_graceful_shutdown",
    )

    workers: int = _option(
        1,
        WORKERS,
        "Worker processes; 0 or auto for one per processor. They share the listening socket.",
        "as uvicorn",
        least=0,
        most=512,
        word="auto",
        variable="WEB_CONCURRENCY",
    )
    supervise: Literal["auto", "on", "off"] = _option(
        "auto",
        WORKERS,
        "Whether a supervisor runs the workers and replaces them; auto if there are several, or a worker has a limit.",
    )
    timeout_start: float = _option(
        300.0,
        WORKERS,
        "From a worker's start until it accepts, seconds.",
        "as Puma's worker_boot_timeout, but models load for minutes",
        least=0.001,
    )
    timeout_blocked: float = _option(
        30.0,
        WORKERS,
        "Longest time for which a worker's event loop may be blocked, seconds; 0 for no limit. After a third of it the "
        "stacks are logged.",
        "as gunicorn's timeout",
        least=0,
        also="timeout_worker_healthcheck",
    )
    preload: bool = _option(
        False,
        WORKERS,
        "Import APP once for each reload, and fork the workers, which then share memory; only on Linux.",
        "as gunicorn's preload_app",
    )
    reload: bool = _option(
        False,
        WORKERS,
        "For development: replace the worker when a source file changes; needs the package watchfiles.",
        "as uvicorn",
    )
    reload_dir: tuple[str, ...] = _option(
        (), WORKERS, "Folder to watch; by default that of APP, or the current one; repeatable.", "as uvicorn"
    )
    reload_include: tuple[str, ...] = _option(
        (), WORKERS, "Pattern of files to watch besides *.py; repeatable.", "as uvicorn"
    )
    reload_exclude: tuple[str, ...] = _option(
        (), WORKERS, "Pattern of files or folders not to watch; repeatable.", "as uvicorn"
    )
    reload_delay: float = _option(
        0.25, WORKERS, "Seconds without a change after which changes count.", "as uvicorn", least=0.001
    )
    control: str = _option(
        "auto",
        WORKERS,
        "Path of a Unix socket for bide status and bide reload; auto for one in a private runtime folder "
        "(RUNTIME_DIRECTORY or XDG_RUNTIME_DIR), if there is one; none for none.",
    )
    rebalance: bool = _option(
        True,
        WORKERS,
        "Whether a worker with more connections than others announces close on some, so that they come back elsewhere.",
    )
    limit_worker_requests: int = _option(
        0,
        WORKERS,
        "Requests after which a worker is replaced; 0 for no limit.",
        "as uvicorn's limit-max-requests",
        least=0,
        also="limit_max_requests",
        zero="no limit",
    )
    limit_worker_age: float = _option(
        0.0,
        WORKERS,
        "Age at which a worker is replaced, seconds; 0 for no limit.",
        "as granian's workers-lifetime",
        least=0,
        zero="no limit",
    )
    limit_worker_memory: int = _option(
        0,
        WORKERS,
        "Resident memory with which a worker is replaced, octets; 0 for no limit.",
        "as granian's workers-max-rss",
        least=0,
        zero="no limit",
        octets=True,
    )

    access_log: bool = _option(True, LOGS, "Write a line for each request.", "as uvicorn")
    log_format: Literal["text", "json"] = _option("text", LOGS, "Form of the log and of the access log.")
    log_level: Literal["critical", "error", "warning", "info", "debug"] = _option(
        "info", LOGS, "Lowest level that is written."
    )
    log_file: str | None = _option(
        None,
        LOGS,
        "File for the log; by default, or with -, standard error. SIGUSR1 opens it again.",
        "as gunicorn",
        also="error_logfile",
    )
    access_log_file: str | None = _option(
        None,
        LOGS,
        "File for the access log; by default, or with -, standard output. SIGUSR1 opens it again.",
        "as gunicorn",
        also="access_logfile",
    )

    def __post_init__(self) -> None:
        """Check the values, each by itself and together."""
        for option in options():
            self._check(option)
        if self.limit_head < self.limit_target:
            raise ConfigError(
                f"limit_head must be at least limit_target, {self.limit_target}, got {self.limit_head}; "
                "raise limit_head or lower limit_target"
            )
        if 0 < self.drain_delay >= self.drain_timeout:
            raise ConfigError(
                f"drain_delay must be less than drain_timeout, {self.drain_timeout:g}, got {self.drain_delay:g}; "
                "both count from the signal"
            )
        if self.uds is not None and self.fd is not None:
            raise ConfigError("uds and fd are mutually exclusive")
        if self.health_path and not self.health_path.startswith("/"):
            raise ConfigError(f"health_path must be a path that starts with /, got {self.health_path!r}")
        if re.search(r"[^!-~]|[?#]", self.health_path):
            raise ConfigError(
                f"health_path must be a percent-encoded path without a query, got {self.health_path!r}; "
                "write it as it stands in a request"
            )
        if self.uds == "":
            raise ConfigError("uds must be a path, got ''; leave it out to listen on host and port")
        for name in ("env_file", "log_file", "access_log_file", "pid_file"):
            if getattr(self, name) == "":
                raise ConfigError(f"{name} must be a path, got ''; leave it out for none")
        self._check_access()
        self._check_tls()
        self._check_front_ends()
        self._check_workers()
        if self.root_path and (not self.root_path.startswith("/") or self.root_path.endswith("/")):
            raise ConfigError(
                f"root_path must be a path that starts with / and does not end with /, got {self.root_path!r}"
            )

    def _check_access(self) -> None:
        """Check the options for access to the Unix socket."""
        if self.uds_mode is not None and not re.fullmatch(r"(0o?)?[0-7]{3}", self.uds_mode):
            raise ConfigError(
                f"uds_mode must be three octal digits, got {self.uds_mode!r}; use 660 for owner and group only"
            )
        for name in ("uds_mode", "uds_owner", "uds_group"):
            value = getattr(self, name)
            if value == "":
                raise ConfigError(f"{name} must be a name or a number, got {value!r}; leave it out for the default")
            if value is not None and self.uds is None:
                raise ConfigError(f"{name} must be given with uds, got {value!r} without; set uds, or leave it out")

    def _check_tls(self) -> None:
        """Check which options of TLS are given together."""
        for name in ("ssl_keyfile", "ssl_keyfile_password", "ssl_ca_certs", "ssl_ciphers"):
            value = getattr(self, name)
            if value is not None and self.ssl_certfile is None:
                shown = "one" if "password" in name else repr(value)
                raise ConfigError(f"{name} must be given with ssl_certfile, got {shown} without; set ssl_certfile")
        if self.redirect_http is not None:
            if self.ssl_certfile is None:
                raise ConfigError(
                    f"redirect_http must be given with ssl_certfile, got {self.redirect_http} without; set ssl_certfile"
                )
            if self.uds is not None:
                raise ConfigError("redirect_http and uds are mutually exclusive")
            if self.redirect_http == self.port != 0:
                raise ConfigError(
                    f"redirect_http must be another port than port, got {self.redirect_http} for both; change one"
                )
        if self.ssl_sni and self.ssl_certfile is None:
            raise ConfigError(
                f"ssl_sni must be given with ssl_certfile, got {self.ssl_sni[0]!r} without; "
                "set ssl_certfile for other names"
            )
        if self.ssl_cert_reqs and self.ssl_ca_certs is None:
            raise ConfigError(
                f"ssl_cert_reqs must be given with ssl_ca_certs, got {self.ssl_cert_reqs} without; set ssl_ca_certs"
            )

    def _check_front_ends(self) -> None:
        """Check which options for front ends are given together."""
        if self.forwarded_hops > 1 and self.forwarded_allow_ips.strip() != "*":
            raise ConfigError(
                f"forwarded_hops must be given with forwarded_allow_ips *, got {self.forwarded_hops} without; "
                "a list of addresses tells how many front ends there are"
            )
        if self.forwarded_prefix and self.forwarded_with == "forwarded":
            raise ConfigError(
                "forwarded_prefix must be given with forwarded_with x-forwarded, got 'forwarded'; "
                "RFC 7239 has no prefix"
            )

    def _check_workers(self) -> None:
        """Check the options that need a supervisor."""
        if self.supervise == "off":
            for name, alone in (
                ("workers", 1),
                ("limit_worker_requests", 0),
                ("limit_worker_age", 0),
                ("limit_worker_memory", 0),
                ("reload", False),
            ):
                value = getattr(self, name)
                if value != alone:
                    raise ConfigError(
                        f"{name} must be {alone} without a supervisor, got {value:g}; leave out supervise, or set it on"
                    )
        if self.reload and self.preload:
            raise ConfigError("preload must be False with reload, got True; reload is for development")
        if self.reload and self.workers != 1:
            raise ConfigError(f"workers must be 1 with reload, got {self.workers}; reload is for development")

    @property
    def is_supervised(self) -> bool:
        """Whether a supervisor runs the workers."""
        return self.supervise == "on" or (
            self.supervise == "auto"
            and (
                self.reload
                or self.workers != 1
                or self.limit_worker_requests > 0
                or self.limit_worker_age > 0
                or self.limit_worker_memory > 0
            )
        )

    def _check(self, option: dataclasses.Field[Any]) -> None:
        """Check one value by itself. A choice is accepted in any case, and stored in lower case."""
        name = option.name
        value = getattr(self, name)
        kind = kind_of(option)
        known = about(option)
        choices = typing.get_args(kind) if typing.get_origin(kind) is Literal else ()
        if choices:
            if not isinstance(value, str) or value.lower() not in choices:
                raise ConfigError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
            object.__setattr__(self, name, value.lower())
            return
        if value is None and option.default is None:
            return
        if known.word and value == known.word:
            object.__setattr__(self, name, 0)
            return
        if kind in _TYPES:
            accepted, constraint = _TYPES[kind]
            # To Python a bool is a number; here it is a mistake.
            if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
                word = f" or {known.word}" if known.word else ""
                raise ConfigError(f"{name} must be {constraint}{word}, got {value!r}")
        elif not isinstance(value, tuple | list) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{name} must be a tuple of str, got {value!r}")
        if known.least is None:
            return
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        if value == math.inf:
            raise ConfigError(f"{name} must be a finite number, got {shown}")
        if not value >= known.least:  # true of NaN, too
            remedy = "; use keep_alive=False to close after each response" if name == "timeout_idle" else ""
            raise ConfigError(f"{name} must be at least {known.least:g}, got {shown}{remedy}")
        if known.most is not None and value > known.most:
            raise ConfigError(f"{name} must be at most {known.most:g}, got {shown}")


#: Makes a program's own context of TLS. Takes the Config, and what makes that of its options.
ContextFactory = Callable[[Config, Callable[[], ssl.SSLContext]], ssl.SSLContext]


def configured(given: dict[str, Any], environment: Mapping[str, str] = os.environ) -> Config:
    """Build a Config from keyword arguments. Raises ConfigError, also for unknown options.

    environment: holds values for options of _TOLD_TO_PROGRAMS that are not given.
    """
    known = {option.name for option in options()}
    for name in given:
        if name not in known:
            near = nearest(name)
            raise ConfigError(f"unknown option {name!r}" + (f"; did you mean {near!r}?" if near else ""))
    for option in options():
        told = environment.get(about(option).variable) if option.name in _TOLD_TO_PROGRAMS else None
        if told and option.name not in given:
            given = {**given, option.name: told}
    return Config(**given)


def nearest(name: str) -> str:
    """Return the option whose name is closest to `name`; "" if none is close."""
    return next(iter(difflib.get_close_matches(name, [option.name for option in options()], n=1)), "")


def options() -> tuple[dataclasses.Field[Any], ...]:
    """Return all options in order."""
    return dataclasses.fields(Config)


def kind_of(option: dataclasses.Field[Any]) -> Any:  # noqa: ANN401  # a type or a special form
    """Return the type of an option's values, without None."""
    kind = _kinds()[option.name]
    return kind.__args__[0] if isinstance(kind, types.UnionType) else kind


@functools.cache
def _kinds() -> dict[str, Any]:
    return typing.get_type_hints(Config)


def about(option: dataclasses.Field[Any]) -> About:
    """Return the description of an option."""
    known: About = option.metadata["about"]
    return known

"""Turns the configuration into plain values. No other module reads it at run time."""

from __future__ import annotations

import functools
import os
import random
from typing import Final, Literal, NamedTuple

from bide.config import STANDARD, Config, ContextFactory
from bide.errors import ConfigError
from bide.gateway.lifespan import Mode
from bide.http1.limits import DROP, PASS, REFUSE, Limits
from bide.observe.log_files import LogFile
from bide.policy.clocks import FOREVER
from bide.policy.staffing import STACKS_SHARE
from bide.semantics.forwarded import Forwarding
from bide.session.context import DrawLimits
from bide.session.durations import Durations
from bide.session.idle import IdleTimeout
from bide.session.rules import CloseRules
from bide.session.websocket_limits import WebSocketLimits
from bide.terms import KEEP_ALIVE_OFF, Clock
from bide.transport.proxy import ANY, V1, V2
from bide.transport.sockets import Listening
from bide.worker.arrivals import Introductions
from bide.worker.certificates import Certificates, TlsOptions, own_context
from bide.worker.pressure import ResourceLimits
from bide.worker.trust import Trust

# Ages and idle ends are spread, so that connections that began together do not end together (gRPC
# A9: 10 percent).
JITTER: Final = 0.1

# A limit on requests below this is applied exactly, without jitter.
_MIN_JITTERED: Final = 10

# Seconds between sweeps: with 0.5, the sweeps of 20,000 connections take less than one percent of a
# core. Shorter clocks need more sweeps.
_LONGEST_TICK: Final = 0.5
_SHORTEST_TICK: Final = 0.02
_SWEEPS_PER_CLOCK: Final = 4


class Draining(NamedTuple):
    """Holds how long the steps of a drain take, in seconds."""

    delay: float
    idle: float
    streams: float
    tunnels: float
    timeout: float


class ProgramSettings(NamedTuple):
    """Holds the options of the program around a worker, which `bide.config` describes.

    log_file: path of the log; None for standard error.
    reopens_logs: whether a signal opens the log files again.
    is_supervised: whether a supervisor runs the workers.
    """

    log_level: str
    log_format: str
    log_file: str | None
    pid_file: str | None
    reopens_logs: bool
    loop: str
    factory: bool
    app_dir: str
    interface: Literal["auto", "asgi", "wsgi"]
    workers: int
    is_supervised: bool


def program_settings(config: Config) -> ProgramSettings:
    """Return the options of the program.

    Raises ConfigError for a log file that cannot be opened.
    """
    log_file = log_path("log_file", config.log_file)
    return ProgramSettings(
        config.log_level,
        config.log_format,
        log_file,
        config.pid_file,
        log_file is not None or (config.access_log and log_path("access_log_file", config.access_log_file) is not None),
        config.loop,
        config.factory,
        config.app_dir,
        config.interface,
        config.workers,
        config.is_supervised,
    )


class WorkerSettings:
    """Holds the values that a worker is made with.

    facts: fact bits that hold for every connection.
    overflow, per_peer: numbers of connections, as in `bide.worker.admission.Admission`.
    log_format: format of the access log, "text" or "json"; None for no access log.
    access_log_file: path of the access log; None for standard output.
    certificates: for TLS; None without it.
    redirect_http: port that redirects to https; None for no such port.
    hsts: seconds for which clients are to use https only; 0 to say nothing.
    forwarding: what is read from forwarded fields; None if nothing is.
    introductions: which PROXY headers connections begin with; None for no header.
    threads: threads that call a WSGI application; 0 for none.
    limit_body_spooled: octets of a request body that is received before the application is called.
    """

    def __init__(self, config: Config, ssl_context_factory: ContextFactory | None = None) -> None:
        """Read the configuration.

        Raises ConfigError for an invalid rule in `close_for`, for an invalid list of addresses, for
        a certificate that cannot be loaded, and for a log file that cannot be opened.

        ssl_context_factory: makes the context of TLS; None for that of the options.
        """
        self.listening = Listening(
            config.host,
            config.port,
            config.uds,
            config.uds_mode,
            config.uds_owner,
            config.uds_group,
            config.fd,
            config.backlog,
        )
        self.draining = Draining(
            config.drain_delay, config.drain_idle, config.drain_streams, config.drain_ws, config.drain_timeout
        )
        self.lifespan: Mode = config.lifespan
        self.root_path = config.root_path
        self.threads = config.threads
        self.limit_body_spooled = config.limit_body_spooled
        self.health_path = config.health_path
        self.websockets = config.ws != "none"
        self.deflates = config.ws_per_message_deflate
        self.websocket_limits = WebSocketLimits(config.ws_max_size, config.ws_max_queue, config.limit_buffer)
        self.rules = CloseRules(config.close_for)
        self.retry_after = config.timeout_idle_least
        self.advertises_keep_alive = config.advertise_keep_alive
        self.facts = 0 if config.keep_alive else KEEP_ALIVE_OFF
        self.overflow = config.limit_overflow
        self.per_peer = config.limit_connections_per_peer
        self.log_format = config.log_format if config.access_log else None
        self.access_log_file = log_path("access_log_file", config.access_log_file) if config.access_log else None
        self.limits = limits(config)
        self.durations = durations(config)
        self.draw_limits = draw_limits(config)
        self.tick = tick(config)
        self.certificates = certificates(config, ssl_context_factory)
        self.redirect_http = config.redirect_http
        self.hsts = config.hsts
        self.forwarding = forwarding(config)
        self.introductions = introductions(config)
        self._idle = (config.timeout_idle, config.timeout_idle_least)
        self._resources = (config.limit_connections, config.limit_memory, config.lag_target)

    def idle_timeout(self) -> IdleTimeout:
        """Return the idle timeout, which changes with the pressure."""
        return IdleTimeout(*self._idle)

    def resource_limits(self) -> ResourceLimits:
        """Return the limits, derived from the current descriptor limit."""
        return ResourceLimits(*self._resources)


def log_path(name: str, path: str | None) -> str | None:
    """Return the absolute path of a log file; None for a standard stream.

    Raises ConfigError, which names the option, if the file cannot be opened.
    """
    if path is None or path == STANDARD:
        return None
    path = os.path.abspath(path)  # noqa: PTH100  # the application may change the folder
    try:
        LogFile(path).close()
    except OSError as error:
        raise ConfigError(
            f"{name} must be a file that can be written, got {path!r}: {error.strerror}; choose another"
        ) from error
    return path


def certificates(config: Config, factory: ContextFactory | None = None) -> Certificates | None:
    """Return the certificates of new connections; None if TLS is not spoken. Raises ConfigError.

    factory: makes the context of TLS; None for that of the options.
    """
    if config.ssl_certfile is None and factory is None:
        return None
    return Certificates(
        TlsOptions(
            config.ssl_certfile,
            config.ssl_keyfile,
            tuple(config.ssl_sni),
            config.ssl_keyfile_password,
            config.ssl_ca_certs,
            config.ssl_cert_reqs,
            config.ssl_ciphers,
            config.ssl_minimum_version,
        ),
        make=None if factory is None else functools.partial(own_context, functools.partial(factory, config)),
    )


def forwarding(config: Config) -> Forwarding | None:
    """Return what is read from forwarded fields; None if nothing is. Raises ConfigError."""
    front_ends = Trust("forwarded_allow_ips", config.forwarded_allow_ips)
    if not config.proxy_headers:
        return None
    return Forwarding(
        front_ends.trusts,
        front_ends.judge,
        config.forwarded_hops if front_ends.is_blind else 0,
        reads_standard=config.forwarded_with == "forwarded",
        takes_host=config.forwarded_host,
        takes_prefix=config.forwarded_prefix,
    )


def introductions(config: Config) -> Introductions | None:
    """Return which PROXY headers connections begin with; None for no header. Raises ConfigError."""
    trust = Trust("proxy_allow_ips", config.proxy_allow_ips)
    versions = {"off": 0, "v1": V1, "v2": V2, "auto": ANY}[config.proxy_protocol]
    return Introductions(versions, trust.trusts) if versions else None


def limits(config: Config) -> Limits:
    """Return the bounds of the protocol core."""
    return Limits(
        head=config.limit_head,
        target=config.limit_target,
        fields=config.limit_fields,
        chunk_line=config.limit_chunk_line,
        trailer=config.limit_trailer,
        discard=config.limit_discard,
        buffer=config.limit_buffer,
        underscores={"drop": DROP, "refuse": REFUSE, "pass": PASS}[config.underscore_fields],
    )


def durations(config: Config) -> Durations:
    """Return how long the clocks run."""
    return Durations(
        {
            Clock.HANDSHAKE: config.timeout_handshake,
            Clock.FIRST_OCTET: config.timeout_first_octet,
            Clock.HEAD: config.timeout_head,
            Clock.BODY: config.timeout_body,
            Clock.SEND: config.timeout_send,
            Clock.DISCARD: config.timeout_discard,
            Clock.TUNNEL: config.timeout_tunnel,
            Clock.WS_PING: config.ws_ping_interval or FOREVER,
            Clock.WS_PONG: config.ws_ping_timeout or FOREVER,
            Clock.WS_CLOSE: config.timeout_ws_close,
            Clock.LINGER: config.timeout_linger,
        },
        half_closed=config.timeout_half_closed,
        linger_total=config.timeout_linger_total,
        body_rate=config.body_rate,
        send_rate=config.send_rate,
        grace=config.rate_grace,
    )


def draw_limits(config: Config) -> DrawLimits:
    """Return the function that draws the limits of a new connection: age and number of requests."""
    age, most = config.limit_age, config.limit_requests

    def draw() -> tuple[float, float] | None:
        if not age and not most:
            return None
        spread = random.uniform(1 - JITTER, 1 + JITTER)
        requests = max(1.0, most * spread) if most >= _MIN_JITTERED else most or FOREVER
        return age * spread or FOREVER, requests

    return draw


def tick(config: Config) -> float:
    """Return the seconds between sweeps: a fraction of the shortest clock, within bounds."""
    shortest = min(config.timeout_idle, *durations(config).by_clock.values())
    if config.is_supervised and config.timeout_blocked:  # each sweep may beat, and a third of it is too late
        shortest = min(shortest, config.timeout_blocked / STACKS_SHARE)
    return min(_LONGEST_TICK, max(_SHORTEST_TICK, shortest / _SWEEPS_PER_CLOCK))

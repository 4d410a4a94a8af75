"""Every option with its unit, its default, and the precedent for it. The command line is made from this table."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

T = TypeVar("T")

SERVING: Final = "Serving"
CLOCKS: Final = "Clocks (seconds; rates in octets per second)"
PERSISTENCE: Final = "Persistence"
CONNECTIONS: Final = "Connections (counts, unless said otherwise)"
LIMITS: Final = "Limits (octets, unless counted)"
STOPPING: Final = "Stopping (seconds)"
LOGS: Final = "Logs"


@dataclass(frozen=True)
class About:
    """What is known of an option. least, most: the bounds of its values. also: a second name for the command line."""

    group: str
    help: str
    precedent: str = ""
    least: float | None = None
    most: float | None = None
    also: str = ""


def _option(
    default: T,
    group: str,
    help: str,  # noqa: A002
    precedent: str = "",
    *,
    least: float | None = None,
    most: float | None = None,
    also: str = "",
) -> T:
    """Declare an option; returns a dataclass field that passes for its default."""
    value: T = field(default=default, metadata={"about": About(group, help, precedent, least, most, also)})
    return value


@dataclass(frozen=True, kw_only=True)
class Config:
    """How a server is to behave. Raises ConfigError where values are impossible, alone or together."""

    host: str = _option("127.0.0.1", SERVING, "Address to listen on.", "uvicorn")
    port: int = _option(8000, SERVING, "Port to listen on; 0 for any free one.", "uvicorn", least=0, most=65535)
    uds: str | None = _option(None, SERVING, "Path of a Unix socket to listen on, instead of host and port.")
    fd: int | None = _option(None, SERVING, "File descriptor of a listening socket to take over.", least=0)
    backlog: int = _option(
        2048, SERVING, "Connections that the kernel holds until they are accepted.", "uvicorn 2048", least=1, most=65535
    )
    factory: bool = _option(False, SERVING, "APP is a function that makes the application.", "uvicorn")
    app_dir: str = _option("", SERVING, "Folder to look for APP in, besides the current one.", "uvicorn")
    root_path: str = _option("", SERVING, "Path under which a front end mounts the application.", "ASGI root_path")
    loop: Literal["auto", "uvloop", "asyncio"] = _option(
        "auto", SERVING, "Event loop; auto is uvloop where it installs."
    )
    lifespan: Literal["auto", "on", "off"] = _option(
        "auto", SERVING, "Whether the application is told of start and stop."
    )

    timeout_first_octet: float = _option(
        30.0, CLOCKS, "A new connection's first octet.", "puma first_data_timeout 30", least=0.001
    )
    timeout_idle_least: float = _option(
        5.0, CLOCKS, "The idle timeout under pressure.", "uvicorn, Apache 5", least=0.001
    )
    timeout_head: float = _option(
        20.0, CLOCKS, "A request head in all, from its first octet.", "Apache RequestReadTimeout 20-40", least=0.001
    )
    timeout_body: float = _option(
        30.0, CLOCKS, "Between octets of a body that the application waits for.", "Apache 20, nginx 60", least=0.001
    )
    timeout_send: float = _option(
        60.0, CLOCKS, "Output that the client does not take.", "nginx send_timeout 60", least=0.001
    )
    timeout_idle: float = _option(
        75.0,
        CLOCKS,
        "From one exchange to the next request.",
        "nginx keepalive_timeout 75",
        least=0.001,
        also="timeout_keep_alive",
    )
    timeout_half_closed: float = _option(
        1.0,
        CLOCKS,
        "A client that has sent its EOF may only have half-closed: before the application is told that it has left.",
        "uvicorn 0",
        least=0,
    )
    timeout_discard: float = _option(
        5.0, CLOCKS, "Reading off a body that nobody wants, to persist.", "gunicorn gthread 5", least=0.001
    )
    timeout_linger: float = _option(
        2.0, CLOCKS, "Between octets that are dropped after the end.", "Apache 2, nginx 5", least=0.001
    )
    timeout_linger_total: float = _option(30.0, CLOCKS, "Dropping them in all.", "Apache, nginx 30", least=0.001)
    body_rate: float = _option(
        240.0, CLOCKS, "Least rate of a request body; 0 for none.", "Kestrel 240 after 5 s", least=0
    )
    send_rate: float = _option(
        240.0, CLOCKS, "Least rate at which output is taken; 0 for none.", "Kestrel 240 after 5 s", least=0
    )
    rate_grace: float = _option(5.0, CLOCKS, "Before a rate counts.", "Kestrel 5", least=0)
    limit_age: float = _option(
        0.0, CLOCKS, "Age at which a connection retires; 0 for none.", "nginx keepalive_time 3600", least=0
    )

    keep_alive: bool = _option(True, PERSISTENCE, "Connections persist; without, each response closes, and says so.")
    advertise_keep_alive: bool = _option(
        False, PERSISTENCE, "Tell clients how long idle connections are held; they are held longer.", "Node, nginx"
    )
    close_for: tuple[str, ...] = _option(
        (),
        PERSISTENCE,
        "Close after each response to agent:PATTERN, path:PATTERN or peer:NETWORK; repeatable.",
        "nginx keepalive_disable",
    )
    health_path: str = _option(
        "", PERSISTENCE, "Path of a health check that the server answers itself; 503 when stopping."
    )

    limit_connections: int = _option(
        0,
        CONNECTIONS,
        "Connections in all; 0 for what the descriptor limit allows.",
        "nginx worker_connections",
        least=0,
    )
    limit_connections_per_peer: int = _option(
        0, CONNECTIONS, "Connections of one address; 0 for no limit.", "nginx limit_conn", least=0
    )
    limit_overflow: int = _option(
        0, CONNECTIONS, "Connections beyond the limit that are answered 503; the others wait.", "Envoy", least=0
    )
    limit_memory: int = _option(
        0, CONNECTIONS, "Memory of the process, octets; 0 for no limit.", "granian workers-max-rss", least=0
    )
    lag_target: float = _option(
        0.1, CONNECTIONS, "Seconds that the event loop may lag behind.", "Node 0.07 (toobusy)", least=0.001
    )

    limit_head: int = _option(65536, LIMITS, "A request head.", "h11 16 KiB, hyper 400 KB, Go 1 MiB", least=256)
    limit_target: int = _option(16384, LIMITS, "A request target.", "RFC 9112, 3 asks for 8,000 at least", least=64)
    limit_fields: int = _option(100, LIMITS, "Field lines in a head (count).", "hyper, Apache 100", least=1)
    limit_chunk_line: int = _option(
        4096, LIMITS, "A chunk-size line, and all chunk extensions of a body.", "Go maxLineLength 4096", least=32
    )
    limit_trailer: int = _option(16384, LIMITS, "A trailer section.", "nginx large_client_header_buffers", least=64)
    limit_discard: int = _option(262144, LIMITS, "A body that is read off to persist.", "Go 256 KiB", least=0)
    limit_buffer: int = _option(
        65536, LIMITS, "What is held of a request before reading pauses.", "asyncio 64 KiB", least=1024
    )
    limit_requests: int = _option(
        0, LIMITS, "Requests on one connection (count); 0 for no limit.", "nginx keepalive_requests 1000", least=0
    )

    drain_delay: float = _option(0.0, STOPPING, "Go on accepting after the signal.", "Caddy shutdown_delay", least=0)
    drain_idle: float = _option(
        2.0, STOPPING, "Idle connections may send one more request.", "gunicorn gthread 2", least=0
    )
    drain_timeout: float = _option(
        25.0,
        STOPPING,
        "In all; then what is left is cut.",
        "below Kubernetes' 30",
        least=0,
        also="timeout_graceful_shutdown",
    )

    access_log: bool = _option(True, LOGS, "Write a line for each request.", "uvicorn")
    log_format: Literal["text", "json"] = _option("text", LOGS, "For people or for machines.")
    log_level: Literal["critical", "error", "warning", "info", "debug"] = _option("info", LOGS, "Least level to write.")

    def __post_init__(self) -> None:
        """Check the values."""
        for option in options():
            value = getattr(self, option.name)
            known = about(option)
            if value is None or known.least is None:
                continue
            if not value >= known.least:  # NaN is not, either
                raise ConfigError(f"{option.name} is {value}, but at least {known.least:g} is needed")
            if known.most is not None and value > known.most:
                raise ConfigError(f"{option.name} is {value}, but at most {known.most:g} is possible")
        if self.limit_head < self.limit_target:
            raise ConfigError("limit_head is smaller than limit_target, which is a part of it")
        if 0 < self.drain_delay >= self.drain_timeout:
            raise ConfigError("drain_delay is not smaller than drain_timeout, which counts from the signal, too")
        if self.uds is not None and self.fd is not None:
            raise ConfigError("uds and fd exclude each other")


class ConfigError(ValueError):
    """Options that cannot be."""


def options() -> tuple[dataclasses.Field[Any], ...]:
    """All options in order."""
    return dataclasses.fields(Config)


def about(option: dataclasses.Field[Any]) -> About:
    """What is known of an option."""
    known: About = option.metadata["about"]
    return known

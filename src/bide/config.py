"""Every option with its unit, its default, and the precedent for it. The command line is made from this table."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import re
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from bide.errors import ConfigError

T = TypeVar("T")

SERVING: Final = "Serving"
CLOCKS: Final = "Clocks (seconds; rates in octets per second)"
PERSISTENCE: Final = "Persistence"
CONNECTIONS: Final = "Connections (counts, unless said otherwise)"
LIMITS: Final = "Limits (octets, unless counted)"
STOPPING: Final = "Stopping (seconds)"
LOGS: Final = "Logs"

# What a value of each type may be, and how to say so.
_NEEDED: Final[dict[Any, tuple[tuple[type, ...], str]]] = {
    bool: ((bool,), "True or False"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "a str"),
}


@dataclass(frozen=True)
class About:
    """What is known of an option. least, most: the bounds of its values. also: a second name for the command line. zero: what 0
    means, where that is the default. octets: whether it counts octets.
    """

    group: str
    help: str
    precedent: str = ""
    least: float | None = None
    most: float | None = None
    also: str = ""
    zero: str = ""
    octets: bool = False


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
) -> T:
    """Declare an option; returns a dataclass field that passes for its default."""
    value: T = field(
        default=default, metadata={"about": About(group, help, precedent, least, most, also, zero, octets)}
    )
    return value


@dataclass(frozen=True, kw_only=True)
class Config:
    """How a server is to behave. Raises ConfigError where values are impossible, alone or together."""

    host: str = _option("127.0.0.1", SERVING, "Address to listen on; empty for all interfaces.", "as uvicorn")
    port: int = _option(8000, SERVING, "Port to listen on; 0 for any free one.", "as uvicorn", least=0, most=65535)
    uds: str | None = _option(None, SERVING, "Path of a Unix socket to listen on, instead of host and port.")
    uds_mode: str | None = _option(
        None,
        SERVING,
        "Permissions of the Unix socket, octal; without, those of a dead server's socket that it replaces, or 666.",
        "as HAProxy's mode; compare Caddy's |0222",
    )
    uds_owner: str | None = _option(
        None,
        SERVING,
        "Owner of the Unix socket, by name or number; without, as that of a socket that it replaces.",
        "as HAProxy's user and uid",
    )
    uds_group: str | None = _option(
        None,
        SERVING,
        "Group of the Unix socket, by name or number; without, as that of a socket that it replaces.",
        "as HAProxy's group and gid",
    )
    fd: int | None = _option(None, SERVING, "File descriptor of a listening socket to take over.", least=0)
    backlog: int = _option(
        2048, SERVING, "Connections that the kernel holds until they are accepted.", "as uvicorn", least=1, most=65535
    )
    factory: bool = _option(False, SERVING, "APP is a function that makes the application.", "as uvicorn")
    app_dir: str = _option("", SERVING, "Folder to look for APP in, besides the current one.", "as uvicorn")
    root_path: str = _option("", SERVING, "Path under which a front end mounts the application.", "as ASGI says")
    loop: Literal["auto", "uvloop", "asyncio"] = _option(
        "auto", SERVING, "Event loop; auto is uvloop where it installs."
    )
    lifespan: Literal["auto", "on", "off"] = _option(
        "auto", SERVING, "Whether the application is told of start and stop."
    )
    underscore_fields: Literal["drop", "refuse", "pass"] = _option(
        "drop",
        SERVING,
        "Request fields whose names have an underscore, which CGI and WSGI cannot tell from a hyphen: left out, answered 400, "
        "or handed to the application.",
        "as nginx's underscores_in_headers and gunicorn's header_map",
    )

    timeout_first_octet: float = _option(
        30.0, CLOCKS, "A new connection's first octet.", "as Puma's first_data_timeout", least=0.001
    )
    timeout_head: float = _option(
        20.0,
        CLOCKS,
        "A request head in all, from its first octet.",
        "Apache's RequestReadTimeout: 20 to 40",
        least=0.001,
    )
    timeout_body: float = _option(
        30.0, CLOCKS, "Between octets of a body that the application waits for.", "Apache: 20, nginx: 60", least=0.001
    )
    timeout_send: float = _option(
        60.0, CLOCKS, "Output that the client does not take.", "as nginx's send_timeout", least=0.001
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
        5.0, CLOCKS, "The idle timeout under pressure.", "as uvicorn's and Apache's idle timeout", least=0.001
    )
    timeout_half_closed: float = _option(
        1.0,
        CLOCKS,
        "A client that has sent its EOF may only have half-closed: before the application is told that it has left.",
        "uvicorn: 0",
        least=0,
    )
    timeout_tunnel: float = _option(
        3600.0,
        CLOCKS,
        "A connection that has switched to another protocol, without an octet either way.",
        "as HAProxy's manual suggests for its timeout tunnel",
        least=0.001,
    )
    timeout_discard: float = _option(
        5.0, CLOCKS, "Reading off a body that nobody wants, to persist.", "as gunicorn's gthread worker", least=0.001
    )
    timeout_linger: float = _option(
        2.0, CLOCKS, "Between octets that are dropped after the end.", "as Apache; nginx: 5", least=0.001
    )
    timeout_linger_total: float = _option(30.0, CLOCKS, "Dropping them in all.", "as Apache and nginx", least=0.001)
    body_rate: float = _option(240.0, CLOCKS, "Least rate of a request body; 0 for none.", "as Kestrel", least=0)
    send_rate: float = _option(240.0, CLOCKS, "Least rate at which output is taken; 0 for none.", "as Kestrel", least=0)
    rate_grace: float = _option(
        5.0, CLOCKS, "How long a body or output may be slow before its rate counts.", "as Kestrel", least=0
    )
    limit_age: float = _option(
        0.0,
        CLOCKS,
        "Age at which a connection retires; 0 for none.",
        "nginx's keepalive_time: 3600",
        least=0,
        zero="none",
    )

    keep_alive: bool = _option(True, PERSISTENCE, "Connections persist; without, each response closes, and says so.")
    advertise_keep_alive: bool = _option(
        False,
        PERSISTENCE,
        "Tell clients how long idle connections are held; they are held longer.",
        "as Node and nginx",
    )
    close_for: tuple[str, ...] = _option(
        (),
        PERSISTENCE,
        "Close after each response to agent:PATTERN, path:PATTERN or peer:NETWORK; repeatable.",
        "compare nginx's keepalive_disable",
    )
    health_path: str = _option(
        "", PERSISTENCE, "Path of a health check that the server answers itself; 503 when stopping."
    )

    limit_connections: int = _option(
        0,
        CONNECTIONS,
        "Connections in all; 0 for what the descriptor limit allows.",
        "compare nginx's worker_connections",
        least=0,
        zero="what the descriptor limit allows",
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
        "Connections beyond the limit that are answered 503; the others wait.",
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
        0.1, CONNECTIONS, "Seconds that the event loop may lag behind.", "Node's toobusy: 0.07", least=0.001
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
    limit_discard: int = _option(262144, LIMITS, "A body that is read off to persist.", "as Go", least=0, octets=True)
    limit_buffer: int = _option(
        65536, LIMITS, "What is held of a request before reading pauses.", "as asyncio", least=1024, octets=True
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
        0.0, STOPPING, "Go on accepting after the signal.", "as Caddy's shutdown_delay", least=0
    )
    drain_idle: float = _option(
        2.0, STOPPING, "Idle connections may send one more request.", "as gunicorn's gthread worker", least=0
    )
    drain_streams: float = _option(
        2.0,
        STOPPING,
        "Before event streams (text/event-stream) are told to end: their clients reconnect by themselves.",
        "as drain_idle",
        least=0,
    )
    drain_timeout: float = _option(
        25.0,
        STOPPING,
        "In all; then what is left is cut.",
        "below Kubernetes' 30",
        least=0,
        also="timeout_graceful_shutdown",
    )

    access_log: bool = _option(True, LOGS, "Write a line for each request.", "as uvicorn")
    log_format: Literal["text", "json"] = _option("text", LOGS, "For people or for machines.")
    log_level: Literal["critical", "error", "warning", "info", "debug"] = _option("info", LOGS, "Least level to write.")

    def __post_init__(self) -> None:
        """Check the values."""
        for option in options():
            self._check(option)
        if self.limit_head < self.limit_target:
            raise ConfigError("limit_head is smaller than limit_target, which is a part of it")
        if 0 < self.drain_delay >= self.drain_timeout:
            raise ConfigError("drain_delay is not smaller than drain_timeout, which counts from the signal, too")
        if self.uds is not None and self.fd is not None:
            raise ConfigError("uds and fd exclude each other")
        if self.health_path and not self.health_path.startswith("/"):
            raise ConfigError(f"health_path is {self.health_path!r}, but has to start with /")
        if re.search(r"[^!-~]|[?#]", self.health_path):
            raise ConfigError(
                f"health_path is {self.health_path!r}, but a path is needed, without a query, as it stands in a request"
            )
        if self.uds == "":
            raise ConfigError("uds is empty, but a path is needed")
        self._check_access()
        if self.root_path and (not self.root_path.startswith("/") or self.root_path.endswith("/")):
            raise ConfigError(f"root_path is {self.root_path!r}, but has to start with / and not to end with it")

    def _check_access(self) -> None:
        """Check who may connect to the Unix socket."""
        if self.uds_mode is not None and not re.fullmatch(r"(0o?)?[0-7]{3}", self.uds_mode):
            raise ConfigError(
                f"uds_mode must be three octal digits, got {self.uds_mode!r}; for owner and group alone, give 660"
            )
        for name in ("uds_mode", "uds_owner", "uds_group"):
            value = getattr(self, name)
            if value == "":
                raise ConfigError(f"{name} must be a name or a number, got {value!r}; leave it out for the default")
            if value is not None and self.uds is None:
                raise ConfigError(f"{name} must be given with uds, got {value!r} without; give uds, or leave it out")

    def _check(self, option: dataclasses.Field[Any]) -> None:
        """Check a value by itself. Choices may be given in any case."""
        name = option.name
        value = getattr(self, name)
        kind = kind_of(option)
        choices = typing.get_args(kind) if typing.get_origin(kind) is Literal else ()
        if choices:
            if not isinstance(value, str) or value.lower() not in choices:
                raise ConfigError(f"{name} is {value!r}, but one of {', '.join(choices)} is needed")
            object.__setattr__(self, name, value.lower())
            return
        if value is None and option.default is None:
            return
        if kind in _NEEDED:
            accepted, needed = _NEEDED[kind]
            # To Python a bool is a number; here it is a mistake.
            if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
                raise ConfigError(f"{name} is {value!r}, but {needed} is needed")
        elif not isinstance(value, tuple | list) or not all(isinstance(one, str) for one in value):
            raise ConfigError(f"{name} is {value!r}, but a tuple of str is needed")
        known = about(option)
        if known.least is None:
            return
        if value == math.inf:
            raise ConfigError(f"{name} is {value:g}, but a number is needed")
        if not value >= known.least:  # NaN is not, either
            remedy = "; keep_alive=False closes after each response" if name == "timeout_idle" else ""
            raise ConfigError(f"{name} is {value:g}, but at least {known.least:g} is needed{remedy}")
        if known.most is not None and value > known.most:
            raise ConfigError(f"{name} is {value}, but at most {known.most:g} is possible")


def configured(given: dict[str, Any]) -> Config:
    """Return what was given. Raises ConfigError, also for an option that there is not."""
    known = {option.name for option in options()}
    for name in given:
        if name not in known:
            near = nearest(name)
            raise ConfigError(f"there is no option {name!r}" + (f"; did you mean {near}?" if near else ""))
    return Config(**given)


def nearest(name: str) -> str:
    """Return the option whose name is most like this one; "" where none is."""
    return next(iter(difflib.get_close_matches(name, [option.name for option in options()], n=1)), "")


def options() -> tuple[dataclasses.Field[Any], ...]:
    """All options in order."""
    return dataclasses.fields(Config)


def kind_of(option: dataclasses.Field[Any]) -> Any:  # noqa: ANN401  # a type or a special form
    """The type of an option's values, None left out."""
    kind = _kinds()[option.name]
    return kind.__args__[0] if isinstance(kind, types.UnionType) else kind


@functools.cache
def _kinds() -> dict[str, Any]:
    return typing.get_type_hints(Config)


def about(option: dataclasses.Field[Any]) -> About:
    """What is known of an option."""
    known: About = option.metadata["about"]
    return known

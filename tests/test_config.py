"""The table of options."""

import dataclasses
from typing import Any

import pytest

from bide import Config
from bide.config import about, configured, options
from bide.errors import ConfigError


def test_defaults_are_possible() -> None:
    config = Config()
    assert [option.name for option in options() if getattr(config, option.name) != option.default] == []


def test_config_is_frozen() -> None:
    config: Any = Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.port = 1


def test_each_option_has_group_help_and_default() -> None:
    for option in options():
        known = about(option)
        assert known.group
        assert known.help.endswith("."), option.name
        assert option.default is not dataclasses.MISSING, option.name


def test_timeout_options_are_positive_floats() -> None:
    timeouts = [option for option in options() if option.name.startswith("timeout_")]
    assert timeouts
    for option in timeouts:
        assert isinstance(option.default, float), option.name
        assert option.default > 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", -1),
        ("port", 65536),
        ("fd", -1),
        ("backlog", 0),
        ("timeout_idle", 0),
        ("timeout_head", -1.0),
        ("body_rate", -1),
        ("limit_head", 10),
        ("limit_fields", 0),
        ("limit_discard", -1),
        ("limit_requests", -1),
        ("drain_timeout", -0.1),
        ("timeout_idle", float("nan")),
        ("timeout_idle", float("inf")),
        ("timeout_idle_least", float("inf")),
        ("drain_timeout", float("inf")),
        ("health_path", "/health?probe=1"),
        ("health_path", "/h h"),
        ("uds", ""),
        ("uds_mode", "660"),
        ("uds_owner", "www-data"),
        ("uds_group", "33"),
        ("port", "8000"),
        ("port", 8000.0),
        ("port", True),
        ("port", None),
        ("timeout_idle", "75"),
        ("timeout_idle", True),
        ("factory", 1),
        ("host", b"127.0.0.1"),
        ("uds", 3),
        ("close_for", "path:/x"),
        ("close_for", (b"path:/x",)),
        ("loop", "trio"),
        ("underscore_fields", "allow"),
        ("underscore_fields", True),
        ("loop", None),
        ("log_level", "trace"),
        ("log_level", 10),
        ("health_path", "health"),
        ("root_path", "api"),
        ("root_path", "/api/"),
        ("root_path", "/"),
        ("workers", "many"),
        ("workers", -1),
        ("workers", 513),
        ("workers", "4"),
        ("supervise", "yes"),
    ],
)
def test_impossible_value_raises_with_its_name(name: str, value: object) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(ConfigError, match=name):
        Config(**options)


def test_unknown_option_is_refused_with_the_nearest_name() -> None:
    assert configured({"port": 5}).port == 5
    with pytest.raises(ConfigError, match=r"^unknown option 'prot'; did you mean 'port'\?$"):
        configured({"prot": 5})
    with pytest.raises(ConfigError, match=r"^unknown option 'color'$"):
        configured({"color": 5})


def test_trusted_front_ends_may_come_from_the_environment() -> None:
    told = {"FORWARDED_ALLOW_IPS": "10.0.0.0/8", "WEB_CONCURRENCY": "4", "BIDE_PORT": "5"}
    config = configured({}, told)
    assert (config.forwarded_allow_ips, config.workers, config.port) == ("10.0.0.0/8", 1, 8000)
    assert configured({"forwarded_allow_ips": "::1"}, told).forwarded_allow_ips == "::1"
    assert configured({}, {"FORWARDED_ALLOW_IPS": ""}) == Config()


def test_possible_values_are_kept() -> None:
    assert Config(log_level="INFO").log_level == "info"  # type: ignore[arg-type]  # as in a shell
    assert Config(timeout_idle=95).timeout_idle == 95
    config = Config(health_path="/health", root_path="/api", close_for=("path:/x",))
    assert (config.health_path, config.root_path, config.close_for) == ("/health", "/api", ("path:/x",))
    rules: Any = ["path:/x"]
    assert tuple(Config(close_for=rules).close_for) == ("path:/x",)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"timeout_idle": 0},
            "timeout_idle must be at least 0.001, got 0; use keep_alive=False to close after each response",
        ),
        ({"port": -1}, "port must be at least 0, got -1"),
        ({"port": 70_000}, "port must be at most 65535, got 70000"),
        ({"limit_head": 10}, "limit_head must be at least 256, got 10"),
        ({"limit_memory": -3_000_000_000}, "limit_memory must be at least 0, got -3000000000"),
        ({"timeout_head": float("inf")}, "timeout_head must be a finite number, got inf"),
        ({"timeout_head": float("nan")}, "timeout_head must be at least 0.001, got nan"),
        ({"port": "8000"}, "port must be a whole number, got '8000'"),
        ({"timeout_idle": True}, "timeout_idle must be a number, got True"),
        ({"factory": 1}, "factory must be True or False, got 1"),
        ({"host": b"x"}, "host must be a str, got b'x'"),
        ({"close_for": "path:/x"}, "close_for must be a tuple of str, got 'path:/x'"),
        ({"loop": "trio"}, "loop must be one of auto, uvloop, asyncio, got 'trio'"),
        ({"uds": ""}, "uds must be a path, got ''; leave it out to listen on host and port"),
        ({"uds": "/x", "fd": 3}, "uds and fd are mutually exclusive"),
        ({"health_path": "health"}, "health_path must be a path that starts with /, got 'health'"),
        (
            {"health_path": "/h?x"},
            "health_path must be a percent-encoded path without a query, got '/h?x'; write it as it stands in a request",
        ),
        (
            {"root_path": "/api/"},
            "root_path must be a path that starts with / and does not end with /, got '/api/'",
        ),
        (
            {"limit_head": 1000, "limit_target": 2000},
            "limit_head must be at least limit_target, 2000, got 1000; raise limit_head or lower limit_target",
        ),
        (
            {"drain_delay": 5.0, "drain_timeout": 5.0},
            "drain_delay must be less than drain_timeout, 5, got 5; both count from the signal",
        ),
    ],
)
def test_invalid_value_is_refused_with_constraint_value_and_remedy(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as failure:
        Config(**given)
    assert str(failure.value) == message


def test_meaning_of_zero_is_said_if_it_is_the_default() -> None:
    says = {option.name for option in options() if about(option).zero}
    assert says
    assert says <= {option.name for option in options() if option.default == 0}
    assert says >= {option.name for option in options() if option.name.startswith("limit_") and not option.default}


@pytest.mark.parametrize("mode", ["", "66", "888", "1660", "0o1660", "rw-rw----", "-660", "6 0", "٦٦٠"])
def test_modes_that_chmod_would_not_take_are_refused(mode: str) -> None:
    with pytest.raises(ConfigError, match=rf"^uds_mode must be three octal digits, got {mode!r}; .*660"):
        Config(uds="/x", uds_mode=mode)


@pytest.mark.parametrize("name", ["uds_mode", "uds_owner", "uds_group"])
def test_access_without_a_unix_socket_is_refused(name: str) -> None:
    options: dict[str, Any] = {name: "660"}
    with pytest.raises(ConfigError, match=f"^{name} must be given with uds, got '660' without; "):
        Config(**options)
    assert Config(uds="/x", **options) != Config(uds="/x")
    options[name] = ""
    with pytest.raises(ConfigError, match=f"^{name} must be "):
        Config(uds="/x", **options)


def test_config_error_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="port"):
        Config(port=-1)


def test_unknown_option_raises_type_error() -> None:
    unknown: dict[str, Any] = {"ports": 1}
    with pytest.raises(TypeError):
        Config(**unknown)


def test_counted_front_ends_need_a_blind_list() -> None:
    with pytest.raises(
        ConfigError, match=r"^forwarded_hops must be given with forwarded_allow_ips \*, got 2 without; "
    ):
        Config(forwarded_hops=2)
    assert Config(forwarded_hops=2, forwarded_allow_ips="*").forwarded_hops == 2


def test_prefix_is_not_read_from_the_standard_field() -> None:
    with pytest.raises(ConfigError, match=r"^forwarded_prefix must be given with forwarded_with x-forwarded, got "):
        Config(forwarded_prefix=True, forwarded_with="forwarded")
    assert Config(forwarded_prefix=True).forwarded_with == "x-forwarded"


def test_certificates_of_hosts_need_one_for_other_names() -> None:
    with pytest.raises(ConfigError, match=r"^ssl_sni must be given with ssl_certfile, got 'a=b' without; "):
        Config(ssl_sni=("a=b",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"redirect_http": 80}, "^redirect_http must be given with ssl_certfile, got 80 without; set ssl_certfile$"),
        (
            {"redirect_http": 8000, "ssl_certfile": "c"},
            "^redirect_http must be another port than port, got 8000 for both; change one$",
        ),
        ({"redirect_http": 80, "ssl_certfile": "c", "uds": "/s"}, "^redirect_http and uds are mutually exclusive$"),
        ({"redirect_http": 65536, "ssl_certfile": "c"}, "^redirect_http must be at most 65535, got 65536$"),
        ({"hsts": -1}, "^hsts must be at least 0, got -1$"),
    ],
)
def test_redirects_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(**options)


@pytest.mark.parametrize(
    ("options", "is_supervised"),
    [
        ({}, False),
        ({"workers": 1}, False),
        ({"workers": 2}, True),
        ({"workers": "auto"}, True),
        ({"workers": 0}, True),
        ({"supervise": "on"}, True),
        ({"reload": True}, True),
        ({"supervise": "off"}, False),
        ({"limit_worker_requests": 1}, True),
        ({"limit_worker_age": 0.5}, True),
        ({"limit_worker_memory": 1}, True),
    ],
)
def test_several_workers_or_a_limit_need_a_supervisor(options: dict[str, Any], is_supervised: bool) -> None:
    config = Config(**options)
    assert config.is_supervised is is_supervised
    assert config.workers == (0 if options.get("workers") == "auto" else options.get("workers", 1))


@pytest.mark.parametrize(
    ("name", "value", "alone"),
    [("workers", 4, 1), ("limit_worker_requests", 5, 0), ("limit_worker_age", 2.5, 0), ("limit_worker_memory", 9, 0)],
)
def test_option_of_a_supervisor_without_one_is_refused(name: str, value: float, alone: int) -> None:
    with pytest.raises(
        ConfigError,
        match=rf"^{name} must be {alone} without a supervisor, got {value:g}; leave out supervise, or set it on$",
    ):
        Config(supervise="off", **{name: value})  # type: ignore[arg-type]


def test_reload_preloads_nothing() -> None:
    with pytest.raises(ConfigError, match=r"^preload must be False with reload, got True; reload is for development$"):
        Config(reload=True, preload=True)


def test_reload_is_for_one_worker() -> None:
    with pytest.raises(ConfigError, match=r"^workers must be 1 with reload, got 4; reload is for development$"):
        Config(reload=True, workers=4)


def test_word_that_stands_for_a_number_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^workers must be a whole number or auto, got 'many'$"):
        Config(workers="many")  # type: ignore[arg-type]

"""The table of options."""

import dataclasses
from typing import Any

import pytest

from bide import Config
from bide.config import ConfigError, about, options


def test_defaults_are_possible() -> None:
    assert Config() == Config()


def test_frozen() -> None:
    config: Any = Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.port = 1


def test_every_option_is_described() -> None:
    for option in options():
        known = about(option)
        assert known.group
        assert known.help.endswith("."), option.name
        assert option.default is not dataclasses.MISSING, option.name


def test_durations_have_the_form_of_their_names() -> None:
    for option in options():
        if option.name.startswith("timeout_"):
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
    ],
)
def test_impossible_values(name: str, value: float) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(ConfigError, match=name):
        Config(**options)


def test_impossible_together() -> None:
    with pytest.raises(ConfigError, match="limit_target"):
        Config(limit_head=1000, limit_target=2000)
    with pytest.raises(ConfigError, match="uds and fd"):
        Config(uds="/x", fd=3)


def test_errors_are_value_errors() -> None:
    with pytest.raises(ValueError, match="port"):
        Config(port=-1)


def test_unknown_option() -> None:
    unknown: dict[str, Any] = {"ports": 1}
    with pytest.raises(TypeError):
        Config(**unknown)

"""Turns the configuration into the values that sessions work with."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from bide import Config
from bide.errors import ConfigError
from bide.http1.limits import DROP, PASS, REFUSE
from bide.policy.clocks import FOREVER
from bide.terms import Clock
from bide.worker.settings import WorkerSettings, draw_limits, durations, limits, program_settings, tick


def test_limits_take_their_options() -> None:
    config = Config(
        limit_head=1001,
        limit_target=1002 - 2,
        limit_fields=1003,
        limit_chunk_line=1004,
        limit_trailer=1005,
        limit_discard=1006,
        limit_buffer=1107,
    )
    found = limits(config)
    for name in ("head", "target", "fields", "chunk_line", "trailer", "discard", "buffer"):
        assert getattr(found, name) == getattr(config, f"limit_{name}"), name


@pytest.mark.parametrize(("value", "underscores"), [("drop", DROP), ("refuse", REFUSE), ("pass", PASS)])
def test_what_becomes_of_underscores_is_passed_on(value: Any, underscores: int) -> None:
    assert limits(Config(underscore_fields=value)).underscores == underscores


def test_forwarded_fields_are_read_unless_they_are_switched_off() -> None:
    found = WorkerSettings(Config(forwarded_allow_ips="10.0.0.1")).forwarding
    assert found is not None
    assert found.trusts(("10.0.0.1", 80))
    assert not found.trusts(("10.0.0.2", 80))
    assert WorkerSettings(Config(proxy_headers=False)).forwarding is None


def test_log_files_are_absolute_paths_that_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = Config(log_file="log", access_log_file="access")
    assert WorkerSettings(config).access_log_file == str(tmp_path / "access")
    assert program_settings(config).log_file == str(tmp_path / "log")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["access", "log"]
    standard = Config(log_file="-", access_log_file="-")
    assert WorkerSettings(standard).access_log_file is None
    assert program_settings(standard).log_file is None
    assert WorkerSettings(Config(access_log_file="access", access_log=False)).access_log_file is None


@pytest.mark.parametrize(
    ("options", "reopens_logs"),
    [
        ({}, False),
        ({"log_file": "log"}, True),
        ({"access_log_file": "log"}, True),
        ({"access_log_file": "log", "access_log": False}, False),
        ({"log_file": "-"}, False),
    ],
)
def test_logs_are_opened_again_if_one_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], reopens_logs: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    assert program_settings(Config(**options)).reopens_logs is reopens_logs


@pytest.mark.parametrize("name", ["log_file", "access_log_file"])
def test_log_file_that_cannot_be_written_raises(tmp_path: Path, name: str) -> None:
    options: dict[str, Any] = {name: str(tmp_path / "no" / "log")}
    with pytest.raises(ConfigError, match=f"{name} must be a file that can be written, got '.*': No such file"):
        (program_settings if name == "log_file" else WorkerSettings)(Config(**options))


def test_underscores_are_dropped_by_default() -> None:
    assert limits(Config()).underscores == DROP


def test_every_clock_has_its_own_option() -> None:
    otherwise = {Clock.WS_PING: "ws_ping_interval", Clock.WS_PONG: "ws_ping_timeout"}  # as uvicorn
    names = [option.name for option in dataclasses.fields(Config) if option.name.startswith("timeout_")]
    names += otherwise.values()
    values = {name: float(index + 10) for index, name in enumerate(names)}
    options: dict[str, Any] = {**values}
    found = durations(Config(**options))
    assert set(found.by_clock) == set(Clock) - {Clock.IDLE}
    for clock, seconds in found.by_clock.items():
        assert seconds == values[otherwise.get(clock, f"timeout_{clock.value}")]
    assert found.linger_total == values["timeout_linger_total"]
    assert WorkerSettings(Config(**options)).idle_timeout().longest == values["timeout_idle"]


def drawn_limits(**options: Any) -> list[tuple[float, float]]:
    draw = draw_limits(Config(**options))
    return [drawn for drawn in (draw() for _ in range(200)) if drawn is not None]


def test_connections_have_no_limits_by_default() -> None:
    assert drawn_limits() == []


def test_ages_are_spread() -> None:
    ages, requests = zip(*drawn_limits(limit_age=100), strict=True)
    assert min(ages) >= 90
    assert max(ages) <= 110
    assert max(ages) - min(ages) > 5
    assert set(requests) == {FOREVER}


def test_limits_of_requests_are_spread_if_large() -> None:
    assert set(drawn_limits(limit_requests=3)) == {(FOREVER, 3)}
    ages, requests = zip(*drawn_limits(limit_requests=1000), strict=True)
    assert min(requests) >= 900
    assert max(requests) <= 1100
    assert len(set(requests)) > 10
    assert set(ages) == {FOREVER}


@pytest.mark.parametrize(
    ("workers", "blocked", "expected"), [(1, 0.6, 0.5), (2, 0.6, 0.05), (2, 3.0, 0.25), (2, 30.0, 0.5), (2, 0.0, 0.5)]
)
def test_tick_under_a_supervisor_allows_for_beats(workers: int, blocked: float, expected: float) -> None:
    """A third of `timeout_blocked` without a beat brings the stacks."""
    assert tick(Config(workers=workers, timeout_blocked=blocked)) == pytest.approx(expected)


@pytest.mark.parametrize(("shortest", "least", "most"), [(0.001, 0.01, 0.05), (1.0, 0.1, 0.3), (60.0, 0.4, 0.6)])
def test_tick_of_shorter_clocks_is_shorter(shortest: float, least: float, most: float) -> None:
    """Sweeps are not so frequent that they cost much, nor so rare that a clock is late by more than a part of its time."""
    config = Config(timeout_idle=shortest, timeout_linger=max(2.0, shortest))
    assert least <= tick(config) <= most

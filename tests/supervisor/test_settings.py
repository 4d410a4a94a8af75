"""Options as the supervisor needs them."""

import json
from pathlib import Path

import pytest

from bide import Config
from bide.errors import ConfigError
from bide.policy.recycling import WorkerLimits
from bide.policy.staffing import FOREVER, Bounds
from bide.supervisor import settings
from bide.supervisor.settings import RELOAD_DRAIN_S, address, at_address, has_moved, renewed, supervisor_settings
from bide.supervisor.watch import Watched


def test_settings_follow_the_options() -> None:
    found = supervisor_settings(
        Config(
            workers=3,
            port=81,
            timeout_start=1.0,
            timeout_blocked=2.0,
            drain_timeout=9.0,
            drain_delay=4.0,
            close_for=("path:/x",),
        )
    )
    assert found.wanted == 3
    assert found.listening.port == 81
    assert found.bounds == Bounds(1.0, 2.0, 9.0)
    assert found.drain_delay == 4.0
    assert supervisor_settings(Config(timeout_blocked=0)).bounds.blocked == FOREVER


def test_limits_of_a_worker_follow_the_options() -> None:
    found = supervisor_settings(Config(limit_worker_requests=9, limit_worker_age=60.0, limit_worker_memory=1 << 20))
    assert found.limits == WorkerLimits(9, 60.0, 1 << 20)


def test_files_are_watched_in_development(monkeypatch: pytest.MonkeyPatch) -> None:
    assert supervisor_settings(Config()).watched is None
    found = supervisor_settings(Config(reload=True, app_dir="src", reload_include=("*.html",), reload_delay=0.5))
    assert found.watched == Watched((str(Path("src").resolve()),), ("*.html",), (), 0.5)
    assert found.bounds == Bounds(300.0, FOREVER, RELOAD_DRAIN_S), "a debugger may stop the worker"
    assert supervisor_settings(Config(reload=True)).watched == Watched((str(Path.cwd()),), (), (), 0.25)
    other = supervisor_settings(Config(reload=True, app_dir="src", reload_dir=("a", "b"), reload_exclude=("x",)))
    assert other.watched == Watched((str(Path("a").resolve()), str(Path("b").resolve())), (), ("x",), 0.25)


def test_workers_without_a_number_are_as_many_as_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "processors", lambda: 7)
    assert supervisor_settings(Config(workers=0))[3:5] == (7, 7)
    assert supervisor_settings(Config(workers=3))[3:5] == (3, 7)


def test_log_files_of_workers_are_those_of_the_supervisors_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = supervisor_settings(Config(log_file="log", access_log_file="-"))
    assert found.options["log_file"] == str(tmp_path / "log")
    assert found.options["access_log_file"] == "-"


def test_options_that_take_a_restart_stay_and_are_named() -> None:
    before = supervisor_settings(Config(workers=4, port=81, uds="/run/x"))
    after, kept = renewed(before, Config(workers=1, port=82, uds="/run/y", limit_head=70_000), may_move=False)
    assert kept == ["port", "uds"]
    assert after.listening == before.listening
    assert not has_moved(before, after)
    assert (after.wanted, after.options["limit_head"]) == (1, 70_000)
    assert Config(**after.options).is_supervised, "a single worker, too"


def test_options_that_do_not_fit_those_that_stay_raise() -> None:
    before = supervisor_settings(Config(uds="/run/x", uds_mode="660"))
    with pytest.raises(ConfigError, match="redirect_http must be given with ssl_certfile"):
        renewed(supervisor_settings(Config(ssl_certfile="c", redirect_http=80)), Config(), may_move=True)
    assert renewed(before, Config(), may_move=False)[1] == ["uds", "uds_mode"]


def test_address_may_change_with_the_access_to_it() -> None:
    before = supervisor_settings(Config(uds="/run/x", uds_mode="660"))
    after, kept = renewed(before, Config(uds="/run/y", uds_mode="600", backlog=9), may_move=True)
    assert kept == ["backlog"]
    assert (after.listening.uds, after.listening.uds_mode) == ("/run/y", "600")
    assert has_moved(before, after)
    assert renewed(before, Config(uds="/run/x", uds_mode="600"), may_move=True)[1] == ["uds_mode"]
    assert at_address(before, address(after)).listening.uds == "/run/y"


def test_options_survive_a_message() -> None:
    config = Config(workers=3, close_for=("path:/x",), limit_worker_memory=1 << 30)
    again = Config(**json.loads(json.dumps(supervisor_settings(config).options)))
    assert supervisor_settings(again)[1:] == supervisor_settings(config)[1:]

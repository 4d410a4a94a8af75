"""How many processors may be used: by affinity, and by the quota of a control group."""

import os
from pathlib import Path

import pytest

from bide.supervisor.processors import processors

HERE = 8


@pytest.fixture(autouse=True)
def _affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(HERE)), raising=False)


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_processors_without_a_control_group_are_those_of_the_affinity(tmp_path: Path) -> None:
    assert processors(tmp_path) == HERE


def test_processors_where_the_system_knows_no_affinity_are_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processors(tmp_path) == 1


@pytest.mark.parametrize(
    ("quota", "count"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("5000 100000", 1),
        ("max 100000", HERE),
        ("9900000 100000", HERE),
        ("nonsense", HERE),
        ("100000 0", HERE),
    ],
)
def test_quota_of_version_2_is_rounded_up(tmp_path: Path, quota: str, count: int) -> None:
    write(tmp_path, proc__self__cgroup="0::/a/b\n", **{"sys/fs/cgroup/a/b/cpu_DOT_max": quota})
    assert processors(tmp_path) == count


def test_least_quota_of_the_groups_above_counts(tmp_path: Path) -> None:
    write(
        tmp_path,
        proc__self__cgroup="0::/a/b\n",
        **{"sys/fs/cgroup/a/b/cpu_DOT_max": "max 100000", "sys/fs/cgroup/a/cpu_DOT_max": "300000 100000"},
    )
    assert processors(tmp_path) == 3


@pytest.mark.parametrize(("quota", "count"), [("300000", 3), ("-1", HERE)])
def test_quota_of_version_1_counts(tmp_path: Path, quota: str, count: int) -> None:
    write(
        tmp_path,
        proc__self__cgroup="4:memory:/x\n3:cpu,cpuacct:/x\n",
        **{
            "sys/fs/cgroup/cpu/x/cpu_DOT_cfs_quota_us": quota,
            "sys/fs/cgroup/cpu/x/cpu_DOT_cfs_period_us": "100000",
        },
    )
    assert processors(tmp_path) == count

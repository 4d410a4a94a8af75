"""How short a worker is of connections, descriptors, memory and time: measured with limits and instants that the test sets."""

import errno
import os
import resource
from typing import Final
from unittest.mock import MagicMock

import pytest

from bide.worker import pressure
from bide.worker.pressure import PressureMonitor, ResourceLimits, lowest_descriptor
from bide.worker.register import Register
from tests.support.managed import StubConnection

SOFT: Final = 1000
#: Descriptors of SOFT that are kept for the application: a tenth.
RESERVE: Final = 100

TICK: Final = 0.5
LAG: Final = 0.1
MEMORY: Final = 1 << 20
#: Sweeps that have to be late one after the other before lag counts.
LATE_SWEEPS: Final = 4


def limited_to(monkeypatch: pytest.MonkeyPatch, soft: int) -> None:
    """Have the system say that a process may have `soft` descriptors."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))


def in_use(monkeypatch: pytest.MonkeyPatch, descriptor: int) -> None:
    """Have the system say that `descriptor` is the lowest free one."""
    monkeypatch.setattr(pressure, "lowest_descriptor", lambda: descriptor)


# -- Limits -----------------------------------------------------------------------------------------------------------------


def test_limits_by_default_are_what_descriptors_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    used = lowest_descriptor()
    limited_to(monkeypatch, SOFT)
    limits = ResourceLimits(0, 0, LAG)
    assert limits.connections == SOFT - RESERVE - used
    assert limits.descriptors == SOFT - RESERVE // 2
    assert (limits.memory, limits.lag) == (0, LAG)


def test_limits_of_a_small_system_keep_a_least_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    limited_to(monkeypatch, 200)
    limits = ResourceLimits(0, 0, LAG)
    assert limits.descriptors == 200 - 32 // 2


def test_limits_of_a_system_without_room_allow_one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    used = lowest_descriptor()
    limited_to(monkeypatch, 1)
    limits = ResourceLimits(0, 0, LAG)
    assert (limits.connections, limits.descriptors) == (1, used + 1)


def test_limits_of_an_unlimited_system_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    used = lowest_descriptor()
    limited_to(monkeypatch, resource.RLIM_INFINITY)
    assert ResourceLimits(0, 0, LAG).connections == 900_000 - used


def test_limits_that_are_configured_hold_whatever_descriptors_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    limited_to(monkeypatch, SOFT)
    limits = ResourceLimits(5000, MEMORY, LAG)
    assert (limits.connections, limits.memory) == (5000, MEMORY)


def test_limits_that_are_configured_are_bounded() -> None:
    assert ResourceLimits(2_000_000, 0, LAG).connections == 1_000_000


# -- Descriptors ------------------------------------------------------------------------------------------------------------


def test_lowest_descriptor_is_the_next_one_to_be_opened() -> None:
    expected = os.open(os.devnull, os.O_RDONLY)
    os.close(expected)
    assert lowest_descriptor() == expected
    assert lowest_descriptor() == expected, "it is not kept"


def test_lowest_descriptor_is_the_first_gap_and_is_not_kept() -> None:
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(5)]
    gap = held.pop(1)
    os.close(gap)
    try:
        for _ in range(2):
            assert lowest_descriptor() == gap
    finally:
        for descriptor in held:
            os.close(descriptor)


def test_lowest_descriptor_with_none_free_is_the_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = lowest_descriptor() - 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        assert lowest_descriptor() == limit
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_lowest_descriptor_without_a_free_one_is_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    limited_to(monkeypatch, SOFT)
    monkeypatch.setattr(os, "open", exhausted)
    assert lowest_descriptor() == SOFT


# -- The monitor ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> ResourceLimits:
    """Return limits of 10 connections and 950 descriptors, none of which is in use."""
    limited_to(monkeypatch, SOFT)
    in_use(monkeypatch, 0)
    return ResourceLimits(10, 0, LAG)


def register_of(count: int) -> Register:
    register = Register()
    for _ in range(count):
        register.add(StubConnection())
    return register


def test_pressure_of_an_empty_worker_is_none(limits: ResourceLimits) -> None:
    monitor = PressureMonitor(limits, Register())
    assert (monitor.pressure, monitor.lag) == (0.0, 0.0)
    assert monitor.measure(100.0, TICK) == 0.0
    assert not monitor.is_short_of_descriptors


def test_pressure_of_connections_is_their_share_of_the_limit(limits: ResourceLimits) -> None:
    monitor = PressureMonitor(limits, register_of(7))
    assert monitor.measure(100.0, TICK) == pytest.approx(0.7)
    assert monitor.pressure == pytest.approx(0.7)


def test_pressure_of_connections_counts_those_of_other_workers(limits: ResourceLimits) -> None:
    share = MagicMock()
    share.others.return_value = 2
    monitor = PressureMonitor(limits, register_of(7), share)
    assert monitor.measure(100.0, TICK) == pytest.approx(0.9)


def test_pressure_of_descriptors_is_their_share_of_the_limit(
    limits: ResourceLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = PressureMonitor(limits, Register())
    in_use(monkeypatch, limits.descriptors - 1)
    monitor.measure(100.0, TICK)
    assert monitor.descriptor == limits.descriptors - 1
    assert not monitor.is_short_of_descriptors
    in_use(monkeypatch, limits.descriptors)
    assert monitor.measure(100.0 + TICK, TICK) == 1.0
    assert monitor.is_short_of_descriptors


def test_pressure_of_memory_is_its_share_of_the_limit(monkeypatch: pytest.MonkeyPatch, limits: ResourceLimits) -> None:
    monkeypatch.setattr(pressure, "resident_memory", lambda: MEMORY // 2)
    limits.memory = MEMORY
    assert PressureMonitor(limits, Register()).measure(100.0, TICK) == 0.5


def test_memory_without_a_limit_is_not_measured(monkeypatch: pytest.MonkeyPatch, limits: ResourceLimits) -> None:
    def measured() -> int:
        raise AssertionError("reading it costs a system call or three")

    monkeypatch.setattr(pressure, "resident_memory", measured)
    assert PressureMonitor(limits, Register()).measure(100.0, TICK) == 0.0


def test_pressure_is_that_of_the_scarcest_resource(monkeypatch: pytest.MonkeyPatch, limits: ResourceLimits) -> None:
    monkeypatch.setattr(pressure, "resident_memory", lambda: MEMORY // 2)
    limits.memory = MEMORY
    assert PressureMonitor(limits, register_of(3)).measure(100.0, TICK) == 0.5
    assert PressureMonitor(limits, register_of(8)).measure(100.0, TICK) == pytest.approx(0.8)


def test_lag_is_by_how_much_the_last_sweep_was_late(limits: ResourceLimits) -> None:
    monitor = PressureMonitor(limits, Register())
    monitor.measure(100.0, TICK)
    assert monitor.lag == 0.0, "the first sweep is due when it comes"
    monitor.measure(100.75, TICK)
    assert monitor.lag == 0.25
    monitor.measure(101.0, TICK)
    assert monitor.lag == 0.0, "a sweep that comes early is not late"


def test_lag_of_single_sweeps_is_no_pressure(limits: ResourceLimits) -> None:
    monitor = PressureMonitor(limits, Register())
    now = 100.0
    measured = []
    for late in (0.0, *[1.0] * (LATE_SWEEPS - 1), 0.0, *[1.0] * (LATE_SWEEPS - 1)):
        now += late
        measured.append(monitor.measure(now, TICK))
        now += TICK
    assert set(measured) == {0.0}


def test_lag_of_every_sweep_is_pressure_by_the_least_of_it(limits: ResourceLimits) -> None:
    monitor = PressureMonitor(limits, Register())
    now = 100.0
    monitor.measure(now, TICK)
    for late in (1.0, 0.05, 2.0, 1.0):
        now += TICK + late
        monitor.measure(now, TICK)
    assert monitor.pressure == pytest.approx(0.05 / LAG)


# -- Memory -----------------------------------------------------------------------------------------------------------------


def test_memory_is_a_whole_number_of_resident_pages() -> None:
    if not os.path.exists("/proc/self/statm"):  # noqa: PTH110
        pytest.skip("this system has no /proc/self/statm")
    memory = pressure.resident_memory()
    assert memory % resource.getpagesize() == 0
    assert MEMORY < memory < 1 << 40


def test_memory_on_a_system_that_does_not_tell_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> int:
        raise FileNotFoundError

    monkeypatch.setattr(pressure, "open", missing, raising=False)
    assert pressure.resident_memory() == 0

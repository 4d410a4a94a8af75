"""The idle timeout: as configured, under pressure, in a drain."""

import pytest

from bide.policy.admission import HIGH, LOW
from bide.session.idle import IdleTimeout

CONFIGURED = 75.0
LEAST = 5.0
DRAIN = 2.0


def idle_timeout() -> IdleTimeout:
    return IdleTimeout(CONFIGURED, LEAST)


def test_idle_timeout_without_pressure_is_as_configured() -> None:
    idle = idle_timeout()
    assert (idle.longest, idle.held, idle.cut) == (CONFIGURED, CONFIGURED, 0.0)


@pytest.mark.parametrize(
    ("pressure", "held"), [(0.0, CONFIGURED), (LOW, CONFIGURED), ((LOW + HIGH) / 2, 40.0), (HIGH, LEAST), (2.0, LEAST)]
)
def test_idle_timeout_under_pressure_is_cut_down_to_the_least(pressure: float, held: float) -> None:
    idle = idle_timeout()
    idle.pressure_measured(pressure)
    assert idle.held == pytest.approx(held)
    assert idle.cut == pytest.approx(CONFIGURED - held)
    assert idle.longest == CONFIGURED, "deadlines are set by it, and cut later"


def test_idle_timeout_after_pressure_is_as_configured_again() -> None:
    idle = idle_timeout()
    idle.pressure_measured(1.0)
    idle.pressure_measured(0.0)
    assert idle.cut == 0.0


@pytest.mark.parametrize("pressure", [0.0, 1.0])
def test_idle_timeout_in_a_drain_is_short_whatever_the_pressure(pressure: float) -> None:
    idle = idle_timeout()
    idle.shorten(DRAIN)
    idle.pressure_measured(pressure)
    assert (idle.longest, idle.held, idle.cut) == (DRAIN, DRAIN, 0.0)


def test_idle_timeout_below_that_of_a_drain_is_kept() -> None:
    idle = idle_timeout()
    idle.shorten(2 * CONFIGURED)
    assert idle.longest == CONFIGURED


def test_advertised_timeout_is_a_second_less_than_is_held() -> None:
    idle = idle_timeout()
    assert idle.advertised == 74
    idle.pressure_measured(1.0)
    assert idle.advertised == 4

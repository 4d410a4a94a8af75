"""Options and sockets by generation: who gets which, and when they are let go of."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from bide import Config
from bide.errors import ListenError
from bide.supervisor.epochs import Bound, Epochs
from bide.supervisor.settings import SupervisorSettings, supervisor_settings


def at(path: Path, head: int = 70_000) -> SupervisorSettings:
    return supervisor_settings(Config(uds=str(path), limit_head=head))


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return tmp_path / "one"


@pytest.fixture
def two(tmp_path: Path) -> Path:
    return tmp_path / "two"


@pytest.fixture
def epochs(one: Path) -> Epochs:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(one))
    return Epochs(at(one), Bound([sock], str(one)))


def test_generation_has_what_its_reload_has_read(epochs: Epochs, one: Path) -> None:
    epochs.begin(3, at(one, 80_000))
    assert [epochs.of(number).settings.options["limit_head"] for number in (1, 2, 3, 4)] == [70_000] * 2 + [80_000] * 2
    assert epochs.of(1).bound is epochs.of(3).bound
    assert not epochs.has_moved
    epochs.close()


def test_other_address_has_sockets_of_its_own_until_nobody_needs_the_one_of_before(
    epochs: Epochs, one: Path, two: Path
) -> None:
    epochs.begin(2, at(two))
    assert epochs.has_moved
    assert [sock.getsockname() for sock in epochs.current.bound.opened] == [str(two)]
    before = epochs.of(1).bound
    epochs.keep([1, 2])
    assert len(before.opened) == 1
    assert one.exists()
    epochs.keep([2])
    assert len(before.opened) == 0
    assert not one.exists()
    assert epochs.of(1).bound is epochs.current.bound, "none are at another address"
    assert epochs.of(1) is epochs.current
    epochs.close()
    assert epochs.current.bound.opened == []
    assert two.exists()
    epochs.remove_paths()
    assert not two.exists()


def test_reload_that_failed_leaves_no_sockets(epochs: Epochs, one: Path, two: Path) -> None:
    epochs.begin(2, at(two))
    epochs.begin(3, at(two, 80_000))
    given_up = epochs.current.bound
    assert epochs.fall_back(2)
    assert given_up.opened, "the second one has them, too"
    assert epochs.fall_back(1)
    assert not given_up.opened
    assert not two.exists()
    assert epochs.current.settings.listening.uds == str(one)
    assert not epochs.fall_back(1)
    assert not epochs.fall_back(0), "the first one stays"
    epochs.close()


def test_last_worker_at_an_address_of_before_leaves_it(epochs: Epochs, one: Path, two: Path) -> None:
    assert not epochs.leave(1, []), "it is not one of before"
    epochs.begin(2, at(one, 80_000))
    epochs.begin(3, at(two))
    before = epochs.of(1).bound
    assert not epochs.leave(1, [2, 3]), "the second one serves there"
    assert before.opened
    assert epochs.leave(1, [3])
    assert not before.opened
    assert not one.exists()
    epochs.close()
    epochs.remove_paths()


def test_address_that_cannot_be_bound_changes_nothing(epochs: Epochs, tmp_path: Path) -> None:
    before = epochs.current
    with pytest.raises(ListenError, match="make its folder first"):
        epochs.begin(2, at(tmp_path / "no" / "socket"))
    assert epochs.current is before
    epochs.close()


def test_name_is_removed_once(one: Path) -> None:
    one.touch()
    bound = Bound([], str(one))
    bound.remove_path()
    one.touch()
    bound.remove_path()
    assert one.exists()
    Bound([], None).remove_path()
    bound.remove_path()

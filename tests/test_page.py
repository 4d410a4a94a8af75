"""The page of counts: each process writes its own place, and reads the others'."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bide.page import PLACES, Page, new_page

NOW = 1000.0


class Pages:
    """A page, as the supervisor and three workers have it mapped."""

    def __init__(self) -> None:
        self.descriptor = new_page()
        self.supervisor, *self.workers = (Page(self.descriptor, number) for number in range(4))
        for number in (1, 2, 3):
            self.supervisor.clear(number)

    def close(self) -> None:
        for page in (self.supervisor, *self.workers):
            page.close()
        os.close(self.descriptor)


@pytest.fixture
def pages() -> Iterator[Pages]:
    made = Pages()
    yield made
    made.close()


def test_new_page_has_no_name_and_is_not_inherited() -> None:
    descriptor = new_page()
    assert os.fstat(descriptor).st_nlink == 0
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_worker_sees_others_that_turn(pages: Pages) -> None:
    one, two, three = pages.workers
    assert one.load(5, NOW) == (5, 5.0), "nobody else turns yet"
    two.hold(3)
    two.sweep(NOW)
    three.hold(10)
    three.sweep(NOW - 0.9)
    assert one.load(5, NOW) == (3, 6.0)
    assert one.load(2, NOW) == (2, 5.0)
    assert one.load(5, NOW + 0.2) == (3, 4.0), "the third has not swept for a second"
    two.leave()
    assert one.load(5, NOW + 0.2) == (5, 5.0)
    assert one.others() == 13, "they are still held"


def test_place_of_a_worker_that_is_gone_is_empty(pages: Pages) -> None:
    one, two, _ = pages.workers
    two.hold(3)
    two.sweep(NOW)
    pages.supervisor.clear(2)
    assert one.load(5, NOW) == (5, 5.0)
    assert one.others() == 0


def test_supervisor_says_whether_the_fleet_is_settled(pages: Pages) -> None:
    one = pages.workers[0]
    assert not one.is_settled()
    pages.supervisor.settle(True)
    assert one.is_settled()
    pages.supervisor.settle(False)
    assert not one.is_settled()


def test_last_place_can_be_used(pages: Pages) -> None:
    pages.supervisor.clear(PLACES - 1)
    last = Page(pages.descriptor, PLACES - 1)
    last.hold(7)
    assert pages.workers[0].others() == 7
    last.close()


def test_other_process_writes_into_the_same_page(pages: Pages) -> None:
    code = f"from bide.page import Page; Page({pages.descriptor}, 2).hold(42)"
    subprocess.run([sys.executable, "-c", code], pass_fds=[pages.descriptor], check=True)
    assert pages.workers[0].others() == 42

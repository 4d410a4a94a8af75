"""A worker beside others: what it tells them, and what follows from what they tell."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from bide.page import Page, new_page
from bide.worker.share import Share

NOW = 500.0


class Others:
    """The page of a server, on which the test plays supervisor and other workers."""

    def __init__(self, *held: int) -> None:
        self.descriptor = new_page()
        self.page = Page(self.descriptor)
        self.pages = [self.page]
        for number, connections in enumerate((0, *held), 1):
            self.page.clear(number)
            if number > 1:
                other = Page(self.descriptor, number)
                other.hold(connections)
                other.sweep(NOW)
                self.pages.append(other)
        self.page.settle(True)
        self.swept: list[float] = []

    def share(self, mine: int, **options: Any) -> Share:
        """Return the share of worker 1."""
        self.pages.append(Page(self.descriptor, 1))
        share = Share((), self.swept.append, self.pages[-1], clock=lambda: NOW, **options)
        share.held(mine)
        return share

    def close(self) -> None:
        for page in self.pages:
            page.close()
        os.close(self.descriptor)


@pytest.fixture
def others() -> Iterator[Others]:
    made = Others(10, 20)
    yield made
    made.close()


@pytest.mark.parametrize(("mine", "is_heavy"), [(0, False), (11, False), (12, True)])
def test_worker_with_more_than_the_least_is_heavy(others: Others, mine: int, is_heavy: bool) -> None:
    assert others.share(mine).is_heavy() is is_heavy


def test_worker_alone_is_never_heavy() -> None:
    alone = Others()
    assert not alone.share(1000).is_heavy()
    alone.close()


def test_worker_tells_others_what_it_holds_until_it_leaves(others: Others) -> None:
    share = others.share(3)
    share.swept(NOW)
    other = others.pages[1]
    assert other.load(10, NOW) == (3, 11)
    share.held(6)
    assert other.load(10, NOW) == (6, 12)
    share.leave()
    assert other.load(10, NOW) == (10, 15)
    assert other.others() == 26


def test_sweeps_are_told(others: Others) -> None:
    share = others.share(3)
    share.swept(NOW)
    share.swept(NOW + 0.5)
    assert others.swept == [NOW, NOW + 0.5]


def test_surplus_is_given_up_once_in_a_while(others: Others) -> None:
    share = others.share(30)
    assert share.swept(NOW) == 10
    assert share.swept(NOW + 0.5) == 0, "those that were told need a moment to connect anew"
    others.pages[1].sweep(NOW + 1.0)
    others.pages[2].sweep(NOW + 1.0)
    assert share.swept(NOW + 1.0) == 10


def test_nothing_is_given_up_while_workers_start_or_if_it_is_switched_off(others: Others) -> None:
    assert others.share(30, may_rebalance=False).swept(NOW) == 0
    others.page.settle(False)
    share = others.share(30)
    assert share.swept(NOW) == 0
    others.page.settle(True)
    assert share.swept(NOW) == 10


def test_connections_of_others_count_if_the_limit_is_that_of_all(others: Others) -> None:
    assert others.share(30).others() == 0
    assert others.share(30, shares_limit=True).others() == 30


def test_sockets_are_kept(others: Others) -> None:
    with socket.socket() as one:
        share = Share([one], others.swept.append, others.pages[1])
        assert one in share.ours

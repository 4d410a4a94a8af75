"""Remembers whether a peer reuses its connections."""

from bide.session.peers import Peers


def test_unknown_peer_may_gain() -> None:
    assert not Peers().rarely_reuse("a")


def test_peer_of_single_requests_gains_little() -> None:
    peers = Peers()
    for _ in range(3):
        peers.learn("a", 1)
    assert not peers.rarely_reuse("a"), "three may be chance"
    peers.learn("a", 1)
    assert peers.rarely_reuse("a")
    assert not peers.rarely_reuse("b")


def test_peer_that_reuses_connections_gains() -> None:
    peers = Peers()
    for served in (1, 1, 1, 2):
        peers.learn("a", served)
    assert not peers.rarely_reuse("a")


def test_peer_whose_habits_change_is_judged_anew() -> None:
    peers = Peers()
    for _ in range(1000):
        peers.learn("a", 1)
    assert peers.rarely_reuse("a")
    peers.learn("a", 50)
    assert not peers.rarely_reuse("a")
    for _ in range(300):
        peers.learn("a", 1)
    assert peers.rarely_reuse("a"), "after a long time of single requests again"

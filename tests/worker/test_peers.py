"""What is remembered of peers."""

from bide.worker.peers import Peers


def test_unknown() -> None:
    assert not Peers().gain_little("a")


def test_one_request_each() -> None:
    peers = Peers()
    for _ in range(3):
        peers.learn("a", 1)
    assert not peers.gain_little("a"), "three may be chance"
    peers.learn("a", 1)
    assert peers.gain_little("a")
    assert not peers.gain_little("b")


def test_reuse() -> None:
    peers = Peers()
    for served in (1, 1, 1, 2):
        peers.learn("a", served)
    assert not peers.gain_little("a")


def test_habits_change() -> None:
    peers = Peers()
    for _ in range(1000):
        peers.learn("a", 1)
    assert peers.gain_little("a")
    peers.learn("a", 50)
    assert not peers.gain_little("a")
    for _ in range(300):
        peers.learn("a", 1)
    assert peers.gain_little("a"), "after a long time of single requests again"

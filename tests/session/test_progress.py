"""Follows the progress of octets, and says by when more must come."""

from bide.session.progress import Progress, SendProgress


def test_deadline_follows_octets_and_pauses() -> None:
    progress = Progress(100.0)
    assert progress.deadline(30.0, 5.0, 0.0) == 130.0
    assert progress.deadline(30.0, 5.0, 240.0) == 130.0, "nothing came that could be too slow"
    progress.advance(110.0, 2400)
    assert progress.deadline(30.0, 5.0, 240.0) == 140.0, "2400 octets are good for ten seconds"
    progress.exclude(50.0)
    assert progress.deadline(30.0, 5.0, 240.0) == 190.0, "nobody waited for fifty seconds"
    progress.advance(161.0, 0)
    assert progress.deadline(30.0, 5.0, 240.0) == 161.0, "too slow"
    progress.advance(161.0, 0, 160.0)
    assert progress.deadline(30.0, 5.0, 240.0) == 191.0, "they may have come in time"
    progress.exclude(10.0)
    assert progress.deadline(30.0, 5.0, 240.0) == 201.0


def test_octets_taken_by_the_client_are_progress() -> None:
    """Progress is the fall of what is unsent. Octets written meanwhile are no step back."""
    progress = SendProgress(100.0, 5000)
    progress.look(101.0, 4000)
    assert (progress.octets, progress.last) == (1000, 101.0)
    progress.look(102.0, 6000)
    assert (progress.octets, progress.last) == (1000, 101.0)
    progress.look(103.0, 5500)
    assert (progress.octets, progress.last) == (1500, 103.0)
    progress.look(110.0, 5400, 104.0)
    assert (progress.octets, progress.came, progress.last) == (1600, 104.0, 110.0)
    progress.look(111.0, 5300, 112.0)
    assert (progress.octets, progress.came, progress.last) == (1700, 111.0, 111.0)

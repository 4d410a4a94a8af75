"""What a worker has in common with others. How a worker uses it: `test_worker.py`."""

import socket

from bide.worker.share import Share


def test_share_holds_sockets_and_what_is_told_of_sweeps() -> None:
    swept: list[float] = []
    with socket.socket() as one, socket.socket() as other:
        share = Share([one], swept.append)
        share.swept(1.5)
        assert one in share.ours
        assert other not in share.ours
    assert swept == [1.5]

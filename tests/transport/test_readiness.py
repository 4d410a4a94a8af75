"""The poll object of this system has the methods that the poller calls, and tells what is ready until it is done."""

import socket

from bide.transport.readiness import READS, WRITES, new_poll


def test_poll_tells_what_is_ready_as_long_as_it_is() -> None:
    poll = new_poll()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fd = ours.fileno()
        poll.register(fd, READS)
        assert poll.poll(0, 8) == []
        theirs.send(b"x")
        for _ in range(2):
            assert poll.poll(0, 8) == [(fd, READS)]
        poll.modify(fd, WRITES)
        assert poll.poll(0, 8) == [(fd, WRITES)]
        poll.modify(fd, 0)
        assert poll.poll(0, 8) == []
        poll.unregister(fd)
        poll.register(fd, READS)
        assert poll.poll(0, 8) == [(fd, READS)]
        theirs.close()
        ((_, events),) = poll.poll(0, 8)
        assert events & ~WRITES
    assert not poll.closed
    poll.close()
    assert poll.closed

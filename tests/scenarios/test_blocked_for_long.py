"""A clock never fires on octets that arrived in time while the loop was blocked (9.5).

1. 100 connections are idle, with an allowance of 2 s.
2. An application blocks the loop for 3 s. Within the first second all of them send a request.
3. All 100 are answered. None is ended; nothing is counted as lost.
"""

import contextlib
import time

from tests.support.abuse import balanced
from tests.support.apps import slow
from tests.support.server import Serve

IDLE = 2.0
BLOCKED = 3.0
CLIENTS = 100


def test_requests_within_their_time(serve: Serve) -> None:
    server = serve(slow, timeout_idle=IDLE)
    with contextlib.ExitStack() as stack:
        blocker = stack.enter_context(server.client())
        clients = [stack.enter_context(server.client()) for _ in range(CLIENTS)]
        for client in clients:
            client.get()
        started = time.monotonic()
        blocker.ask(f"/block/{BLOCKED}")
        time.sleep(0.3)
        for client in clients:
            client.ask()
        assert time.monotonic() - started < IDLE, "our machine is too busy: the clocks ran out before"
        assert blocker.response().status == 200
        assert time.monotonic() - started >= BLOCKED
        for client in clients:
            response = client.response()
            assert response.content == b"hello\n"
            assert not response.says_close
        snapshot = balanced(server)
        assert not sum(snapshot["closed"].values())
        assert snapshot["race_lost"] == 0
    assert server.ends() == {"client_eof_idle": CLIENTS + 1}

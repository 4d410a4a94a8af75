"""Room is needed, and the longest idle connection has just asked something: another one makes room (9.5).

1. All slots are taken by idle connections, and the loop is blocked.
2. A newcomer connects, and a request arrives on the connection that has been idle for longest.
3. The loop goes on: both are answered. The next longest idle connection has made room.
"""

import contextlib
import time

from tests.support.apps import slow
from tests.support.server import Serve


def test_one_whose_request_is_on_its_way_is_not_shed(serve: Serve) -> None:
    """The loop is blocked when room is needed, and the longest idle connection has a request in its socket."""
    server = serve(slow, limit_connections=5)  # the last slot taken, the longest idle makes room for the next
    with contextlib.ExitStack() as stack:
        oldest, blocker, *others = [stack.enter_context(server.client()) for _ in range(4)]
        for client in (oldest, blocker, *others):
            client.get()
            time.sleep(0.01)
        blocker.ask("/block/0.4")
        time.sleep(0.1)
        newcomer = stack.enter_context(server.client())
        newcomer.ask()
        oldest.ask()
        assert newcomer.response().content == b"hello\n"
        assert oldest.response().content == b"hello\n"
        assert others[0].ending().how == "fin"

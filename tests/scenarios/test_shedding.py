"""Room is needed, and the longest idle connection has just asked something: another one makes room (9.5).

1. All slots are taken by idle connections, and the loop is blocked.
2. A newcomer connects, and a request arrives on the connection that has been idle for longest.
3. The loop goes on: both are answered. The next longest idle connection has made room.
4. Connections that have ended and linger, since their clients have not closed, make room first of all.
5. A connection between two exchanges is not idle if its next request has been received.
"""

import contextlib
import time

from bide.session.session import Session
from tests.support.apps import Blocking, Message, Receive, Send, answer, slow
from tests.support.client import request
from tests.support.server import Serve
from tests.support.waiting import pause

# Seconds; nobody waits for that.
LINGER = 20.0


def test_connection_with_a_request_on_its_way_is_not_shed(serve: Serve) -> None:
    """The loop is blocked when room is needed, and the longest idle connection has a request in its socket."""
    app = Blocking()
    server = serve(app, limit_connections=5)  # the last slot taken, the longest idle makes room for the next
    with contextlib.ExitStack() as stack:
        oldest, blocker, *others = [stack.enter_context(server.client()) for _ in range(4)]
        for client in (oldest, blocker, *others):
            client.get()
            pause(0.01)  # so that the order of their idle times is that of the clock, too
        with app.blocked(blocker.ask):
            newcomer = stack.enter_context(server.client())
            newcomer.ask("/newcomer")
            oldest.ask("/oldest")
        assert newcomer.response().content == b"/newcomer "
        assert oldest.response().content == b"/oldest "
        assert others[0].ending().how == "fin"


def test_connection_with_a_pipelined_request_is_not_shed(serve: Serve) -> None:
    """It reads slowly, so its pipelined requests wait; between two of them it would look idle."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, bytes(500_000))

    server = serve(app, limit_connections=4, limit_overflow=20)
    with contextlib.ExitStack() as stack:
        slow_readers = [stack.enter_context(server.client(receive_buffer=4096)) for _ in range(3)]
        for client in slow_readers:
            client.send(request("/") * 6)
        server.until(lambda: server.open == 3)
        for _ in range(10):
            stack.enter_context(server.client()).ask()
        for client in slow_readers:
            for _ in range(6):
                assert len(client.response().content) == 500_000


def test_connections_that_linger_are_shed_first(serve: Serve) -> None:
    """Their clients were told to close and do not. Nothing is owed to them, so they hold no slot."""
    server = serve(slow, limit_connections=6, timeout_linger=LINGER)
    with contextlib.ExitStack() as stack:
        idle = stack.enter_context(server.client())
        for _ in range(2):
            idle.get()
        for _ in range(3):
            done = stack.enter_context(server.client())
            assert done.get("/", "Connection: close").says_close
            assert done.ending().how == "fin"
        # An answer is safe once the client's kernel has acknowledged it, which may wait for 40 ms (RFC 1122, 4.2.3.2).
        server.until(
            lambda: (
                not any(
                    session._wire.unsent() for session in server.server.worker.register if isinstance(session, Session)
                )
            )
        )
        began = time.monotonic()
        newcomers = [stack.enter_context(server.client()) for _ in range(4)]
        for client in newcomers:
            client.ask("/0.3")
        for client in newcomers:
            assert client.response().status == 200
        assert time.monotonic() - began < LINGER / 2, "nobody waited for the lingering ones"
        assert idle.get().status == 200

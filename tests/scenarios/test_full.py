"""Every connection that the limits allow is taken: whoever asks is served all the same.

1. All slots are held by idle connections. Ten newcomers come: ten answers. The longest idle have made room, cleanly.
2. All slots are busy. Newcomers wait until one is free; they are neither refused nor reset.
3. Only where a bound for that is set, those beyond it are answered 503, with the time to come again.
4. It gets tight: idle connections are held for less and less time.
5. Descriptors run out before the limit: the same, and nothing in the log but one warning.
"""

import contextlib
import threading
import time

from tests.support.apps import hello, slow, target
from tests.support.client import Client
from tests.support.program import Launch, serving
from tests.support.server import Serve

WARNING = "every connection that the limit allows"


def test_idle_connections_make_room(serve: Serve) -> None:
    server = serve(target, limit_connections=20)
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(server.client()) for _ in range(20)]
        for client in idle:
            client.get("/idle")
        newcomers = [stack.enter_context(server.client()) for _ in range(10)]
        for number, client in enumerate(newcomers):
            client.ask(f"/{number}")
        for number, client in enumerate(newcomers):
            assert client.response().content == b"/%d" % number
        shed = server.until(lambda: server._ends().get("shed", 0) >= 10 and server._ends()["shed"])
        assert shed <= 20
        for client in idle[:10]:
            ending = client.ending()
            assert (ending.how, ending.rest) == ("fin", b"")
        for client in newcomers:
            assert client.get("/again").content == b"/again"
    server.log.asked_for.append(WARNING) if WARNING in str(server.log.messages()) else None
    assert set(server.ends()) <= {"shed", "client_eof_idle"}


def test_one_whose_request_is_on_its_way_is_not_shed(serve: Serve) -> None:
    """The loop is blocked when room is needed, and the longest idle connection has a request in its socket."""
    server = serve(slow, limit_connections=4)
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


def test_all_are_busy(serve: Serve) -> None:
    server = serve(slow, limit_connections=5)
    server.log.expect(WARNING)
    with contextlib.ExitStack() as stack:
        busy = [stack.enter_context(server.client()) for _ in range(5)]
        for client in busy:
            client.ask("/0.6")
        server.until(lambda: server.counters.opened == 5)
        newcomers = [stack.enter_context(Client(server.where)) for _ in range(5)]
        for client in newcomers:
            client.ask("/0")
        time.sleep(0.2)
        assert server.open <= 6
        for client in busy:
            assert client.response().content == b"late\n"
        for client in newcomers:
            assert client.response().content == b"hello\n"


def test_beyond_the_overflow(serve: Serve) -> None:
    server = serve(slow, limit_connections=3, limit_overflow=2)
    with contextlib.ExitStack() as stack:
        busy = [stack.enter_context(server.client()) for _ in range(3)]
        for client in busy:
            client.ask("/0.8")
        server.until(lambda: server.counters.opened == 3)
        refused = [stack.enter_context(server.client()) for _ in range(2)]
        for client in refused:
            response = client.get()
            assert response.status == 503
            assert int(response["retry-after"]) >= 1
            assert response.says_close
            assert client.ending().how == "fin"
        for client in busy:
            assert client.response().content == b"late\n"
        server.log.asked_for.extend([WARNING] if any(WARNING in line for line in server.log.messages()) else [])
    assert server.ends() == {"refused": 2, "client_eof_idle": 3}


def test_connections_of_one_peer(serve: Serve) -> None:
    server = serve(slow, limit_connections_per_peer=2)
    with contextlib.ExitStack() as stack:
        busy = [stack.enter_context(server.client()) for _ in range(2)]
        for client in busy:
            client.ask("/0.6")
        server.until(lambda: server.counters.opened == 2)
        with server.client() as third:
            assert third.get().status == 503
        for client in busy:
            assert client.response().content == b"late\n"
        # Now both are idle: one of them makes room.
        with server.client() as fourth:
            assert fourth.get().status == 200
    ends = server.ends()
    assert (ends["refused"], ends["shed"]) == (1, 1)


def test_idle_time_shrinks(serve: Serve) -> None:
    server = serve(hello, limit_connections=20, timeout_idle=30, timeout_idle_least=0.4, timeout_linger=0.3)
    with contextlib.ExitStack() as stack:
        few = [stack.enter_context(server.client()) for _ in range(10)]
        for client in few:
            client.get()
        assert few[0].silent_for(1.0), "nothing is short"
        many = [stack.enter_context(server.client()) for _ in range(9)]
        for client in many:
            client.get()
        started = time.monotonic()
        ends = [client.ending() for client in few]
        assert {ending.how for ending in ends} == {"fin"}
        assert min(ending.at for ending in ends) - started < 3
    assert server.ends()["idle_timeout"] >= 5


def test_descriptors_run_out(launch: Launch, loop: str) -> None:
    program = launch(*serving(loop, "apps:target", "--drain-idle", "0"), descriptors=100)
    clients: list[Client] = []
    try:
        where = program.where
        for number in range(150):
            clients.append(Client(where))
            clients[-1].ask(f"/{number}")
            assert clients[-1].response().content == b"/%d" % number
        assert sum(client.silent_for(0) for client in clients[-20:]) >= 15, "those who came last are still there"
    finally:
        for client in clients:
            client.close()
    program.signal()
    assert program.wait() == 0
    assert not [line for line in program.errors if "ERROR" in line or "Too many open files" in line]


def test_descriptors_run_out_and_all_are_busy(launch: Launch, loop: str) -> None:
    program = launch(*serving(loop, "apps:slow", "--drain-idle", "0"), descriptors=64)
    where = program.where
    answers: list[bytes] = []

    def ask() -> None:
        with Client(where, timeout=20) as client:
            answers.append(client.get("/0.3").content)

    threads = [threading.Thread(target=ask) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [b"late\n"] * 100
    program.signal()
    assert program.wait() == 0
    assert not [line for line in program.errors if "ERROR" in line or "Too many open files" in line]

"""A limit on connections locks out no client that asks something (9.5): idle connections make room, new ones wait, few are refused.

1. Every slot is held by an idle connection. Ten newcomers ask: ten answers. The longest idle were ended, few at a time.
2. Every slot is held by an exchange. Newcomers wait in the kernel's queue and are answered as slots become free; nobody gets 503.
3. The same where all newcomers arrive at once, while the loop is blocked.
4. With `limit_overflow`: up to that number are answered 503 with Retry-After at once; those beyond it wait.
5. With `limit_connections_per_peer`: one address cannot take all slots, others do not notice. A refused client that asks nothing
   is closed soon.
6. Under `ulimit -n 256`, 400 clients: all are answered, ten newcomers too; afterwards everything is as before. `bench.limits` measures
   that the process is at rest meanwhile, with the queue full and accepting paused.
7. Accepting pauses and goes on many times; the kernel's queue is never lost.
"""

import contextlib
import logging
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.abuse import Child, balanced, ended, kernel_sockets, queued
from tests.support.apps import Blocking, Gated, hello, slow
from tests.support.client import Client, Where
from tests.support.server import NOISE, Serve
from tests.support.waiting import until

LIMIT = 20
NEWCOMERS = 10
FULL = "accepting paused: "


def held(stack: contextlib.ExitStack, where: Where, count: int) -> list[Client]:
    """Return `count` clients. Their connections are idle, or were shed for later ones."""
    clients = []
    for _ in range(count):
        client = stack.enter_context(Client(where))
        assert client.get().status == 200
        clients.append(client)
    return clients


def test_newcomers_with_every_slot_idle_are_served(serve: Serve) -> None:
    # Under pressure the idle timeout falls, and on a busy machine it would end them before they are shed.
    server = serve(hello, limit_connections=LIMIT, timeout_idle_least=75.0)
    with contextlib.ExitStack() as stack:
        used = stack.enter_context(server.client(source="127.0.0.3"))
        used.get()
        clients = [stack.enter_context(server.client()) for _ in range(LIMIT - 2)]
        for client in [
            *clients,
            *clients,
        ]:  # twice: to peers that never reuse connections, close might be announced
            client.get()
        for _ in range(NEWCOMERS):
            used.get()  # never the longest idle
            newcomer = stack.enter_context(server.client())
            assert newcomer.get().status == 200
            assert newcomer.get().status == 200
            assert balanced(server)["opened"] <= LIMIT - 1 + NEWCOMERS
        assert used.get().status == 200
        # Those that had to go are those that were idle for longest, each ended cleanly.
        gone = [not client.silent_for(0.01) for client in clients]
        server.until(lambda: server.ends(wait=False)["shed"] >= sum(gone))  # counted once the wire is lost
        shed = server.ends(wait=False)["shed"]
        assert gone == [True] * shed + [False] * (len(clients) - shed)
        assert NEWCOMERS - 1 <= shed <= 2 * NEWCOMERS
        for client in clients[:shed]:
            ending = client.ending()
            assert (ending.how, ending.rest) == ("fin", b"")
    ends = server.ends()
    assert set(ends) == {"shed", "client_eof_idle"}


def test_newcomers_at_once_with_every_slot_idle_are_served(serve: Serve) -> None:
    server = serve(hello, limit_connections=LIMIT, timeout_idle_least=75.0)
    with contextlib.ExitStack() as stack:
        for _ in range(LIMIT):
            stack.enter_context(server.client()).get()
        newcomers = [stack.enter_context(server.client()) for _ in range(NEWCOMERS)]
        for client in newcomers:
            client.ask()
        for client in newcomers:
            response = client.response()
            assert response.status == 200
    server.ends()


def test_newcomers_with_every_slot_busy_wait(serve: Serve) -> None:
    app = Gated()
    server = serve(app, limit_connections=8)
    server.log.expect(FULL)
    with contextlib.ExitStack() as stack:
        busy = [stack.enter_context(server.client()) for _ in range(8)]
        for client in busy:
            client.ask("/wait")
        server.until(lambda: server.states()["exchange"] == 8)
        newcomers = [stack.enter_context(server.client()) for _ in range(NEWCOMERS)]
        for client in newcomers:
            client.ask()
        assert newcomers[0].silent_for(0.2)
        assert not server.snapshot()["accepting"]
        assert queued(server.where) >= 1
        server.call(app.gate.set)
        for client in [*busy, *newcomers]:
            assert client.response().status == 200
        assert server.until(lambda: server.snapshot()["accepting"])
        balanced(server)
    assert "refused" not in server.ends()


def test_burst_beyond_the_limit_is_served(serve: Serve) -> None:
    app = Blocking()
    server = serve(app, limit_connections=LIMIT)
    with contextlib.ExitStack() as stack:
        blocker = stack.enter_context(server.client())
        with app.blocked(blocker.ask):
            burst = [stack.enter_context(server.client()) for _ in range(3 * LIMIT)]
            for client in burst:
                client.ask()
        statuses = Counter(client.response().status for client in burst)
        assert statuses == {200: 3 * LIMIT}
        balanced(server)
        if server.log.messages(logging.WARNING):  # it may come to a pause, or not
            server.log.expect(FULL)
    assert "refused" not in server.ends()


def test_overflow_is_answered_503_with_retry_after(serve: Serve) -> None:
    """4 are served, 3 are told that there is no room, the next waits for one that leaves."""
    app = Gated()
    server = serve(app, limit_connections=4, limit_overflow=3)
    server.log.expect(FULL)
    with contextlib.ExitStack() as stack:
        busy = []
        for count in range(1, 5):
            busy.append(stack.enter_context(server.client()))
            busy[-1].ask("/wait")
            server.until(lambda count=count: server.states()["exchange"] == count)  # type: ignore[misc]
        refused = [stack.enter_context(server.client()) for _ in range(3)]
        for client in refused:
            response = client.get()
            assert response.status == 503
            assert int(response["retry-after"]) >= 1
            assert response.says_close
            assert client.ending().how == "fin"
        server.call(app.gate.set)
        for client in busy:
            assert client.response().status == 200
        for client in refused:
            client.close()
        late = stack.enter_context(server.client())
        assert late.get().status == 200
    ends = server.ends()
    assert ends["refused"] == 3


@pytest.mark.parametrize("options", [{"limit_connections_per_peer": 1}, {"limit_connections": 1, "limit_overflow": 1}])
def test_refused_connection_that_asks_nothing_ends_soon(serve: Serve, options: dict[str, int]) -> None:
    """A refused connection that asks nothing has the time of one that lingers."""
    app = Gated()
    server = serve(app, timeout_linger=0.5, **options)
    if "limit_overflow" in options:
        server.log.expect(FULL)
    with server.client() as busy:
        busy.ask("/wait")
        server.until(lambda: server.states()["exchange"])
        begun = time.monotonic()
        with server.client() as silent:
            ending = silent.ending()
            assert (ending.how, ending.rest) == ("fin", b"")
            assert 0.5 <= ending.at - begun <= 0.5 + NOISE
        server.call(app.gate.set)
        assert busy.response().status == 200
    ends = server.ends()
    assert ends == {"refused": 1, "client_eof_idle": 1}


def test_limit_per_peer_sheds_or_refuses_that_peer_only(serve: Serve) -> None:
    """Of one address 3 may be busy, a fourth is refused; idle ones of that address make room first; others are not concerned."""
    app = Gated()
    server = serve(app, limit_connections_per_peer=3)
    with contextlib.ExitStack() as stack:
        first = [stack.enter_context(server.client()) for _ in range(3)]
        elsewhere = stack.enter_context(server.client(source="127.0.0.9"))
        assert elsewhere.get().status == 200
        for client in first:
            assert client.get().status == 200
        fourth = stack.enter_context(server.client())
        assert fourth.get().status == 200
        assert first[0].ending().how == "fin"  # the longest idle of the three
        for client in (*first[1:], fourth):
            client.ask("/wait")
        server.until(lambda: server.states()["exchange"] == 3)
        fifth = stack.enter_context(server.client())
        response = fifth.get()
        assert response.status == 503
        assert "retry-after" in response
        assert stack.enter_context(server.client(source="127.0.0.9")).get().status == 200
        assert elsewhere.get().status == 200
        server.call(app.gate.set)
        for client in (*first[1:], fourth):
            assert client.response().status == 200
        balanced(server)
    ends = server.ends()
    assert (ends["shed"], ends["refused"]) == (1, 1)


def test_accepting_paused_again_and_again_loses_nobody(serve: Serve) -> None:
    """200 clients, each with a connection for a single slow request, through 4 slots: nobody is lost, and nobody is refused."""
    server = serve(slow, limit_connections=4)
    server.log.expect(FULL)
    outcomes: list[object] = []

    def run() -> None:
        for _ in range(25):
            try:
                with Client(server.where) as client:
                    outcomes.append(client.get("/0.005", "Connection: close").status)
            except Exception as error:
                outcomes.append(repr(error))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(outcomes) == {200: 200}
    assert server.ends() == {"client_close_option": 200}
    assert kernel_sockets(server.where) == 0


@pytest.mark.parametrize("together", [False, True])
def test_clients_beyond_the_descriptors_are_served(loop: str, together: bool, tmp_path: Path) -> None:
    """One after the other, or all of them within the moment in which the loop is blocked."""
    with Child(loop, nofile=256) as server:
        before = server.ask()
        with contextlib.ExitStack() as stack:
            if together:
                blocker = stack.enter_context(server.client())
                blocked = tmp_path / "blocked"
                blocked.touch()
                blocker.ask(f"/told/block{blocked}")
                server.begun(f"/told/block{blocked}")
                clients = [stack.enter_context(server.client()) for _ in range(400)]
                for client in clients:
                    client.ask()
                blocked.unlink()
                assert Counter(client.response().status for client in clients) == {200: 400}
            else:
                held(stack, server.where, 400)
            newcomers = [stack.enter_context(server.client()) for _ in range(NEWCOMERS)]
            for client in newcomers:
                assert client.get().status == 200
            now = server.ask()
            # Where it lasts until the next sweep: to a client that asks once for each connection, close is announced.
            assert "shed" in ended(now)
            assert set(ended(now)) <= {"shed", "pressure"}
            assert now["descriptors"] < 256
        after = server.empty()
        assert after["descriptors"] == before["descriptors"]
        assert after["tasks"] == before["tasks"]


def test_clients_with_every_descriptor_held_wait(loop: str) -> None:
    """400 clients hold half a head each: none is idle, so none makes room, and about 200 wait in the queue. Then they leave."""
    with Child(loop, nofile=256) as server:
        before = server.ask()
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(server.client()) for _ in range(400)]
            for client in clients:
                client.send(b"GET / HT")
            server.until(lambda now: not now["accepting"] and now["states"]["head"] > 150)
            until(lambda: queued(server.where) > 100)
            assert server.ask()["descriptors"] < 256
            waiting = stack.enter_context(server.client())
            waiting.ask()
            assert waiting.silent_for(0.2)
            for client in clients[:50]:
                client.close()
            for client in clients[50:]:
                client.send(b"TP/1.1\r\nHost: a\r\n\r\n")
            for client in clients[50:]:
                assert client.response().status == 200
            assert waiting.response().status == 200
        after = server.empty()
        assert after["accepting"]
        assert after["descriptors"] == before["descriptors"]
        assert after["tasks"] == before["tasks"]
        with contextlib.ExitStack() as stack:
            held(stack, server.where, NEWCOMERS)

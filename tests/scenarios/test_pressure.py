"""The scarcer a resource, the shorter the time of idle connections. Clients that ask are served all the same.

1. Connections fill up to 0.7, 0.8 and 0.9 of the limit: the effective idle timeout falls, and a snapshot shows it.
2. Idle connections end after what is left of their time, as `idle_timeout`. New ones, that have not asked yet, keep theirs.
3. Above 0.9, close is announced to peers whose connections carry one request each; to others it is not.
4. A loop that is late, and memory if it has a limit, count as well. One handler that blocks for long does not.
5. What is advertised follows.
6. All is as before when the pressure is gone.
"""

import asyncio
import contextlib
import time

import pytest

from tests.support.abuse import balanced
from tests.support.apps import Message, Receive, Send, hello, slow
from tests.support.client import Client
from tests.support.server import NOISE, Serve, Served
from tests.support.waiting import PATIENCE, pause

LIMIT = 40
IDLE = 20.0
LEAST = 0.6
# By how much a loop may be late, seconds: more than a busy machine makes it.
LAG = 0.2


def gauge(server: Served) -> tuple[float, float]:
    """Return pressure and effective idle timeout."""
    snapshot = server.snapshot()
    return snapshot["pressure"], snapshot["effective_idle_timeout"]


def fill(server: Served, stack: contextlib.ExitStack, clients: list[Client], count: int) -> None:
    """Connect until there are `count` clients, each busy for long."""
    while len(clients) < count:
        clients.append(stack.enter_context(server.client()))
        clients[-1].ask("/30")
    server.until(lambda: server.snapshot()["pressure"] >= count / LIMIT)


def test_pressure_of_connections_shortens_the_idle_timeout(serve: Serve) -> None:
    server = serve(slow, limit_connections=LIMIT, timeout_idle=IDLE, timeout_idle_least=LEAST, drain_timeout=0.1)
    server.log.expect("unfinished connections|cancelled")
    busy: list[Client] = []
    with contextlib.ExitStack() as stack:
        assert gauge(server)[1] == IDLE
        fill(server, stack, busy, 28)
        assert list(gauge(server)) == pytest.approx([0.7, IDLE])
        fill(server, stack, busy, 32)
        assert list(gauge(server)) == pytest.approx([0.8, (IDLE + LEAST) / 2])
        fill(server, stack, busy, 36)
        assert list(gauge(server)) == pytest.approx([0.9, LEAST])
        with server.client() as idle:
            started = time.monotonic()
            assert not idle.get().says_close
            assert idle.ending().how == "fin"
            assert LEAST <= time.monotonic() - started <= LEAST + NOISE
        for client in busy[20:]:
            client.reset()
        server.until(lambda: server.snapshot()["pressure"] < 0.7)
        assert gauge(server)[1] == IDLE
        with server.client() as idle:
            idle.get()
            assert idle.silent_for(LEAST + 0.3)
    server.stop()
    assert server.ends(wait=False)["idle_timeout"] == 1


def test_pressure_of_connections_leaves_newcomers_their_time(serve: Serve) -> None:
    server = serve(slow, limit_connections=LIMIT, timeout_idle=IDLE, timeout_idle_least=LEAST, drain_timeout=0.1)
    server.log.expect("unfinished connections|cancelled")
    with contextlib.ExitStack() as stack:
        fill(server, stack, [], 36)
        new = stack.enter_context(server.client())
        assert new.silent_for(LEAST + 0.7)
        assert new.get().status == 200
        balanced(server)


def test_pressure_announces_close_to_peers_that_do_not_reuse(serve: Serve) -> None:
    """Four connections with one request each teach the server that this peer does not reuse them."""
    server = serve(slow, limit_connections=LIMIT, timeout_idle=IDLE, timeout_idle_least=LEAST, drain_timeout=0.1)
    server.log.expect("unfinished connections|cancelled")
    for _ in range(6):
        with server.client() as client:
            assert not client.get().says_close
    server.ends()
    busy: list[Client] = []
    with contextlib.ExitStack() as stack:
        fill(server, stack, busy, 37)
        with server.client() as client:
            response = client.get()
            assert response.status == 200
            assert response.says_close
            assert client.ending().how == "fin"
    server.stop()
    assert server.ends(wait=False)["pressure"] == 1


def test_pressure_announces_no_close_to_peers_that_reuse(serve: Serve) -> None:
    server = serve(slow, limit_connections=LIMIT, timeout_idle=IDLE, timeout_idle_least=LEAST, drain_timeout=0.1)
    server.log.expect("unfinished connections|cancelled")
    for _ in range(6):
        with server.client() as client:
            for _ in range(3):
                assert not client.get().says_close
    server.ends()
    with contextlib.ExitStack() as stack:
        fill(server, stack, [], 37)
        with server.client() as client:
            for _ in range(3):
                assert not client.get().says_close


def test_loop_late_in_each_sweep_is_pressure(serve: Serve) -> None:
    """Many short blocks, as of too much work, make the loop late in every sweep."""
    server = serve(hello, timeout_idle=1.0, timeout_idle_least=0.5, lag_target=LAG)
    stop = False

    async def burden() -> None:
        while not stop:
            time.sleep(3 * LAG)  # noqa: ASYNC251  # this is what is tried
            await asyncio.sleep(0)

    assert gauge(server)[0] < 0.5
    running = asyncio.run_coroutine_threadsafe(burden(), server.loop)
    try:
        server.until(lambda: server.snapshot()["pressure"] >= 0.9)
        assert gauge(server)[1] < 1.0
    finally:
        stop = True
        running.result(PATIENCE)
    server.until(lambda: server.snapshot()["pressure"] < 0.7)
    assert gauge(server)[1] == 1.0


def test_loop_blocked_once_is_no_pressure(serve: Serve) -> None:
    server = serve(slow, timeout_idle=1.0, lag_target=LAG)
    highest = 0.0
    with server.client() as client:
        client.ask(f"/block/{3 * LAG}")
        client.response()
        until = time.monotonic() + 0.8
        while time.monotonic() < until:
            highest = max(highest, gauge(server)[0])
            pause(0.01)
    assert highest < 0.9


def test_memory_beyond_its_limit_is_pressure(serve: Serve) -> None:
    """A process holds more than the limit of a megabyte, so it is short of memory all the time. It serves on."""
    server = serve(hello, timeout_idle=IDLE, timeout_idle_least=LEAST, limit_memory=1_000_000)
    server.until(lambda: server.snapshot()["pressure"] > 1)
    with server.client() as client:
        started = time.monotonic()
        assert client.get().status == 200
        assert client.ending().how == "fin"
        assert LEAST <= time.monotonic() - started <= LEAST + NOISE
    assert server.ends() == {"idle_timeout": 1}


def test_keep_alive_timeout_advertised_follows_the_pressure(serve: Serve) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await slow(scope, receive, send)

    server = serve(
        app,
        limit_connections=LIMIT,
        timeout_idle=IDLE,
        timeout_idle_least=4.0,
        advertise_keep_alive=True,
        drain_timeout=0.1,
    )
    server.log.expect("unfinished connections|cancelled")
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(server.client())
        assert client.get()["keep-alive"] == "timeout=19"
        fill(server, stack, [], 36)
        assert client.get()["keep-alive"] == "timeout=3"

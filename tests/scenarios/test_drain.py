"""SIGTERM or SIGINT: everything in progress is finished, everybody is told, nothing is lost (9.3, 9.5).

1. A slow response is in progress, another connection is idle, and the signal comes.
2. New connections are refused; the response in progress completes, and announces close.
3. A request that comes a moment after the signal, on the idle connection, is answered, and the answer announces close.
4. The program ends with status 0 as soon as nothing is left, long before its deadline.
5. What never ends is cut at the deadline. A second signal stops at once.
"""

import signal
import time

import pytest

from tests.support.apps import slow
from tests.support.client import Client
from tests.support.program import Launch, serving
from tests.support.server import NOISE, Serve

SIGNALS = [signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize("number", SIGNALS)
def test_what_is_in_progress_is_finished(launch: Launch, loop: str, number: signal.Signals) -> None:
    program = launch(*serving(loop, "apps:slow"))
    with program.client() as busy, program.client() as idle, program.client() as unused:
        idle.get()
        busy.get()
        busy.ask("/1.0")
        time.sleep(0.2)
        stopped = program.signal(number)
        program.line("stopping")
        with pytest.raises(ConnectionRefusedError):
            Client(program.where)
        time.sleep(0.3)
        response = idle.get()
        assert response.content == b"hello\n"
        assert response.says_close
        assert idle.ending().how == "fin"
        response = busy.response()
        assert response.content == b"late\n"
        assert response.says_close
        assert busy.ending().how == "fin"
        unused.half_close()
    assert program.wait() == 0
    assert time.monotonic() - stopped < 10
    program.line("stopped")
    assert [line.partition("close=")[2] for line in program.output] == ["", "", "drain", "drain"]


def test_idle_connections_end_in_time(launch: Launch, loop: str) -> None:
    """Clients that keep their connections open hold nothing up: these are half-closed after drain_idle."""
    program = launch(*serving(loop, "apps:hello", "--drain-idle", "0.5", "--timeout-linger", "0.5"))
    clients = [program.client() for _ in range(10)]
    try:
        for client in clients[:5]:
            client.get()
        stopped = program.signal()
        ends = [client.ending() for client in clients]
        assert {(ending.how, ending.rest) for ending in ends} == {("fin", b"")}
        assert min(ending.at for ending in ends) >= stopped + 0.4
        assert program.wait() == 0
        assert time.monotonic() - stopped < 1.0 + NOISE
    finally:
        for client in clients:
            client.close()


def test_request_that_crosses_the_end_of_an_idle_connection(launch: Launch, loop: str) -> None:
    """It comes too late for an answer, but it meets no reset: the client sees a clean end and can ask elsewhere."""
    program = launch(*serving(loop, "apps:hello", "--drain-idle", "0.2"))
    with program.client() as client:
        client.get()
        program.signal()
        time.sleep(0.6)
        client.ask()
        ending = client.ending()
        assert (ending.how, ending.rest) == ("fin", b"")
    assert program.wait() == 0


@pytest.mark.parametrize("number", SIGNALS)
def test_second_signal_stops_at_once(launch: Launch, loop: str, number: signal.Signals) -> None:
    program = launch(*serving(loop, "apps:slow"))
    with program.client() as client:
        client.ask("/30")
        time.sleep(0.2)
        program.signal(number)
        program.line("stopping")
        assert client.silent_for(0.3)
        again = program.signal(number)
        assert program.wait() == 0
        assert time.monotonic() - again < NOISE


def test_nothing_to_wait_for(launch: Launch, loop: str) -> None:
    program = launch(*serving(loop))
    program.line("serving")
    stopped = program.signal()
    assert program.wait() == 0
    assert time.monotonic() - stopped < NOISE


def test_drain_within_a_program(serve: Serve) -> None:
    """The same without signals: leaving `async with bide.Server(...)` drains."""
    server = serve(slow, drain_idle=0.3)
    with server.client() as busy, server.client() as idle, server.client() as unused:
        idle.get()
        busy.ask("/0.5")
        server.until(lambda: server.counters.opened == 3)
        time.sleep(0.1)
        server.drain()
        assert busy.response().says_close
        assert busy.ending().how == "fin"
        assert idle.ending().how == "fin"
        assert unused.ending().how == "fin"
    server.stop()
    assert server._ends() == {"drain": 3}

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

from tests.support.client import Client, IncompleteError, request
from tests.support.program import Launch, serving
from tests.support.server import NOISE, Serve
from tests.support.apps import hello, slow

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


def test_stream_is_cut_at_the_deadline(launch: Launch, loop: str) -> None:
    program = launch(*serving(loop, "apps:stream", "--drain-timeout", "0.6"))
    with program.client() as client:
        client.ask("/1000/0.1")
        client.line()
        stopped = program.signal()
        with pytest.raises(IncompleteError):
            client.field_lines()
            while size := int(client.line(), 16):
                client.exactly(size + 2)
        assert time.monotonic() - stopped >= 0.55
    assert program.wait() == 0
    assert time.monotonic() - stopped < 0.6 + NOISE
    program.line("1 connections? w(as|ere) cut")


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


def test_accepting_goes_on_during_the_delay(launch: Launch, loop: str) -> None:
    """A load balancer needs some time to notice: until then newcomers are served."""
    program = launch(*serving(loop, "apps:hello", "--drain-delay", "0.8", "--drain-idle", "0"))
    with program.client() as client:
        client.get()
        stopped = program.signal()
        program.line("stopping")
        with program.client() as newcomer:
            assert newcomer.get().content == b"hello\n"
        assert program.wait() == 0
        assert time.monotonic() - stopped >= 0.75


def test_nothing_to_wait_for(launch: Launch, loop: str) -> None:
    program = launch(*serving(loop))
    program.line("serving")
    stopped = program.signal()
    assert program.wait() == 0
    assert time.monotonic() - stopped < NOISE


def test_requests_in_flight_when_the_listener_closes(launch: Launch, loop: str) -> None:
    """Connections that the kernel has accepted and the server has not are served too: their clients have connected."""
    program = launch(*serving(loop, "apps:slow"))
    with program.client() as blocker:
        blocker.ask("/block/0.5")
        time.sleep(0.1)
        waiting = [program.client() for _ in range(5)]
        try:
            for client in waiting:
                client.send(request())
            program.signal()
            assert blocker.response().content == b"late\n"
            for client in waiting:
                assert client.response().content == b"hello\n"
        finally:
            for client in waiting:
                client.close()
    assert program.wait() == 0


def test_drain_within_a_program(serve: Serve) -> None:
    """The same without signals: leaving `async with bide.Server(...)` drains."""
    server = serve(slow, drain_idle=0.3)
    with server.client() as busy, server.client() as idle, server.client() as unused:
        idle.get()
        busy.ask("/0.5")
        server.until(lambda: server.counters.opened == 3)
        time.sleep(0.1)
        server.loop.call_soon_threadsafe(server._stop.set)
        assert busy.response().says_close
        assert busy.ending().how == "fin"
        assert idle.ending().how == "fin"
        assert unused.ending().how == "fin"
    server.stop()
    assert server._ends() == {"drain": 3}


def test_new_connections_during_the_delay_are_told(serve: Serve) -> None:
    server = serve(hello, drain_delay=0.5)
    with server.client() as before:
        before.get()
        server.loop.call_soon_threadsafe(server._stop.set)
        time.sleep(0.1)
        with server.client() as newcomer:
            assert newcomer.get().content == b"hello\n"
    server.stop()

"""SIGTERM, SIGINT, SIGQUIT or SIGHUP: everything in progress is finished, everybody is told, nothing is lost (9.3, 9.5).

1. A slow response is in progress, another connection is idle, and the signal comes.
2. New connections are refused; the response in progress completes, and announces close.
3. A request that comes a moment after the signal, on the idle connection, is answered, and the answer announces close.
4. The program ends with status 0 as soon as nothing is left, long before its deadline.
5. What never ends is cut at the deadline, be it a response, a thread, or the queue of the listening socket. A second signal stops
   at once.
6. A successor that listens on the same path meanwhile keeps it.
"""

import contextlib
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from bide.transport.listeners import Listener
from tests.support.abuse import queued
from tests.support.apps import Blocking, slow
from tests.support.client import Client
from tests.support.program import Launch, serving
from tests.support.server import NOISE, Serve
from tests.support.waiting import PATIENCE, pause, until

SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_lets_requests_in_progress_finish_with_close(launch: Launch, loop: str, number: signal.Signals) -> None:
    program = launch(*serving(loop, "apps:telling", "--drain-idle", "20"))
    with program.client() as busy, program.client() as idle, program.client() as unused:
        idle.get()
        busy.get()
        busy.ask("/1.0")
        program.line("begun /1.0")
        stopped = program.signal(number)
        program.line("stopped listening: 3 open connections")
        with pytest.raises(ConnectionRefusedError):
            Client(program.where)
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


def test_signal_ends_idle_connections_after_drain_idle(launch: Launch, loop: str) -> None:
    """Connections that clients keep open are half-closed after drain_idle."""
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


def test_request_after_an_idle_connection_was_ended_meets_a_clean_end(launch: Launch, loop: str) -> None:
    """The request is too late for an answer, but meets no reset. The client sees a clean end, and can ask elsewhere."""
    program = launch(*serving(loop, "apps:hello", "--drain-idle", "0.2"))
    with program.client() as client:
        client.get()
        program.signal()
        assert not client.silent_for(PATIENCE)
        client.ask()
        ending = client.ending()
        assert (ending.how, ending.rest) == ("fin", b"")
    assert program.wait() == 0


@pytest.mark.parametrize("number", SIGNALS)
def test_second_signal_cuts_what_is_in_progress(launch: Launch, loop: str, number: signal.Signals) -> None:
    program = launch(*serving(loop, "apps:telling"))
    with program.client() as client, program.client() as idle:
        idle.get()
        client.ask("/30")
        program.line("begun /30")
        program.signal(number)
        program.line("stopping")
        assert client.silent_for(0.3)
        again = program.signal(number)
        assert program.wait() == 0
        assert time.monotonic() - again < NOISE
    program.line("1 unfinished connections closed at the second signal")


def test_connections_cut_are_counted_without_idle_ones(serve: Serve) -> None:
    """An incomplete response counts. Idle connections do not: nothing is owed on them."""
    server = serve(slow, drain_idle=10.0, drain_timeout=0.3)
    server.log.expect("^1 unfinished connections closed at the drain timeout")
    with server.client() as busy, server.client() as idle, server.client():
        idle.get()
        busy.ask("/30")
        server.until(lambda: server.states()["exchange"])
        server.until(lambda: server.counters.opened == 3)
        server.stop()
    assert server.ends(wait=False) == {"drain": 2, "drain_deadline": 1}


def test_drain_without_unfinished_connections_warns_of_nothing(serve: Serve) -> None:
    """The log, which is checked when the test is over, has no warning."""
    server = serve(slow, drain_idle=10.0, drain_timeout=0.3)
    with server.client() as idle:
        idle.get()
        server.stop()
    assert server.ends(wait=False) == {"drain": 1}


def test_signal_without_connections_stops_at_once(launch: Launch, loop: str) -> None:
    program = launch(*serving(loop))
    program.line("serving")
    stopped = program.signal()
    assert program.wait() == 0
    assert time.monotonic() - stopped < NOISE


def test_server_left_within_a_program_drains(serve: Serve) -> None:
    """The same without signals: leaving `async with bide.Server(...)` drains."""
    server = serve(slow, drain_idle=0.3)
    with server.client() as busy, server.client() as idle, server.client() as unused:
        idle.get()
        busy.ask("/0.5")
        server.until(lambda: server.counters.opened == 3 and server.states()["exchange"])
        server.drain()
        assert busy.response().says_close
        assert busy.ending().how == "fin"
        assert idle.ending().how == "fin"
        assert unused.ending().how == "fin"
    server.stop()
    assert server.ends(wait=False) == {"drain": 3}


def test_threads_and_tasks_that_do_not_end_are_left_behind(launch: Launch, loop: str) -> None:
    """Nobody can end them from outside, so the process ends without them."""
    program = launch(*serving(loop, "apps:stubborn", "--drain-timeout", "0.5"))
    with program.client() as client:
        client.ask("/thread")
        with program.client() as other:
            other.ask("/task")
            program.line("begun /thread")
            program.line("begun /task")
            stopped = program.signal()
            assert program.wait() == 0
    assert time.monotonic() - stopped < 0.5 + 3 * 1.0 + NOISE
    program.line("application threads, tasks or exit handlers still run")


def test_start_that_fails_while_a_thread_works_exits_1(launch: Launch, loop: str) -> None:
    """The process ends without the thread; but it has failed, and says why."""
    program = launch(*serving(loop, "apps:failing_beside_a_thread"), "--lifespan", "on")
    assert program.wait() == 1
    assert any("no database" in line for line in program.errors)


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_during_the_import_stops_the_program(launch: Launch, tmp_path: Path, number: signal.Signals) -> None:
    """As process 1 of a container it would be lost if nobody handled it, and the server would start."""
    (tmp_path / "slow_to_import.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(60)\n")
    program = launch("serve", "slow_to_import:app", "--app-dir", str(tmp_path))
    program.line("begun", program.output)
    program.signal(number)
    assert program.wait() == 0
    assert any("stopped before" in line for line in program.errors)


def test_hangup_under_nohup_is_ignored(launch: Launch) -> None:
    """Nohup starts programs with SIGHUP ignored."""
    program = launch(*serving("auto"), first='trap "" HUP')
    program.line("serving")
    program.signal(signal.SIGHUP)
    with program.client() as client:
        for _ in range(2):  # the signal is there before the second of them
            assert not client.get().says_close


def test_shared_socket_that_stays_busy_is_left_to_the_others(launch: Launch, loop: str) -> None:
    """New connections come without end. They are left to the other processes that listen, and the stop is on time."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listener:
        where = listener.getsockname()[:2]
        program = launch(*serving(loop), "--fd", str(listener.fileno()), pass_fds=[listener.fileno()])
        program.line("serving")
        stop = threading.Event()
        knocks: list[bool] = []

        def knock() -> None:
            while not stop.is_set():
                with contextlib.suppress(OSError), socket.socket() as sock:
                    sock.settimeout(0.5)
                    sock.connect(where)
                    knocks.append(True)

        threads = [threading.Thread(target=knock) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: len(knocks) > 100)
        stopped = program.signal()
        status = program.wait()
        took = time.monotonic() - stopped
        stop.set()
        for thread in threads:
            thread.join()
    assert status == 0
    assert took < 2 + NOISE


def test_queue_beyond_the_descriptors_is_kept_to_the_end(launch: Launch, loop: str) -> None:
    """No client leaves, so not all connections can be accepted. The others stay in the queue until the end, which is on time. A second
    signal makes it sooner.
    """
    for again in (False, True):
        program = launch(
            *serving(loop, "apps:slow"), "--drain-timeout", "20" if again else "1.5", first="ulimit -n 128"
        )
        with contextlib.ExitStack() as stack:
            for _ in range(200):
                stack.enter_context(program.client()).ask("/60")
            stopped = program.signal()
            if not again:
                pause(0.5)  # it accepts as many as it can
                assert queued(program.where) >= 200 - 128
            else:
                program.line("stopping")
                stopped = program.signal()
            assert program.wait() == 0
            assert time.monotonic() - stopped < (0 if again else 1.5) + 1 + NOISE


def test_listener_that_fails_to_finish_leaves_others_their_queue(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue of the other listener is served to its end."""
    failing, other = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    where = other.getsockname()
    finish = Listener.finish

    async def fails(self: Listener) -> None:
        if self._socket is failing:
            raise OSError("no luck today")
        await finish(self)

    monkeypatch.setattr(Listener, "finish", fails)
    app = Blocking()
    server = serve(app, sockets=[failing, other])
    with contextlib.ExitStack() as stack:
        blocker = stack.enter_context(server.client())
        with app.blocked(blocker.ask):
            server.drain()
            waiting = [stack.enter_context(Client(where)) for _ in range(20)]
            for client in waiting:
                client.ask()
        for client in waiting:
            assert client.response().content == b"/ "
    server.stop()


def test_successor_on_the_same_unix_path_keeps_it(launch: Launch, loop: str, tmp_path: Path) -> None:
    """A new server takes the path while the old one drains: it keeps it."""
    path = str(tmp_path / "bide.sock")
    old = launch(*serving(loop, "apps:echo"), "--uds", path)
    old.line("serving")
    with Client(path) as client:
        client.ask("/", "Content-Length: 4", method="POST")
        old.signal()
        old.line("stopped listening: 1 open connections")
        new = launch(*serving(loop, "apps:hello"), "--uds", path)
        new.line("serving")
        client.send(b"body")
        assert client.response().content == b"body"
    assert old.wait() == 0
    with Client(path) as client:
        assert client.get().content == b"hello\n"

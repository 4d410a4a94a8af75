"""A stop under load, as in a deployment, shows in nothing but `Connection: close` (9.3, 9.5).

1. 24 clients ask without a pause, on persistent connections, and connect anew when they are told to. SIGTERM. Every request
   that was sent gets its answer, in ten trials of ten (five on each loop), and over TLS in ten more; every answer that begins after the signal announces close.
2. Connections wait in the listening socket's queue, with a request or without, while the loop is blocked. SIGTERM. All of them
   are accepted and answered; none is reset when that socket is closed. They may even be more than the limit on connections.
3. A request on an idle connection once listening has stopped, a slow response, a long download: all complete, with close said.
4. A stream without end is cut at the drain timeout, not before, and that is its reason.
5. The health check fails from the signal on; during `drain_delay` newcomers are served all the same.
6. The program ends within its bound, and long before if nothing holds it. Reasons add up.
"""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.abuse import queued
from tests.support.apps import Gated
from tests.support.client import Client, IncompleteError, request
from tests.support.program import Launch, Program, serving
from tests.support.server import NOISE, Serve
from tests.support.tls import Authority
from tests.support.waiting import PATIENCE, pause, until

CLIENTS = 24
TRIALS = 5  # on each loop


def reasons(program: Program) -> Counter[str]:
    """Return the ends that a program logged; it must have been started with DEBUG."""
    return Counter(line.partition("close=")[2].split()[0] for line in program.errors if ": ended, " in line)


DEBUG = ("--log-level", "debug")


def read_on(client: Client) -> None:
    """Read chunks to the end."""
    while size := int(client.line(), 16):
        client.exactly(size + 2)


class Crowd:
    """Clients that ask without a pause until nobody listens any more."""

    def __init__(self, connect: Callable[[], Client]) -> None:
        self._connect = connect
        self.lost: list[str] = []
        self.connected = 0
        self.answers = 0
        self.silent = 0  # answers to requests sent after the announcement that did not announce close
        self.announced = float("inf")  # when the program had said that it stops
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while True:
            try:
                client = self._connect()
            except ConnectionRefusedError:
                return
            except OSError as error:
                self.lost.append(f"{error!r} within a handshake")
                return
            with client:
                with self._lock:
                    self.connected += 1
                if not self._ask(client):
                    return

    def _ask(self, client: Client) -> bool:
        """Ask until told to close; return whether no request was lost."""
        while True:
            asked = time.monotonic()
            try:
                response = client.get("/")
            except Exception as error:
                self.lost.append(f"{error!r}, asked {asked - self.announced:.4f} s after the announcement")
                return False
            with self._lock:
                self.answers += 1
                if asked > self.announced and not response.says_close:
                    self.silent += 1
            if response.says_close:
                return True

    def join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.mark.parametrize("trial", range(TRIALS))
def test_signal_under_load_loses_no_request(launch: Launch, loop: str, trial: int) -> None:
    program = launch(*serving(loop, "apps:hello", *DEBUG))
    _under_load(program, lambda: Client(program.where), trial)


@pytest.mark.parametrize("trial", range(TRIALS))
def test_signal_under_load_over_tls_loses_no_request(launch: Launch, loop: str, trial: int, tmp_path: Path) -> None:
    authority = Authority.made(tmp_path)
    files = authority.issue("drain")
    options = ("--ssl-certfile", files["ssl_certfile"], "--ssl-keyfile", files["ssl_keyfile"])
    program = launch(*serving(loop, "apps:hello", *DEBUG, *options))
    context = authority.context()
    _under_load(program, lambda: authority.client(program.where, context), trial)


def _under_load(program: Program, connect: Callable[[], Client], trial: int) -> None:
    """Stop a program while clients ask, and check that nothing is lost."""
    crowd = Crowd(connect)
    until(lambda: crowd.answers > (20 + trial) * CLIENTS)
    signalled = program.signal()
    program.line("stopping")
    crowd.announced = time.monotonic()
    assert program.wait() == 0
    took = time.monotonic() - signalled
    crowd.join()
    assert not crowd.lost
    assert crowd.silent == 0
    assert took < 3 * NOISE, "nothing holds it up"
    ends = reasons(program)
    assert sum(ends.values()) == crowd.connected
    assert set(ends) == {"drain"}
    assert len(program.output) == crowd.answers


@pytest.mark.parametrize("asked", [True, False])
def test_signal_with_connections_in_the_queue_serves_them(
    launch: Launch, loop: str, asked: bool, tmp_path: Path
) -> None:
    """Connections on which the request comes only once the loop goes on are served, too, within `drain_idle`."""
    program = launch(*serving(loop, "apps:telling", "--drain-idle", "10", *DEBUG))
    with contextlib.ExitStack() as stack:
        blocker = stack.enter_context(program.client())
        held = tmp_path / "held"
        held.touch()
        blocker.ask(f"/block{held}")
        program.line(f"begun /block{held}")
        waiting = [stack.enter_context(program.client()) for _ in range(100)]
        if asked:
            for client in waiting:
                client.ask("/")
        assert queued(program.where) == 100
        program.signal()
        late = [stack.enter_context(program.client()) for _ in range(50)]  # after the signal: they have connected, too
        for client in late:
            client.ask("/")
        held.unlink()
        blocker.response()
        for client in [*late, *waiting]:
            if not asked and client in waiting:
                client.ask("/")
            response = client.response()
            assert response.content == b"hello\n"
            assert response.says_close
            assert client.ending().how == "fin"
    assert program.wait() == 0
    ends = reasons(program)
    assert ends["drain"] >= 150  # the blocker had its answer before the signal could be seen
    assert sum(ends.values()) == 151


def test_signal_with_a_queue_beyond_the_limit_serves_it(launch: Launch, loop: str) -> None:
    """At the limit accepting was paused. The socket is closed only when its queue is empty: all are answered, none is reset."""
    program = launch(*serving(loop, "apps:telling", "--limit-connections", "4", *DEBUG))
    with contextlib.ExitStack() as stack:
        busy = [stack.enter_context(program.client()) for _ in range(4)]
        for client in busy:
            client.ask("/2.0")
        until(lambda: program.errors.count("begun /2.0") == 4)
        waiting = [stack.enter_context(program.client()) for _ in range(20)]
        for client in waiting:
            client.ask("/")
        assert queued(program.where) >= 16
        program.signal()
        for client in [*busy, *waiting]:
            response = client.response()
            assert response.status == 200
            assert client.ending().how == "fin"
    assert program.wait() == 0
    assert sum(reasons(program).values()) == 24


def test_signal_with_exchanges_of_each_kind_completes_them(launch: Launch, loop: str) -> None:
    program = launch(*serving(loop, "abuse:app", "--health-path", "/health", "--drain-delay", "1.5", *DEBUG))
    with contextlib.ExitStack() as stack:
        idle, slow_one, download, checked, pipelined = [stack.enter_context(program.client()) for _ in range(5)]
        for client in (idle, pipelined):
            assert not client.get().says_close
        health = checked.get("/health")
        assert (health.status, health.content) == (200, b"ok\n")
        slow_one.ask("/told/3.0")
        download.ask("/large/60000000")
        head = download.head()
        pipelined.send(request("/told/1.0") + request("/"))
        program.line("begun /told/3.0")
        program.line("begun /told/1.0")
        signalled = program.signal()
        program.line("stopping")
        health = checked.get("/health")
        assert (health.status, health.says_close) == (503, True)
        with program.client() as newcomer:  # the delay is not over
            response = newcomer.get()
            assert response.content == b"hello\n"
            assert response.says_close
        program.line("stopped listening")
        response = idle.get()
        assert response.content == b"hello\n"
        assert response.says_close
        first = pipelined.response()
        assert first.content == b"late\n"
        assert first.says_close
        assert pipelined.ending().rest == b"", "requests pipelined after an announced close are not served"
        response = slow_one.response()
        assert response.content == b"late\n"
        assert response.says_close
        pause(0.5)  # the download is in no force_stop
        assert len(download.exactly(int(head["content-length"]))) == 60_000_000
        download.half_close()
        assert program.wait() == 0
        assert time.monotonic() - signalled < 1.5 + 3.0 + NOISE
    assert sum(reasons(program).values()) == 6


def test_stream_without_end_is_cut_at_the_drain_timeout(launch: Launch, loop: str) -> None:
    """Its head was out before the signal: nothing can be announced any more. The cut is visible: no last chunk."""
    program = launch(*serving(loop, "abuse:app", "--drain-timeout", "1"))
    with program.client() as client:
        client.ask("/endless")
        assert "connection" not in client.head()
        signalled = program.signal()
        with pytest.raises(IncompleteError):
            read_on(client)
        cut = time.monotonic() - signalled
        assert 1.0 <= cut <= 1 + NOISE
    assert program.wait() == 0
    assert time.monotonic() - signalled < 2 + NOISE
    assert [line.partition("close=")[2] for line in program.output] == ["drain_deadline"]


def test_response_not_begun_at_the_drain_timeout_is_503(launch: Launch, loop: str) -> None:
    """A client that gets 503 at the deadline knows that it may ask elsewhere."""
    program = launch(*serving(loop, "abuse:app", "--drain-timeout", "0.6"))
    with program.client() as client, program.client() as reading:
        client.ask("/told/30")
        reading.send(request("/told/read/0", "Content-Length: 10", method="POST") + b"half")
        program.line("begun /told/30")
        program.line("begun /told/read/0")
        signalled = program.signal()
        for waiting in (client, reading):
            response = waiting.response()
            assert response.status == 503
            assert response.says_close
        assert time.monotonic() - signalled >= 0.6
    assert program.wait() == 0
    assert time.monotonic() - signalled < 2 + NOISE
    assert [line.partition("close=")[2] for line in program.output] == ["drain_deadline"] * 2


def test_client_that_reads_nothing_is_cut_at_the_drain_timeout(launch: Launch, loop: str) -> None:
    program = launch(*serving(loop, "abuse:app", "--drain-timeout", "0.6"))
    with Client(program.where, receive_buffer=4096) as client:
        client.ask("/large/50000000")
        client.line()
        signalled = program.signal()
        assert program.wait() == 0
        took = time.monotonic() - signalled
        assert 0.6 <= took < 0.6 + 1.0 + NOISE
    assert [line.partition("close=")[2] for line in program.output] == ["drain_deadline"]


def test_idle_connections_that_stay_end_within_drain_idle_and_linger(launch: Launch, loop: str) -> None:
    """With the defaults: 2 s for another request, 1 s for one that crosses the end. 50 clients do not react at all."""
    program = launch(*serving(loop, "apps:hello", *DEBUG))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(program.client()) for _ in range(50)]
        for client in clients:
            client.get()
        signalled = program.signal()
        assert program.wait() == 0
        assert 1.8 <= time.monotonic() - signalled <= 2 + 1 + 0.5 + NOISE
    assert reasons(program) == {"drain": 50}


def test_idle_connection_under_pressure_has_drain_idle_after_the_signal(serve: Serve) -> None:
    """Pressure shortens the idle timeout, but not the time that idle connections have in a drain."""
    app = Gated()
    server = serve(app, limit_connections=20, drain_idle=5.0, timeout_idle_least=0.5)
    with contextlib.ExitStack() as stack:
        busy = [stack.enter_context(server.client()) for _ in range(18)]
        idle = stack.enter_context(server.client())
        for client in busy:
            client.ask("/wait")
        server.until(lambda: server.snapshot()["pressure"] >= 0.9)
        idle.get()
        server.drain()
        pause(1.2)  # it would have ended for the pressure
        assert idle.get().says_close
        server.call(app.gate.set)
        for client in busy:
            assert client.response().says_close
    server.stop()
    assert server.ends(wait=False) == {"drain": 19}

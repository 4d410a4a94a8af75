"""Connections are spread evenly over workers, and are even again after one was lost.

1. 64 connections on 4 workers, made at once, one every 3 ms, or one after the other: no worker holds 1.25 times the mean.
2. A worker that is killed under 64 busy clients: its replacement gets its share, by closes that are announced. None loses
   a request by that, and then there are no further closes.
3. A close that evens connections comes behind the last request of a burst: each is answered.
4. A worker that does not turn keeps nobody waiting: others accept for it.
5. A limit on connections is that of all workers. New clients are served while others idle.
"""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import threading
import time
from collections import Counter

import pytest

from tests.scenarios.test_workers import WORKERS, Site, ask, children, logged, site
from tests.support.client import Client
from tests.support.program import Launch, Program
from tests.support.waiting import PATIENCE, pause, until

__all__ = ["site"]  # a fixture

CONNECTIONS = 64
TRIALS = 3
EVEN = 1.25
EVEN_AGAIN = 1.1


def spread(clients: list[Client]) -> Counter[bytes]:
    """Return how many of these connections each process holds."""
    for client in clients:
        client.ask("/pid")
    return Counter(client.response().content for client in clients)


def unevenness(held: Counter[bytes]) -> float:
    return max(held.values()) / (sum(held.values()) / WORKERS)


def arrived(program: Program, arrive: str) -> Counter[bytes]:
    """Make connections; return how many of them each process holds."""
    where = program.where
    clients: list[Client] = []
    lock = threading.Lock()

    def connect() -> None:
        client = Client(where)
        with lock:
            clients.append(client)

    if arrive == "at once":
        threads = [threading.Thread(target=connect) for _ in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    else:
        for _ in range(CONNECTIONS):
            connect()
            if arrive == "paced":
                pause(0.003)  # as new clients arrive at a server that is not busy
            else:
                clients[-1].get("/pid")
    with contextlib.ExitStack() as stack:
        for client in clients:
            stack.enter_context(client)
        return spread(clients)


@pytest.mark.parametrize("arrive", ["at once", "paced", "one by one"])
def test_connections_are_spread_evenly(launch: Launch, loop: str, site: Site, arrive: str) -> None:
    """In the median of some trials: on a busy machine, a worker may not run for longer than others wait for it."""
    program = launch(*site.serving(loop))
    trials = []
    for _ in range(TRIALS):
        trials.append(unevenness(arrived(program, arrive)))
        pause(0.5)  # until the workers have noticed that all have left
    assert statistics.median(trials) <= EVEN, trials


class Busy:
    """Clients that ask without a pause which process answers.

    by: the process that holds each connection.
    closes: closes that were announced.
    lost: connections that ended with a request unanswered.
    """

    def __init__(self, program: Program) -> None:
        self.where = program.where
        self.by: dict[int, bytes] = {}
        self.closes = 0
        self.lost = 0
        self.is_over = False
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(name,)) for name in range(CONNECTIONS)]
        for thread in self._threads:
            thread.start()

    def _run(self, name: int) -> None:
        while not self.is_over:
            with Client(self.where) as client:
                says_close = False
                while not says_close and not self.is_over:
                    try:
                        response = client.get("/pid")
                    except Exception:
                        with self._lock:
                            self.lost += 1
                        break
                    self.by[name] = response.content
                    says_close = response.says_close
                    with self._lock:
                        self.closes += says_close
                    pause(0.02)  # so that this test leaves time to the server

    def held(self) -> Counter[bytes]:
        return Counter(list(self.by.values()))

    def end(self) -> None:
        self.is_over = True
        for thread in self._threads:
            thread.join(PATIENCE)


def test_connections_are_even_again_after_a_worker_was_killed(launch: Launch, loop: str, site: Site) -> None:
    program = launch(*site.serving(loop))
    busy = Busy(program)
    try:
        until(lambda: len(busy.by) == CONNECTIONS)
        victim = children(program)[0]
        until(lambda: len(set(busy.by.values())) == WORKERS)
        held = busy.held()[str(victim).encode()]
        before = busy.closes
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(logged(program, r"worker \d ready")) == WORKERS + 1)
        ready = time.monotonic()
        until(lambda: len(busy.held()) == WORKERS and unevenness(busy.held()) <= EVEN_AGAIN, message=busy.held)
        took = time.monotonic() - ready
        assert took <= 10
        assert busy.lost <= held
        assert busy.closes - before <= 1.5 * held + WORKERS
        pause(1.5)  # what is on its way arrives
        before = busy.closes
        pause(3)  # for as long nothing may happen
        assert busy.closes == before
        assert busy.lost <= held
    finally:
        busy.end()


def test_bursts_are_answered_whole_while_connections_are_evened(launch: Launch, site: Site) -> None:
    """Clients of two workers, each with bursts of five requests, when a third one starts."""
    program = launch(*site.serving("uvloop", workers=2))
    clients = [program.client() for _ in range(24)]
    closes = 0
    for client in clients:
        assert client.get("/pid").status == 200
    program.signal(signal.SIGTTIN)
    until(lambda: len(logged(program, r"worker \d ready")) == 3)
    deadline = time.monotonic() + PATIENCE
    while not closes and time.monotonic() < deadline:
        for client in clients:
            client.send(b"GET /pid HTTP/1.1\r\nHost: a\r\n\r\n" * 5)
        answers = [[client.response() for _ in range(5)] for client in clients]
        closes = sum(answer[-1].says_close for answer in answers)
        assert not any(response.says_close for answer in answers for response in answer[:-1])
    assert closes
    for client in clients:
        client.close()


def test_stopped_worker_keeps_no_newcomer_waiting(launch: Launch, loop: str, site: Site) -> None:
    program = launch(*site.serving(loop, workers=2))
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(program.client()).get("/pid")
        victim = children(program)[0]
        os.kill(victim, signal.SIGSTOP)
        stack.callback(os.kill, victim, signal.SIGCONT)
        for _ in range(8):
            assert stack.enter_context(program.client()).get("/pid").content != str(victim).encode()


def test_limit_on_connections_is_that_of_all_workers(launch: Launch, loop: str, site: Site) -> None:
    limit = 40
    program = launch(*site.serving(loop, "--limit-connections", str(limit)))
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(2 * limit):
            clients.append(stack.enter_context(program.client()))
            assert clients[-1].get("/pid").status == 200
        pause(1.5)  # until a connection that has served a request for this long may be shed, and is
        for _ in range(10):
            assert ask(program) == "one"
        open_ = 0
        for client in clients:
            client.sock.settimeout(0.01)
            with contextlib.suppress(TimeoutError):
                open_ -= client.ending().how in ("fin", "reset")
            open_ += 1
        assert open_ <= limit + WORKERS

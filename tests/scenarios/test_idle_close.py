"""An idle connection ends without loss, as far as the server can see to that (9.5).

1. Octets that have arrived are looked for as the last thing before the FIN. `bench.limits` measures what lies between the two.
2. A request sent in the last moment is answered, or it meets a clean end; a reset comes at no time within a second after the FIN.
3. A request that crosses the end cannot be answered. It is counted as lost, and one warning names the remedy.
4. The same over a network that delays everything: requests sent before the FIN could be seen are counted.
5. Octets that are no request, or come after an announced close, are not counted.
6. With `advertise_keep_alive` every response tells the time; the connection is really held for longer.
"""

import contextlib
import random
import threading
import time

import pytest

from tests.support.abuse import balanced
from tests.support.apps import hello
from tests.support.client import Client
from tests.support.relay import Relay
from tests.support.server import NOISE, Serve
from tests.support.waiting import pause

IDLE = 0.3
REMEDY = "--timeout-idle"


def test_requests_around_the_end_are_answered_or_meet_a_clean_end(serve: Serve) -> None:
    """100 clients ask within a few milliseconds of the end. Answered, or a clean end; never a reset, never half an answer."""
    server = serve(hello, timeout_idle=IDLE)
    server.log.asked_for.append(REMEDY)
    outcomes: list[str] = []

    def run(after: float) -> None:
        with server.client() as client:
            client.get()
            pause(after)
            try:
                client.ask()
                ending = None if client.sock.recv(1 << 16).startswith(b"HTTP/1.1 200") else client.ending()
                outcomes.append("answered" if ending is None else f"{ending.how} {ending.rest!r}")
            except ConnectionError as error:
                outcomes.append(repr(error))

    for _ in range(4):
        threads = [
            threading.Thread(target=run, args=(IDLE + random.uniform(-0.01, 0.12),)) for _ in range(25)
        ]  # a sweep is 0.075 s late at most
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(outcomes) == 100
    assert set(outcomes) <= {"answered", "fin b''"}, outcomes
    lost = len([outcome for outcome in outcomes if outcome != "answered"])
    balanced(server)
    assert server.call(lambda: server.counters.race_lost) == lost
    if not lost:
        server.log.asked_for.clear()


def test_requests_after_the_end_are_counted_and_warned_of_once(serve: Serve) -> None:
    server = serve(hello, timeout_idle=IDLE)
    server.log.expect(REMEDY)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in range(5)]
        for client in clients:
            client.get()
        for client in clients:
            assert not client.silent_for(IDLE + NOISE)
            client.ask()
            assert client.ending().how == "fin"
        assert balanced(server)["race_lost"] == 5
        told = [line for line in server.log.messages() if REMEDY in line]
        assert len(told) == 1, "one line, not one per connection"
        assert "--advertise-keep-alive" in told[0]
    assert server.ends() == {"idle_timeout": 5}


def test_ended_connection_listens_for_a_second(serve: Serve) -> None:
    """A request 0.6 s after the FIN is still noticed; the connection ends a second after the FIN, or after that request."""
    server = serve(hello, timeout_idle=IDLE, timeout_linger=2.0)
    server.log.expect(REMEDY)
    with server.client() as late, server.client() as quiet:
        started = time.monotonic()
        quiet.get()
        late.get()
        assert quiet.ending().how == "fin"
        pause(0.6)
        late.ask()
        server.until(lambda: server.counters.race_lost == 1)
        server.until(lambda: server.states()["linger"] == 1)
        assert IDLE + 1.0 <= time.monotonic() - started <= IDLE + 1.0 + NOISE
        late.close()
    assert server.ends() == {"idle_timeout": 2}


def test_requests_sent_before_the_fin_arrives_are_counted_as_lost(serve: Serve) -> None:
    """The FIN takes 0.15 s to the client. It sends on what it takes for an open connection: this is the real race."""
    server = serve(hello, timeout_idle=0.5)
    server.log.expect(REMEDY)
    with Relay(server.where, delay=0.15) as relay, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(relay.where)) for _ in range(4)]
        for client in clients:
            client.ask()
        for client in clients:
            client.response()
        server.until(lambda: server.states()["linger"] == len(clients))
        for client in clients:
            client.ask()
        for client in clients:
            ending = client.ending()
            assert (ending.how, ending.rest) == ("fin", b"")
        server.until(lambda: server.counters.race_lost == 4)
    assert server.ends() == {"idle_timeout": 4}


def test_requests_after_an_announced_close_are_not_counted(serve: Serve) -> None:
    """After an announced close, the client knows that nothing it sends will be answered."""
    server = serve(hello, timeout_idle=IDLE, close_for=("path:/last",))
    with server.client() as told, server.client() as left:
        assert told.get("/last").says_close
        told.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        left.get()
        assert left.ending().how == "fin"
    assert server.ends()["idle_timeout"] == 1
    assert server.counters.race_lost == 0


def test_keep_alive_timeout_advertised_is_less_than_held(serve: Serve) -> None:
    server = serve(hello, timeout_idle=2.0, advertise_keep_alive=True)
    with server.client() as client:
        assert client.get()["keep-alive"] == "timeout=1"
        pause(1.0)  # a client that reads it asks no later than that
        started = time.monotonic()
        response = client.get()
        assert response["keep-alive"] == "timeout=1"
        assert client.ending().how == "fin"
        assert time.monotonic() - started >= 2.0
    assert server.ends() == {"idle_timeout": 1}


@pytest.mark.parametrize("options", [{}, {"advertise_keep_alive": True, "keep_alive": False}])
def test_keep_alive_timeout_is_not_advertised_unless_asked(serve: Serve, options: dict[str, bool]) -> None:
    server = serve(hello, **options)
    with server.client() as client:
        assert "keep-alive" not in client.get()
    server.ends()


def test_keep_alive_timeout_is_not_advertised_with_close(serve: Serve) -> None:
    server = serve(hello, advertise_keep_alive=True)
    with server.client() as client:
        response = client.get("/", "Connection: close")
        assert response.says_close
        assert "keep-alive" not in response
    with server.client() as client:
        response = client.get("/", "Connection: keep-alive", version="1.0")
        assert response["connection"] == "keep-alive"
        assert response["keep-alive"] == "timeout=74"
    server.ends()

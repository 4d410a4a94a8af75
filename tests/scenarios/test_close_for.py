"""Clients that need no persistence get none, and are told so (9.3).

1. Rules: `agent:PATTERN` in any case, `path:PATTERN`, `peer:NETWORK`; several of each. What matches is answered with close.
2. What does not match persists.
3. `keep_alive=False`: every response closes, and says so, to HTTP/1.0 clients that ask for more, too.
4. Of the idle connections, those of peers that never reuse them are ended first, though others are idle for longer.
5. What is remembered of peers is bounded.
"""

import contextlib

import pytest

from tests.support.abuse import balanced
from tests.support.apps import hello
from tests.support.client import request
from tests.support.server import Serve

RULES = (
    "agent:kube-probe/*",
    "agent:*HealthChecker*",
    "path:/health*",
    "path:/once/?",
    "peer:127.0.0.8/32",
    "peer:::1",
)


@pytest.mark.parametrize(
    ("target", "agent", "source", "closes"),
    [
        ("/", "kube-probe/1.29", "127.0.0.1", True),
        ("/", "Kube-Probe/1.29", "127.0.0.1", True),
        ("/", "x kube-probe/1.29", "127.0.0.1", False),
        ("/", "ELB-HealthChecker/2.0", "127.0.0.1", True),
        ("/health", "curl", "127.0.0.1", True),
        ("/healthy?deep=1", "curl", "127.0.0.1", True),
        ("/HEALTH", "curl", "127.0.0.1", False),
        ("/once/1", "curl", "127.0.0.1", True),
        ("/once/12", "curl", "127.0.0.1", False),
        ("/?path=/health", "curl", "127.0.0.1", False),
        ("/", "curl", "127.0.0.8", True),
        ("/", "curl", "127.0.0.1", False),
        ("/", "", "127.0.0.1", False),
    ],
)
def test_rule_that_matches_announces_close(serve: Serve, target: str, agent: str, source: str, closes: bool) -> None:
    server = serve(hello, close_for=RULES)
    with server.client(source=source) as client:
        response = client.get(target, f"User-Agent: {agent}")
        assert response.status == 200
        assert response.says_close is closes
        if closes:
            assert client.ending().how == "fin"
        else:
            assert client.silent_for(0.05)
            assert client.get("/health").says_close  # each request is looked at
    assert server.ends() == {"client_policy": 1}


def test_keep_alive_off_announces_close_on_each_response(serve: Serve) -> None:
    server = serve(hello, keep_alive=False)
    for lines, version in (((), "1.1"), (("Connection: keep-alive",), "1.0"), (("Connection: keep-alive",), "1.1")):
        with server.client() as client:
            client.send(request("/", *lines, version=version) + request("/second"))
            response = client.response()
            assert response.says_close
            assert client.ending().rest == b"", "requests after an announced close are not served"
    balanced(server)
    ends = server.ends()
    assert ends == {"keep_alive_off": 3}


def test_peers_that_never_reuse_are_shed_first(serve: Serve) -> None:
    """127.0.0.7 asks once per connection, 127.0.0.1 reuses its own. Room is made at the cost of the first, though idle for less time."""
    server = serve(hello, limit_connections=12)
    for _ in range(6):
        with server.client(source="127.0.0.7") as client:
            client.get()
        with server.client() as client:
            for _ in range(3):
                client.get()
    server.ends()
    with contextlib.ExitStack() as stack:
        faithful = [stack.enter_context(server.client()) for _ in range(6)]
        for client in faithful:
            client.get()
        fickle = [stack.enter_context(server.client(source="127.0.0.7")) for _ in range(5)]
        for client in fickle:
            client.get()
        for count in range(1, 5):
            stack.enter_context(server.client()).get()
            shed = [client for client in fickle if not client.silent_for(0.02)]
            assert len(shed) == count
        for client in faithful:
            assert client.get().status == 200
        balanced(server)


def test_memory_of_peers_stays_within_its_bound(serve: Serve) -> None:
    server = serve(hello)
    with server.client() as client:
        client.get()

    def learn() -> int:
        peers = server.server.worker.context.clients.peers
        for number in range(10_000):
            peers.learn(f"10.0.{number >> 8}.{number & 255}", 1)
        return len(peers._known)

    assert 0 < server.call(learn) <= 4096
    server.ends()

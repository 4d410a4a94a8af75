"""Some connections need not persist, and some clients want to know how long they may.

1. The operator says so by rules: user agent, path, peer; or for all. The answer announces close.
2. A health check is answered by the server itself, and fails as soon as the server stops.
3. Clients can be told how long idle connections are held; they are held longer than told.
4. It gets tight: clients whose connections carry one request each are told to close, others are not.
"""

import contextlib
import time

import pytest

from tests.support.apps import Message, Receive, Send, hello
from tests.support.client import Client
from tests.support.server import NOISE, Serve


@pytest.mark.parametrize(
    ("rule", "target", "lines", "closes"),
    [
        ("agent:*HealthChecker*", "/", ["User-Agent: ELB-HealthChecker/2.0"], True),
        ("agent:*healthchecker*", "/", ["User-Agent: ELB-HealthChecker/2.0"], True),
        ("agent:kube-probe/*", "/", ["User-Agent: ELB-HealthChecker/2.0"], False),
        ("agent:kube-probe/*", "/", [], False),
        ("path:/health*", "/healthz?x=1", [], True),
        ("path:/health*", "/not/health", [], False),
        ("peer:127.0.0.0/8", "/", [], True),
        ("peer:127.0.0.1", "/", [], True),
        ("peer:10.0.0.0/8", "/", [], False),
        ("peer:::1", "/", [], False),
    ],
)
def test_rules(serve: Serve, rule: str, target: str, lines: list[str], closes: bool) -> None:
    server = serve(hello, close_for=("path:/never", rule))
    with server.client() as client:
        response = client.get(target, *lines)
        assert response.content == b"hello\n"
        assert response.says_close == closes
        if closes:
            assert client.ending().how == "fin"
    assert server.ends() == {"client_policy" if closes else "client_eof_idle": 1}


def test_nobody_persists(serve: Serve) -> None:
    server = serve(hello, keep_alive=False)
    for version in ("1.1", "1.0"):
        with server.client() as client:
            assert client.get("/", "Connection: keep-alive", version=version).says_close
            assert client.ending().how == "fin"
    assert server.ends() == {"keep_alive_off": 2}


def test_health_check(serve: Serve) -> None:
    asked: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        asked.append(scope["path"])
        await hello(scope, receive, send)

    server = serve(app, health_path="/healthz", drain_delay=0.6)
    with server.client() as client:
        response = client.get("/healthz")
        assert (response.status, response.says_close) == (200, False)
        assert client.get("/healthz", method="HEAD").status == 200
        assert client.get("/healthz?verbose").status == 200
        assert client.get("/healthz/").content == b"hello\n"
        assert asked == ["/healthz/"]
        server.loop.call_soon_threadsafe(server._stop.set)
        time.sleep(0.1)
        with server.client() as probe:
            response = probe.get("/healthz")
            assert (response.status, response.says_close) == (503, True)
        with server.client() as newcomer:
            response = newcomer.get("/")
            assert (response.status, response.says_close) == (200, True)
    server.stop()


def test_advertised(serve: Serve) -> None:
    server = serve(hello, advertise_keep_alive=True, timeout_idle=2.2)
    with server.client() as client:
        response = client.get()
        promised = response["keep-alive"]
        assert promised == "timeout=1"
        started = time.monotonic()
        ending = client.ending()
        assert ending.how == "fin"
        assert 1.0 < ending.at - started <= 2.2 + NOISE
    with server.client() as client:
        assert "keep-alive" not in client.get("/", "Connection: close")
    assert server.ends() == {"idle_timeout": 1, "client_close_option": 1}


def test_pressure_is_announced_to_those_who_gain_little(serve: Serve) -> None:
    """All peers are one here, so it is its habit that is told apart, not the peer."""
    server = serve(hello, limit_connections=20, timeout_idle=30)
    for _ in range(5):
        with server.client() as client:
            client.get()
    server.ends()
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(server.client()) for _ in range(19)]
        time.sleep(0.6)  # until the next sweep has measured
        response = crowd[0].get()
        assert response.says_close
        assert crowd[0].ending().how == "fin"
    assert server.ends()["pressure"] == 1


def test_unix_peers_have_no_network(serve: Serve, tmp_path: object) -> None:
    server = serve(hello, uds=f"{tmp_path}/bide.sock", close_for=("peer:0.0.0.0/0", "peer:::/0"))
    with Client(server.where) as client:
        assert not client.get().says_close

"""A connection over TLS takes little memory, also after it has carried much.

1. An idle one takes at most 20 KiB: keys, buffers and session.
2. After 1 MB in each direction it takes at most 64 KiB: OpenSSL's buffers never shrink, so they are never given more than a record.
3. A client that asks for much and reads nothing, and one that sends more than is read, hold no more than without TLS.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.abuse import FEW, Child, ended
from tests.support.client import Client, request
from tests.support.tls import Authority
from tests.support.waiting import pause

CONNECTIONS = 300
WARMING = 50
KIB = 1024
IDLE = 20 * KIB
USED = 64 * KIB
MB = 1_000_000


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, dict[str, Any]]:
    authority = Authority.made(tmp_path_factory.mktemp("tls"))
    return authority, authority.issue("memory")


def use_little(client: Client) -> None:
    assert client.get().status == 200


def use_much(client: Client) -> None:
    """Send 1 MB, and receive as much, twice."""
    for _ in range(2):
        client.send(request("/read/0", f"Content-Length: {MB}", method="POST") + bytes(MB))
        assert client.response().content == b"%d" % MB
        client.ask(f"/large/{MB}")
        assert len(client.response().content) == MB


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("use", "connections", "most"), [(use_little, CONNECTIONS, IDLE), (use_much, 100, USED)])
def test_idle_connection_over_tls_is_small(
    loop: str,
    files: tuple[Authority, dict[str, Any]],
    use: Callable[[Client], None],
    connections: int,
    most: int,
) -> None:
    authority, options = files
    context = authority.context()
    with Child(loop, timeout_idle_least=75.0, **options) as server:

        def crowd(count: int, stack: contextlib.ExitStack) -> None:
            for _ in range(count):
                use(stack.enter_context(authority.client(server.where, context)))

        with contextlib.ExitStack() as stack:  # what is made once, is made now
            crowd(WARMING, stack)
        before = server.empty()
        with contextlib.ExitStack() as stack:
            crowd(connections, stack)
            after = server.until(lambda now: now["states"]["idle"] == connections)
            assert (after["memory"] - before["memory"]) / connections < most
        assert ended(server.empty()) == {"client_eof_idle": connections + WARMING}


def test_client_that_reads_nothing_over_tls_is_bounded(loop: str, files: tuple[Authority, dict[str, Any]]) -> None:
    authority, options = files
    with Child(loop, **options) as server:
        with authority.client(server.where) as client:
            client.get("/large/200000")
        before = server.empty()
        with authority.client(server.where) as client:
            client.ask(f"/large/{200 * MB}")
            for _ in range(30):
                pause(0.01)  # what the server holds meanwhile is what is measured
                assert server.memory() - before["memory"] < FEW
            client.reset()
        server.empty()


def test_client_that_sends_what_is_not_read_over_tls_is_bounded(
    loop: str, files: tuple[Authority, dict[str, Any]]
) -> None:
    authority, options = files
    with Child(loop, **options) as server:
        with authority.client(server.where) as client:
            client.get()
        before = server.empty()
        with authority.client(server.where) as client:
            client.send(request("/read/4", f"Content-Length: {100 * MB}", method="POST"))
            client.sock.settimeout(0.3)
            with contextlib.suppress(TimeoutError):
                while True:
                    client.sock.send(bytes(100_000))
                    assert server.memory() - before["memory"] < FEW
            client.reset()
        server.empty()

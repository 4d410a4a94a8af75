"""A connection that leaves HTTP (RFC 9110, 7.8): a gateway of the test's own echoes octets through a tunnel.

1. Octets sent with the request, and after 101, come back.
2. The tunnel ends for one reason, whoever ends it: client, application, clock, drain.
3. A drain tells the tunnel, waits for it, and cuts it at its timeout.
4. A peer that does not read is waited for, and memory stays bounded.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest

from bide import exchange as contract
from bide.config import configured
from bide.exchange import Exchange, Gateway, Tunnel, TunnelEnd
from bide.server.server import loop_factory
from bide.terms import State
from bide.worker.settings import WorkerSettings
from bide.worker.worker import Worker

if not str(contract.__file__).endswith(".py"):
    pytest.skip("a compiled gateway has no heirs that are not", allow_module_level=True)

DEADLINE: Final = 20.0  # bounds hanging, seconds
ASK: Final = b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: h2c, echo\r\n\r\n"


class Echo(Tunnel):
    """Sends back what comes; `bye` closes, and so does a drain if the client asked for `closing`."""

    def __init__(self) -> None:
        self.end: TunnelEnd
        self.calls: list[str] = []
        self.closes_at_drain = False

    def opened(self, end: TunnelEnd) -> None:
        self.end = end
        self.calls.append("opened")

    def octets_received(self, data: bytes) -> None:
        if b"closing" in data:
            self.closes_at_drain = True
        self.end.write(data)
        if data.endswith(b"bye"):
            self.end.close()

    def eof_received(self) -> None:
        self.calls.append("eof")
        self.end.write(b"last")

    def write_paused(self) -> None:
        self.calls.append("paused")
        self.end.pause_reading()

    def write_resumed(self) -> None:
        self.calls.append("resumed")
        self.end.resume_reading()

    def drain(self) -> None:
        self.calls.append("drain")
        if self.closes_at_drain:
            self.end.write(b"drained")
            self.end.close()

    def closed(self) -> None:
        self.calls.append("closed")


class EchoGateway(Gateway):
    """Switches to `echo` whenever a client asks for it; answers 426 otherwise."""

    def __init__(self) -> None:
        self.tunnels: list[Echo] = []

    def start(self, exchange: Exchange) -> None:
        if b"echo" in exchange.request.upgrade:
            tunnel = Echo()
            self.tunnels.append(tunnel)
            exchange.upgrade(b"echo", [(b"x-test", b"1")], tunnel)
        else:
            exchange.respond(426, [(b"content-length", b"0")], False)
            exchange.send(b"", False)

    @property
    def running(self) -> int:
        return 0

    def cancel(self) -> None:
        pass

    def drain(self) -> None:
        pass


class Serving:
    """A worker with an echoing gateway, in a thread of its own."""

    def __init__(self, kind: str, **options: Any) -> None:
        self.gateway = EchoGateway()
        self._options = configured(
            {"port": 0, "lifespan": "off", "access_log": False, "drain_timeout": 5.0, "drain_ws": 0.0, **options}
        )
        self._kind = kind
        self._ready = threading.Event()
        self._stop: asyncio.Event
        self._thread = threading.Thread(target=self._run)
        self.stopped = threading.Event()
        self._thread.start()
        assert self._ready.wait(DEADLINE)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=loop_factory(self._kind)) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()

        async def unused(scope: Any, receive: Any, send: Any) -> None:
            raise NotImplementedError

        self.worker = Worker(WorkerSettings(self._options), unused)
        await self.worker.start()
        self.worker.context.gateway = self.gateway
        self._ready.set()
        await self._stop.wait()
        await self.worker.stop()
        self.stopped.set()

    def stop(self) -> None:
        if not self.stopped.is_set():
            self._loop.call_soon_threadsafe(self._stop.set)

    def join(self) -> None:
        self.stop()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()

    def until(self, condition: Any) -> None:
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.005)  # another thread's loop has no clock that a test could pass in

    @property
    def ends(self) -> dict[str, int]:
        return {reason: count for reason, count in self.worker.snapshot()["closed"].items() if count}

    def tunnel(self, more: bytes = b"") -> socket.socket:
        port = int(self.worker.urls[0].rsplit(":", 1)[1])
        client = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        client.sendall(ASK + more)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\nx-test: 1\r\nDate: ")
        assert head.endswith(b" GMT\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n")
        return client


@pytest.fixture(params=["uvloop", "asyncio"])
def serve(request: pytest.FixtureRequest) -> Iterator[Any]:
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> Serving:
            serving = Serving(request.param, **options)
            stack.callback(serving.join)
            return serving

        yield start


def read(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = client.recv(count - len(data))
        assert piece, f"the end after {data!r}"
        data += piece
    return data


def test_octets_with_the_request_and_after_it_come_back(serve: Any) -> None:
    server = serve()
    with server.tunnel(b"early") as client:
        assert read(client, 5) == b"early"
        client.sendall(b"late")
        assert read(client, 4) == b"late"
        assert server.worker.snapshot()["states"]["tunnel"] == 1


def test_tunnel_that_the_application_closes_ends_after_its_last_octet(serve: Any) -> None:
    server = serve()
    with server.tunnel() as client:
        client.sendall(b"good bye")
        assert read(client, 8) == b"good bye"
        assert client.recv(1) == b""
    server.until(lambda: server.ends == {"tunnel_closed": 1})
    assert server.gateway.tunnels[0].calls == ["opened", "closed"]


def test_tunnel_whose_client_closes_gets_the_last_octets_out(serve: Any) -> None:
    server = serve()
    with server.tunnel() as client:
        client.shutdown(socket.SHUT_WR)
        assert read(client, 4) == b"last"
        assert client.recv(1) == b""
    server.until(lambda: server.ends == {"client_eof_tunnel": 1})
    assert server.gateway.tunnels[0].calls == ["opened", "eof", "closed"]


def test_tunnel_without_an_octet_expires(serve: Any) -> None:
    server = serve(timeout_tunnel=0.2)
    with server.tunnel() as client:
        assert client.recv(1) == b""
    server.until(lambda: server.ends == {"tunnel_timeout": 1})


def test_drain_waits_for_tunnels_that_close_by_themselves(serve: Any) -> None:
    server = serve(drain_timeout=DEADLINE)
    with server.tunnel() as client:
        client.sendall(b"closing")
        assert read(client, 7) == b"closing"
        server.stop()
        assert read(client, 7) == b"drained"
        assert client.recv(1) == b""
    server.until(server.stopped.is_set)
    assert server.ends == {"drain": 1}
    assert server.gateway.tunnels[0].calls == ["opened", "drain", "closed"]


def test_drain_cuts_tunnels_that_stay_open(serve: Any) -> None:
    server = serve(drain_timeout=0.3)
    with server.tunnel() as client:
        server.stop()
        assert client.recv(1) == b""
    server.until(server.stopped.is_set)
    assert server.ends == {"drain_deadline": 1}
    assert server.gateway.tunnels[0].calls == ["opened", "drain", "closed"]


def test_tunnel_to_a_client_that_does_not_read_is_paused(serve: Any) -> None:
    server = serve()
    sent = 0
    with server.tunnel() as client:
        client.setblocking(False)
        piece = bytes(1 << 16)
        deadline = time.monotonic() + DEADLINE
        while "paused" not in server.gateway.tunnels[0].calls:
            assert time.monotonic() < deadline
            with contextlib.suppress(BlockingIOError):
                sent += client.send(piece)
        client.settimeout(DEADLINE)
        assert read(client, sent) == bytes(sent)
        assert server.worker.snapshot()["states"][State.TUNNEL.value] == 1
    assert "resumed" in server.gateway.tunnels[0].calls


def test_client_that_asks_for_another_protocol_is_answered_and_persists(serve: Any) -> None:
    server = serve()
    port = int(server.worker.urls[0].rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as client:
        for _ in range(2):
            client.sendall(ASK.replace(b"h2c, echo", b"websocket"))
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)
            assert head.startswith(b"HTTP/1.1 426 ")

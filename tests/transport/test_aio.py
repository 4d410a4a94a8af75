"""Plays a wire over a real connection: its reports, and its ends."""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from bide import wire as contract
from bide.server.server import loop_factory
from bide.transport.aio import AcceptContext, AioWire, joined_pieces
from bide.transport.coalescer import WriteCoalescer
from tests.support.server import Log
from tests.support.waiting import PATIENCE

if not str(contract.__file__).endswith(".py"):
    pytest.skip("a compiled Receiver has no heirs that are not", allow_module_level=True)


class Ear:
    """Keeps the reports of a wire, in order."""

    def __init__(self, wire: Any) -> None:
        self.wire: AioWire = wire
        self.heard: list[str] = []
        self.octets = b""
        self.gone = asyncio.Event()

    def octets_received(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        self.octets += data

    def eof_received(self) -> None:
        self.heard.append("eof")

    def write_paused(self) -> None:
        self.heard.append("stuck")

    def write_resumed(self) -> None:
        self.heard.append("flowing")

    def flushed(self) -> None:
        self.heard.append("flushed")

    def lost(self) -> None:
        self.heard.append("lost")
        self.gone.set()


class Peer:
    """The other end: a plain socket, and what reads from it without blocking the loop."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.loop = asyncio.get_running_loop()

    async def read(self, size: int) -> bytes:
        octets = b""
        while len(octets) < size:
            more = await self.loop.sock_recv(self.sock, size - len(octets))
            if not more:
                break
            octets += more
        return octets

    async def ending(self) -> str:
        try:
            while await self.loop.sock_recv(self.sock, 1 << 16):
                pass
        except ConnectionError:
            return "reset"
        return "fin"


@contextlib.asynccontextmanager
async def connected(receive_buffer: int | None = None, *, holding: bool = True) -> AsyncIterator[tuple[Ear, Peer]]:
    loop = asyncio.get_running_loop()
    ears: asyncio.Queue[Ear] = asyncio.Queue()

    def accept(wire: Any) -> Any:
        ear = Ear(wire)
        ears.put_nowait(ear)
        return ear

    def make() -> Any:
        # On a clock that stands still, every write follows closely on the one before.
        return AioWire(AcceptContext(accept, WriteCoalescer(loop, lambda: 0.0) if holding else None))

    server = await loop.create_server(make, "127.0.0.1", 0)
    with socket.socket() as sock:
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        await loop.sock_connect(sock, server.sockets[0].getsockname())
        ear = await ears.get()
        try:
            yield ear, Peer(sock)
        finally:
            server.close()  # whatever the wire does: uvloop does not end with a server open
            ear.wire.abort()
            await asyncio.wait_for(ear.gone.wait(), PATIENCE)
            await server.wait_closed()  # waits for its connections, from Python 3.12 on
            await asyncio.sleep(0)


Scene = Callable[[], Awaitable[None]]


@pytest.fixture
def play(loop: str, log: Log) -> Callable[[Scene], None]:
    """Run a scene on the event loop."""

    async def within(scene: Scene) -> None:
        async with asyncio.timeout(PATIENCE):
            await scene()

    def run(scene: Scene) -> None:
        with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
            runner.run(within(scene))

    return run


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)  # what the kernel does on the other end reaches no event loop


async def passes() -> None:
    """Let the event loop do whatever it is ready to do."""
    for _ in range(20):
        await asyncio.sleep(0)


Play = Callable[[Scene], None]


@pytest.mark.parametrize("holding", [True, False])
def test_octets_go_both_ways(play: Play, holding: bool) -> None:
    async def scene() -> None:
        async with connected(holding=holding) as (ear, peer):
            peer.sock.send(b"to the server")
            await until(lambda: ear.octets == b"to the server")
            ear.wire.write(b"to the ")
            ear.wire.write(b"client")
            assert await peer.read(13) == b"to the client"
            assert ear.wire.peer() == peer.sock.getsockname()
            assert ear.wire.local() == peer.sock.getpeername()
            assert ear.heard == []

    play(scene)


ORDERS: dict[str, Callable[[AioWire], object]] = {
    "write_pieces": lambda wire: wire.write_pieces([b"3", b"4"]),
    "half_close": lambda wire: wire.half_close(b"34"),
    "half_close_if_quiet": lambda wire: wire.half_close_if_quiet(),
    "release": lambda wire: wire.release(),
    "unsent": lambda wire: wire.unsent(),
    "abort": lambda wire: wire.abort(),
}


@pytest.mark.parametrize("order", ORDERS)
def test_orders_do_not_overtake_octets_held_back(play: Play, order: str) -> None:
    async def scene() -> None:
        async with connected() as (ear, peer):
            for octet in b"0", b"1", b"2":
                ear.wire.write(octet)
            ORDERS[order](ear.wire)
            if order in {"unsent", "write_pieces"}:
                ear.wire.half_close(b"")
            expected = b"01234" if order in {"write_pieces", "half_close"} else b"012"
            assert await peer.read(len(expected)) == expected
            assert await peer.ending() == ("reset" if order == "abort" else "fin")

    play(scene)


def test_eof_of_the_peer_leaves_the_wire_open(play: Play) -> None:
    async def scene() -> None:
        async with connected() as (ear, peer):
            peer.sock.shutdown(socket.SHUT_WR)
            await until(lambda: ear.heard == ["eof"])
            ear.wire.write(b"answer")
            assert await peer.read(6) == b"answer"
            ear.wire.release()
            assert await peer.ending() == "fin"
            await until(lambda: ear.heard == ["eof", "lost"])

    play(scene)


def test_release_flushes_before_the_fin(play: Play) -> None:
    async def scene() -> None:
        async with connected(receive_buffer=4096) as (ear, peer):
            ear.wire.write(bytes(3_000_000))
            ear.wire.release()
            assert len(await peer.read(3_000_000)) == 3_000_000
            assert await peer.ending() == "fin"
            await ear.gone.wait()

    play(scene)


@pytest.mark.parametrize("last", [0, 10, 3_000_000])
@pytest.mark.parametrize("size", [0, 10, 3_000_000])
def test_half_close_flushes_and_reads_on(play: Play, size: int, last: int) -> None:
    async def scene() -> None:
        async with connected(receive_buffer=4096) as (ear, peer):
            if size:
                ear.wire.write(bytes(size))
            ear.wire.half_close(b"1" * last)
            assert await peer.read(size + last) == bytes(size) + b"1" * last
            assert await peer.ending() == "fin"
            await until(lambda: "flushed" in ear.heard)
            assert ear.heard.count("flushed") == 1
            peer.sock.send(b"still heard")
            await until(lambda: ear.octets == b"still heard")
            assert "lost" not in ear.heard
            peer.sock.close()
            await until(lambda: "eof" in ear.heard)

    play(scene)


@pytest.mark.parametrize("last", [0, 10, 3_000_000])
def test_half_close_with_a_default_socket_timeout_does_not_wait(play: Play, last: int) -> None:
    """An application may set a default for all sockets. The event loop waits for none of them."""

    async def scene() -> None:
        async with connected(receive_buffer=4096) as (ear, peer):
            socket.setdefaulttimeout(3.0)
            try:
                began = time.monotonic()
                if last:
                    ear.wire.write(bytes(last))
                ear.wire.half_close(bytes(last))
                assert time.monotonic() - began < 1.0
            finally:
                socket.setdefaulttimeout(None)
            assert len(await peer.read(2 * last)) == 2 * last
            assert await peer.ending() == "fin"
            await until(lambda: ear.heard.count("flushed") == 1)

    play(scene)


def test_abort_resets_the_connection(play: Play) -> None:
    async def scene() -> None:
        async with connected() as (ear, peer):
            ear.wire.write(b"half")
            assert await peer.read(4) == b"half"
            ear.wire.abort()
            assert await peer.ending() == "reset"
            await ear.gone.wait()
            assert ear.heard == ["lost"]

    play(scene)


def test_reading_paused_leaves_octets_with_the_kernel(play: Play) -> None:
    async def scene() -> None:
        async with connected() as (ear, peer):
            ear.wire.pause_reading()
            peer.sock.send(b"later")
            await until(ear.wire.octets_waiting)
            await passes()
            assert ear.octets == b""
            ear.wire.resume_reading()
            await until(lambda: ear.octets == b"later")
            assert not ear.wire.octets_waiting()

    play(scene)


def test_output_beyond_the_buffers_is_stuck_then_flows(play: Play) -> None:
    async def scene() -> None:
        async with connected(receive_buffer=4096) as (ear, peer):
            written = 0
            while "stuck" not in ear.heard:
                ear.wire.write(bytes(1 << 16))
                written += 1 << 16
                await asyncio.sleep(0)
                assert written < 50_000_000
            assert ear.wire.unsent() > 0
            before = ear.wire.unsent()
            await peer.read(written // 2)
            await until(lambda: ear.wire.unsent() < before)
            await peer.read(written - written // 2)
            await until(lambda: "flowing" in ear.heard)
            await until(lambda: ear.wire.unsent() == 0)

    play(scene)


def test_reset_by_the_peer_is_reported_lost(play: Play) -> None:
    async def scene() -> None:
        async with connected() as (ear, peer):
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.sock.close()
            await ear.gone.wait()
            assert ear.heard == ["lost"]

    play(scene)


def test_reset_by_the_peer_while_paused_is_seen_as_broken(play: Play) -> None:
    """The loop does not report it, since nothing is read. The kernel knows."""

    async def scene() -> None:
        async with connected() as (ear, peer):
            assert not ear.wire.peer_gone()
            ear.wire.pause_reading()
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.sock.close()
            await until(ear.wire.peer_gone)

    play(scene)


def test_orders_to_a_lost_wire_do_nothing(play: Play) -> None:
    """None of them raises or logs, in whatever state the wire is."""

    async def scene() -> None:
        for end in ("reset", "abort", "release"):
            async with connected() as (ear, peer):
                wire = ear.wire
                if end == "reset":
                    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    peer.sock.close()
                elif end == "abort":
                    wire.abort()
                else:
                    wire.release()
                for noticed in (False, False, True):
                    if noticed:
                        await ear.gone.wait()
                    for _ in range(10):
                        wire.write(b"into the void")
                    wire.pause_reading()
                    wire.resume_reading()
                    wire.half_close(b"")
                    wire.unsent()
                    wire.octets_waiting()
                    wire.peer_gone()
                    wire.peer()
                    wire.local()
                    wire.release()
                    wire.abort()
                    await asyncio.sleep(0)
                assert ear.heard.count("lost") == 1

    play(scene)


def test_half_close_after_a_reset_is_reported_lost(play: Play) -> None:
    """The reset is in, but was not reported yet."""

    async def scene() -> None:
        for size in (0, 2_000_000):
            async with connected(receive_buffer=4096) as (ear, peer):
                if size:
                    ear.wire.write(bytes(size))
                peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                peer.sock.close()
                ear.wire.half_close(b"")
                await ear.gone.wait()
                assert ear.heard[-1] == "lost"
                assert ear.heard.count("lost") == 1
                assert size == 0 or "flushed" not in ear.heard, "there was more to send than the kernel takes"

    play(scene)


def test_unix_socket_closed_by_the_peer_is_broken_once_it_is_read(play: Play) -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ears: list[Ear] = []

        def accept(wire: Any) -> Any:
            ears.append(Ear(wire))
            return ears[0]

        def make() -> Any:
            return AioWire(AcceptContext(accept))

        transport, _ = await loop.create_connection(make, sock=ours)
        (ear,) = ears
        assert ear.wire.peer() is None
        assert ear.wire.local() is None
        ear.wire.pause_reading()
        theirs.send(b"to be read first")
        theirs.close()
        assert not ear.wire.peer_gone()
        ear.wire.resume_reading()
        await until(lambda: ear.heard)
        assert ear.wire.peer_gone()
        ear.wire.abort()
        await ear.gone.wait()
        transport.close()

    play(scene)


LARGE = bytes(1_000_000)


@pytest.mark.parametrize(
    ("pieces", "sizes"),
    [
        ([b"head", b"body"], [8]),
        ([b"head", LARGE], [4, 1_000_000]),
        ([LARGE, b"end"], [1_000_000, 3]),
        ([b"10000", bytes(65_536), b"end"] * 3, [65_541, 65_544, 65_544, 3]),
        ([bytes(16_384)] * 16, [65_536] * 4),
        ([b"x"] * 3 + [LARGE] * 2 + [b"y"] * 2, [3, 1_000_000, 1_000_000, 2]),
    ],
)
def test_pieces_are_joined_up_to_a_size(pieces: list[bytes], sizes: list[int]) -> None:
    joined = joined_pieces(pieces, 65_536)
    assert b"".join(joined) == b"".join(pieces)
    assert [len(piece) for piece in joined] == sizes
    assert all(piece is LARGE for piece in joined if len(piece) == len(LARGE))


@pytest.mark.parametrize("order", ["release", "abort"])
@pytest.mark.parametrize("report", ["flushed", "write_resumed"])
def test_end_ordered_while_writing_resumes_is_reported_once(
    play: Play, monkeypatch: pytest.MonkeyPatch, report: str, order: str
) -> None:
    """Asyncio reports a loss twice, the second time by a traceback, if its transport closes within its own report."""
    size = 4 << 20

    def end(ear: Ear) -> None:
        ear.heard.append(report)
        getattr(ear.wire, order)()

    monkeypatch.setattr(Ear, report, end)

    async def scene() -> None:
        async with connected(receive_buffer=4096) as (ear, peer):
            if report == "flushed":
                ear.wire.half_close(bytes(size))
            else:
                ear.wire.write(bytes(size))
            with contextlib.suppress(ConnectionError):  # what an abort is to the peer
                await peer.read(size)
            await ear.gone.wait()
            assert ear.heard.count("lost") == 1

    play(scene)

"""Plays a wire over a real connection: its reports, its ends, and what single system calls may answer."""

import asyncio
import contextlib
import errno
import functools
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from bide import wire as contract
from bide.server.server import loop_factory
from bide.terms import CloseReason
from bide.transport import stream
from bide.transport.polled import PolledWire
from bide.transport.poller import Poller
from bide.transport.stream import SocketWire, address, borrowed
from bide.wire import FILE_ENDED, Receiver
from tests.support.server import Log
from tests.support.waiting import PATIENCE

if not str(contract.__file__).endswith(".py"):
    pytest.skip("a compiled Receiver has no heirs that are not", allow_module_level=True)


#: Octets of a file that are sent at once, at most.
FILE_SHARE = 1 << 18


class Ear:
    """Keeps the reports of a wire, in order."""

    def __init__(self, wire: Any) -> None:
        self.wire: SocketWire = wire
        self.heard: list[str] = []
        self.octets = b""
        self.gone = asyncio.Event()
        self.wires: Wires

    def octets_received(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        self.octets += data

    def ready(self) -> None:
        self.heard.append("ready")

    def introduced(self) -> None:
        self.heard.append("introduced")

    def rejected(self, reason: CloseReason, detail: str, is_plain: bool) -> None:
        self.heard.append("rejected")

    def go_on(self) -> None:
        self.heard.append("go on")

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

    def fail_internal(self) -> None:
        self.heard.append("failed")
        self.wire.abort()


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


def no_accept(_wire: Any) -> Receiver:
    raise NotImplementedError


class Wires:
    """Wires over real sockets, on one poller.

    woken: the wires that were made for descriptors at rest.
    """

    def __init__(self) -> None:
        self.woken: list[SocketWire] = []
        self.poller = Poller(asyncio.get_running_loop(), lambda: 0.0)
        self.poller.serve(no_accept, self._wake)

    def _wake(self, fd: int, resting: Receiver) -> PolledWire:
        wire = SocketWire(self.poller, fd)
        self.woken.append(wire)
        cast("Any", resting).wire = wire
        wire.begin_again(resting)
        return wire

    def over(self, sock: socket.socket) -> Ear:
        """Return the receiver of a wire over a socket, which it takes over."""
        name, local = sock.getpeername(), sock.getsockname()
        sock.setblocking(False)
        wire = SocketWire(self.poller, sock.detach(), address(name), address(local))
        ear = Ear(wire)
        wire.begin(cast("Receiver", ear))
        return ear


@contextlib.asynccontextmanager
async def connected(receive_buffer: int | None = None, *, holding: bool = True) -> AsyncIterator[tuple[Ear, Peer]]:
    """Yield a wire's receiver and the other end. holding: whether the wire holds back what it writes."""
    wires = Wires()
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        sock = stack.enter_context(socket.socket())
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect(listening.getsockname())
        sock.setblocking(False)
        ear = wires.over(listening.accept()[0])
        ear.wires = wires
        other: Ear | None = None
        if holding:  # on a clock that stands still, the wire's writes follow closely on another one's
            ours, theirs = socket.socketpair()
            stack.enter_context(theirs)
            other = wires.over(ours)
            other.wire.write(b"x")
        try:
            yield ear, Peer(sock)
        finally:
            ear.wire.abort()
            if other is not None:
                other.wire.abort()
            await asyncio.wait_for(ear.gone.wait(), PATIENCE)
            wires.poller.close()


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


ORDERS: dict[str, Callable[[SocketWire], object]] = {
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
                    wire.writable()
                    wire.readable()
                    wire.send_held()
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
        ours, theirs = socket.socketpair()
        wires = Wires()
        ear = wires.over(ours)
        assert ear.wire.peer() is None
        assert ear.wire.local() is None
        ear.wire.pause_reading()
        theirs.send(b"to be read first")
        theirs.close()
        assert not ear.wire.peer_gone()
        await passes()
        ear.wire.resume_reading()
        await until(lambda: ear.heard)
        assert ear.octets == b"to be read first"
        assert ear.wire.peer_gone()
        ear.wire.abort()
        await ear.gone.wait()
        wires.poller.close()

    play(scene)


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("sizes", [[1], [70_000, 1, 3_000_000, 0, 5], [1] * 2_000, [9_000] * 600], ids=str)
def test_pieces_arrive_in_order_and_whole(play: Play, sizes: list[int], blocked: bool) -> None:
    pieces = [bytes([number % 251]) * size for number, size in enumerate(sizes)]

    async def scene() -> None:
        async with connected(receive_buffer=4096) as (ear, peer):
            first = bytes(3_000_000) if blocked else b""
            if blocked:
                ear.wire.write(first)
            ear.wire.write_pieces(list(pieces))
            ear.wire.half_close(b"last")
            expected = first + b"".join(pieces) + b"last"
            assert await peer.read(len(expected) + 1) == expected
            await until(lambda: "flushed" in ear.heard)

    play(scene)


def test_writes_that_the_kernel_does_not_take_pause_once_and_arrive(play: Play) -> None:
    async def scene() -> None:
        async with connected(receive_buffer=4096) as (ear, peer):
            written = b""
            for number in range(400):
                piece = bytes([number % 251]) * 20_000
                ear.wire.write(piece)
                written += piece
            assert ear.heard == ["stuck"]
            assert await peer.read(len(written)) == written
            await until(lambda: ear.heard == ["stuck", "flowing"])
            ear.wire.write(b"more")
            assert await peer.read(4) == b"more"

    play(scene)


# -- At rest ----------------------------------------------------------------------------------------------------------------


def ends(ear: Ear, text: bytes) -> bool:
    return ear.octets.endswith(text)


def test_wire_at_rest_is_made_anew_once_octets_come(play: Play) -> None:
    async def scene() -> None:
        async with connected() as (ear, peer):
            for text in (b"first", b"second"):
                wire = ear.wire
                assert wire.rest(cast("Receiver", ear))
                assert wire.descriptor() == -1
                wire.write(b"from the wire that was given up")
                peer.sock.send(text)
                await until(functools.partial(ends, ear, text))
                assert ear.wire is not wire
                ear.wire.write(b"answer")
                assert await peer.read(6) == b"answer"
            assert len(ear.wires.woken) == 2

    play(scene)


@pytest.mark.parametrize("end", ["eof", "lost"])
def test_end_of_a_peer_wakes_a_wire_at_rest(play: Play, end: str) -> None:
    async def scene() -> None:
        async with connected() as (ear, peer):
            assert ear.wire.rest(cast("Receiver", ear))
            if end == "lost":
                peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.sock.close()
            await until(lambda: ear.heard == [end])

    play(scene)


def test_wire_woken_before_octets_come_reports_them(play: Play) -> None:
    async def scene() -> None:
        async with connected() as (ear, peer):
            descriptor = ear.wire.descriptor()
            assert ear.wire.rest(cast("Receiver", ear))
            ear.wires.poller.wake(descriptor)
            assert ear.wire.descriptor() == descriptor
            peer.sock.send(b"later")
            await until(lambda: ear.octets == b"later")

    play(scene)


CANNOT_REST: dict[str, Callable[[SocketWire], object]] = {
    "unsent": lambda wire: wire.write(bytes(5_000_000)),
    "held": lambda wire: wire.write(b"x"),
    "paused": lambda wire: wire.pause_reading(),
    "half-closed": lambda wire: wire.half_close(b""),
    "released": lambda wire: wire.release(),
    "aborted": lambda wire: wire.abort(),
}


@pytest.mark.parametrize("state", CANNOT_REST)
def test_wire_with_something_to_do_does_not_rest(play: Play, state: str) -> None:
    async def scene() -> None:
        async with connected(receive_buffer=4096) as (ear, _peer):
            CANNOT_REST[state](ear.wire)
            assert not ear.wire.rest(cast("Receiver", ear))

    play(scene)


def test_wire_whose_peer_sends_no_more_does_not_rest(play: Play) -> None:
    async def scene() -> None:
        async with connected() as (ear, peer):
            peer.sock.shutdown(socket.SHUT_WR)
            await until(lambda: ear.heard == ["eof"])
            assert not ear.wire.rest(cast("Receiver", ear))

    play(scene)


# -- Files ------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def file_of(folder: Path, content: bytes) -> Iterator[int]:
    """Yield the descriptor of a file with this content."""
    (folder / "file").write_bytes(content)
    with (folder / "file").open("rb") as file:
        yield file.fileno()


async def send_file(ear: Ear, file: int, count: int, first: bytes = b"", offset: int = 0) -> None:
    """Send a file as a session does: wait while writing is paused."""
    while count:
        await until(lambda: ear.heard.count("flowing") == ear.heard.count("stuck"))
        sent = ear.wire.send_file(first, file, offset, count)
        first = b""
        assert 0 <= sent <= FILE_SHARE
        offset += sent
        count -= sent


@pytest.mark.parametrize("holding", [True, False])
@pytest.mark.parametrize("before", [0, 10, 100_000])
def test_file_arrives_whole_after_what_was_written(play: Play, tmp_path: Path, holding: bool, before: int) -> None:
    content = os.urandom(3_000_000)

    async def scene() -> None:
        with file_of(tmp_path, content) as file:
            async with connected(receive_buffer=4096, holding=holding) as (ear, peer):
                written = b"w" * before
                ear.wire.write(written)
                reading = asyncio.ensure_future(peer.read(before + 5 + 2_999_990 + 1))
                await send_file(ear, file, 2_999_990, b"first", 10)
                ear.wire.write(b"x")
                assert await reading == written + b"first" + content[10:] + b"x"
                assert ear.heard.count("stuck") == ear.heard.count("flowing") > 0

    play(scene)


def test_file_that_the_kernel_does_not_take_waits_for_space(play: Play, tmp_path: Path) -> None:
    async def scene() -> None:
        with file_of(tmp_path, bytes(50_000_000)) as file:
            async with connected(receive_buffer=4096, holding=False) as (ear, peer):
                sent = 0
                while "stuck" not in ear.heard:
                    sent += ear.wire.send_file(b"", file, sent, 50_000_000 - sent)
                assert sent < 50_000_000
                await peer.read(sent)
                await until(lambda: ear.heard == ["stuck", "flowing"])
                assert ear.wire.send_file(b"", file, sent, 10) == 10

    play(scene)


def test_octets_before_a_file_that_the_kernel_does_not_take_are_not_lost(play: Play, tmp_path: Path) -> None:
    async def scene() -> None:
        with file_of(tmp_path, b"file") as file:
            async with connected(holding=False) as (ear, peer):
                ear.wire.write(bytes(8_000_000))
                assert ear.heard == ["stuck"]
                assert ear.wire.send_file(b"first", file, 0, 4) == 0
                assert await peer.read(8_000_005) == bytes(8_000_000) + b"first"
                await until(lambda: ear.heard == ["stuck", "flowing"])
                assert ear.wire.send_file(b"", file, 0, 4) == 4
                assert await peer.read(4) == b"file"

    play(scene)


@pytest.mark.parametrize(("offset", "sent"), [(0, 4), (2, 2), (4, FILE_ENDED), (9, FILE_ENDED)])
def test_file_that_has_less_says_so(play: Play, tmp_path: Path, offset: int, sent: int) -> None:
    async def scene() -> None:
        with file_of(tmp_path, b"abcd") as file:
            async with connected(holding=False) as (ear, peer):
                assert ear.wire.send_file(b"first", file, offset, 10) == sent
                assert await peer.read(5) == b"first"

    play(scene)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_file_that_the_kernel_cannot_send_is_read_in_pieces(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    content = os.urandom(300_000)
    monkeypatch.setattr(stream, "_sendfile", Failing(code))

    async def scene() -> None:
        with file_of(tmp_path, content) as file:
            async with connected() as (ear, peer):
                reading = asyncio.ensure_future(peer.read(5 + len(content)))
                await send_file(ear, file, len(content), b"first")
                assert await reading == b"first" + content
                assert ear.wire.send_file(b"", file, len(content), 1) == FILE_ENDED

    play(scene)


@pytest.mark.parametrize("call", ["_sendfile", "borrowed"])
def test_file_to_a_peer_that_has_reset_loses_the_wire(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    class Reset:
        """A socket whose peer has reset."""

        def detach(self) -> None: ...

        def send(self, *_: object) -> int:
            raise ConnectionResetError

    async def scene() -> None:
        with file_of(tmp_path, b"abcd") as file:
            async with connected(holding=False) as (ear, _):
                with monkeypatch.context() as patched:
                    failing = Failing(errno.EPIPE) if call == "_sendfile" else lambda *_: Reset()
                    patched.setattr(stream, call, failing)
                    assert ear.wire.send_file(b"first", file, 0, 4) == 0
                await ear.gone.wait()
                assert ear.heard == ["lost"]
                assert ear.wire.send_file(b"first", file, 0, 4) == 0

    play(scene)


def test_octets_before_a_file_that_would_block_are_sent_later(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        """A socket whose buffer is full."""

        def detach(self) -> None: ...

        def send(self, *_: object) -> int:
            raise BlockingIOError

    async def scene() -> None:
        with file_of(tmp_path, b"abcd") as file:
            async with connected(holding=False) as (ear, peer):
                with monkeypatch.context() as patched:
                    patched.setattr(stream, "borrowed", lambda *_: Full())
                    assert ear.wire.send_file(b"first", file, 0, 4) == 0
                assert ear.heard == ["stuck"]
                assert await peer.read(5) == b"first"
                await until(lambda: ear.heard == ["stuck", "flowing"])

    play(scene)


def test_file_after_an_ordered_end_is_not_sent(play: Play, tmp_path: Path) -> None:
    async def scene() -> None:
        with file_of(tmp_path, b"abcd") as file:
            async with connected() as (ear, peer):
                ear.wire.half_close(b"last")
                assert ear.wire.send_file(b"first", file, 0, 4) == 0
                assert await peer.read(100) == b"last"

    play(scene)


def test_file_with_a_default_socket_timeout_does_not_wait(play: Play, tmp_path: Path) -> None:
    async def scene() -> None:
        with file_of(tmp_path, b"abcd") as file:
            async with connected(holding=False) as (ear, peer):
                socket.setdefaulttimeout(PATIENCE)
                try:
                    assert ear.wire.send_file(b"first", file, 0, 4) == 4
                finally:
                    socket.setdefaulttimeout(None)
                assert await peer.read(9) == b"firstabcd"

    play(scene)


# -- What system calls answer -----------------------------------------------------------------------------------------------

FAILURES = [errno.ECONNRESET, errno.EPIPE, errno.ENOBUFS, errno.ENOMEM, errno.ENOTCONN, errno.ETIMEDOUT]


def descriptors_open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_read_is_larger_behind_a_filled_one_until_little_comes(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that begins with a small read makes two of what one would have held."""
    seen: list[tuple[int, int]] = []

    def reading(fd: int, size: int) -> bytes:
        data = os.read(fd, size)
        seen.append((size, len(data)))
        return data

    monkeypatch.setattr(stream, "_read", reading)
    small, larger = 1 << 14, (1 << 16) + (1 << 10)

    async def scene() -> None:
        async with connected() as (ear, peer):
            seen.clear()
            for octets in (small + 1, larger - 1, 1, 1):
                wanted = len(ear.octets) + octets
                peer.sock.sendall(bytes(octets))
                await until(lambda wanted=wanted: len(ear.octets) == wanted)  # type: ignore[misc]

    play(scene)
    reads = [(size, octets) for size, octets in seen if octets]
    assert reads[:2] == [(small, small), (larger, 1)]
    assert reads[2][0] == larger, "the pass before had a filled one"
    assert reads[-1][0] == small, "little came in the pass before"


class Failing:
    """A system call that fails."""

    def __init__(self, code: int) -> None:
        self._code = code
        self.failed = 0

    def __call__(self, *_: object) -> Any:
        self.failed += 1
        raise OSError(self._code, os.strerror(self._code))


ACTS: dict[str, Callable[[Ear, Peer], object]] = {
    "read": lambda _, peer: peer.sock.send(b"x"),
    "write": lambda ear, _: ear.wire.write(b"x"),
    "writev": lambda ear, _: ear.wire.write_pieces([b"x", b"y"]),
}


@pytest.mark.parametrize("code", FAILURES, ids=errno.errorcode.get)
@pytest.mark.parametrize("call", ACTS)
def test_call_that_fails_ends_the_wire_and_leaves_no_descriptor(
    play: Play, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    async def scene() -> None:
        before = descriptors_open()
        async with connected(holding=False) as (ear, peer):
            failing = Failing(code)
            monkeypatch.setattr(stream, f"_{call}", failing)
            ACTS[call](ear, peer)
            await ear.gone.wait()
            assert ear.heard == ["lost"]
            assert failing.failed == 1
            assert ear.wire.descriptor() == -1
            monkeypatch.undo()
        assert descriptors_open() == before

    play(scene)


@pytest.mark.parametrize("call", ACTS)
def test_call_that_would_block_is_made_again(play: Play, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    async def scene() -> None:
        async with connected(holding=False) as (ear, peer):
            failing = Failing(errno.EAGAIN)
            monkeypatch.setattr(stream, f"_{call}", failing)
            ACTS[call](ear, peer)
            await until(lambda: failing.failed)
            monkeypatch.undo()
            if call == "read":
                await until(lambda: ear.octets == b"x")
            else:
                expected = b"x" if call == "write" else b"xy"
                assert await peer.read(len(expected)) == expected
            assert ear.heard == []

    play(scene)


@pytest.mark.parametrize("code", [errno.ENOMEM, errno.ENOSPC], ids=errno.errorcode.get)
def test_connection_that_cannot_be_watched_is_reset(play: Play, code: int) -> None:
    class Full:
        """A poll object that takes no more."""

        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def register(self, fd: int, events: int) -> None:
            raise OSError(code, os.strerror(code))

    async def scene() -> None:
        wires = Wires()
        poll = wires.poller._poll
        wires.poller._poll = Full(poll)
        with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as sock:
            sock.connect(listening.getsockname())
            sock.setblocking(False)
            ear = wires.over(listening.accept()[0])
            await ear.gone.wait()
            assert ear.heard == ["lost"]
            assert await Peer(sock).ending() == "reset"
        wires.poller.close()

    play(scene)


def test_local_address_is_asked_for_where_it_is_not_known(play: Play) -> None:
    async def scene() -> None:
        wires = Wires()
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.create_server((host, 0), family=family) as listening, socket.socket(family) as sock:
                sock.connect(listening.getsockname())
                accepted, _ = listening.accept()
                port = accepted.getsockname()[1]
                wire = SocketWire(wires.poller, accepted.detach())
                assert wire.local() == (host, port)
                wire.abort()
                with pytest.raises(AttributeError):
                    wire.report_lost()  # it has no receiver yet
                wires.poller._ended.clear()
        wires.poller.close()

    play(scene)


def test_wire_that_is_ended_before_it_begins_is_lost_once(play: Play) -> None:
    """Whoever admits a connection may end it at once."""

    async def scene() -> None:
        for end in (SocketWire.abort, SocketWire.release):
            wires = Wires()
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            theirs.send(b"x")
            wire = SocketWire(wires.poller, ours.detach())
            end(wire)
            ear = Ear(wire)
            wire.begin(cast("Receiver", ear))
            await ear.gone.wait()
            assert (ear.heard, ear.octets) == (["lost"], b"")
            theirs.close()
            wires.poller.close()

    play(scene)


def test_error_in_a_wire_is_told_to_its_receiver_which_ends_it(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise RuntimeError("a bug of ours")

    async def scene() -> None:
        async with connected() as (ear, peer):
            monkeypatch.setattr(stream, "_read", fail)
            peer.sock.send(b"x")
            await ear.gone.wait()
            monkeypatch.undo()
            assert ear.heard == ["failed", "lost"]

    play(scene)


def test_borrowed_descriptor_stays_open() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        borrowed(ours.fileno()).detach()
        ours.send(b"x")
        assert theirs.recv(1) == b"x"


def test_silent_wire_whose_peer_is_gone_does_not_keep_the_loop_busy(play: Play) -> None:
    """The kernel reports a reset for ever, whatever is asked for."""

    async def scene() -> None:
        async with connected() as (ear, peer):
            ear.wire.pause_reading()
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.sock.close()
            await until(ear.wire.peer_gone)
            await passes()
            assert ear.wires.poller._poll.poll(0) == []
            ear.wire.resume_reading()
            await ear.gone.wait()
            assert ear.heard == ["lost"]

    play(scene)


def test_octets_for_a_paused_wire_do_not_keep_the_loop_busy(play: Play) -> None:
    async def scene() -> None:
        async with connected() as (ear, peer):
            ear.wire.pause_reading()
            peer.sock.send(b"x")
            await until(ear.wire.octets_waiting)
            await passes()
            assert ear.wires.poller._poll.poll(0) == []
            assert ear.octets == b""

    play(scene)


def test_busy_connection_reads_a_bounded_share_of_each_pass(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    share = 1 << 15
    monkeypatch.setattr(stream, "_FAIR_READ_OCTETS", share)
    monkeypatch.setattr(stream, "_LARGER_READ_OCTETS", share)

    async def scene() -> None:
        wires = Wires()
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.setblocking(False)
            sent = theirs.send(bytes(1 << 20))
            assert sent > 3 * share
            ear = wires.over(ours)
            assert share <= len(ear.octets) <= 2 * share, "as soon as it is made"
            before = len(ear.octets)
            wires.poller._pass()
            assert share <= len(ear.octets) - before <= 2 * share
            await until(lambda: len(ear.octets) == sent)
            ear.wire.abort()
            await ear.gone.wait()
        wires.poller.close()

    play(scene)


@pytest.mark.parametrize("order", ["release", "abort"])
@pytest.mark.parametrize("report", ["flushed", "write_resumed"])
def test_end_ordered_while_writing_resumes_is_reported_once(
    play: Play, monkeypatch: pytest.MonkeyPatch, report: str, order: str
) -> None:
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

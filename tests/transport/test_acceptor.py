"""Takes connections from a real queue: how many at a time, and until when."""

import asyncio
import contextlib
import errno
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from unittest.mock import MagicMock

import pytest

from bide import wire as contract
from bide.server.server import loop_factory
from bide.transport.acceptor import Acceptor
from bide.transport.poller import Poller
from bide.transport.readiness import READS
from bide.wire import Wire

if not str(contract.__file__).endswith(".py"):
    pytest.skip("a compiled Receiver has no heirs that are not", allow_module_level=True)

#: Connections taken in one pass.
MOST = 64


class Stage:
    """An acceptor, and the wires that it makes.

    octets: what each receiver was told, in order.
    failures: errors that it reports.
    loads: what it is told when it asks whether other processes are to accept first; the last one stays.
    """

    def __init__(self, sock: socket.socket, loads: list[bool] | None) -> None:
        self.loads = loads or []
        self.poller = Poller(asyncio.get_running_loop())
        self.poller.serve(self._accept, MagicMock())
        self.wires: list[Wire] = []
        self.octets: list[bytes] = []
        self.failures: list[OSError] = []
        self.full = 0
        sock.setblocking(False)
        self.acceptor = Acceptor(
            self.poller,
            sock,
            ("192.0.2.1", 80),
            self._failed,
            loop=asyncio.get_running_loop(),
            is_heavy=None if loads is None else self._is_heavy,
        )

    def _is_heavy(self) -> bool:
        return self.loads.pop(0) if len(self.loads) > 1 else self.loads[0]

    def _failed(self, error: OSError) -> None:
        self.failures.append(error)
        self.acceptor.stop()

    def _accept(self, wire: Wire) -> Any:
        self.wires.append(wire)
        receiver = MagicMock()
        receiver.octets_received = self.octets.append
        if len(self.wires) == self.full:
            self.acceptor.stop()
        return receiver


@contextlib.contextmanager
def staged(queued: int, loads: list[bool] | None = None) -> Iterator[Stage]:
    """Yield an acceptor whose queue holds connections, each with its number as the first octets."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        stage = Stage(listening, loads)
        for number in range(queued):
            client = stack.enter_context(socket.create_connection(listening.getsockname()))
            client.send(b"%d" % number)
        stage.acceptor.start()
        yield stage
        stage.acceptor.stop()
        for wire in stage.wires:
            wire.abort()
        stage.poller._called()
        stage.poller.close()


@pytest.fixture
def play(loop: str) -> Callable[[Callable[[], Awaitable[None]]], None]:
    def run(scene: Callable[[], Any]) -> None:
        with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
            runner.run(scene())

    return run


Play = Callable[[Callable[[], Any]], None]


def test_connections_are_taken_in_order_and_read_at_once(play: Play) -> None:
    async def scene() -> None:
        with staged(3) as stage:
            stage.poller._pass()
            assert stage.octets == [b"0", b"1", b"2"]
            assert [wire.local() for wire in stage.wires] == [("192.0.2.1", 80)] * 3
            assert all(wire.peer() for wire in stage.wires)

    play(scene)


def test_pass_takes_a_bounded_number(play: Play) -> None:
    async def scene() -> None:
        with staged(MOST + 3) as stage:
            stage.poller._pass()
            assert len(stage.wires) == MOST
            stage.poller._pass()
            assert len(stage.wires) == MOST + 3

    play(scene)


@pytest.mark.parametrize(
    ("queued", "full", "may_more_wait"), [(MOST, 0, True), (MOST - 1, 0, False), (MOST + 1, MOST, False)]
)
def test_turn_that_takes_all_it_may_has_another(play: Play, queued: int, full: int, may_more_wait: bool) -> None:
    """Unless it has stopped with the last one."""

    async def scene() -> None:
        with staged(queued) as stage:
            stage.full = full
            assert stage.acceptor._accept_some() is may_more_wait

    play(scene)


def test_acceptor_stopped_meanwhile_leaves_the_rest_in_the_queue(play: Play) -> None:
    async def scene() -> None:
        with staged(5) as stage:
            stage.full = 2
            stage.poller._pass()
            stage.poller._pass()
            assert len(stage.wires) == 2
            stage.acceptor.start()
            stage.poller._pass()
            assert len(stage.wires) == 5

    play(scene)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM], ids=errno.errorcode.get)
def test_error_of_the_system_is_reported(play: Play, code: int) -> None:
    async def scene() -> None:
        with staged(1) as stage:
            take = stage.acceptor._take

            def fail() -> Any:
                raise OSError(code, os.strerror(code))

            stage.acceptor._take = fail
            stage.poller._pass()
            assert [error.errno for error in stage.failures] == [code]
            stage.acceptor._take = take
            stage.acceptor.start()
            stage.poller._pass()
            assert stage.octets == [b"0"]

    play(scene)


def test_connection_that_its_client_gave_up_in_the_queue_is_no_error(play: Play) -> None:
    async def scene() -> None:
        with staged(1) as stage:
            take = stage.acceptor._take

            def fail() -> Any:
                raise ConnectionAbortedError

            stage.acceptor._take = fail
            stage.poller._pass()
            assert stage.failures == []
            stage.acceptor._take = take
            stage.poller._pass()
            assert stage.octets == [b"0"]

    play(scene)


# -- Patience -----------------------------------------------------------------------------------------------------------------

PATIENCE_S = 0.005


async def until(condition: Callable[[], object]) -> float:
    """Wait until a condition holds; return the seconds that it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)
    return loop.time() - began


def test_process_that_holds_no_more_than_others_accepts_at_once(play: Play) -> None:
    async def scene() -> None:
        with staged(3, [False]) as stage:
            stage.poller._pass()
            assert len(stage.wires) == 3

    play(scene)


def test_process_that_holds_more_than_others_accepts_one_after_its_patience(play: Play) -> None:
    async def scene() -> None:
        with staged(3, [True]) as stage:
            began = asyncio.get_running_loop().time()
            for count in (1, 2, 3):
                await until(lambda count=count: len(stage.wires) == count)  # type: ignore[misc]
                assert asyncio.get_running_loop().time() - began >= count * PATIENCE_S * 0.9, (
                    "uvloop counts milliseconds"
                )

    play(scene)


def test_process_that_holds_no_more_any_longer_goes_on(play: Play) -> None:
    async def scene() -> None:
        with staged(3, [True, False]) as stage:
            stage.poller._pass()
            assert stage.wires == []
            await until(lambda: len(stage.wires) == 3)

    play(scene)


@pytest.mark.parametrize("is_heavy", [False, True])
def test_patience_ends_once_the_process_holds_no_more_than_others(play: Play, is_heavy: bool) -> None:
    """With a connection for each request, 2 workers served 3,700 in a second, and serve 12,500 since."""

    async def scene() -> None:
        with staged(3, [True, is_heavy]) as stage:
            stage.poller._pass()
            stage.acceptor.fewer_held()
            stage.poller._pass()
            assert len(stage.wires) == (0 if is_heavy else 3)

    play(scene)


@pytest.mark.skipif(sys.platform != "linux", reason="kqueue watches a descriptor twice without an error")
def test_failure_to_go_on_after_patience_is_reported(play: Play) -> None:
    """The listener tries again later. An exception would leave the socket unwatched for good."""

    async def scene() -> None:
        with staged(3, [True, False]) as stage:
            stage.poller._pass()
            stage.poller._poll.register(stage.acceptor._fd, READS)  # so the system refuses the next time
            stage.acceptor.fewer_held()
            assert [error.errno for error in stage.failures] == [errno.EEXIST]
            stage.acceptor.start()
            stage.poller._pass()
            assert len(stage.wires) == 3

    play(scene)


def test_news_of_fewer_connections_starts_nothing_that_was_stopped(play: Play) -> None:
    async def scene() -> None:
        with staged(3, [True, False]) as stage:
            stage.poller._pass()
            stage.acceptor.stop()
            stage.acceptor.fewer_held()
            stage.poller._pass()
            assert stage.wires == []
            stage.acceptor.start()

    play(scene)


def test_process_becomes_patient_in_the_middle_of_a_pass(play: Play) -> None:
    async def scene() -> None:
        with staged(3, [False, True, True, False]) as stage:
            stage.poller._pass()
            assert len(stage.wires) == 1
            await until(lambda: len(stage.wires) == 3)

    play(scene)


def test_process_is_patient_no_more_once_it_accepts_alone(play: Play) -> None:
    async def scene() -> None:
        with staged(20, [True]) as stage:
            stage.poller._pass()
            assert stage.wires == []
            stage.acceptor.accept_alone()
            await until(lambda: len(stage.wires) == 20)

    play(scene)


def test_stop_ends_patience(play: Play) -> None:
    async def scene() -> None:
        with staged(3, [True]) as stage:
            stage.poller._pass()
            stage.acceptor.stop()
            await asyncio.sleep(2 * PATIENCE_S)  # the kernel's queue has no clock of ours
            assert stage.wires == []
            stage.acceptor.start()
            await until(lambda: len(stage.wires) == 3)

    play(scene)


def test_failure_after_patience_stops_accepting(play: Play) -> None:
    async def scene() -> None:
        with staged(1, [True]) as stage:
            error = OSError(errno.EMFILE, "none free")
            stage.acceptor._take = MagicMock(side_effect=error)
            await until(lambda: stage.failures == [error])
            assert not stage.acceptor._is_started

    play(scene)

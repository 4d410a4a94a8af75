"""Takes connections from a real queue: how many at a time, and until when."""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from unittest.mock import MagicMock

import pytest

from bide import wire as contract
from bide.server.server import loop_factory
from bide.transport.acceptor import Acceptor
from bide.transport.poller import Poller
from bide.wire import Wire

if not str(contract.__file__).endswith(".py"):
    pytest.skip("a compiled Receiver has no heirs that are not", allow_module_level=True)

#: Connections taken in one pass.
MOST = 16


class Stage:
    """An acceptor, and the wires that it makes.

    octets: what each receiver was told, in order.
    failures: errors that it reports.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.poller = Poller(asyncio.get_running_loop())
        self.poller.serve(self._accept, MagicMock())
        self.wires: list[Wire] = []
        self.octets: list[bytes] = []
        self.failures: list[OSError] = []
        self.full = 0
        sock.setblocking(False)
        self.acceptor = Acceptor(self.poller, sock, ("192.0.2.1", 80), self._failed)

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
def staged(queued: int) -> Iterator[Stage]:
    """Yield an acceptor whose queue holds connections, each with its number as the first octets."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        stage = Stage(listening)
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

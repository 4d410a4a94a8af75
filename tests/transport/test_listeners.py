"""Accepts, pauses, goes on, and copes where it cannot."""

import asyncio
import contextlib
import errno
import os
import resource
import select
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from bide import wire as contract
from bide.errors import ListenError
from bide.server.server import loop_factory
from bide.transport import listeners, sockets
from bide.transport.poller import Poller
from bide.wire import Wire
from tests.support.server import Log
from tests.support.waiting import PATIENCE

if not str(contract.__file__).endswith(".py"):
    pytest.skip("a compiled Receiver has no heirs that are not", allow_module_level=True)


@contextlib.contextmanager
def no_free_descriptor() -> Iterator[None]:
    """Have the system refuse to open any descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            os.open(os.devnull, os.O_RDONLY)
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def poller() -> Iterator[Poller]:
    """A poller of the running event loop, on which nothing rests."""
    made = Poller(asyncio.get_running_loop())
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def listening(sock: socket.socket, accept: Any = None, *, shared: bool = False) -> Iterator[listeners.Listener]:
    with poller() as watching:
        watching.serve(accept or MagicMock(), MagicMock())
        listener = listeners.Listener(asyncio.get_running_loop(), sock, 10, watching, ours=True, shared=shared)
        with contextlib.closing(listener):
            yield listener


def test_accept_without_a_descriptor_is_tried_again(loop: str, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accepting goes on once a descriptor is free, and the log says once what it waits for."""
    log.expect("raise the descriptor limit")
    monkeypatch.setattr(listeners, "_RETRY_AFTER_S", 0.05)

    async def scene() -> None:
        running = asyncio.get_running_loop()
        accepted = asyncio.Event()

        def accept(wire: Wire) -> Any:
            accepted.set()
            wire.release()
            return MagicMock()

        (sock,) = sockets.tcp("127.0.0.1", 0)
        with listening(sock, accept) as listener:
            listener.accept()
            listener.pause()
            failed = 0

            def failing(_fd: int, _accept: Any) -> None:
                nonlocal failed
                failed += 1
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

            with monkeypatch.context() as patch:
                patch.setattr(Poller, "listen", lambda _, fd, accept: failing(fd, accept))
                listener.accept()
                while failed < 3:
                    await asyncio.sleep(0.01)
            with socket.socket() as client:
                client.setblocking(False)
                await running.sock_connect(client, sock.getsockname())
                await asyncio.wait_for(accepted.wait(), PATIENCE)
                listener.close()
                listener.close()
                assert await running.sock_recv(client, 1) == b""

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(scene())


def test_accepting_without_a_descriptor_leaves_the_queue_and_goes_on(
    loop: str, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.expect("raise the descriptor limit")
    monkeypatch.setattr(listeners, "_RETRY_AFTER_S", 0.05)

    async def scene() -> None:
        running = asyncio.get_running_loop()
        wires: list[Wire] = []

        def accept(wire: Wire) -> Any:
            wires.append(wire)
            return MagicMock()

        (sock,) = sockets.tcp("127.0.0.1", 0)
        with listening(sock, accept) as listener, socket.socket() as client:
            listener.accept()
            client.setblocking(False)
            with no_free_descriptor():
                await running.sock_connect(client, sock.getsockname())
                while not listener._retry:
                    await asyncio.sleep(0.01)
                assert wires == []
            assert listener.waiting()
            while not wires:
                await asyncio.sleep(0.01)
            assert not listener.waiting()
            wires[0].abort()
            await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(scene())


def test_pause_keeps_the_name_of_a_unix_socket(loop: str, tmp_path: Path) -> None:
    path = tmp_path / "x.sock"

    async def scene() -> None:
        with listening(sockets.unix(str(path))) as listener:
            listener.accept()
            listener.pause()
            await asyncio.sleep(0)
            assert path.exists()
            listener.close()
            assert not path.exists()

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(scene())


def test_name_of_a_unix_socket_that_other_workers_share_stays(loop: str, tmp_path: Path) -> None:
    path = tmp_path / "x.sock"

    async def scene() -> None:
        with listening(sockets.unix(str(path)), shared=True) as listener:
            await listener.finish()
        assert path.exists()

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(scene())


def test_socket_that_listens_already_keeps_its_backlog(loop: str) -> None:
    async def scene() -> None:
        sock = MagicMock(wraps=sockets.tcp("127.0.0.1", 0)[0])
        with listening(sock) as listener:
            listener.accept()
            listener.pause()
            listener.accept()
            sock.listen.assert_called_once_with(10)

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(scene())


def test_accept_on_a_port_taken_meanwhile_raises(loop: str) -> None:
    """Two servers may bind the same port, but only one can listen on it. The other gets the error of a port in use."""

    async def scene() -> None:
        (one,) = sockets.tcp("127.0.0.1", 0)
        (other,) = sockets.tcp(*one.getsockname())
        one.listen()
        with one, listening(other) as listener, pytest.raises(ListenError, match="stop the server that uses it"):
            listener.accept()

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(scene())


def test_closed_listener_asked_to_accept_does_nothing(loop: str, log: Log) -> None:
    """At a stop, one listener is closed before the others, and the worker may still ask it to go on."""

    async def scene() -> None:
        (sock,) = sockets.tcp("127.0.0.1", 0)
        with listening(sock) as listener:
            listener.accept()
            listener.close()
            assert not listener.waiting()
            listener.accept()
            assert not listener.waiting()

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(scene())
    assert log.messages() == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can filter what a listening socket takes")
def test_newcomers_without_a_free_descriptor_are_kept_out(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be opened then, not even the file of a module that is imported late."""

    async def scene() -> None:
        (sock,) = sockets.tcp("127.0.0.1", 0)
        with listening(sock) as listener, socket.socket() as newcomer:
            listener.accept()
            newcomer.setblocking(False)
            for name in [name for name in sys.modules if name.partition(".")[0] in {"ctypes", "_ctypes"}]:
                monkeypatch.delitem(sys.modules, name)
            with no_free_descriptor():
                listener._keep_newcomers_out()
            assert newcomer.connect_ex(sock.getsockname()) == errno.EINPROGRESS
            assert select.select([], [newcomer], [], 0.2)[1] == [], "its SYN is not answered"

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(scene())

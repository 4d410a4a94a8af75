"""Accepting: paused, gone on with, and where it cannot be."""

import asyncio
import errno
import os
import socket
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from bide.errors import ListenError
from bide.server.server import loop_factory
from bide.transport import listeners, sockets
from bide.wire import Wire
from tests.support.server import Log


def test_no_descriptor_to_go_on_with(loop: str, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accepting goes on when there is one again, and the log tells once what it waits for."""
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
        listener = listeners.Listener(running, sock, 10, accept, lambda: 10, ours=True)
        await listener.accept()
        listener.pause()
        begin, failed = listeners.Listener._begin, asyncio.Event()

        async def failing(self: listeners.Listener) -> None:
            failed.set()
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        monkeypatch.setattr(listeners.Listener, "_begin", failing)
        listener.resume()
        await failed.wait()
        failed.clear()
        await failed.wait()
        monkeypatch.setattr(listeners.Listener, "_begin", begin)
        with socket.socket() as client:
            client.setblocking(False)
            await running.sock_connect(client, sock.getsockname())
            await asyncio.wait_for(accepted.wait(), 5)
            listener.close()
            listener.close()
            assert await running.sock_recv(client, 1) == b""

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(scene())


def test_a_pause_keeps_the_name_of_a_unix_socket(loop: str, tmp_path: Path) -> None:
    path = tmp_path / "x.sock"

    async def scene() -> None:
        listener = listeners.Listener(
            asyncio.get_running_loop(), sockets.unix(str(path)), 10, MagicMock(), lambda: 10, ours=True
        )
        await listener.accept()
        listener.pause()
        await asyncio.sleep(0.05)
        assert path.exists()
        listener.close()
        assert not path.exists()

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(scene())


def test_port_taken_meanwhile(loop: str) -> None:
    """Two servers may bind the same port, and only one can listen on it: the other says so as if it had not been able to bind."""

    async def scene() -> None:
        running = asyncio.get_running_loop()
        (one,) = sockets.tcp("127.0.0.1", 0)
        (other,) = sockets.tcp(*one.getsockname())
        one.listen()
        listener = listeners.Listener(running, other, 10, MagicMock(), lambda: 10, ours=True)
        with one, pytest.raises(ListenError, match="stop the server that uses it"):
            await listener.accept()
        listener.close()

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(scene())

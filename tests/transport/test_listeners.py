"""Listening sockets: bound, said where, and why not."""

import asyncio
import errno
import os
import socket
import stat
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from bide.transport import listeners
from bide.transport.listeners import ListenError
from bide.wire import Wire
from bide.worker.server import loop_factory
from tests.support.server import Log


def test_tcp() -> None:
    (sock,) = listeners.tcp("127.0.0.1", 0)
    with sock:
        assert sock.getsockname()[0] == "127.0.0.1"
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert not sock.get_inheritable()


def test_all_interfaces() -> None:
    socks = listeners.tcp("", 0)
    try:
        assert len({sock.getsockname()[1] for sock in socks}) == 1
        for sock in socks:
            if sock.family == socket.AF_INET6:
                assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    finally:
        for sock in socks:
            sock.close()


def test_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ListenError, match=rf"^cannot listen on 127\.0\.0\.1:{port}: .*; stop the server"):
            listeners.tcp("127.0.0.1", port)


def test_unknown_host() -> None:
    with pytest.raises(ListenError, match=r"no-such-host\.invalid.*--host"):
        listeners.tcp("no-such-host.invalid", 0)


def test_unix(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with listeners.unix(str(path)) as sock:
        assert sock.getsockname() == str(path)
        assert stat.S_ISSOCK(path.stat().st_mode)
    with listeners.unix(str(path)):  # the dead one is replaced
        pass


@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_unix_over_something_else(tmp_path: Path, what: str) -> None:
    path = tmp_path / "x"
    if what == "file":
        path.write_text("precious")
    elif what == "folder":
        path.mkdir()
    else:
        (tmp_path / "file").touch()
        path.symlink_to(tmp_path / "file")
    with pytest.raises(ListenError):
        listeners.unix(str(path))
    assert path.exists()


def test_inherited() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = listeners.inherited(os.dup(listener.fileno()))
        with sock:
            assert sock.getsockname() == listener.getsockname()


def test_inherited_but_none(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match="999"):
        listeners.inherited(999)
    with (tmp_path / "x").open("w") as file:
        with pytest.raises(ListenError, match="not a socket"):
            listeners.inherited(file.fileno())
        assert not file.closed
        file.write("still ours")
    with socket.socket() as sock:
        with pytest.raises(ListenError, match="not a listening socket"):
            listeners.inherited(sock.fileno())
        assert sock.fileno() >= 0
        sock.bind(("127.0.0.1", 0))


def test_no_descriptor_to_go_on_with(loop: str, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accepting goes on when there is one again, and the log tells once what it waits for."""
    log.expect("raise the descriptor limit")
    monkeypatch.setattr(listeners, "_RETRY", 0.05)

    async def scene() -> None:
        running = asyncio.get_running_loop()
        accepted = asyncio.Event()

        def accept(wire: Wire) -> Any:
            accepted.set()
            wire.release()
            return MagicMock()

        (sock,) = listeners.tcp("127.0.0.1", 0)
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


def test_port_taken_meanwhile(loop: str) -> None:
    """Two servers may bind the same port, and only one can listen on it: the other says so as if it had not been able to bind."""

    async def scene() -> None:
        running = asyncio.get_running_loop()
        (one,) = listeners.tcp("127.0.0.1", 0)
        (other,) = listeners.tcp(*one.getsockname())
        one.listen()
        listener = listeners.Listener(running, other, 10, MagicMock(), lambda: 10, ours=True)
        with one, pytest.raises(ListenError, match="stop the server that uses it"):
            await listener.accept()
        listener.close()

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(scene())

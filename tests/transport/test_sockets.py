"""Sockets to listen on: bound, said where, and why not."""

import os
import socket
import stat
from pathlib import Path

import pytest

from bide.errors import ListenError
from bide.transport import sockets


def test_tcp() -> None:
    (sock,) = sockets.tcp("127.0.0.1", 0)
    with sock:
        assert sock.getsockname()[0] == "127.0.0.1"
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert not sock.get_inheritable()


def test_all_interfaces() -> None:
    socks = sockets.tcp("", 0)
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
            sockets.tcp("127.0.0.1", port)


def test_unknown_host() -> None:
    with pytest.raises(ListenError, match=r"no-such-host\.invalid.*--host"):
        sockets.tcp("no-such-host.invalid", 0)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_unix_that_another_program_uses(tmp_path: Path, kind: socket.SocketKind) -> None:
    """Whatever it uses it for, and though its queue be full."""
    path = str(tmp_path / "x.sock")
    with socket.socket(socket.AF_UNIX, kind) as theirs, socket.socket(socket.AF_UNIX, kind) as client:
        theirs.bind(path)
        if kind != socket.SOCK_DGRAM:
            theirs.listen(0)
            client.connect(path)
        with pytest.raises(ListenError, match="in use"):
            sockets.unix(path)
        client.close()
        assert Path(path).exists()


def test_unix(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with sockets.unix(str(path)) as sock:
        assert sock.getsockname() == str(path)
        assert stat.S_ISSOCK(path.stat().st_mode)
    with sockets.unix(str(path)):  # the dead one is replaced
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
        sockets.unix(str(path))
    assert path.exists()


def test_inherited() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = sockets.inherited(os.dup(listener.fileno()))
        with sock:
            assert sock.getsockname() == listener.getsockname()


def test_inherited_but_none(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match="999"):
        sockets.inherited(999)
    with (tmp_path / "x").open("w") as file:
        with pytest.raises(ListenError, match="not a socket"):
            sockets.inherited(file.fileno())
        assert not file.closed
        file.write("still ours")
    with socket.socket() as sock:
        with pytest.raises(ListenError, match="not a listening socket"):
            sockets.inherited(sock.fileno())
        assert sock.fileno() >= 0
        sock.bind(("127.0.0.1", 0))

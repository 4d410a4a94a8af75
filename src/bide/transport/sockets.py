"""Sockets to listen on: TCP, Unix, inherited. Where there is none to be had, the error says what to do."""

from __future__ import annotations

import errno
import os
import socket
import stat

from bide.errors import ListenError


def tcp(host: str, port: int) -> list[socket.socket]:
    """Return bound sockets for every address of `host`: for an empty one, all interfaces of both IP versions."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ListenError(f"cannot find the address {host!r}: {error.strerror}; choose another --host") from error
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart must not wait for TIME-WAIT
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by what is accepted
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if port == 0 and len(sockets) > 1:
                address = (address[0], sockets[0].getsockname()[1], *address[2:])  # noqa: PLW2901
            sock.bind(address)
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise ListenError(cannot_listen(f"{host}:{port}", error)) from error
    return sockets


def unix(path: str) -> socket.socket:
    """Return a bound Unix socket. A socket that a dead server left at `path` is replaced; anything else there is not."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        sock.bind(path)
        os.chmod(path, 0o666)  # noqa: PTH101, S103  # as uvicorn: front ends run as other users; the folder guards it
    except OSError as error:
        sock.close()
        raise ListenError(cannot_listen(path, error)) from error
    return sock


def inherited(fd: int) -> socket.socket:
    """Return the listening socket that a parent process left open as `fd`."""
    try:
        sock = socket.socket(fileno=fd)
        listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ListenError(f"file descriptor {fd} is not a socket: {error.strerror}; check --fd") from error
    if not listening:
        sock.detach()
        raise ListenError(f"file descriptor {fd} is not a listening socket; check --fd")
    return sock


def cannot_listen(where: str, error: OSError) -> str:
    """Return what a ListenError says: where, why, and the remedy."""
    remedy = {
        errno.EADDRINUSE: "stop the server that uses it, or choose another",
        errno.EACCES: "choose a path that you may write to" if where.startswith("/") else "choose a port above 1023",
        errno.EADDRNOTAVAIL: "choose an address of this machine",
        errno.ENOENT: "make its folder first",
        errno.EEXIST: "choose another path",
    }.get(error.errno or 0, "choose another")
    return f"cannot listen on {where}: {error.strerror or error}; {remedy}"


def _remove_stale(path: str) -> None:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "it exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a living server's queue may be full
        if probe.connect_ex(path) != errno.ECONNREFUSED:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    os.unlink(path)  # noqa: PTH108

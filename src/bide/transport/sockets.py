"""Sockets to listen on: TCP, Unix, inherited. Where there is none to be had, the error says what to do."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import socket
import stat
from collections.abc import Callable
from typing import Final

from bide.errors import ListenError

# To the kernel, this user or group means that it stays the same: chown(2).
_NO_ID: Final = 0xFFFFFFFF


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


def unix(path: str, mode: str | None = None, owner: str | None = None, group: str | None = None) -> socket.socket:
    """Return a bound Unix socket. A socket that a dead server left at `path` is replaced; anything else there is not.

    mode: permissions, octal. owner, group: names or numbers. What is None is as it was on the socket that is replaced; on a new one, 666,
    and the owner and group of the process. Nobody can connect before that is set: the socket does not listen yet.
    """
    uid = _id("--uds-owner", "user", owner, lambda name: pwd.getpwnam(name).pw_uid)
    gid = _id("--uds-group", "group", group, lambda name: grp.getgrnam(name).gr_gid)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    aside = f"{path}.stale-{os.getpid()}"
    bound = False
    try:
        stale = _stale(path)
        if stale is not None:
            os.rename(path, aside)  # noqa: PTH104
        try:
            sock.bind(path)
            bound = True
            _set_access(path, stale, mode, uid, gid)
        except (OSError, ListenError):
            if bound:
                os.unlink(path)  # noqa: PTH108
            if stale is not None and not os.path.lexists(path):
                os.rename(aside, path)  # noqa: PTH104  # or the next try would find nothing whose access it is to keep
                stale = None
            raise
        finally:
            if stale is not None:
                os.unlink(aside)  # noqa: PTH108
    except OSError as error:
        sock.close()
        raise ListenError(cannot_listen(path, error)) from error
    except ListenError:
        sock.close()
        raise
    return sock


def _set_access(path: str, stale: os.stat_result | None, mode: str | None, uid: int | None, gid: int | None) -> None:
    """Set who may connect to the socket that was made in the place of `stale`."""
    if mode is not None:
        permissions = int(mode, 8)
    elif stale is not None:
        permissions = stat.S_IMODE(stale.st_mode) & 0o777
    else:
        permissions = 0o666  # as uvicorn: front ends run as other users; the folder guards it
    os.chmod(path, permissions)  # noqa: PTH101
    if stale is not None and not permissions & stat.S_IWOTH:  # otherwise everybody may connect, whoever owns it
        uid = stale.st_uid if uid is None else uid
        gid = stale.st_gid if gid is None else gid
    made = os.lstat(path)
    uid = made.st_uid if uid is None else uid
    gid = made.st_gid if gid is None else gid
    if (uid, gid) != (made.st_uid, made.st_gid):
        try:
            os.chown(path, uid, gid, follow_symlinks=False)
        except OSError as error:
            raise ListenError(
                f"cannot listen on {path}: owner {uid} and group {gid} cannot be set or kept: {error.strerror}; "
                "give others (--uds-owner, --uds-group), or remove the old socket"
            ) from error


def _id(option: str, kind: str, given: str | None, find: Callable[[str], int]) -> int | None:
    """Return the number of a user or group that is given by name or number."""
    if given is None:
        return None
    try:
        number = int(given) if given.isdecimal() else find(given)
    except KeyError:
        number = _NO_ID
    if number >= _NO_ID:
        raise ListenError(f"{option} must be a {kind} of this machine, got {given!r}; give another name, or a number")
    return number


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


def _stale(path: str) -> os.stat_result | None:
    """Return the status of the socket that a dead server left at `path`; None if nothing is there. Raises OSError for anything else."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISSOCK(status.st_mode):
        raise OSError(errno.EEXIST, "it exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a living server's queue may be full
        code = probe.connect_ex(path)
    if code == errno.EACCES:  # another user's: nobody but that one can tell whether a server uses it
        raise PermissionError(code, os.strerror(code))
    if code != errno.ECONNREFUSED:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    return status

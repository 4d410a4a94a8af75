"""Opens the sockets to listen on: TCP, Unix or inherited. Each error names its remedy."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import socket
import stat
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from bide.errors import ListenError

# The kernel's "no change" for a user or group (chown(2)).
_NO_ID: Final = 0xFFFFFFFF


class Listening(NamedTuple):
    """Holds where to listen: on the descriptor if given, else on the path if given, else on host
    and port.
    """

    host: str
    port: int
    uds: str | None
    uds_mode: str | None
    uds_owner: str | None
    uds_group: str | None
    fd: int | None
    backlog: int


def opened(where: Listening) -> list[socket.socket]:
    """Return the sockets to listen on. Raises ListenError."""
    if where.fd is not None:
        return [inherited(where.fd)]
    if where.uds is not None:
        return [unix(where.uds, where.uds_mode, where.uds_owner, where.uds_group)]
    return tcp(where.host, where.port)


def tcp(host: str, port: int) -> list[socket.socket]:
    """Return bound sockets for every address of `host`.

    host: name or address; "" for all interfaces of both IP versions.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ListenError(
            f"--host must be an address or a known name, got {host!r}: {error.strerror}; choose another"
        ) from error
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart must not wait for TIME-WAIT
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if port == 0 and len(sockets) > 1:
                address = (address[0], sockets[0].getsockname()[1], *address[2:])  # noqa: PLW2901
            sock.bind(address)
    except OSError as error:
        close(sockets)
        raise ListenError(cannot_listen(f"{host}:{port}", error)) from error
    return sockets


def close(sockets: Iterable[socket.socket]) -> None:
    """Close sockets. Other processes that have them may go on to listen."""
    for sock in sockets:
        sock.close()


def unix(path: str, mode: str | None = None, owner: str | None = None, group: str | None = None) -> socket.socket:
    """Return a bound Unix socket.

    A socket that a dead server left at `path` is replaced; any other file there raises ListenError.
    No client can connect before the access is set, since the socket does not listen yet.

    mode: permissions, octal; None keeps the replaced socket's; on a new socket, 666.
    owner, group: names or numbers; None keeps the replaced socket's; on a new socket, the
        process's.
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
                os.rename(aside, path)  # noqa: PTH104  # so that the next try can keep its access
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
    """Set permissions, owner and group of the socket that replaces `stale`."""
    if mode is not None:
        permissions = int(mode, 8)
    elif stale is not None:
        permissions = stat.S_IMODE(stale.st_mode) & 0o777
    else:
        permissions = 0o666  # as uvicorn: front ends run as other users, and the folder guards the socket
    os.chmod(path, permissions)  # noqa: PTH101
    if stale is not None and not permissions & stat.S_IWOTH:  # otherwise every user may connect
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


def inherited(fd: int, name: str = "--fd") -> socket.socket:
    """Return the listening socket that a parent process left open as `fd`.

    name: of what named the descriptor, for the error.
    """
    try:
        sock = socket.socket(fileno=fd)
        listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ListenError(
            f"{name} must be a listening socket, got file descriptor {fd}: {error.strerror}; pass one that listens"
        ) from error
    if not listening:
        sock.detach()
        raise ListenError(
            f"{name} must be a listening socket, got file descriptor {fd}, not listening; call listen() first"
        )
    return sock


def cannot_listen(where: str, error: OSError) -> str:
    """Return the text of a ListenError: address, cause, remedy."""
    remedy = {
        errno.EADDRINUSE: "stop the server that uses it, or choose another",
        errno.EACCES: "choose a path that you may write to" if where.startswith("/") else "choose a port above 1023",
        errno.EADDRNOTAVAIL: "choose an address of this machine",
        errno.ENOENT: "make its folder first",
        errno.EEXIST: "choose another path",
    }.get(error.errno or 0, "choose another")
    return f"cannot listen on {where}: {error.strerror or error}; {remedy}"


def _stale(path: str) -> os.stat_result | None:
    """Return the status of the socket that a dead server left at `path`; None if there is no file.

    Raises OSError for any other file, or if a server uses the socket.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISSOCK(status.st_mode):
        raise OSError(errno.EEXIST, "it exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a living server's queue may be full
        code = probe.connect_ex(path)
    if code == errno.EACCES:  # another user's: only that user can tell whether a server uses it
        raise PermissionError(code, os.strerror(code))
    if code != errno.ECONNREFUSED:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    return status

"""Accepts connections. Accepting can pause and resume, and the kernel's queue is kept."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import select
import socket
import struct
import sys
from array import array
from collections.abc import Callable
from typing import Final, final

from bide.errors import ListenError
from bide.terms import Address
from bide.transport.acceptor import Acceptor
from bide.transport.poller import Poller
from bide.transport.sockets import cannot_listen
from bide.transport.stream import address
from bide.wire import Accept

_log = logging.getLogger("bide")

# Each of these means all addresses of the machine (RFC 1122, 3.2.1.3; RFC 4291, 2.5.2).
_WILDCARD_ADDRESSES: Final = ("0.0.0.0", "::")  # noqa: S104

# Errors of a system that has no descriptor, or no memory, for another socket.
_EXHAUSTED_ERRNOS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

# At the end, the queue counts as empty once this many looks in a row have found it so. The time
# between them lets a handshake under way complete.
_MIN_QUIET_LOOKS: Final = 3
_LOOK_EVERY_S: Final = 0.01

# A listening socket that other processes share may never be quiet. At the end it is left to them
# after this time.
_SHARED_FINISH_S: Final = 0.5

# From a failure for want of descriptors to the next try; and between two warnings of it.
_RETRY_AFTER_S: Final = 1.0
_WARN_EVERY_S: Final = 60.0

# A classic BPF program for SO_ATTACH_FILTER: drop segments with the SYN flag, take all others. On a
# TCP socket the program sees the TCP header from its first octet; the flags are octet 13, SYN is
# bit 1.
_SO_ATTACH_FILTER: Final = 26  # asm-generic/socket.h; not in the socket module
_INSTRUCTION: Final = 8  # octets (struct sock_filter)
_DROP_SYN: Final = b"".join(
    struct.pack("HBBI", code, jump_true, jump_false, operand)
    for code, jump_true, jump_false, operand in (
        (0x30, 0, 0, 13),  # ldb [13]
        (0x45, 0, 1, 0x02),  # jset #0x02, drop, take
        (0x06, 0, 0, 0),  # drop: ret #0
        (0x06, 0, 0, 0xFFFFFFFF),  # take: ret #-1
    )
)


def _local(sock: socket.socket) -> Address | None:
    """Return the address that every client of `sock` connects to; None if it has several."""
    name = sock.getsockname()
    return None if name[0] in _WILDCARD_ADDRESSES else address(name)


@final
class Listener:
    """Accepts connections on one listening socket.

    During a pause the kernel goes on to queue new connections.

    url: URL that clients connect to; it stays readable after the end.
    port: of that URL; 0 for a Unix socket.
    """

    __slots__ = (
        "_acceptor",
        "_backlog",
        "_is_accepting",
        "_is_exclusive",
        "_loop",
        "_path",
        "_retry",
        "_socket",
        "_warned_at",
        "port",
        "url",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        backlog: int,
        poller: Poller,
        *,
        ours: bool,
        shared: bool = False,
        is_heavy: Callable[[], bool] | None = None,
        scheme: str = "http",
        accept: Accept | None = None,
    ) -> None:
        """Take over `sock`; it is closed at the end.

        backlog: connections that the kernel queues.
        poller: watches the socket and its connections.
        ours: whether no other server listens on this socket, now or later.
        shared: whether other workers of this server listen on it; the supervisor removes its path.
        is_heavy: returns whether to let other workers accept first; None if no other one accepts.
        scheme: of the URLs that lead here.
        accept: called with the wire of each connection; returns its receiver. By default it is the
            poller's.
        """
        self._loop = loop
        self._socket = sock
        self._backlog = backlog
        self._acceptor = Acceptor(poller, sock, _local(sock), self._wait_for_descriptors, accept, loop, is_heavy)
        self._is_exclusive = ours
        self._is_accepting = False
        self._retry: asyncio.TimerHandle | None = None
        self._warned_at = -_WARN_EVERY_S
        sock.setblocking(False)
        name = sock.getsockname()
        self._path: str | None = None  # of a Unix socket that no other process uses, until removed
        if sock.family == socket.AF_UNIX:
            self.url = f"unix:{name}"
            self.port = 0
            if ours and not shared:
                self._path = name
        else:
            host = f"[{name[0]}]" if sock.family == socket.AF_INET6 else name[0]
            self.port = int(name[1])
            self.url = f"{scheme}://{host}:{self.port}"

    def accept(self) -> None:
        """Accept connections until `pause` or `close`, and none once closed.

        Raises ListenError if the system refuses.
        """
        if self._is_accepting or self._socket.fileno() < 0:
            return
        self._is_accepting = True
        try:
            if not self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                self._socket.listen(self._backlog)  # once only: SELinux may deny it on what listens
            self._acceptor.start()
        except OSError as error:
            self._is_accepting = False
            if error.errno not in _EXHAUSTED_ERRNOS:
                raise ListenError(cannot_listen(self.url, error)) from error
            self._wait_for_descriptors(error)

    def waiting(self) -> bool:
        """Return whether connections wait in the kernel's queue."""
        if self._socket.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    async def finish(self) -> None:
        """Accept the connections that the kernel has queued, then stop listening.

        The close of a listening socket resets the connections in its queue. So, if the kernel can
        filter (Linux), new connections are kept out of the queue first: their SYN is dropped, and
        the client repeats it after the close. On other systems a connection that arrives in the
        last moment can still be reset. A queue that other processes share is left to them.
        """
        if self._is_exclusive:
            self._keep_newcomers_out()
        self._acceptor.accept_alone()
        self.accept()
        until = self._loop.time() + (float("inf") if self._is_exclusive else _SHARED_FINISH_S)
        quiet = 0
        while quiet < _MIN_QUIET_LOOKS and self._loop.time() < until:
            await asyncio.sleep(_LOOK_EVERY_S)
            quiet = 0 if self.waiting() else quiet + 1
        self.close()

    def pause(self) -> None:
        """Stop accepting for now. New connections wait in the kernel's queue."""
        self._is_accepting = False
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._acceptor.stop()

    def fewer_held(self) -> None:
        """Take the news that this process holds fewer connections, so it may be its turn."""
        self._acceptor.fewer_held()

    def close(self) -> None:
        """Stop listening for good."""
        if self._socket.fileno() >= 0:
            self.pause()
            self._socket.close()
            self._remove_path()

    def _keep_newcomers_out(self) -> None:
        """Have the kernel queue no more connections, if it can."""
        if self._socket.family == socket.AF_UNIX:
            self._remove_path()  # without its name, no client finds it
        elif sys.platform == "linux":
            program = array("B", _DROP_SYN)  # not of ctypes: to import that takes a descriptor, and none may be free
            address, size = program.buffer_info()
            with contextlib.suppress(OSError):  # a kernel that refuses: then as on other systems
                self._socket.setsockopt(
                    socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", size // _INSTRUCTION, address)
                )

    def _remove_path(self) -> None:
        """Remove the name of a Unix socket, once: later it may be another server's."""
        path, self._path = self._path, None
        if path is not None:
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108

    def _wait_for_descriptors(self, error: OSError) -> None:
        """Pause for a while, since the system has no descriptors left."""
        now = self._loop.time()
        if now - self._warned_at >= _WARN_EVERY_S:
            self._warned_at = now
            _log.warning(
                "accepting paused: %s; new connections wait in the listen backlog; "
                "raise the descriptor limit (ulimit -n)",
                error.strerror,
            )
        self.pause()
        self._retry = self._loop.call_later(_RETRY_AFTER_S, self.accept)

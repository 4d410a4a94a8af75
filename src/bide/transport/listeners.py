"""Accepts connections. Accepting can pause and go on without the kernel's queue being lost."""

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
from collections.abc import Callable
from typing import Any, Final, cast, final

from bide.errors import ListenError
from bide.terms import Address
from bide.transport.aio import AcceptContext, AioWire, address
from bide.transport.coalescer import WriteCoalescer
from bide.transport.sockets import cannot_listen
from bide.wire import Accept

_log = logging.getLogger("bide")

# Addresses that stand for all addresses of the machine (RFC 1122, 3.2.1.3; RFC 4291, 2.5.2).
_ALL: Final = ("0.0.0.0", "::")  # noqa: S104

# What the system says where it has no descriptor, or no memory, for another socket.
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

# From Python 3.13 on, event loops remove the name of a Unix socket with the server on it. To us that may be a mere pause.
_KEEP_NAME: Final[dict[str, Any]] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}

# Connections accepted in one go where the event loop does not do it: others get their turn in between.
_BATCH: Final = 16

# At the end, the queue counts as empty after so many looks, that many seconds apart: a handshake under way gets through.
_QUIET_LOOKS: Final = 3
_LOOK: Final = 0.01

# A listening socket that others share is always busy, perhaps: at the end it is left to them after so many seconds.
_SHARED: Final = 0.5

# After accepting has failed for want of descriptors, seconds; and how often that is told.
_RETRY: Final = 1.0
_TELL_EVERY: Final = 60.0

# A classic BPF program for SO_ATTACH_FILTER: drop segments with the SYN flag, take all others. On a TCP socket the program sees
# the TCP header from its first octet on; the flags are octet 13, SYN is bit 1.
_SO_ATTACH_FILTER: Final = 26  # asm-generic/socket.h; not in the socket module
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
    """Return the address that every connection to `sock` comes to; None where it listens on more than one."""
    name = sock.getsockname()
    return None if name[0] in _ALL else address(name)


def _accepts_by_itself(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the loop's own server can be stopped between one connection and the next: uvloop's can, and is fast."""
    return type(loop).__module__.startswith("uvloop")


@final
class Listener:
    """One listening socket. Pausing closes only a duplicate of it, so that the kernel goes on to queue newcomers."""

    __slots__ = (
        "_accepting",
        "_backlog",
        "_context",
        "_loop",
        "_ours",
        "_path",
        "_retry",
        "_room",
        "_server",
        "_socket",
        "_tasks",
        "_told",
        "url",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        backlog: int,
        accept: Accept,
        room: Callable[[], int],
        *,
        ours: bool,
        coalescer: WriteCoalescer | None = None,
    ) -> None:
        """`room`: how many connections may be accepted now. `ours`: nobody else listens on this socket, now or later.
        `coalescer`: see `AcceptContext`.

        `url`: where clients connect to.
        """
        self._loop = loop
        self._socket = sock
        self._backlog = backlog
        self._context = AcceptContext(accept, coalescer, _local(sock), vectored=_accepts_by_itself(loop))
        self._room = room
        self._ours = ours
        self._server: asyncio.AbstractServer | None = None
        self._accepting = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._told = -_TELL_EVERY
        sock.setblocking(False)
        name = sock.getsockname()
        self._path: str | None = None  # of a Unix socket that is ours, until it is removed
        if sock.family == socket.AF_UNIX:
            self.url = f"unix:{name}"
            if ours:
                self._path = name
        else:
            host = f"[{name[0]}]" if sock.family == socket.AF_INET6 else name[0]
            self.url = f"http://{host}:{name[1]}"

    async def accept(self) -> None:
        """Accept connections until `pause` or `close`. Raises ListenError where that cannot be."""
        if self._accepting:
            return
        self._accepting = True
        try:
            self._socket.listen(self._backlog)
            await self._begin()
        except OSError as error:
            self._accepting = False
            if error.errno not in _EXHAUSTED:
                raise ListenError(cannot_listen(self.url, error)) from error
            self._wait_for_descriptors(error)

    async def _begin(self) -> None:
        if _accepts_by_itself(self._loop):
            # A duplicate, so that pausing is closing: the kernel's queue lives as long as one of the two.
            server = await self._serve(self._socket.dup())
            if self._accepting:
                self._server = server
            else:  # paused meanwhile
                server.close()
        else:
            self._loop.add_reader(self._socket.fileno(), self._accept_some)

    async def _serve(self, sock: socket.socket) -> asyncio.AbstractServer:
        if sock.family != socket.AF_UNIX:
            return await self._loop.create_server(self._make, sock=sock, backlog=self._backlog)
        return await self._loop.create_unix_server(self._make, sock=sock, backlog=self._backlog, **_KEEP_NAME)

    def resume(self) -> None:
        """Accept again, soon."""
        task = self._loop.create_task(self.accept())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def waiting(self) -> bool:
        """Whether connections wait in the kernel's queue, or are on their way from it."""
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        return bool(poll.poll(0)) or bool(self._tasks)

    async def finish(self) -> None:
        """Accept what the kernel has queued, and no more; then listen no more.

        Closing a listening socket resets the connections in its queue. So, where the kernel can filter (Linux), newcomers are
        kept out of the queue first: their SYN is dropped, and comes again when this socket is gone. Elsewhere, what arrives in
        the last moment can still be reset. The queue of a socket that others share goes on without us.
        """
        if self._ours:
            self._keep_newcomers_out()
        await self.accept()
        until = self._loop.time() + (float("inf") if self._ours else _SHARED)
        quiet = 0
        while quiet < _QUIET_LOOKS and self._loop.time() < until:
            await asyncio.sleep(_LOOK)
            quiet = 0 if self.waiting() else quiet + 1
        self.close()

    def pause(self) -> None:
        """Accept no more for now; newcomers wait in the kernel's queue."""
        self._accepting = False
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._server is not None:
            self._server.close()
            self._server = None
        else:
            self._loop.remove_reader(self._socket.fileno())

    def close(self) -> None:
        """Listen no more."""
        if self._socket.fileno() >= 0:
            self.pause()
            self._socket.close()
            self._remove_path()

    def _keep_newcomers_out(self) -> None:
        """Have the kernel queue no more connections, as far as it can do that."""
        if self._socket.family == socket.AF_UNIX:
            self._remove_path()  # without its name, nobody finds it
        elif sys.platform == "linux":
            import ctypes  # slow to import, and needed only here

            program = ctypes.create_string_buffer(_DROP_SYN)
            with contextlib.suppress(OSError):  # a kernel that will not: then as elsewhere
                self._socket.setsockopt(
                    socket.SOL_SOCKET,
                    _SO_ATTACH_FILTER,
                    struct.pack("HP", len(_DROP_SYN) // 8, ctypes.addressof(program)),
                )

    def _remove_path(self) -> None:
        """Remove the name of a Unix socket, once: later there may be a successor's."""
        path, self._path = self._path, None
        if path is not None:
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108

    def _wait_for_descriptors(self, error: OSError) -> None:
        """There is none to accept with: go on when there may be some again."""
        now = self._loop.time()
        if now - self._told >= _TELL_EVERY:
            self._told = now
            _log.warning(
                "cannot accept connections: %s; newcomers wait; raise the descriptor limit (ulimit -n)", error.strerror
            )
        self.pause()
        self._retry = self._loop.call_later(_RETRY, self.resume)

    def _accept_some(self) -> None:
        """Take connections from the queue: asyncio's own server takes many at a time, and cannot be stopped between them."""
        for _ in range(_BATCH):
            if not self._accepting:
                return
            try:
                sock, _ = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._wait_for_descriptors(error)
                return
            sock.setblocking(False)
            task = self._loop.create_task(self._loop.connect_accepted_socket(self._make, sock))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            if len(self._tasks) >= self._room():
                return

    def _make(self) -> asyncio.BaseProtocol:
        # Event loops look only at the methods: a protocol need not be derived from theirs.
        return cast(asyncio.BaseProtocol, AioWire(self._context))

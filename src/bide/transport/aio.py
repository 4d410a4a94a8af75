"""Implements a wire over an asyncio transport: uvloop's or asyncio's own.

No other module touches the end of a socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import select
import socket
import struct
import sys
import termios
from collections.abc import Callable
from typing import Final, final

from bide.terms import Address
from bide.transport.coalescer import WriteCoalescer
from bide.wire import Accept, Receiver, Wire

# SO_LINGER, on, with zero seconds: close() drops unsent octets and sends RST (POSIX).
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)

# Pieces are joined up to this size, since many small writes cost more. If the kernel takes only a
# part, asyncio keeps the whole copy until the rest is sent, so a copy is no larger than asyncio's
# high-water mark. Before 3.12 asyncio copies the rest, and a large write leaves less of it.
_JOIN_OCTETS: Final = 1 << 16 if sys.version_info >= (3, 12) else 1 << 19

# Flag of send: more follows at once, so the kernel may hold the octets back (Linux).
_MSG_MORE: Final = getattr(socket, "MSG_MORE", 0)

# Between two probes of a peer that has half-closed. About a minute after a full close
# (tcp_fin_timeout), the peer's kernel forgets the socket, and answers a probe with RST.
_PROBE_EVERY_S: Final = 15

# The int that FIONREAD fills in if no octets wait.
_NO_OCTETS: Final = struct.pack("i", 0)


@final
class AcceptContext:
    """Holds what the connections of one listening socket have in common.

    accept: called with each new wire; returns its receiver.
    coalescer: holds small writes back for a moment; None to send each at once.
    local: address that the clients connect to; None if each socket must be asked.
    vectored: whether `writelines` of the loop's transports heeds their high-water mark. asyncio's
        does not before Python 3.12.9 and 3.13.2 (CVE-2024-12254), and copies before 3.12.
    """

    __slots__ = ("accept", "coalescer", "local", "vectored")

    def __init__(
        self,
        accept: Accept,
        coalescer: WriteCoalescer | None = None,
        local: Address | None = None,
        *,
        vectored: bool = False,
    ) -> None:
        self.accept = accept
        self.coalescer = coalescer
        self.local = local
        self.vectored = vectored


@final
class AioWire(Wire):
    """Carries one accepted connection: a protocol to asyncio, a wire to the session."""

    __slots__ = ("_context", "_fd", "_is_flushing", "_is_resuming", "_receiver", "_transport")

    def __init__(self, context: AcceptContext) -> None:
        self._context = context
        self._transport: asyncio.Transport
        self._receiver: Receiver
        self._is_flushing = False
        self._is_resuming = False  # within `resume_writing`
        self._fd = -1

    # -- What asyncio reports ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Take the transport, and get the receiver of its facts."""
        self._transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None:
            self._fd = sock.fileno()
        self._receiver = self._context.accept(self)

    def data_received(self, data: bytes) -> None:
        """Pass on octets."""
        self._receiver.octets_received(data)

    def eof_received(self) -> bool:
        """Pass on the peer's FIN. Return True to keep the transport open: an answer may be owed."""
        self._receiver.eof_received()
        return True

    def pause_writing(self) -> None:
        """Pass on that the write buffer is above its high-water mark."""
        if not self._is_flushing:
            self._receiver.write_paused()

    def resume_writing(self) -> None:
        """Send FIN if that waits for the last octet, or pass on that writing may go on."""
        self._is_resuming = True
        if self._is_flushing:
            self._is_flushing = False
            self._send_fin(b"")
        else:
            self._receiver.write_resumed()
        self._is_resuming = False

    def connection_lost(self, error: Exception | None) -> None:
        """Pass on that the connection is lost. The descriptor may be reused from here on."""
        self._fd = -1
        self._receiver.lost()

    # -- Properties --------------------------------------------------------------------------------

    @property
    def scheme(self) -> str:
        """The scheme of an unencrypted connection."""
        return "http"

    @property
    def can_half_close(self) -> bool:
        """Whether the sending side can be shut alone: true of TCP and Unix sockets."""
        return True

    # -- Orders ------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send octets."""
        coalescer = self._context.coalescer
        if coalescer is not None:
            coalescer.write(self._transport, data)
        elif not self._transport.is_closing():
            self._transport.write(data)

    def write_pieces(self, pieces: list[bytes]) -> None:
        """Send octets. They are joined only if the event loop's `writelines` is unfit."""
        self._send_held()
        transport = self._transport
        if transport.is_closing():
            return
        if self._context.vectored:
            transport.writelines(pieces)
        else:
            for joined in joined_pieces(pieces, _JOIN_OCTETS):
                transport.write(joined)

    def pause_reading(self) -> None:
        """Stop reading."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def half_close(self, last: bytes) -> None:
        """Send the last octets, flush, shut the sending side, report `flushed`."""
        self._send_held()
        transport = self._transport
        if transport.is_closing():
            return
        # Nearly always this can be done at once. If the application has set a default timeout for
        # sockets, the call would wait.
        if not transport.get_write_buffer_size() and socket.getdefaulttimeout() is None:
            last = self._send_fin(last)
            if not last:
                return
        if last:
            transport.write(last)
        if transport.get_write_buffer_size():
            self._is_flushing = True
            transport.set_write_buffer_limits(0)  # resume_writing is called after the last octet
        else:
            self._send_fin(b"")

    def half_close_if_quiet(self) -> bool:
        """Shut the sending side unless octets wait in either direction."""
        self._send_held()
        transport = self._transport
        if transport.is_closing() or transport.get_write_buffer_size() or self.octets_waiting():
            return False
        return self._shut(b"") == b""

    def _send_held(self) -> None:
        """Send the writes that the coalescer holds."""
        coalescer = self._context.coalescer
        if coalescer is not None:
            coalescer.flush()

    def _send_fin(self, last: bytes) -> bytes:
        """Send the last octets and FIN, and report `flushed`; or return the octets not taken."""
        left = self._shut(last)
        if left == b"":
            self._receiver.flushed()
        return left or b""

    def _shut(self, last: bytes) -> bytes | None:
        """Send octets and FIN at once, in one segment if they fit.

        Return the octets that the kernel did not take; then no FIN was sent. Return None if the
        peer has reset the connection.

        The event loops would shut the socket in a later pass. On an idle connection, a request
        could arrive until then.
        """
        if self._fd < 0:
            return None
        sock = _borrowed(self._fd)
        try:
            if last:
                last = last[sock.send(last, _MSG_MORE) :]
            if not last:
                sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:
            self._end(self._transport.abort)
            return None
        finally:
            sock.detach()
        return last

    def _end(self, end: Callable[[], None]) -> None:
        """Close or abort the transport by `end`; after the report, if it is resuming to write.

        asyncio goes on after that report: it closes a transport that is closing and has nothing
        left to write, which was to be closed in the next pass already, and fails there.
        """
        if self._is_resuming:
            asyncio.get_running_loop().call_soon(end)
        else:
            end()

    def release(self) -> None:
        """Flush, then close."""
        self._send_held()
        self._end(self._transport.close)

    def abort(self) -> None:
        """Close with RST."""
        self._send_held()  # without a coalescer they would have been sent before
        if self._fd >= 0:
            sock = _borrowed(self._fd)
            with contextlib.suppress(OSError):  # a Unix socket knows no RST
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            sock.detach()
            self._end(self._transport.abort)

    # -- Questions ---------------------------------------------------------------------------------

    def unsent(self) -> int:
        """Return the octets in the write buffer and in the kernel's."""
        self._send_held()
        unsent = self._transport.get_write_buffer_size()
        fd = self._fd
        if fd >= 0:
            try:
                (held,) = struct.unpack("i", fcntl.ioctl(fd, termios.TIOCOUTQ, _NO_OCTETS))
            except OSError:  # not every kind of socket tells
                return unsent
            unsent += held
        return unsent

    def octets_waiting(self) -> bool:
        """Return whether the kernel holds octets that were not read."""
        fd = self._fd
        if fd < 0:
            return False
        try:
            return fcntl.ioctl(fd, termios.FIONREAD, _NO_OCTETS) != _NO_OCTETS
        except OSError:
            return False

    def peer_gone(self) -> bool:
        """Return whether the kernel reports an error, or both directions as shut.

        Octets that have arrived are read first: a peer that closes a Unix socket shuts both.
        """
        fd = self._fd
        if fd < 0:
            return True
        poll = select.poll()
        poll.register(fd, 0)
        found = poll.poll(0)
        events = found[0][1] if found else 0
        if events & (select.POLLERR | select.POLLNVAL):
            return True
        return events & select.POLLHUP != 0 and not self.octets_waiting()

    def probe_peer(self) -> None:
        """Turn TCP keep-alive on."""
        if self._fd >= 0:
            sock = _borrowed(self._fd)
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
                    if hasattr(socket, name):
                        sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), _PROBE_EVERY_S)
            sock.detach()

    def descriptor(self) -> int:
        """Return the file descriptor's number; -1 if it is closed."""
        return self._fd

    def peer(self) -> Address | None:
        """Return the peer's address."""
        return address(self._transport.get_extra_info("peername"))

    def local(self) -> Address | None:
        """Return the address that the peer connected to."""
        return self._context.local or address(self._transport.get_extra_info("sockname"))


def _borrowed(fd: int) -> socket.SocketType:
    """Return a socket object for a descriptor that the event loop owns. The caller detaches it.

    The event loop's own objects refuse some calls. Family and type are named to save the system
    calls that would find them out; nothing here depends on them.
    """
    return socket.SocketType(socket.AF_INET, socket.SOCK_STREAM, 0, fd)


def joined_pieces(pieces: list[bytes], enough: int) -> list[bytes]:
    """Return the same octets in fewer pieces.

    Pieces are joined until they have `enough` octets. A larger piece is not copied.
    """
    found = []
    batch: list[bytes] = []
    size = 0
    for piece in pieces:
        if size >= enough or (len(piece) > enough and batch):
            found.append(b"".join(batch))
            batch.clear()
            size = 0
        batch.append(piece)
        size += len(piece)
    found.append(b"".join(batch))
    return found


def address(name: object) -> Address | None:
    """Return a socket's name as (host, port), a Unix socket's as (path, None), or None."""
    if isinstance(name, tuple) and len(name) >= 2:
        return (sys.intern(str(name[0])), int(name[1]))  # interned: hosts have many connections
    if isinstance(name, str) and name:
        return (name, None)
    return None

"""A wire over an asyncio transport: uvloop's or asyncio's own. The only module that touches the end of a socket."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import select
import socket
import struct
import sys
import termios
from typing import Final, final

from bide.terms import Address
from bide.transport.coalescer import WriteCoalescer
from bide.wire import Accept, Receiver, Wire

# SO_LINGER, on, with zero seconds: close() drops what is unsent and sends RST (POSIX, socket options).
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)

# Octets that make one write of a copy: to the kernel, many small writes cost more. What it does not take asyncio keeps, the whole
# copy for a part of it, so no more than its high-water mark; before 3.12, a copy of that part, the smaller for a single write.
_JOINED: Final = 1 << 16 if sys.version_info >= (3, 12) else 1 << 19

# More follows at once: have the kernel hold the octets back for it, where it can (Linux).
_MORE: Final = getattr(socket, "MSG_MORE", 0)

# Seconds between probes of a peer that has half-closed. Its own kernel forgets a socket that was closed in full after about a
# minute (tcp_fin_timeout), and answers a probe with RST from then on.
_PROBE: Final = 15

# The int that FIONREAD fills in where nothing waits.
_NO_OCTETS: Final = struct.pack("i", 0)


@final
class AcceptContext:
    """What the connections of one listening socket have in common.

    accept: who is told of them. coalescer: what holds back for a moment what is written to them, if anything does.
    local: the address that they come to; None where each has to be asked.
    vectored: whether `writelines` of the event loop's transports keeps to their high-water mark. That of asyncio does not before
        Python 3.12.9 and 3.13.2 (CVE-2024-12254), and before 3.12 it copies.
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
    """One accepted connection: an asyncio protocol above, a `bide.wire.Wire` below."""

    __slots__ = ("_context", "_fd", "_flushing", "_receiver", "_transport")

    def __init__(self, context: AcceptContext) -> None:
        self._context = context
        self._transport: asyncio.Transport
        self._receiver: Receiver
        self._flushing = False
        self._fd = -1

    # -- What asyncio reports -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Take the transport."""
        self._transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None:
            self._fd = sock.fileno()
        self._receiver = self._context.accept(self)

    def data_received(self, data: bytes) -> None:
        """Octets came."""
        self._receiver.octets_received(data)

    def eof_received(self) -> bool:
        """The peer's FIN came. True: the transport stays open, for an answer may be owed."""
        self._receiver.eof_received()
        return True

    def pause_writing(self) -> None:
        """The write buffer is above its high-water mark."""
        if not self._flushing:
            self._receiver.write_paused()

    def resume_writing(self) -> None:
        """The write buffer is below its low-water mark."""
        if self._flushing:
            self._flushing = False
            self._send_fin(b"")
        else:
            self._receiver.write_resumed()

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is about to be closed: until here, its descriptor is nobody else's."""
        self._fd = -1
        self._receiver.lost()

    # -- What it is -----------------------------------------------------------------------------------------------------

    @property
    def scheme(self) -> str:
        """Nothing encrypts the octets."""
        return "http"

    @property
    def can_half_close(self) -> bool:
        """TCP and Unix sockets can."""
        return True

    # -- Orders ---------------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send octets."""
        coalescer = self._context.coalescer
        if coalescer is not None:
            coalescer.write(self._transport, data)
        elif not self._transport.is_closing():
            self._transport.write(data)

    def write_pieces(self, pieces: list[bytes]) -> None:
        """Send octets, without joining them where the event loop need not."""
        self._send_held()
        transport = self._transport
        if transport.is_closing():
            return
        if self._context.vectored:
            transport.writelines(pieces)
        else:
            for joined in joined_pieces(pieces, _JOINED):
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
        # As nearly always, all of it can be done at once; but a socket object with a timeout, which an application may have made
        # the default, would wait.
        if not transport.get_write_buffer_size() and socket.getdefaulttimeout() is None:
            last = self._send_fin(last)
            if not last:
                return
        if last:
            transport.write(last)
        if transport.get_write_buffer_size():
            self._flushing = True
            transport.set_write_buffer_limits(0)  # resume_writing then says when the last octet has left
        else:
            self._send_fin(b"")

    def half_close_if_quiet(self) -> bool:
        """Look and shut."""
        self._send_held()
        transport = self._transport
        if transport.is_closing() or transport.get_write_buffer_size() or self.octets_waiting():
            return False
        return self._shut(b"") == b""

    def _send_held(self) -> None:
        """Send what was written before."""
        coalescer = self._context.coalescer
        if coalescer is not None:
            coalescer.flush()

    def _send_fin(self, last: bytes) -> bytes:
        """Send the last octets and FIN, and report `flushed`; or return what the kernel does not take of them now."""
        left = self._shut(last)
        if left == b"":
            self._receiver.flushed()
        return left or b""

    def _shut(self, last: bytes) -> bytes | None:
        """Send octets and FIN at once, in one segment where they fit into one; return what the kernel did not take, and then there
        was no FIN. None: the peer has reset the connection.

        The event loops would do it in a later pass, and for an idle connection that is a long time for a request to arrive in.
        """
        if self._fd < 0:
            return None
        sock = _borrowed(self._fd)
        try:
            if last:
                last = last[sock.send(last, _MORE) :]
            if not last:
                sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:
            self._transport.abort()
            return None
        finally:
            sock.detach()
        return last

    def release(self) -> None:
        """Flush, then close."""
        self._send_held()
        self._transport.close()

    def abort(self) -> None:
        """Close with RST."""
        self._send_held()  # as if it had never been held
        if self._fd >= 0:
            sock = _borrowed(self._fd)
            with contextlib.suppress(OSError):  # a Unix socket knows no RST
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            sock.detach()
            self._transport.abort()

    # -- Questions ------------------------------------------------------------------------------------------------------

    def unsent(self) -> int:
        """Octets in the write buffer, and in the kernel's."""
        self._send_held()
        unsent = self._transport.get_write_buffer_size()
        fd = self._fd
        if fd >= 0:
            try:
                (held,) = struct.unpack("i", fcntl.ioctl(fd, termios.TIOCOUTQ, _NO_OCTETS))
            except OSError:  # not known of every kind of socket
                return unsent
            unsent += held
        return unsent

    def octets_waiting(self) -> bool:
        """Whether the kernel holds octets that were not read."""
        fd = self._fd
        if fd < 0:
            return False
        try:
            return fcntl.ioctl(fd, termios.FIONREAD, _NO_OCTETS) != _NO_OCTETS
        except OSError:
            return False

    def peer_gone(self) -> bool:
        """Whether the kernel reports an error or that both directions are shut. What has arrived is first to be read: the peer of a Unix
        socket that closes it shuts both.
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
                        sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), _PROBE)
            sock.detach()

    def descriptor(self) -> int:
        """The file descriptor's number."""
        return self._fd

    def peer(self) -> Address | None:
        """The peer's address."""
        return address(self._transport.get_extra_info("peername"))

    def local(self) -> Address | None:
        """Our address."""
        return self._context.local or address(self._transport.get_extra_info("sockname"))


def _borrowed(fd: int) -> socket.SocketType:
    """Return a socket object for a descriptor that the event loop owns, whose own objects refuse some calls; to be detached.

    That family and type are named spares the system calls that would find them out. Nothing here depends on them.
    """
    return socket.SocketType(socket.AF_INET, socket.SOCK_STREAM, 0, fd)


def joined_pieces(pieces: list[bytes], enough: int) -> list[bytes]:
    """Return the same octets in fewer pieces: joined until there are enough octets; one of more than that as it is, not copied."""
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
    """Return an address as ASGI and logs want it: of IPv6 the first two parts; a Unix socket's path without a port."""
    if isinstance(name, tuple) and len(name) >= 2:
        return (sys.intern(str(name[0])), int(name[1]))  # many connections come from one host
    if isinstance(name, str) and name:
        return (name, None)
    return None

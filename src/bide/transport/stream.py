"""Implements a wire over a stream socket: TCP or Unix.

It reads and writes the descriptor itself, so it knows what is unsent, and the order of write, FIN
and close is that of the calls. No other module touches the end of a socket.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import socket
import struct
import sys
import termios
from typing import Any, Final, final

from bide.terms import Address, Security
from bide.transport.file_piece import file_piece
from bide.transport.polled import PolledWire
from bide.transport.poller import Poller
from bide.transport.readiness import READS, WRITES
from bide.wire import FILE_ENDED, Receiver

# A name of this module is found faster than one of another.
_READS: Final = READS
_WRITES: Final = WRITES
_read: Final = os.read
_write: Final = os.write
_writev: Final = os.writev
_sendfile: Final = os.sendfile
_ioctl: Final = fcntl.ioctl
_default_timeout: Final = socket.getdefaulttimeout
_Socket: Final[Any] = socket.SocketType
_INET: Final = int(socket.AF_INET)
_INET6: Final = int(socket.AF_INET6)
_STREAM: Final = int(socket.SOCK_STREAM)
_SHUT_WR: Final = int(socket.SHUT_WR)
_TIOCOUTQ: Final = termios.TIOCOUTQ
_FIONREAD: Final = termios.FIONREAD

# SO_LINGER, on, with zero seconds: close() drops unsent octets and sends RST (POSIX).
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)

# Flag of send: more follows at once, so the kernel may hold the octets back (Linux).
_MSG_MORE: Final = getattr(socket, "MSG_MORE", 0)

# Octets of one read. Nearly every request fits. A filled read is followed by larger ones, up
# to what one connection may read in a pass; the next pass begins with one. A larger one holds 64
# KiB, in which many peers send, and what frames them.
_READ_OCTETS: Final = 1 << 14
_LARGER_READ_OCTETS: Final = (1 << 16) + (1 << 10)
_FAIR_READ_OCTETS: Final = 1 << 18

# With more unsent octets writing pauses, as with asyncio's transports.
_HIGH_WATER_OCTETS: Final = 1 << 16

# Octets of a file that are sent before other connections get their turn, or the caller asks again.
_FILE_SHARE_OCTETS: Final = 1 << 18

# What sendfile says if it cannot send from this file, or on this socket.
_CANNOT_SEND_FILE: Final = frozenset(
    {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTSOCK, errno.EOVERFLOW, errno.EIO}
)

# Pieces of one writev: IOV_MAX is 1024 on Linux, macOS and BSD, and at least 16 (POSIX).
_MAX_PIECES: Final = 256

# Between two probes of a peer that has half-closed. About a minute after a full close
# (tcp_fin_timeout), the peer's kernel forgets the socket, and answers a probe with RST.
_PROBE_EVERY_S: Final = 15

# The int that FIONREAD fills in if no octets wait.
_NO_OCTETS: Final = struct.pack("i", 0)

# How the wire is to end once everything is sent.
_OPEN: Final = 0
_FIN: Final = 1  # a FIN, then `flushed`
_FIN_SENT: Final = 2
_RELEASE: Final = 3  # a close


@final
class SocketWire(PolledWire):
    """Carries one connection."""

    __slots__ = (
        "_end",
        "_events",
        "_fd",
        "_first",
        "_has_eof",
        "_is_blocked",
        "_is_introduced",
        "_is_paused",
        "_is_reading",
        "_is_watched",
        "_local",
        "_more",
        "_offset",
        "_peer",
        "_poller",
        "_read_size",
        "_receiver",
        "_scheme",
        "_size",
    )

    def __init__(self, poller: Poller, fd: int, peer: Address | None = None, local: Address | None = None) -> None:
        """Take over a descriptor that does not block."""
        self._poller = poller
        self._receiver: Receiver
        self._fd = fd
        self._peer = peer
        self._local = local
        self._scheme = "http"
        self._is_introduced = True  # false while a PROXY header has yet to tell the addresses
        self._is_watched = False
        self._events = 0  # what it is watched for
        self._is_reading = True
        self._read_size = _READ_OCTETS
        self._has_eof = False
        # Unsent: `_first` from `_offset` on, then `_more`.
        self._first = b""
        self._offset = 0
        self._more: list[bytes] | None = None
        self._size = 0  # their octets
        self._is_blocked = False  # the kernel takes no more for now
        self._is_paused = False  # the receiver was told to pause
        self._end = _OPEN
        poller.add(fd, self)

    def begin(self, receiver: Receiver) -> None:
        """Report to `receiver` from now on. Read at once, since the first request is often there.

        A connection that ends with its first request is never watched.
        """
        self._receiver = receiver
        if self._fd >= 0 and self._is_reading:
            self._read()
        if self._fd >= 0:
            self._watch()

    def begin_again(self, receiver: Receiver) -> None:
        """Report to `receiver` from now on. The descriptor has been at rest, and is watched."""
        self._receiver = receiver
        self._is_watched = True
        self._events = _READS

    # -- The PROXY header --------------------------------------------------------------------------

    def expect_header(self) -> None:
        """Keep the addresses back until `introduce`. Legal only before `begin`."""
        self._is_introduced = False

    def introduce(self, ends: tuple[Address | None, Address | None] | None, is_secure: bool) -> None:
        """Take what a PROXY header tells of the connection that the proxy has accepted.

        ends: its peer and local address; None if those of the socket count.
        is_secure: whether TLS is spoken there.
        """
        self._is_introduced = True
        if ends is not None:
            self._peer, self._local = ends
        if is_secure:
            self._scheme = "https"

    def sender(self) -> str:
        """Return the socket's own peer as text, for the log."""
        return "a Unix socket" if self._peer is None or self._peer[1] is None else self._peer[0]

    def report_to(self, receiver: Receiver) -> None:
        """Report to another receiver from now on."""
        self._receiver = receiver

    # -- What the poller reports -------------------------------------------------------------------

    def readable(self) -> None:
        if self._fd < 0:  # what it wrote in the same pass has failed
            return
        if self._is_reading and not self._has_eof:
            self._read()
        elif self._events & _READS:  # reading paused, or ended, since it was watched
            self._watch()
        elif self._is_watched:  # reset, or shut in both directions: that would be reported for ever
            self._is_watched = False
            self._events = 0
            self._poller.ignore(self._fd)

    def writable(self) -> None:
        if self._is_blocked:
            self._is_blocked = False
            self._go_on()

    def send_held(self) -> None:
        if self._size and not self._is_blocked:
            self._go_on()

    def report_lost(self) -> None:
        self._receiver.lost()

    def report_failure(self) -> None:
        self._receiver.fail_internal()

    # -- Reading -----------------------------------------------------------------------------------

    def _read(self) -> None:
        """Read until nothing is left, or others must have their turn."""
        size = self._read_size
        octets = 0
        while True:
            try:
                data = _read(self._fd, size)
            except BlockingIOError:
                return
            except OSError:
                self._close()
                return
            if not data:
                self._has_eof = True
                self._receiver.eof_received()
                return
            self._receiver.octets_received(data)
            octets += len(data)
            if len(data) < size or octets >= _FAIR_READ_OCTETS or self._fd < 0 or not self._is_reading:
                self._read_size = _READ_OCTETS if octets < _READ_OCTETS else _LARGER_READ_OCTETS
                return
            size = _LARGER_READ_OCTETS

    def pause_reading(self) -> None:
        self._is_reading = False  # what it is watched for changes once octets come

    def resume_reading(self) -> None:
        if self._fd >= 0 and self._end != _RELEASE:
            self._is_reading = True
            self._watch()

    def _watch(self) -> None:
        """Watch for what matters now."""
        events = 0
        if self._is_reading and not self._has_eof:
            events = _READS
        if self._is_blocked:
            events |= _WRITES
        if events != self._events or (events and not self._is_watched):
            try:
                self._poller.watch(self._fd, events, self._is_watched)
            except OSError:  # no memory, or too many watches
                self._reset()
                return
            self._is_watched = True
            self._events = events

    def defers(self) -> bool:
        return self._poller.defers(self._receiver)

    # -- Writing -----------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if self._fd < 0 or self._end != _OPEN:
            return
        if self._size:
            self._append(data)
        elif self._poller.output.holds(self):
            self._first = data
            self._size = len(data)
        else:
            self._write(data)
            return
        if self._size > _HIGH_WATER_OCTETS:
            self._too_much()

    def _write(self, data: bytes) -> None:
        """Send octets at once. Nothing else is unsent."""
        try:
            sent = _write(self._fd, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._close()
            return
        if sent != len(data):
            self._first = data
            self._size = len(data)
            self._sent(sent)
            self._blocked()

    def write_pieces(self, pieces: list[bytes]) -> None:
        if self._fd < 0 or self._end != _OPEN:
            return
        for piece in pieces:
            self._append(piece)
        if self._size:
            self._too_much()

    def send_file(self, first: bytes, file: int, offset: int, count: int) -> int:
        if self._fd < 0 or self._end != _OPEN:
            return 0
        if first:
            self._append(first)
        if self._size and (self._is_blocked or not self._send_before_more()):
            self._await_space()
            return 0
        try:
            sent = _sendfile(self._fd, file, offset, min(count, _FILE_SHARE_OCTETS))
        except BlockingIOError:
            self._blocked()
            self._await_space()
            return 0
        except OSError as error:
            if error.errno in _CANNOT_SEND_FILE:
                return self._send_piece(file, offset, count)
            self._close()
            return 0
        return sent or FILE_ENDED

    def _send_piece(self, file: int, offset: int, count: int) -> int:
        """Do as `send_file`, without the kernel."""
        piece = file_piece(file, offset, count)
        if not piece:
            return FILE_ENDED
        self.write(piece)
        return len(piece)

    def _send_before_more(self) -> bool:
        """Send what is unsent, which a file follows; return whether nothing is left of it."""
        if self._size > _HIGH_WATER_OCTETS or self._offset or _default_timeout() is not None:
            return self._send()
        sock = borrowed(self._fd)
        try:
            return self._send_joined(sock)
        except BlockingIOError:
            self._blocked()
        except OSError:
            self._close()
        finally:
            sock.detach()
        return False

    def _send_joined(self, sock: Any) -> bool:  # noqa: ANN401  # as `borrowed`
        """Send what is unsent in one call, and say that more follows; return as above."""
        data = self._first if self._more is None else b"".join([self._first, *self._more])
        sent = sock.send(data, _MSG_MORE)
        if sent == len(data):
            self._sent_all()
            return True
        self._first = data
        self._more = None
        self._sent(sent)
        self._blocked()
        return False

    def _await_space(self) -> None:
        """Have the receiver pause until everything is sent."""
        if self._fd >= 0 and not self._is_paused:
            self._is_paused = True
            self._receiver.write_paused()

    def _too_much(self) -> None:
        """Send what is unsent now, or have the receiver pause."""
        if self._is_blocked:
            self._pause()
        else:
            self._go_on()

    def _append(self, data: bytes) -> None:
        if not self._size:
            self._first = data
        elif self._more is None:
            self._more = [data]
        else:
            self._more.append(data)
        self._size += len(data)

    def _go_on(self) -> None:
        """Send what is unsent, until the kernel takes no more; then end, if an end is ordered."""
        if self._end != _OPEN:
            self._send_last()
            return
        if self._send():
            self._flows()

    def _send(self) -> bool:
        """Send what is unsent; return whether nothing is left of it."""
        while self._size:
            try:
                if self._more is None and not self._offset:
                    sent = _write(self._fd, self._first)
                else:
                    sent = _writev(self._fd, self._pieces())
            except BlockingIOError:
                sent = 0
            except OSError:
                self._close()
                return False
            if sent == self._size:
                self._sent_all()
            elif not self._sent(sent):
                self._blocked()
                return False
        return True

    def _pieces(self) -> list[bytes | memoryview]:
        """Return the first pieces that are unsent."""
        first: bytes | memoryview = memoryview(self._first)[self._offset :] if self._offset else self._first
        pieces = [first]
        if self._more is not None:
            pieces += self._more[: _MAX_PIECES - 1]
        return pieces

    def _sent_all(self) -> None:
        self._first = b""
        self._offset = 0
        self._more = None
        self._size = 0

    def _sent(self, octets: int) -> bool:
        """Forget octets that were sent, but not all; return whether whole pieces were all sent.

        Then the kernel may take more.
        """
        self._size -= octets
        octets += self._offset
        more = self._more
        done = 0  # pieces of `more` that are `_first` now, or were sent
        while octets >= len(self._first) and more is not None and done < len(more):
            octets -= len(self._first)
            self._first = more[done]
            done += 1
        if more is not None and done:
            del more[:done]
            if not more:
                self._more = None
        self._offset = octets
        return octets == 0 and done >= _MAX_PIECES

    def _blocked(self) -> None:
        """Wait until the kernel takes more."""
        self._is_blocked = True
        self._watch()
        if self._end == _OPEN and self._fd >= 0:
            self._pause()

    def _pause(self) -> None:
        """Have the receiver pause, if too much is unsent."""
        if self._size > _HIGH_WATER_OCTETS:
            self._await_space()

    def _flows(self) -> None:
        """Go on, since everything is sent."""
        if self._events & _WRITES:
            self._watch()
        if self._is_paused:
            self._is_paused = False
            self._receiver.write_resumed()

    # -- Ending ------------------------------------------------------------------------------------

    def half_close(self, last: bytes) -> None:
        if self._fd < 0 or self._end != _OPEN:
            return
        if last:
            self._append(last)
        self._end = _FIN
        if not self._is_blocked:
            self._send_last()

    def half_close_if_quiet(self) -> bool:
        self.send_held()
        if self._fd < 0 or self._end != _OPEN or self._size or self.octets_waiting():
            return False
        sock = borrowed(self._fd)
        try:
            sock.shutdown(_SHUT_WR)
        except OSError:  # the peer has reset
            self._close()
            return False
        finally:
            sock.detach()
        self._end = _FIN_SENT
        return True

    def release(self) -> None:
        if self._fd < 0:
            return
        self._end = _RELEASE
        self._is_reading = False
        if not self._size:
            self._close()
        elif not self._is_blocked:
            self._send_last()

    def abort(self) -> None:
        if self._fd >= 0:
            self.send_held()  # they would have been sent before, if they had not been held
        if self._fd >= 0:
            self._reset()

    def _send_last(self) -> None:
        """Send what is left, and FIN with it: in one segment, if it fits."""
        # With a default timeout, which an application may set, a socket's own `send` would wait.
        if (self._size > _HIGH_WATER_OCTETS or self._offset or _default_timeout() is not None) and not self._send():
            return
        sock = borrowed(self._fd)
        try:
            if self._size and not self._send_joined(sock):
                return
            if self._end == _FIN:
                sock.shutdown(_SHUT_WR)
                self._end = _FIN_SENT
        except BlockingIOError:
            self._blocked()
            return
        except OSError:
            self._close()
            return
        finally:
            sock.detach()
        if self._end == _RELEASE:
            self._close()
            return
        self._is_paused = False
        if self._events & _WRITES:
            self._watch()
        self._receiver.flushed()

    def _reset(self) -> None:
        """Close with RST."""
        sock = borrowed(self._fd)
        with contextlib.suppress(OSError):  # a Unix socket knows no RST
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        sock.detach()
        self._close()

    def _close(self) -> None:
        fd = self._fd
        self._fd = -1
        self._sent_all()
        self._poller.close_wire(fd, self, self._is_watched)

    def rest(self, receiver: Receiver) -> bool:
        if self._fd < 0 or self._size or self._end != _OPEN or self._has_eof or not self._is_reading:
            return False
        if self._events != _READS:
            return False
        self._poller.rest(self._fd, receiver)
        self._fd = -1
        return True

    # -- Questions ---------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        return self._is_introduced

    @property
    def scheme(self) -> str:
        return self._scheme

    @property
    def can_half_close(self) -> bool:
        return True

    def unsent(self) -> int:
        self.send_held()
        if self._fd < 0:
            return 0
        try:
            (held,) = struct.unpack("i", _ioctl(self._fd, _TIOCOUTQ, _NO_OCTETS))
        except OSError:  # not every kind of socket tells
            return self._size
        return self._size + int(held)

    def octets_waiting(self) -> bool:
        try:
            return self._fd >= 0 and _ioctl(self._fd, _FIONREAD, _NO_OCTETS) != _NO_OCTETS
        except OSError:
            return False

    def peer_gone(self) -> bool:
        """Return whether the kernel reports an error, or both directions as shut.

        Octets that have arrived are read first: a peer that closes a Unix socket shuts both.
        """
        if self._fd < 0:
            return True
        poll = select.poll()
        poll.register(self._fd, 0)
        found = poll.poll(0)
        events = found[0][1] if found else 0
        if events & (select.POLLERR | select.POLLNVAL):
            return True
        return events & select.POLLHUP != 0 and not self.octets_waiting()

    def probe_peer(self) -> None:
        """Turn TCP keep-alive on."""
        if self._fd >= 0:
            sock = borrowed(self._fd)
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
                    if hasattr(socket, name):
                        sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), _PROBE_EVERY_S)
            sock.detach()

    def descriptor(self) -> int:
        return self._fd

    def security(self) -> Security | None:
        return None

    def peer(self) -> Address | None:
        return self._peer if self._is_introduced else None

    def local(self) -> Address | None:
        if self._local is None and self._fd >= 0:
            sock = borrowed(self._fd, _INET6)
            with contextlib.suppress(OSError):
                self._local = address(sock.getsockname())
            sock.detach()
        return self._local


def borrowed(fd: int, family: int = _INET) -> Any:  # noqa: ANN401
    """Return a socket object for a descriptor that somebody else closes. The caller detaches it.

    Family, type and protocol are named to save the system calls that would find them out.

    family: decides only how much space there is for a name: that of AF_INET6 is enough for TCP.
    """
    return _Socket(family, _STREAM, 0, fd)


def address(name: object) -> Address | None:
    """Return a socket's name as (host, port), a Unix socket's as (path, None), or None."""
    if isinstance(name, tuple) and len(name) >= 2:
        return (sys.intern(str(name[0])), int(name[1]))  # interned: hosts have many connections
    if isinstance(name, str) and name:
        return (name, None)
    return None

"""Implements TLS as a wire over another wire: RFC 8446 and 5246, by OpenSSL over memory buffers.

The wire below carries ciphertext and knows nothing of it, so the order of close_notify, FIN and
close is that of plain calls, on both event loops alike.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Final, final

from bide.terms import Address, CloseReason, Security
from bide.transport.file_piece import file_piece
from bide.transport.security import security_of
from bide.transport.turns import Turns
from bide.wire import CLOSED_WIRE, FILE_ENDED, Receiver, Wire

# Octets that a buffer of OpenSSL is given at once: one record (RFC 8446, 5.1). Such a buffer never
# shrinks, so with more it would keep up to megabytes for the life of the connection.
_RECORD_OCTETS: Final = 1 << 14

_REJECTED: Final = CloseReason.TLS_REJECTED

# How OpenSSL names a request that speaks HTTP without TLS.
_PLAIN_HTTP: Final = "HTTP_REQUEST"


@final
class TlsWire(Wire):
    """Encrypts one connection.

    below: takes the facts of the wire that carries the ciphertext.
    """

    __slots__ = (
        "_call_soon",
        "_has_eof",
        "_incoming",
        "_is_broken",
        "_is_ending_quietly",
        "_is_reading",
        "_is_ready",
        "_is_shut",
        "_outgoing",
        "_receiver",
        "_security",
        "_tls",
        "_turns",
        "_unread",
        "_wire",
        "below",
    )

    def __init__(
        self, wire: Wire, context: ssl.SSLContext, call_soon: Callable[[Callable[[], None]], object], turns: Turns
    ) -> None:
        """Take over a wire on which nothing was sent. `begin` must follow.

        call_soon: has a function called once the pass of the event loop is over.
        turns: hands out turns for the steps of the handshake.
        """
        self._turns = turns
        self._wire = wire
        self._call_soon = call_soon
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._receiver: Receiver
        self.below = Ciphertext(self)
        self._is_ready = False
        self._is_broken = False  # the handshake or a record failed: what follows is not encrypted
        self._is_shut = False  # close_notify is made
        self._has_eof = False  # the peer's EOF is reported
        self._is_ending_quietly = False
        self._is_reading = True
        self._security: Security | None = None  # made when it is first asked for
        self._unread = b""  # ciphertext that came while reading was paused, or waits for a turn

    def begin(self, receiver: Receiver) -> None:
        """Report to `receiver` from now on."""
        self._receiver = receiver

    # -- What the wire below reports ---------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """Take ciphertext."""
        if self._is_broken:
            self._receiver.octets_received(data)  # they are dropped, but count
            return
        if self._unread:
            self._unread += data
            return
        if not self._is_ready and not self._turns.take(self._take_turn):
            self._unread = data
            self._wire.pause_reading()
            return
        self._read(data)

    def _take_turn(self) -> None:
        """Go on with what had to wait for its turn."""
        data, self._unread = self._unread, b""
        try:
            if data:
                self._read(data)
            if self._is_reading:
                self._wire.resume_reading()
        except Exception:
            self._receiver.fail_internal()

    def _read(self, data: bytes) -> None:
        """Read ciphertext."""
        position = 0  # what follows close_notify is no TLS any more
        while position < len(data) and not self._has_eof:
            if not self._is_reading:
                self._unread = data[position:]
                return
            self._incoming.write(data[position : position + _RECORD_OCTETS])
            position += _RECORD_OCTETS
            if not ((self._is_ready or self._shake_hands()) and self._decrypt()):
                return

    def _shake_hands(self) -> bool:
        """Go on with the handshake; return whether it has not failed."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return True
        except ssl.SSLError as error:
            self._is_broken = True
            is_plain = error.reason == _PLAIN_HTTP
            if not is_plain:
                self._flush()  # the alert
            self._receiver.rejected(_REJECTED, _cause(error), is_plain)
            return False
        self._is_ready = True
        self._flush()
        self._receiver.ready()
        return True

    def _decrypt(self) -> bool:
        """Report what OpenSSL has of the plaintext; return whether it is valid."""
        while self._is_ready and self._is_reading and not self._has_eof:
            try:
                data = self._tls.read(_RECORD_OCTETS)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                data = b""
            except ssl.SSLError as error:
                self._is_broken = True
                if not self._is_shut:
                    self._flush()  # the alert
                self._receiver.rejected(_REJECTED, _cause(error), False)
                return False
            if not data:  # close_notify; the answer can still be sent
                self.ended()
                break
            self._receiver.octets_received(data)
        if self._outgoing.pending and not self._is_shut:
            self._flush()  # the answer to a KeyUpdate
        return True

    def ended(self) -> None:
        """Take the news of close_notify, or of a FIN without it."""
        if not self._has_eof:
            self._has_eof = True
            self._receiver.eof_received()

    def flushed(self) -> None:
        """Take the news that the wire below is half-closed."""
        if not self._is_ending_quietly:
            self._receiver.flushed()

    def lost(self) -> None:
        """Take the news that the wire below is closed."""
        self._wire = CLOSED_WIRE  # it refers to this object
        self._unread = b""
        self._receiver.lost()

    @property
    def receiver(self) -> Receiver:
        """What takes the facts of this wire."""
        return self._receiver

    # -- Reading -----------------------------------------------------------------------------------

    def pause_reading(self) -> None:
        self._is_reading = False
        self._wire.pause_reading()

    def resume_reading(self) -> None:
        self._is_reading = True
        if self._has_unread():
            self._call_soon(self._catch_up)
        else:
            self._wire.resume_reading()

    def _has_unread(self) -> bool:
        """Return whether octets that the wire below has given wait to be reported."""
        return self._unread != b"" or self._incoming.pending > 0 or self._tls.pending() > 0

    def _catch_up(self) -> None:
        """Report what came while reading was paused, then go on reading."""
        if not self._is_reading:
            return
        try:
            unread, self._unread = self._unread, b""
            if not self._is_broken:
                self._decrypt()
            if unread:
                self.received(unread)
            if self._is_reading:
                self._wire.resume_reading()
        except Exception:
            self._receiver.fail_internal()

    def defers(self) -> bool:
        return self._wire.defers()

    # -- Writing -----------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if self._is_broken:
            self._wire.write(data)
        elif len(data) <= _RECORD_OCTETS:
            self._wire.write(self._encrypted(data))
        else:
            self.write_pieces([data])

    def write_pieces(self, pieces: list[bytes]) -> None:
        if self._is_broken:
            self._wire.write_pieces(pieces)
            return
        records: list[bytes] = []
        for piece in pieces:
            records += self._records(piece)
        self._wire.write_pieces(records)

    def send_file(self, first: bytes, file: int, offset: int, count: int) -> int:
        piece = file_piece(file, offset, count)
        self.write_pieces([first, piece])
        return len(piece) or FILE_ENDED

    def _records(self, data: bytes) -> list[bytes]:
        """Return the ciphertext of octets of any number."""
        return [
            self._encrypted(data[position : position + _RECORD_OCTETS])
            for position in range(0, len(data), _RECORD_OCTETS)
        ]

    def _encrypted(self, data: bytes) -> bytes:
        """Return the ciphertext of the octets of one record."""
        if self._is_shut or self._is_broken:
            return b""
        try:
            self._tls.write(data)
        except ssl.SSLError:  # after a fatal alert
            self._is_broken = True
            self._wire.abort()
            return b""
        return self._outgoing.read()

    def _flush(self) -> None:
        """Send what OpenSSL has to say."""
        if self._outgoing.pending:
            self._wire.write(self._outgoing.read())

    # -- Ending ------------------------------------------------------------------------------------

    def _close_notify(self) -> bytes:
        """Return the alert that ends the sending side (RFC 8446, 6.1); empty if there is none."""
        if self._is_shut or self._is_broken or not self._is_ready:
            return b""
        self._is_shut = True
        try:
            while self._tls.read(_RECORD_OCTETS):
                pass  # octets within OpenSSL would turn the alert into an error
        except ssl.SSLError:
            pass
        try:
            self._tls.unwrap()
        except ssl.SSLError:  # SSLWantReadError: the peer's own alert has not come
            pass
        return self._outgoing.read()

    def half_close(self, last: bytes) -> None:
        if self._is_broken or not self._is_ready:
            self._wire.half_close(last if self._is_broken else b"")
            return
        records = self._records(last)
        if len(records) > 1:
            self._wire.write_pieces(records[:-1])
        self._wire.half_close(b"".join(records[-1:]) + self._close_notify())

    def half_close_if_quiet(self) -> bool:
        if self.octets_waiting() or self._wire.unsent():
            return False
        if not self._is_ready:
            return self._wire.half_close_if_quiet()
        alert = self._close_notify()
        self._is_ending_quietly = True
        self._wire.half_close(alert)
        self._is_ending_quietly = False
        return True

    def release(self) -> None:
        alert = self._close_notify()
        if alert:
            self._wire.write(alert)
        self._wire.release()

    def abort(self) -> None:
        self._wire.abort()  # without close_notify, so that a cut response does not look whole (9.8)

    def rest(self, receiver: Receiver) -> bool:
        return False  # its keys are needed

    # -- Questions ---------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        return self._is_ready

    @property
    def scheme(self) -> str:
        return "https"

    @property
    def can_half_close(self) -> bool:
        return self._wire.can_half_close

    def unsent(self) -> int:
        return self._wire.unsent()

    def octets_waiting(self) -> bool:
        return self._has_unread() or self._wire.octets_waiting()

    def peer_gone(self) -> bool:
        return self._wire.peer_gone()

    def probe_peer(self) -> None:
        self._wire.probe_peer()

    def descriptor(self) -> int:
        return self._wire.descriptor()

    def security(self) -> Security | None:
        if self._security is None and self._is_ready:
            self._security = security_of(self._tls)
        return self._security

    def peer(self) -> Address | None:
        return self._wire.peer()

    def local(self) -> Address | None:
        return self._wire.local()


@final
class Ciphertext(Receiver):
    """Takes the facts of the wire below a TlsWire."""

    __slots__ = ("_above",)

    def __init__(self, above: TlsWire) -> None:
        self._above = above

    def ready(self) -> None:
        pass  # the handshake is still to come

    def introduced(self) -> None:
        self._above.receiver.introduced()

    def rejected(self, reason: CloseReason, detail: str, is_plain: bool) -> None:
        self._above.receiver.rejected(reason, detail, is_plain)

    def octets_received(self, data: bytes) -> None:
        try:
            self._above.received(data)
        except Exception:
            self._above.receiver.fail_internal()

    def go_on(self) -> None:
        self._above.receiver.go_on()

    def eof_received(self) -> None:
        self._above.ended()

    def write_paused(self) -> None:
        self._above.receiver.write_paused()

    def write_resumed(self) -> None:
        self._above.receiver.write_resumed()

    def flushed(self) -> None:
        self._above.flushed()

    def lost(self) -> None:
        self._above.lost()

    def fail_internal(self) -> None:
        self._above.receiver.fail_internal()


def _cause(error: ssl.SSLError) -> str:
    """Return what OpenSSL says, for the log: words, no file and line of its own sources."""
    return str(error.reason or error.strerror or error).replace("_", " ").lower()

"""A TLS wire over a stand-in for the wire below: what it sends there for each order, and what it makes of what comes."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from bide import wire as contract
from bide.terms import CloseReason
from bide.transport.security import ServerContext
from bide.transport.tls import TlsWire
from bide.transport.turns import MAX_STEPS, Turns
from bide.wire import FILE_ENDED
from tests.support.managed import StubConnection
from tests.support.stage import StubWire
from tests.support.tls import Authority

if not str(contract.__file__).endswith(".py"):
    pytest.skip("a compiled Receiver has no heirs that are not", allow_module_level=True)

RECORD = 1 << 14

#: Octets of a file that are sent at once, at most.
FILE_PIECE = 1 << 16


class Ear(StubConnection):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[object] = []

    def ready(self) -> None:
        self.heard.append("ready")

    def introduced(self) -> None:
        self.heard.append("introduced")

    def rejected(self, reason: CloseReason, detail: str, is_plain: bool) -> None:
        self.heard.append(("rejected", is_plain))

    def octets_received(self, data: bytes) -> None:
        self.heard.append(data)

    def eof_received(self) -> None:
        self.heard.append("eof")

    def lost(self) -> None:
        self.heard.append("lost")


class Scene:
    """A wire, and the client at its other end."""

    def __init__(self, authority: Authority) -> None:
        files = authority.issue("wire")
        context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files["ssl_certfile"], files["ssl_keyfile"])
        context.complete("PEM")
        self.soon: list[Callable[[], None]] = []
        self.wire = StubWire()
        self.turns = Turns(self.soon.append, lambda: False)
        self.tls = TlsWire(self.wire, context, self.soon.append, self.turns)
        self.ear = Ear()
        self.tls.begin(self.ear)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = authority.context().wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def shake_hands(self) -> None:
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                self.client.do_handshake()
                self.deliver()
                break
            self.deliver()
            self.take()
        self.take()
        assert self.tls.is_ready
        self.ear.heard.clear()

    def deliver(self) -> None:
        """Bring what the client has to say."""
        if data := self.outgoing.read():
            self.tls.below.octets_received(data)

    def take(self) -> bytes:
        """Give the client what was written; return how many octets of plaintext that is."""
        written, self.wire.written = self.wire.written, b""
        self.incoming.write(written)
        content = b""
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLSyscallError):
            while data := self.client.read(1 << 20):
                content += data
        return content

    def is_shut(self) -> bool:
        """Return whether the client has had close_notify."""
        try:
            return self.client.read(1) == b""
        except ssl.SSLWantReadError:
            return False


@pytest.fixture
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(Authority.made(tmp_path_factory.mktemp("tls")))


def test_wire_is_ready_after_the_handshake(scene: Scene) -> None:
    assert not scene.tls.is_ready
    assert scene.tls.scheme == "https"
    scene.shake_hands()
    scene.client.write(b"hello")
    scene.deliver()
    assert scene.ear.heard == [b"hello"]


def test_octets_leave_as_records_of_bounded_size(scene: Scene) -> None:
    scene.shake_hands()
    for size in (1, RECORD, RECORD + 1, 5 * RECORD + 3):
        scene.tls.write(bytes(size))
        assert scene.take() == bytes(size)
    scene.tls.write_pieces([b"a", b"", b"b" * 40_000])
    assert scene.take() == b"a" + b"b" * 40_000


@pytest.mark.parametrize("last", [b"", b"last", b"x" * 40_000])
def test_half_close_sends_the_last_octets_and_close_notify(scene: Scene, last: bytes) -> None:
    halves: list[bytes] = []
    scene.wire.half_close = halves.append  # type: ignore[assignment,method-assign]
    scene.shake_hands()
    scene.tls.half_close(last)
    assert len(halves) == 1
    scene.wire.written += halves[0]
    assert scene.take() == last
    assert scene.is_shut()
    scene.tls.write(b"more")
    assert scene.wire.written == b""


def test_octets_after_the_half_close_are_still_read(scene: Scene) -> None:
    scene.shake_hands()
    scene.tls.half_close(b"")
    scene.client.write(b"late")
    scene.deliver()
    assert scene.ear.heard == [b"late"]


def test_release_sends_close_notify_and_abort_does_not(scene: Scene) -> None:
    scene.shake_hands()
    scene.tls.abort()
    assert scene.wire.written == b""
    scene.tls.release()
    scene.take()
    assert scene.is_shut()


def test_idle_end_is_refused_while_octets_wait(scene: Scene) -> None:
    scene.shake_hands()
    scene.wire.waiting = True
    assert not scene.tls.half_close_if_quiet()
    scene.wire.waiting = False
    scene.wire.held = 1
    assert not scene.tls.half_close_if_quiet()
    scene.wire.held = 0
    assert scene.tls.half_close_if_quiet()
    assert scene.ear.heard == [], "nothing is reported of an end that the caller knows"


def test_end_before_the_handshake_is_complete_has_no_alert(scene: Scene) -> None:
    scene.tls.half_close(b"")
    scene.tls.release()
    assert scene.wire.written == b""


def test_plain_http_is_reported_and_answered_without_tls(scene: Scene) -> None:
    scene.tls.below.octets_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert scene.ear.heard == [("rejected", True)]
    scene.tls.write(b"an answer")
    assert scene.wire.written == b"an answer"
    scene.tls.below.octets_received(b"more")
    assert scene.ear.heard[1:] == [b"more"]


def test_rubbish_is_reported_behind_an_alert(scene: Scene) -> None:
    scene.tls.below.octets_received(b"\x16\x03\x01\x00\x05hello")
    assert scene.ear.heard == [("rejected", False)]
    assert scene.wire.written[:1] == b"\x15"


def test_record_that_is_not_valid_is_reported(scene: Scene) -> None:
    scene.shake_hands()
    scene.tls.below.octets_received(b"\x17\x03\x03\x00\x20" + b"x" * 32)
    assert scene.ear.heard == [("rejected", False)]


def test_close_notify_and_fin_are_one_eof(scene: Scene) -> None:
    scene.shake_hands()
    scene.client.write(b"last")
    with contextlib.suppress(ssl.SSLWantReadError):
        scene.client.unwrap()
    scene.deliver()
    scene.tls.below.eof_received()
    assert scene.ear.heard == [b"last", "eof"]
    scene.tls.write(b"owed")
    assert scene.wire.written != b""


def test_octets_that_came_during_a_pause_are_reported_after_it(scene: Scene) -> None:
    scene.shake_hands()
    scene.tls.pause_reading()
    sent = b"".join(b"%d" % number * 5_000 for number in range(10))
    for start in range(0, len(sent), 7_000):
        scene.client.write(sent[start : start + 7_000])
        scene.deliver()
    assert scene.ear.heard == []
    assert scene.tls.octets_waiting()
    scene.tls.resume_reading()
    assert scene.ear.heard == [], "they follow in the next pass"
    for call in scene.soon:
        call()
    assert b"".join(data for data in scene.ear.heard if isinstance(data, bytes)) == sent
    assert not scene.tls.octets_waiting()
    assert scene.wire.orders == ["pause", "resume"]


def test_lost_wire_refers_to_nothing_below(scene: Scene) -> None:
    scene.shake_hands()
    scene.tls.below.lost()
    assert scene.ear.heard == ["lost"]
    assert scene.tls.descriptor() == -1


# -- Turns ------------------------------------------------------------------------------------------------------------------


def test_handshake_waits_for_a_turn_of_a_later_pass(scene: Scene) -> None:
    for _ in range(MAX_STEPS):
        scene.turns.take(lambda: None)
    with contextlib.suppress(ssl.SSLWantReadError):
        scene.client.do_handshake()
    hello = scene.outgoing.read()
    scene.tls.below.octets_received(hello[:100])
    scene.tls.below.octets_received(hello[100:])
    assert scene.wire.written == b""
    assert scene.wire.orders == ["pause"]
    assert scene.tls.octets_waiting()
    (begin_pass,) = scene.soon
    scene.soon.clear()
    begin_pass()
    assert scene.wire.written
    assert scene.wire.orders == ["pause", "resume"]
    assert not scene.tls.octets_waiting()
    scene.take()
    scene.shake_hands()


def test_turn_of_a_wire_that_is_lost_does_nothing(scene: Scene) -> None:
    for _ in range(MAX_STEPS):
        scene.turns.take(lambda: None)
    scene.tls.below.octets_received(b"\x16")
    scene.tls.below.lost()
    scene.soon[0]()
    assert scene.ear.heard == ["lost"]
    assert scene.wire.orders == ["pause"]


def test_connection_that_is_ready_needs_no_turn(scene: Scene) -> None:
    scene.shake_hands()
    while scene.turns.take(lambda: None):
        pass
    scene.client.write(b"hello")
    scene.deliver()
    assert scene.ear.heard == [b"hello"]


def test_failure_within_a_turn_is_reported(scene: Scene) -> None:
    for _ in range(MAX_STEPS):
        scene.turns.take(lambda: None)
    scene.ear.rejected = None  # type: ignore[assignment,method-assign]
    scene.tls.below.octets_received(b"no TLS at all")
    failures: list[None] = []
    scene.ear.fail_internal = lambda: failures.append(None)  # type: ignore[method-assign]
    scene.soon[0]()
    assert len(failures) == 1


# -- Files ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, RECORD, 200_000])
def test_file_leaves_encrypted_in_pieces_of_bounded_size(scene: Scene, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(b"skipped" + content)
    scene.shake_hands()
    sent = 0
    with (tmp_path / "file").open("rb") as file:
        first = b"first"
        while sent < size:
            octets = scene.tls.send_file(first, file.fileno(), 7 + sent, size - sent)
            assert 0 < octets <= FILE_PIECE
            first = b""
            sent += octets
        assert scene.tls.send_file(b"last", file.fileno(), 7 + size, 1) == FILE_ENDED
    assert scene.take() == b"first" + content + b"last"

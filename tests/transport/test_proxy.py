"""PROXY headers: what each tells, what is none, and that no octet of what follows is touched."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Final, cast

import pytest
from hypothesis import given, strategies as st

from bide import wire as contract
from bide.terms import Address, CloseReason
from bide.transport.poller import Poller
from bide.transport.proxy import ANY, V1, V2, Header, HeaderReader, MalformedHeaderError, read_header
from bide.transport.stream import SocketWire
from tests.support.loops import JumpingLoop
from tests.support.proxy_headers import (
    LOCAL,
    NO_TLS,
    NOOP,
    PROXY,
    SSL,
    START,
    TCP4,
    TCP6,
    TLS,
    UDP4,
    UNIX,
    UNSPEC,
    addresses4,
    addresses6,
    v2,
    value,
)

CLIENT, FRONT = ("192.0.2.1", 4000), ("198.51.100.1", 443)
CLIENT6, FRONT6 = ("2001:db8::1", 65535), ("2001:db8::2", 0)
BLOCK4 = addresses4(CLIENT, FRONT)
BLOCK6 = addresses6(CLIENT6, FRONT6)
PATHS = b"/run/a".ljust(108, b"\x00") + b"/run/b".ljust(108, b"\x00")

Ends = tuple[Address | None, Address | None] | None

#: Headers -> the ends that they tell, and whether the client speaks TLS.
GOOD: Final[dict[bytes, tuple[Ends, bool]]] = {
    b"PROXY TCP4 192.0.2.1 198.51.100.1 4000 443\r\n": ((CLIENT, FRONT), False),
    b"PROXY TCP6 2001:db8::1 2001:DB8:0::2 65535 0\r\n": ((CLIENT6, FRONT6), False),
    b"PROXY UNKNOWN\r\n": (None, False),
    b"PROXY UNKNOWN ffff:f...f:ffff ffff 65535 65535\r\n": (None, False),
    b"PROXY UNKNOWN ".ljust(105, b"x") + b"\r\n": (None, False),
    v2(PROXY, TCP4, BLOCK4): ((CLIENT, FRONT), False),
    v2(PROXY, TCP6, BLOCK6): ((CLIENT6, FRONT6), False),
    v2(PROXY, UNIX, PATHS): ((("/run/a", None), ("/run/b", None)), False),
    v2(PROXY, UNIX, bytes(216)): ((None, None), False),
    v2(PROXY, UNSPEC): (None, False),
    v2(PROXY, UNSPEC, b"any"): (None, False),
    v2(LOCAL, UNSPEC): (None, False),
    v2(LOCAL, UDP4, b"any"): (None, False),
    v2(PROXY, TCP4, BLOCK4 + value(NOOP, b"") + value(SSL, TLS)): ((CLIENT, FRONT), True),
    v2(PROXY, TCP4, BLOCK4 + value(SSL, TLS + value(0x21, b"TLSv1.3"))): ((CLIENT, FRONT), True),
    v2(PROXY, TCP4, BLOCK4 + value(SSL, NO_TLS)): ((CLIENT, FRONT), False),
    v2(PROXY, TCP4, BLOCK4 + value(SSL, TLS) + value(SSL, NO_TLS)): ((CLIENT, FRONT), True),
    v2(PROXY, TCP4, BLOCK4 + value(0xE0, bytes(4096 - len(BLOCK4) - 3))): ((CLIENT, FRONT), False),
}

BAD: Final = [
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01",
    b"proxy TCP4 192.0.2.1 198.51.100.1 4000 443\r\n",
    b"PROXY  TCP4 192.0.2.1 198.51.100.1 4000 443\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.1 4000\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.1 4000 443 \r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.1 04000 443\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.1 4000 65536\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.1 4000 +443\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.1 4000 \xb2\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.1 4000 \r\n",
    b"PROXY TCP4 192.0.2.01 198.51.100.1 4000 443\r\n",
    b"PROXY TCP4 192.0.2 198.51.100.1 4000 443\r\n",
    b"PROXY TCP4 2001:db8::1 2001:db8::2 4000 443\r\n",
    b"PROXY TCP4 192.0.2.1\x00 198.51.100.1 4000 443\r\n",
    b"PROXY TCP4 \xe4 198.51.100.1 4000 443\r\n",
    b"PROXY TCP6 192.0.2.1 198.51.100.1 4000 443\r\n",
    b"PROXY UDP4 192.0.2.1 198.51.100.1 4000 443\r\n",
    b"PROXY \r\n",
    b"PROXY UNKNOWN".ljust(107, b"x"),
    v2(0x11, TCP4, BLOCK4),  # version 1 of this form
    v2(0x22, TCP4, BLOCK4),
    v2(PROXY, UDP4, BLOCK4),
    v2(PROXY, 0x41, BLOCK4),
    v2(PROXY, TCP4, BLOCK4, 4097),
    v2(LOCAL, UNSPEC, b"", 0xFFFF),
    v2(PROXY, TCP4, BLOCK4[:-1]),
    v2(PROXY, TCP6, BLOCK6[:-1]),
    v2(PROXY, UNIX, PATHS[:-1]),
    v2(PROXY, TCP4, BLOCK4 + b"\x04"),
    v2(PROXY, TCP4, BLOCK4 + b"\x04\x00"),
    v2(PROXY, TCP4, BLOCK4 + b"\x04\x00\x01"),
    v2(PROXY, TCP4, BLOCK4 + value(SSL, TLS[:-1])),
    START[:-1] + b"X",
]


@pytest.mark.parametrize("octets", GOOD)
def test_header_is_read_once_it_is_whole(octets: bytes) -> None:
    ends, is_secure = GOOD[octets]
    for size in range(len(octets)):
        assert read_header(octets[:size]) is None
    for more in (b"", b"GET / HTTP/1.1\r\n\r\n", octets):
        assert read_header(octets + more) == Header(len(octets), ends, is_secure)


@pytest.mark.parametrize("octets", BAD)
def test_other_octets_are_refused(octets: bytes) -> None:
    with pytest.raises(MalformedHeaderError):
        read_header(octets)


@pytest.mark.parametrize("octets", [b"G", b"PROXX", b"\r\n\r\nG", b"\n"])
def test_octets_are_refused_as_soon_as_they_cannot_become_a_header(octets: bytes) -> None:
    read_header(octets[:-1])
    with pytest.raises(MalformedHeaderError):
        read_header(octets)


def test_only_the_version_that_is_set_is_read() -> None:
    one, two = b"PROXY UNKNOWN\r\n", v2(LOCAL, UNSPEC)
    assert read_header(one, V1) is not None
    assert read_header(two, V2) is not None
    for octets, versions in ((one, V2), (two, V1)):
        with pytest.raises(MalformedHeaderError, match="no PROXY header"):
            read_header(octets, versions)


@given(st.sampled_from([*GOOD, *BAD]), st.data())
def test_changed_header_is_read_or_refused_alike_in_any_pieces(octets: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, min(len(octets), 300) - 1))
    octets = octets[:at] + bytes([data.draw(st.integers(0, 255))]) + octets[at + 1 :]
    outcomes = set()
    for step in (1, 7, len(octets)):
        outcome: object = None
        for size in range(step, len(octets) + step, step):
            try:
                outcome = read_header(octets[:size])
            except MalformedHeaderError:
                outcome = "refused"
            if outcome is not None:
                break
        outcomes.add(outcome)
    assert len(outcomes) == 1


# -- The reader -----------------------------------------------------------------------------------------------------------

if not str(contract.__file__).endswith(".py"):
    pytest.skip("a compiled Receiver has no heirs that are not", allow_module_level=True)

from tests.support.managed import StubConnection  # noqa: E402


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
        assert not is_plain
        self.heard.append((reason, detail))

    def octets_received(self, data: bytes) -> None:
        self.heard.append(data)

    def go_on(self) -> None:
        self.heard.append("go on")

    def eof_received(self) -> None:
        self.heard.append("eof")

    def write_paused(self) -> None:
        self.heard.append("stuck")

    def write_resumed(self) -> None:
        self.heard.append("flowing")

    def flushed(self) -> None:
        self.heard.append("flushed")

    def lost(self) -> None:
        self.heard.append("lost")

    def fail_internal(self) -> None:
        self.heard.append("failed")


class Scene:
    """A wire that expects a header, the reader of it, and the proxy at the other end."""

    def __init__(self, loop: JumpingLoop) -> None:
        self.poller = Poller(cast("asyncio.AbstractEventLoop", loop))
        ours, self.proxy = socket.socketpair()
        ours.setblocking(False)
        self.wire = SocketWire(self.poller, ours.detach(), ("10.0.0.1", 1), ("10.0.0.2", 2))
        self.ear = Ear()
        self.wire.expect_header()
        self.reader = HeaderReader(self.wire, self.ear, ANY)
        self.wire.begin(self.reader)

    def send(self, octets: bytes) -> None:
        self.proxy.send(octets)
        self.poller._pass()


@pytest.fixture
def scene(loop: JumpingLoop) -> Iterator[Scene]:
    made = Scene(loop)
    yield made
    made.wire.abort()
    made.proxy.close()
    made.poller._pass()
    made.poller.close()


@pytest.fixture
def loop() -> Iterator[JumpingLoop]:
    loop = JumpingLoop()
    yield loop
    loop.close()


def test_wire_tells_no_peer_before_its_header(scene: Scene) -> None:
    assert (scene.wire.is_ready, scene.wire.peer()) == (False, None)
    scene.send(v2(PROXY, TCP4, BLOCK4 + value(SSL, TLS)))
    assert scene.wire.is_ready
    assert (scene.wire.peer(), scene.wire.local(), scene.wire.scheme) == (CLIENT, FRONT, "https")
    assert scene.ear.heard == ["introduced", "ready"]


def test_header_without_addresses_leaves_those_of_the_socket(scene: Scene) -> None:
    scene.send(b"PROXY UNKNOWN\r\n")
    assert (scene.wire.peer(), scene.wire.local(), scene.wire.scheme) == (("10.0.0.1", 1), ("10.0.0.2", 2), "http")


def test_header_in_single_octets_is_followed_by_what_follows_it(scene: Scene) -> None:
    for octet in v2(PROXY, TCP4, BLOCK4):
        assert scene.ear.heard == []
        scene.send(bytes([octet]))
    scene.send(b"GET")
    assert scene.ear.heard == ["introduced", "ready", b"GET"]


def test_octets_behind_the_header_are_passed_on_once(scene: Scene) -> None:
    header = v2(PROXY, TCP4, BLOCK4)
    scene.send(header + header)
    scene.send(header)
    assert scene.ear.heard == ["introduced", "ready", header, header]


def test_reader_steps_aside_for_the_receiver(scene: Scene) -> None:
    scene.send(b"PROXY UNKNOWN\r\n")
    assert scene.wire._receiver is scene.ear


def test_octets_that_are_no_header_are_refused_with_the_sender(scene: Scene) -> None:
    scene.send(b"GET / HTTP/1.1\r\n")
    assert scene.ear.heard == [(CloseReason.PROXY_HEADER_REJECTED, "no PROXY header, from 10.0.0.1")]
    assert scene.wire._receiver is scene.ear


def test_reader_passes_on_every_other_fact(scene: Scene) -> None:
    reader = scene.reader
    for tell in (reader.ready, reader.introduced, lambda: reader.rejected(CloseReason.TLS_REJECTED, "", False)):
        tell()  # no wire tells these before a header
    for tell in (
        reader.go_on,
        reader.eof_received,
        reader.write_paused,
        reader.write_resumed,
        reader.flushed,
        reader.lost,
        reader.fail_internal,
    ):
        tell()
    assert scene.ear.heard == ["go on", "eof", "stuck", "flowing", "flushed", "lost", "failed"]


def test_sender_of_a_unix_socket_has_a_name_in_the_log(scene: Scene) -> None:
    for peer in (None, ("/run/a.sock", None)):
        assert SocketWire(scene.poller, 0, peer).sender() == "a Unix socket"
        scene.poller._wires[0] = None

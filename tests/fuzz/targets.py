"""The targets of the fuzzer, each of which takes any octets, and fails an assertion if something is wrong.

`connection` and `chunked` are of HTTP, `proxy` is of PROXY headers, `forwarded` of the fields that front ends write,
`websocket` is of frames.

An input of `connection` begins with the length of a script, then come the script and what the client sends. Each octet of the
script is an act of the client, of an application that keeps to no rule, or of a worker that keeps to its contract. Without a script, a
well-behaved application answers, and the outcome must not depend on how the octets are cut into pieces.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

from bide.errors import Rejected
from bide.http1.body import ChunkedDecoder
from bide.http1.limits import PASS, Limits
from bide.message import Field
from bide.policy.clocks import running
from bide.semantics.authority import is_authority
from bide.semantics.forwarded import Forwarding
from bide.terms import Clock, CloseMode, State
from bide.transport.proxy import ANY, V1, V2, Header, MalformedHeaderError, read_header
from bide.websocket.messages import Messages
from bide.worker.trust import Trust
from tests.http1.cases import CASES
from tests.http1.driver import GET, Server, connect, limits
from tests.http1.laws import LAWS, OPEN, Laws
from tests.support import frames
from tests.support.proxy_headers import (
    LOCAL,
    PROXY,
    SSL,
    TCP4,
    TCP6,
    TLS,
    UNIX,
    UNSPEC,
    addresses4,
    addresses6,
    v2,
    value,
)

_SCRIPT_MOST: Final = 64
_MOST_AT_ONCE: Final = 1024

_STATUSES: Final = (0, 100, 101, 103, 200, 204, 205, 304, 404, 500, 999, 1000)
_FIELDS: Final[tuple[list[tuple[bytes, bytes]], ...]] = (
    [],
    [(b"content-length", b"2")],
    [(b"content-length", b"0")],
    [(b"Content-Length", b"5"), (b"connection", b"close")],
    [(b"transfer-encoding", b"chunked")],
    [(b"connection", b"x, keep-alive")],
    [(b"x", b"a\r\nb: c")],
    [(b"x y", b"a")],
    [(b"date", b"now"), (b"content-type", b"text/plain")],
)
_CONTENTS: Final = (b"", b"ok", b"hello", b"\r\n\r\n", bytes(40))


def seeds() -> list[bytes]:
    """Return inputs of `connection` to begin with: every row of the cases, under some scripts."""
    scripts = (
        b"",
        b"\x01",  # all octets at once
        b"\x10\x0f" * 8,  # a few octets, then a whole answer
        b"\x30\x04\x05\x12\x13\x03\x06\x07",
        b"\x01\x05\x2d\x0a\x02\x03\x08",
        b"\x70\x0d\x0e",
        b"\x01\x09\x04\x42\x13\x0b\x06",
    )
    return [bytes([len(script)]) + script + case.octets for case in CASES for script in scripts]


def chunked_seeds() -> list[bytes]:
    """Return inputs of `chunked` to begin with: the bodies of the cases that have one."""
    bodies = {case.octets.partition(b"\r\n\r\n")[2] for case in CASES if b"chunked" in case.octets}
    return sorted(body for body in bodies if body)


# -- The connection -----------------------------------------------------------------------------------------------------


def connection(data: bytes) -> None:
    """Run one input."""
    length = min(data[0] if data else 0, _SCRIPT_MOST)
    script, octets = data[1 : 1 + length], data[1 + length :]
    if script:
        _Anarchy(octets).run(script)
    else:
        _slices_make_no_difference(octets)


def _slices_make_no_difference(octets: bytes) -> None:
    octets = octets[:4096]
    outcomes = []
    for size in (1, 7, len(octets) or 1):
        server = Server()
        for start in range(0, len(octets), size):
            server.receive(octets[start : start + size])
        # Fails where the output is no sequence of responses. Which of several faults is named may depend on the pieces.
        answers = [(min(answer.status, 400), answer.says_close, answer.whole) for answer in server.answers()]
        found = server.connection
        outcomes.append((server.answered, answers, found.state, found.reason, found.served))
    assert outcomes[0] == outcomes[1] == outcomes[2], outcomes
    whole = outcomes[0]
    assert (whole[3] is None) == (whole[2] in OPEN)


class _Anarchy(Laws):
    """Plays the client, the application and the worker of one connection, by a script."""

    def __init__(self, octets: bytes) -> None:
        self.watch(connect(limits()), _MOST_AT_ONCE)
        self.octets = octets

    def run(self, script: bytes) -> None:
        for act in script:
            self.act(act & 15, act >> 4)
            self.check()
        while self.octets and self.may_read():
            self.feed(_MOST_AT_ONCE)
            self.check()
            self.answer()
            self.check()
        if self.connection.state is not State.CLOSED:
            self.connection.lost()
        self.check()

    def may_read(self) -> bool:
        return not self.connection.wants_pause and not self.connection.input_ended

    def feed(self, size: int) -> None:
        if self.may_read() and self.octets:
            piece, self.octets = self.octets[:size], self.octets[size:]
            self.begin(self.connection.receive(piece))

    def answer(self) -> None:
        now = self.connection
        now.take_content()
        now.want_content()
        self.may_misuse(lambda: now.respond(200, [(b"content-length", b"2")]))
        self.may_misuse(lambda: now.send(b"ok", False))
        now.take_output()
        self.begin(now.next_request())

    def act(self, kind: int, how: int) -> None:
        now = self.connection
        match kind:
            case 0:
                self.feed(1 + how * how * 4)
            case 1:
                self.feed(_MOST_AT_ONCE)
            case 2:
                self.may_misuse(lambda: now.respond(_STATUSES[how % 12], _FIELDS[how % 9], how > 11))
            case 3:
                self.may_misuse(lambda: now.send(_CONTENTS[how % 5], bool(how & 8)))
            case 4:
                self.take_content()
            case 5:
                now.want_content()
            case 6:
                self.begin(now.next_request())
            case 7:
                now.take_output()
            case 8:
                now.fail()
            case 9:
                if not now.input_ended:
                    now.receive_eof()
            case 10:
                self.may_misuse(lambda: now.inform(_STATUSES[how % 12], _FIELDS[how % 9]))
            case 11:
                self.may_misuse(lambda: now.send_trailers(_FIELDS[how % 9], bool(how & 8)))
            case 12:
                now.add_facts(1 << how)
            case 13:
                self.expire(bool(how & 1), bool(how & 2))
            case 14:
                self.end(how)
            case _:
                self.answer()

    def expire(self, awaited: bool, stuck: bool) -> None:
        now = self.connection
        waits = awaited and now.state is State.EXCHANGE and not now.body_complete
        clock = running(now.state, waits, stuck)
        if clock is Clock.LINGER:
            now.lost()
        elif clock is not None:
            now.expire(clock)

    def end(self, how: int) -> None:
        now = self.connection
        if now.state is State.CLOSED:
            return
        if now.state is State.CLOSING and how < 8:
            if now.close_mode() is CloseMode.LINGER:
                now.half_closed()
            else:
                now.lost()
        elif how < 4 and now.state in (State.NEW, State.IDLE):
            now.shed()
        elif how < 8:
            now.stop()
        elif how < 10:
            now.fail_internal()
        elif how == 15:
            now.lost()

    def check(self) -> None:
        for law in LAWS:
            law(self)


# -- The chunked decoder ------------------------------------------------------------------------------------------------

_ENOUGH: Final = 1 << 40
_WIDE: Final = Limits(
    head=_ENOUGH,
    target=_ENOUGH,
    fields=_ENOUGH,
    chunk_line=_ENOUGH,
    trailer=_ENOUGH,
    discard=_ENOUGH,
    buffer=_ENOUGH,
    underscores=PASS,
)

# 7.1, and what RFC 9110, 5.5 and 5.6.2 allow in a value and in a token.
_VALUE: Final = rb"[\t\x20-\x7e\x80-\xff]*"
_TCHAR: Final = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})([\t ;]" + _VALUE + rb")?\r\n")
_TRAILER_LINE: Final = re.compile(rb"[" + re.escape(_TCHAR) + rb"]+:" + _VALUE + rb"\r\n")


def _are_extensions(octets: bytes) -> bool:
    """Whether this, of octets of a field value, is the chunk-ext of 7.1.1; it is read from left to right, octet by octet."""
    place = "behind"  # a size, a name without a value, or a value
    for octet in octets:
        one = bytes([octet])
        if place == "quoted":
            place = {b'"': "behind value", b"\\": "escaped"}.get(one, place)
        elif place == "escaped":
            place = "quoted"
        elif one in (b" ", b"\t"):
            # White space ends a token, and belongs nowhere but around `;` and `=`.
            place = {"name": "behind name", "token": "behind value"}.get(place, place)
        elif one == b";" and place in ("behind", "behind name", "behind value", "name", "token"):
            place = "before name"
        elif one == b"=" and place in ("name", "behind name"):
            place = "before value"
        elif one == b'"' and place == "before value":
            place = "quoted"
        elif octet in _TCHAR and place in ("before name", "name"):
            place = "name"
        elif octet in _TCHAR and place in ("before value", "token"):
            place = "token"
        else:
            return False
    return not octets or (octets[-1:] not in (b" ", b"\t") and place in ("name", "token", "behind value"))


def _reference(octets: bytes) -> tuple[bytes, int] | None:
    """Return content and end of a chunked body, or None if it is incomplete or malformed. Slow and plain."""
    content = b""
    position = 0
    while True:
        match = _SIZE_LINE.match(octets, position)
        if match is None or not _are_extensions(match[2] or b""):
            return None
        size = int(match[1], 16)
        position = match.end()
        if not size:
            break
        if octets[position + size : position + size + 2] != b"\r\n":
            return None
        content += octets[position : position + size]
        position += size + 2
    while not octets.startswith(b"\r\n", position):
        match = _TRAILER_LINE.match(octets, position)
        if match is None:
            return None
        position = match.end()
    return content, position + 2


def _decode(octets: bytes, bounds: Limits, size: int) -> tuple[bytes, int] | int | None:
    """Return content and end of the body, 400 if it is rejected, None if more is to come, -1 for a status that is wrong."""
    decoder = ChunkedDecoder(bounds)
    content: list[bytes] = []
    try:
        for start in range(0, len(octets), size):
            end = decoder.feed(octets[start : start + size], 0, content)
            if decoder.complete:
                return b"".join(content), start + end
            assert end == len(octets[start : start + size]), "all is used as long as more is to come"
    except Rejected as rejected:
        return 400 if rejected.status in (400, 413, 431) else -1
    return None


def chunked(data: bytes) -> None:
    """Run one input."""
    data = data[:4096]
    expected = _reference(data)
    whole = len(data) or 1
    found = _decode(data, _WIDE, whole)
    assert found != -1
    if isinstance(found, tuple):
        assert found == expected, (found, expected)
    else:
        assert expected is None, (found, expected)
    for bounds in (_WIDE, limits()):
        at_once = _decode(data, bounds, whole)
        for size in (1, 2, 5, 64):
            assert _decode(data, bounds, size) == at_once, (size, at_once)
    # From another position on, and with a request after it.
    if isinstance(found, tuple):
        content: list[bytes] = []
        moved = ChunkedDecoder(_WIDE)
        assert moved.feed(b"??" + data[: found[1]] + GET, 2, content) == found[1] + 2
        assert b"".join(content) == found[0]


# -- PROXY headers ------------------------------------------------------------------------------------------------------

_V1_LINE: Final = re.compile(
    rb"PROXY TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})\r\n"
)


def proxy_seeds() -> list[bytes]:
    """Return inputs of `proxy` to begin with."""
    block = addresses4(("192.0.2.1", 4000), ("198.51.100.1", 443))
    return [
        b"PROXY TCP4 192.0.2.1 198.51.100.1 4000 443\r\n" + GET,
        b"PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 65535 0\r\n",
        b"PROXY UNKNOWN ::1 ::1 1 1\r\n",
        v2(PROXY, TCP4, block) + GET,
        v2(PROXY, TCP4, block + value(0xE0, b"abc") + value(SSL, TLS + value(0x21, b"TLSv1.3"))),
        v2(PROXY, TCP6, addresses6(("2001:db8::1", 1), ("::1", 2)) + value(4, b"")),
        v2(PROXY, UNIX, b"/run/a".ljust(108, b"\x00") + bytes(108)),
        v2(PROXY, UNSPEC, b"abc"),
        v2(LOCAL, UNSPEC),
        GET,
    ]


def _header_in(octets: bytes, versions: int, size: int) -> Header | str | None:
    """Return what is made of octets that come in pieces."""
    for end in range(size, len(octets) + size, size):
        try:
            header = read_header(octets[:end], versions)
        except MalformedHeaderError:
            return "refused"
        if header is not None:
            return header
    return None


def proxy(data: bytes) -> None:
    """Run one input."""
    data = data[:4500]
    for versions in (V1, V2, ANY):
        found = _header_in(data, versions, len(data) or 1)
        for size in (1, 2, 13):
            assert _header_in(data, versions, size) == found, (size, found)
        if not isinstance(found, Header):
            continue
        assert 0 < found.size <= len(data)
        is_line = data.startswith(b"PROXY")
        assert versions & (V1 if is_line else V2)
        assert data[found.size - 2 : found.size] == b"\r\n" or not is_line
        if is_line and found.ends is not None:
            line = _V1_LINE.fullmatch(data[: found.size])
            assert line is not None
            for end, host, port in zip(found.ends, line.group(2, 3), line.group(4, 5), strict=True):
                assert end is not None
                assert ipaddress.ip_address(end[0]) == ipaddress.ip_address(host.decode())
                assert end[1] == int(port) <= 65535


# -- Forwarded fields ---------------------------------------------------------------------------------------------------

_TRUST: Final = Trust("forwarded_allow_ips", "10.0.0.0/8,::1")
_PEER: Final = ("10.0.0.1", 4000)
_CLIENT: Final = "192.0.2.1"


def forwarded_seeds() -> list[bytes]:
    """Return inputs of `forwarded` to begin with."""
    return [
        b"6.6.6.6, 10.0.0.2",
        b"https",
        b"a.example:80",
        b"/app",
        b'for="[2001:db8::1]:4711";proto=https;by=_x, for=10.0.0.2',
        b'for="a\\"b,c";host="a,for=6.6.6.6"',
        b'for=";',
        b"[::1]:80, unknown",
    ]


def forwarded(data: bytes) -> None:
    """Run one input: what a client sent, behind which a front end writes."""
    data = data[:4096].replace(b"\r", b"").replace(b"\n", b"")
    for hops in (0, 1, 3):
        for reads_standard in (False, True):
            reader = Forwarding(
                _TRUST.trusts, _TRUST.judge, hops, reads_standard=reads_standard, takes_host=True, takes_prefix=True
            )
            names = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-prefix", b"forwarded")
            origin = reader.origin(_PEER, "http", [(name, data) for name in names])
            assert origin.client is not None
            assert str(ipaddress.ip_address(origin.client[0])) == origin.client[0]
            assert origin.scheme in ("http", "https")
            assert not origin.host or is_authority(origin.host)
            assert not origin.prefix or re.fullmatch(rb"/[^/?#\s].*[^/]|/[^/?#\s]", origin.prefix)
            if hops > 1:
                continue
            in_one: list[Field] = [
                (b"x-forwarded-for", data + b", 192.0.2.1"),
                (b"forwarded", data + b", for=192.0.2.1"),
            ]
            in_two: list[Field] = [
                (b"x-forwarded-for", data),
                (b"x-forwarded-for", b"192.0.2.1"),
                (b"forwarded", data),
                (b"forwarded", b'by=_x;for="192.0.2.1"'),
            ]
            for fields in (in_one, in_two):
                assert reader.origin(_PEER, "http", fields).client == (_CLIENT, 0)


# -- WebSocket ----------------------------------------------------------------------------------------------------------

_MAX_MESSAGE: Final = 300
_CLOSE_CODES: Final = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


def websocket_seeds() -> list[bytes]:
    """Return inputs of `websocket` to begin with."""
    return [
        frames.frame(frames.TEXT, b"text") + frames.frame(frames.BINARY, bytes(200)) + frames.close(1000, b"bye"),
        frames.frame(frames.TEXT, b"\xe2\x82", final=False)
        + frames.frame(frames.PING, b"ping")
        + frames.frame(frames.CONTINUATION, b"\xac", final=False)
        + frames.frame(frames.CONTINUATION),
        frames.frame(frames.BINARY, bytes(301)),
        frames.frame(frames.TEXT, b"\xff") + frames.close(1001),
        frames.frame(frames.CLOSE),
        frames.frame(frames.PONG, b"x", rsv=4),
    ]


class _Outcome(NamedTuple):
    """What becomes of octets: the messages, the pings answered, the client's Close, and the code that rejects them."""

    messages: list[str | bytes]
    pongs: list[bytes]
    closed_by: int | None
    rejected: int | None


def _expected(octets: bytes) -> _Outcome:
    """Read frames as RFC 6455 says, one after another, with all octets at hand."""
    messages: list[str | bytes] = []
    pongs: list[bytes] = []
    part: tuple[int, bytes] | None = None
    position = 0

    def outcome(closed_by: int | None = None, rejected: int | None = None) -> _Outcome:
        return _Outcome(messages, pongs, closed_by, rejected)

    while len(octets) - position >= 2:
        first, second = octets[position], octets[position + 1]
        opcode, size = first & 15, second & 127
        is_control = opcode >= 8
        if (
            first & 0x70
            or opcode not in (0, 1, 2, 8, 9, 10)
            or not second & 0x80
            or (is_control and (size > 125 or not first & 0x80))
            or (not is_control and (opcode == 0) != (part is not None))
        ):
            return outcome(rejected=1002)
        width = {126: 2, 127: 8}.get(size, 0)
        position += 2
        if len(octets) - position < width:
            break
        if width:
            size = int.from_bytes(octets[position : position + width], "big")
            if size < (126 if width == 2 else 1 << 16) or size >> 63:
                return outcome(rejected=1002)
        position += width
        if not is_control and size + (0 if part is None else len(part[1])) > _MAX_MESSAGE:
            return outcome(rejected=1009)
        if len(octets) - position < 4 + size:
            break
        content = frames.masked(octets[position + 4 : position + 4 + size], octets[position : position + 4])
        position += 4 + size
        if opcode == frames.PING:
            pongs.append(content)
        elif opcode == frames.CLOSE:
            code = int.from_bytes(content[:2], "big") if content else 1005
            try:
                content[2:].decode()
            except UnicodeDecodeError:
                return outcome(rejected=1007)
            if len(content) == 1 or (content and code not in _CLOSE_CODES):
                return outcome(rejected=1002)
            return outcome(closed_by=code)
        elif not is_control:
            part = (opcode or (part[0] if part else 0), (part[1] if part else b"") + content)
            if first & 0x80:
                kind, whole = part
                part = None
                try:
                    messages.append(whole.decode() if kind == frames.TEXT else whole)
                except UnicodeDecodeError:
                    return outcome(rejected=1007)
    return outcome()


def _read(octets: bytes, size: int) -> _Outcome:
    messages = Messages(_MAX_MESSAGE, None)
    for position in range(0, len(octets), size):
        messages.receive(octets[position : position + size])
    sent = frames.read(b"".join(messages.output))
    closes = [content for opcode, content in sent if opcode == frames.CLOSE]
    assert len(closes) == (messages.closed_by is not None or messages.rejected is not None)
    if messages.rejected is not None:
        assert int.from_bytes(closes[0][:2], "big") == messages.rejected[0]
    return _Outcome(
        list(messages.received),
        [content for opcode, content in sent if opcode == frames.PONG],
        None if messages.closed_by is None else messages.closed_by[0],
        None if messages.rejected is None else messages.rejected[0],
    )


def websocket(data: bytes) -> None:
    """Run one input: what a client sends behind the handshake."""
    expected = _expected(data)
    for size in (len(data) or 1, 1, 3):
        assert _read(data, size) == expected, size

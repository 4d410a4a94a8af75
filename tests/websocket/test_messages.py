"""Octets become messages, and faults the close code that RFC 6455 gives them: the cases of Autobahn's list, by their numbers."""

import itertools
import zlib
from typing import Final

import pytest
from hypothesis import given, strategies as st

from bide.errors import Misuse
from bide.websocket.deflate import negotiated
from bide.websocket.messages import Messages
from tests.support.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close, frame, read

MAX_SIZE: Final = 1 << 20

KINDS: Final = [TEXT, BINARY]


def opened(max_size: int = MAX_SIZE) -> Messages:
    return Messages(max_size, None)


def fed(octets: bytes, *, by: int = 0, max_size: int = MAX_SIZE) -> Messages:
    """Return the WebSocket after it has received the octets, `by` so many at a time; 0 for all."""
    messages = opened(max_size)
    size = by or max(1, len(octets))
    for position in range(0, len(octets), size):
        messages.receive(octets[position : position + size])
    return messages


def sent(messages: Messages) -> list[tuple[int, bytes]]:
    return read(b"".join(messages.output))


def code_sent(messages: Messages) -> int | None:
    """Return the code of the Close frame that was sent; None if there is none."""
    closes = [content for opcode, content in sent(messages) if opcode == CLOSE]
    assert len(closes) <= 1
    return int.from_bytes(closes[0][:2], "big") if closes and closes[0] else None


# -- 1: sizes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 125, 126, 127, 128, 65535, 65536])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by", [0, 997])
def test_message_of_any_size_arrives_whole(size: int, kind: int, by: int) -> None:
    content = b"*" * size
    messages = fed(frame(kind, content), by=by)
    assert list(messages.received) == [content.decode() if kind == TEXT else content]
    assert messages.output == []


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
@pytest.mark.parametrize("kind", KINDS)
def test_message_of_any_size_is_sent_in_one_frame(size: int, kind: int) -> None:
    messages = opened()
    messages.send("*" * size if kind == TEXT else b"*" * size)
    assert sent(messages) == [(kind, b"*" * size)]


# -- 2: pings ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [0, 1])
@pytest.mark.parametrize("content", [b"", b"Hello, world!", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", b"\xfe" * 125])
def test_ping_is_answered_with_its_content(content: bytes, by: int) -> None:
    assert sent(fed(frame(PING, content), by=by)) == [(PONG, content)]


def test_pongs_nobody_asked_for_are_ignored() -> None:
    messages = fed(frame(PONG) + frame(PONG, b"unsolicited") + frame(PING, b"x"))
    assert sent(messages) == [(PONG, b"x")]


@pytest.mark.parametrize("by", [0, 1])
def test_ten_pings_are_answered_in_order(by: int) -> None:
    pings = [b"payload-%d" % number for number in range(10)]
    assert sent(fed(b"".join(frame(PING, ping) for ping in pings), by=by)) == [(PONG, ping) for ping in pings]


def test_of_pongs_that_wait_one_is_enough() -> None:
    messages = fed(frame(PING, b"1") + frame(PING, b"2"))
    assert messages.holds_only_pongs
    messages.keep_last_pong()
    assert sent(messages) == [(PONG, b"2")]
    messages.send("text")
    assert not messages.holds_only_pongs


# -- 3, 4: reserved bits and opcodes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [0, 1])
@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE])
def test_reserved_bit_is_a_protocol_error(rsv: int, opcode: int, by: int) -> None:
    messages = fed(frame(TEXT, b"first") + frame(opcode, b"", rsv=rsv) + frame(PING), by=by)
    assert list(messages.received) == ["first"]
    assert code_sent(messages) == 1002
    assert [opcode for opcode, _ in sent(messages)] == [CLOSE], "what follows is not answered"


@pytest.mark.parametrize("content", [b"", b"reserved opcode payload"])
@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_reserved_opcode_is_a_protocol_error(opcode: int, content: bytes) -> None:
    messages = fed(frame(TEXT, b"first") + frame(opcode, content) + frame(PING))
    assert list(messages.received) == ["first"]
    assert code_sent(messages) == 1002


# -- 5: fragments -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_fragments_with_pings_between_are_one_message(kind: int, by: int) -> None:
    octets = (
        frame(kind, b"frag", final=False)
        + frame(PING, b"ping")
        + frame(CONTINUATION, b"ment", final=False)
        + frame(CONTINUATION, final=False)
        + frame(CONTINUATION, b"ed")
    )
    messages = fed(octets, by=by)
    assert list(messages.received) == ["fragmented" if kind == TEXT else b"fragmented"]
    assert sent(messages) == [(PONG, b"ping")]


@pytest.mark.parametrize(
    "octets",
    [
        frame(PING, b"a", final=False) + frame(CONTINUATION, b"b"),
        frame(PONG, b"a", final=False),
        frame(CONTINUATION, b"a"),
        frame(CONTINUATION, b"a", final=False),
        frame(TEXT, b"a") + frame(CONTINUATION, b"b"),
        frame(TEXT, b"a", final=False) + frame(TEXT, b"b"),
        frame(TEXT, b"a", final=False) + frame(BINARY, b"b", final=False),
    ],
)
def test_fragments_out_of_order_are_a_protocol_error(octets: bytes) -> None:
    assert code_sent(fed(octets)) == 1002


@pytest.mark.parametrize("octets", [close(1001, b"bye"), frame(CLOSE), close(4000)])
@pytest.mark.parametrize("has_closed", [False, True])
def test_close_between_fragments_is_answered_as_any_other(octets: bytes, has_closed: bool) -> None:
    whole, within = opened(), opened()
    for messages in (whole, within):
        if has_closed:
            messages.close(1000, "")
            messages.output.clear()
    whole.receive(octets)
    within.receive(frame(TEXT, b"a", final=False) + frame(PING, b"b") + octets + b"rubbish")
    assert within.closed_by == whole.closed_by
    assert within.rejected is None
    assert not within.is_open
    assert sent(within) == [(PONG, b"b"), *sent(whole)]
    assert list(within.received) == []


def test_million_fragments_cost_what_their_content_does() -> None:
    messages = opened()
    messages.receive(frame(BINARY, b"x", final=False))
    piece = frame(CONTINUATION, b"x", final=False) * 1000
    for _ in range(10):
        messages.receive(piece)
    assert messages._part is not None
    assert len(messages._part) == 10_001
    messages.receive(frame(CONTINUATION))
    assert list(messages.received) == [b"x" * 10_001]


# -- 6: UTF-8 ---------------------------------------------------------------------------------------------------------------

VALID: Final = [
    "Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!".encode(),
    "\u03ba\u1f79\u03c3\u03bc\u03b5".encode(),
    b"\x00",
    b"\xc2\x80",
    b"\xe0\xa0\x80",
    b"\xf0\x90\x80\x80",
    b"\x7f",
    b"\xdf\xbf",
    b"\xef\xbf\xbf",
    b"\xf4\x8f\xbf\xbf",
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    b"\xef\xbf\xbd",
]
INVALID: Final = [
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80\x65\x64\x69\x74\x65\x64",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74\x65\x64",
    b"\x80",
    b"\xbf",
    b"\xc0 ",
    b"\xe0\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfe",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xc1\xbf",
    b"\xe0\x9f\xbf",
    b"\xf0\x8f\xbf\xbf",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xce",
]


@pytest.mark.parametrize("content", VALID)
def test_text_that_is_utf8_arrives_however_it_is_fragmented(content: bytes) -> None:
    octets = frame(TEXT, content[:1], final=False)
    octets += b"".join(frame(CONTINUATION, content[index : index + 1], final=False) for index in range(1, len(content)))
    for whole in (frame(TEXT, content), octets + frame(CONTINUATION)):
        messages = fed(whole)
        assert list(messages.received) == [content.decode()]
        assert messages.rejected is None


@pytest.mark.parametrize("content", INVALID)
def test_text_that_is_not_utf8_is_invalid_data(content: bytes) -> None:
    fragmented = frame(TEXT, content[:1], final=False) + frame(CONTINUATION, content[1:])
    for octets in (frame(TEXT, content), fragmented):
        messages = fed(frame(TEXT, b"first") + octets + close(1000))
        assert list(messages.received) == ["first"]
        assert code_sent(messages) == 1007, "although a good Close frame came with it"
        assert messages.closed_by is None
        assert messages.rejected is not None


# -- 7: closing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [0, 1])
def test_close_is_answered_once_and_nothing_after_it(by: int) -> None:
    messages = fed(frame(TEXT, b"last") + close(1000, b"bye") + close(1001) + frame(TEXT, b"late") + frame(PING), by=by)
    assert list(messages.received) == ["last"]
    assert messages.closed_by == (1000, "bye")
    assert sent(messages) == [(CLOSE, b"\x03\xe8bye")]
    assert not messages.is_open


def test_close_without_a_code_is_1005() -> None:
    messages = fed(frame(CLOSE))
    assert messages.closed_by == (1005, "")
    assert sent(messages) == [(CLOSE, b"")]


@pytest.mark.parametrize("code", [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_code_that_may_be_sent_is_echoed_and_sent(code: int) -> None:
    assert code_sent(fed(close(code, b"x" * 123))) == code
    messages = opened()
    messages.close(code, "x" * 123)
    assert code_sent(messages) == code


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_code_that_may_not_be_sent_is_refused(code: int) -> None:
    assert code_sent(fed(close(code))) == 1002
    messages = opened()
    with pytest.raises(Misuse):
        messages.close(code, "")
    assert messages.output == []
    assert messages.is_open


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (frame(CLOSE, b"\x03"), 1002),
        (close(1000, b"x" * 124), 1002),
        (close(1000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80"), 1007),
    ],
)
def test_close_that_is_malformed_has_its_code(octets: bytes, code: int) -> None:
    assert code_sent(fed(octets)) == code


def test_reason_too_long_to_be_sent_is_misuse() -> None:
    messages = opened()
    with pytest.raises(Misuse):
        messages.close(1000, "x" * 124)
    assert messages.output == []


def test_messages_after_our_close_are_dropped_until_the_clients() -> None:
    messages = opened()
    messages.close(1001, "")
    messages.output = []
    messages.receive(frame(TEXT, b"crossing") + frame(PING))
    assert list(messages.received) == []
    messages.receive(close(1001))
    assert messages.closed_by == (1001, "")
    assert [opcode for opcode, _ in sent(messages)] == [PONG], "a Close frame is answered by no other"


@pytest.mark.parametrize("octets", [frame(TEXT, b"a", mask=False), frame(BINARY, bytes(MAX_SIZE + 1)), close(999)])
def test_fault_after_our_close_brings_no_second_close(octets: bytes) -> None:
    messages = opened()
    messages.close(1000, "")
    messages.output = []
    messages.receive(octets)
    assert messages.output == []
    assert messages.rejected is not None


def test_pings_before_a_fault_are_answered_and_none_after_it() -> None:
    messages = fed(frame(PING, b"1") + frame(TEXT, b"\xff") + frame(PING, b"2") + close(1000))
    assert [opcode for opcode, _ in sent(messages)] == [PONG, CLOSE]
    assert code_sent(messages) == 1007


# -- 9: limits --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_message_of_4_mib_arrives_in_pieces_of_64(kind: int) -> None:
    size = 1 << 16
    content = b"x" * size
    messages = fed(frame(kind, content), by=64, max_size=size)
    (message,) = messages.received
    assert len(message) == size


@pytest.mark.parametrize(
    "octets",
    [
        frame(BINARY, bytes(101)),
        frame(BINARY, length=b"\x7f" + (1 << 40).to_bytes(8, "big")),
        frame(BINARY, bytes(60), final=False) + frame(CONTINUATION, bytes(41)),
        frame(BINARY, bytes(60), final=False) + frame(CONTINUATION, bytes(40), final=False) + frame(CONTINUATION, b"x"),
    ],
)
def test_message_beyond_the_limit_is_too_big_by_its_header(octets: bytes) -> None:
    content = len(octets) - octets.rfind(b"\x01\x02\x03\x04") - 4
    messages = fed(octets[: len(octets) - content], max_size=100)
    assert code_sent(messages) == 1009
    assert fed(frame(BINARY, bytes(100)), max_size=100).rejected is None


# -- 12, 13: deflate --------------------------------------------------------------------------------------------------------


def deflated(content: bytes, wbits: int = -12) -> bytes:
    """Return what a client sends of a message (RFC 7692, 7.2.1)."""
    compressor = zlib.compressobj(wbits=wbits)
    return (compressor.compress(content) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def agreed(offers: bytes, max_size: int = MAX_SIZE) -> Messages:
    agreement = negotiated(offers)
    assert agreement is not None
    return Messages(max_size, agreement[0])


PARAMETERS: Final = [
    b"permessage-deflate" + b"".join(parts)
    for parts in itertools.product(
        (b"", b"; server_no_context_takeover"),
        (b"", b"; client_no_context_takeover"),
        (b"", *(b"; server_max_window_bits=%d" % bits for bits in (9, 12, 15))),
        (b"", b"; client_max_window_bits"),
    )
]


@pytest.mark.parametrize("offers", PARAMETERS)
def test_messages_are_inflated_and_deflated_whatever_was_agreed(offers: bytes) -> None:
    messages = agreed(offers)
    text = b"a text that repeats, repeats, repeats " * 50
    for _ in range(3):
        messages.receive(frame(TEXT, deflated(text), rsv=4))
        assert messages.take() == text.decode()
    messages.receive(frame(BINARY, b"not compressed"))
    assert messages.take() == b"not compressed"
    messages.send(text)
    content = messages.output[0]
    assert content[0] == 0xC2, "binary, final, RSV1"
    assert len(content) < len(text) // 4
    size = 2 if content[1] < 126 else 4
    inflated = zlib.decompressobj(wbits=-15).decompress(content[size:] + b"\x00\x00\xff\xff")
    assert inflated == text


def test_deflated_message_in_fragments_is_inflated() -> None:
    messages = agreed(b"permessage-deflate")
    content = deflated(b"x" * 5000)
    octets = frame(TEXT, content[:3], final=False, rsv=4) + frame(CONTINUATION, content[3:])
    messages.receive(octets)
    assert messages.take() == "x" * 5000


def test_message_that_inflates_beyond_the_limit_is_too_big() -> None:
    messages = agreed(b"permessage-deflate", max_size=1000)
    messages.receive(frame(BINARY, deflated(bytes(10_000_000)), rsv=4)[: 1 << 16])
    messages = agreed(b"permessage-deflate", max_size=100_000)
    messages.receive(frame(BINARY, deflated(bytes(10_000_000)), rsv=4))
    assert code_sent(messages) == 1009


@pytest.mark.parametrize("content", [b"\xff\xff\xff", b"rubbish"])
def test_content_that_does_not_inflate_is_an_error_of_the_client(content: bytes) -> None:
    messages = agreed(b"permessage-deflate")
    messages.receive(frame(TEXT, content, rsv=4))
    assert code_sent(messages) in (1002, 1007)


# -- Bookkeeping ------------------------------------------------------------------------------------------------------------


def test_size_is_what_waits() -> None:
    messages = fed(frame(TEXT, b"abc") + frame(BINARY, b"de"))
    sizes = [messages.size]
    messages.take()
    sizes.append(messages.size)
    messages.drop()
    sizes.append(messages.size)
    assert sizes == [5, 2, 0]
    assert list(messages.received) == []


@given(st.binary(max_size=200), st.integers(1, 20))
def test_any_octets_are_messages_or_rejected_however_they_are_sliced(octets: bytes, by: int) -> None:
    whole, sliced = fed(octets, max_size=1000), fed(octets, by=by, max_size=1000)
    assert list(whole.received) == list(sliced.received)
    assert whole.closed_by == sliced.closed_by
    assert (whole.rejected is None) == (sliced.rejected is None)
    if whole.rejected is not None:
        assert whole.rejected[0] in (1002, 1007, 1009)

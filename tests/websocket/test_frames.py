"""The headers that no server may accept are found before their content, however the octets are sliced."""

from typing import Final

import pytest
from hypothesis import given, strategies as st

from bide.websocket.frames import FrameHeaders, header
from tests.support.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame, read

#: Frames, whether deflate is agreed on, and words of the fault; "" for none. The fault is in the last frame.
CASES: Final = (
    {
        "text": ([frame(TEXT, b"a")], False, ""),
        "empty": ([frame(TEXT)], False, ""),
        "125 octets": ([frame(BINARY, bytes(125))], False, ""),
        "126 octets": ([frame(BINARY, bytes(126))], False, ""),
        "65,535 octets": ([frame(BINARY, bytes(65535))], False, ""),
        "65,536 octets": ([frame(BINARY, bytes(65536))], False, ""),
        "fragments": (
            [frame(TEXT, b"a", final=False), frame(CONTINUATION, final=False), frame(CONTINUATION)],
            False,
            "",
        ),
        "controls between fragments": (
            [frame(TEXT, final=False), frame(PING), frame(PONG), frame(CONTINUATION)],
            False,
            "",
        ),
        "messages": ([frame(TEXT), frame(BINARY), frame(CLOSE)], False, ""),
        "control of 125": ([frame(PING, bytes(125))], False, ""),
        "control of 126": ([frame(PING, bytes(126))], False, "too long"),
        "control fragmented": ([frame(CLOSE, final=False)], False, "fragmented"),
        "not masked": ([frame(TEXT, b"a"), frame(TEXT, b"a", mask=False)], False, "not masked"),
        "continues nothing": ([frame(TEXT), frame(CONTINUATION)], False, "continues nothing"),
        "message within a message": ([frame(TEXT, final=False), frame(TEXT)], False, "within another"),
        "length in two octets, not shortest": ([frame(TEXT, b"a", length=b"\x7e\x00\x01")], False, "shortest"),
        "length in eight octets, not shortest": (
            [frame(TEXT, bytes(126), length=b"\x7f" + bytes(7) + b"~")],
            False,
            "shortest",
        ),
        "length's first bit": ([frame(TEXT, length=b"\x7f\x80" + bytes(7))], False, "first bit"),
        "deflated": ([frame(TEXT, b"a", rsv=4)], True, ""),
        "deflated, not agreed": ([frame(TEXT, b"a", rsv=4)], False, "reserved bit"),
        "deflated continuation": ([frame(TEXT, final=False), frame(CONTINUATION, rsv=4)], True, "reserved bit"),
        "deflated control": ([frame(PING, rsv=4)], True, "reserved bit"),
    }
    | {f"opcode {opcode}": ([frame(opcode, b"a")], False, "opcode") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)}
    | {f"reserved bits {rsv}": ([frame(BINARY, b"a", rsv=rsv)], True, "reserved bit") for rsv in (1, 2, 3, 5, 6, 7)}
)


def followed(pieces: list[bytes], *, deflates: bool) -> tuple[int, str]:
    """Return how many octets are valid, and the fault."""
    headers = FrameHeaders(deflates)
    valid = 0
    for piece in pieces:
        taken = headers.follow(piece)
        valid += taken
        if headers.fault:
            break
        assert taken == len(piece)
    return valid, headers.fault


@pytest.mark.parametrize("case", CASES)
def test_fault_is_found_at_its_frame(case: str) -> None:
    frames, deflates, words = CASES[case]
    octets = b"".join(frames)
    valid, fault = followed([octets], deflates=deflates)
    assert words in fault
    assert bool(words) == bool(fault)
    assert valid == (len(octets) - len(frames[-1]) if words else len(octets))


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][2]])
def test_fault_is_found_before_the_content(case: str) -> None:
    frames, deflates, words = CASES[case]
    header = 2 if "shortest" not in words and "first bit" not in words else 10
    _, fault = followed([b"".join(frames[:-1]) + frames[-1][:header]], deflates=deflates)
    assert words in fault


@pytest.mark.parametrize("case", CASES)
def test_slicing_changes_nothing(case: str) -> None:
    frames, deflates, _ = CASES[case]
    octets = b"".join(frames)[:2000]
    whole = followed([octets], deflates=deflates)[1]
    assert followed([octets[index : index + 1] for index in range(len(octets))], deflates=deflates)[1] == whole


@given(
    st.lists(st.tuples(st.sampled_from([TEXT, BINARY, PING, PONG]), st.binary(max_size=300)), max_size=5),
    st.lists(st.integers(1, 50), min_size=1),
)
def test_valid_frames_have_no_fault_however_they_are_sliced(frames: list[tuple[int, bytes]], sizes: list[int]) -> None:
    octets = b"".join(
        frame(opcode, content if opcode in (TEXT, BINARY) else content[:125]) for opcode, content in frames
    )
    headers = FrameHeaders(deflates=False)
    position = index = 0
    while position < len(octets):
        piece = octets[position : position + sizes[index % len(sizes)]]
        assert headers.follow(piece) == len(piece)
        position += len(piece)
        index += 1
    assert headers.fault == ""


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
@pytest.mark.parametrize("is_text", [True, False])
def test_header_that_is_written_is_in_its_shortest_form(is_text: bool, size: int) -> None:
    octets = header(is_text, size)
    assert read(octets + bytes(size)) == [(TEXT if is_text else BINARY, bytes(size))]
    assert len(octets) == (2 if size < 126 else 4 if size < 65536 else 10)

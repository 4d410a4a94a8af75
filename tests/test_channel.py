"""Messages between supervisor and worker: each kind there and back, cut anywhere, unknown, too long, garbage."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from bide.channel import (
    KINDS,
    MAX_LINE,
    Answer,
    Ask,
    Beat,
    Begin,
    Channel,
    ChannelError,
    Drain,
    Draining,
    Failed,
    Forked,
    Hello,
    Hurry,
    Ready,
    Reopen,
    Unfit,
    decode,
    encode,
)

MESSAGES: list[Any] = [
    Begin("module:app", {"port": 80, "close_for": ["path:/x"], "uds": None}, 2, 3, [[5, True]], [6], 7),  # type: ignore[list-item]
    Drain(2.5, True, "reload"),
    Hurry(),
    Reopen(),
    Unfit("poller"),
    Forked(4711),
    Ask(3, 1000),
    Answer(3, [{"peer": "192.0.2.1", "state": "idle", "requests": 2, "seconds": 0.5}]),
    Hello(1234, "0.1.1", "3.11.7"),
    Ready(["http://127.0.0.1:8000"]),
    Failed("no module named 'x'; check the name", 'File "é.py", line 1\n  ('),
    Beat({"opened": 1, "closed": {"drain": 1}}, 1 << 25, True),
    Draining("signal"),
]

Pair = tuple[Channel, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A channel, and the other end of its socket."""
    one, other = socket.socketpair()
    channel = Channel(one)
    yield channel, other
    channel.close()
    other.close()


def test_each_kind_has_a_sample() -> None:
    assert {type(message) for message in MESSAGES} == set(KINDS.values())


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_message_comes_back_as_it_was(message: Any) -> None:
    line = encode(message)
    assert line.count(b"\n") == 1
    assert decode(line) == message


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_missing_fields_have_defaults(kind: Any) -> None:
    (name,) = (name for name, known in KINDS.items() if known is kind)
    assert decode(json.dumps({"kind": name}).encode()) == kind()


def test_unknown_fields_are_ignored() -> None:
    assert decode(b'{"kind": "draining", "cause": "signal", "more": [1]}') == Draining("signal")


def test_unknown_kind_is_none() -> None:
    assert decode(b'{"kind": "dance"}') is None


@pytest.mark.parametrize("line", [b"", b"dance", b"[]", b"{}", b'"kind"', b"\xff", b'{"kind": []}'])
def test_garbage_is_an_error(line: bytes) -> None:
    with pytest.raises(ChannelError, match="a line must be a JSON object with a kind"):
        decode(line)


def test_messages_cut_at_any_octet_arrive_whole(pair: Pair) -> None:
    channel, other = pair
    octets = encode(Ready(["a"])) + b'{"kind": "dance"}\n' + encode(Hurry())
    for cut in range(len(octets) + 1):
        got = []
        for part in (octets[:cut], octets[cut:]):
            other.sendall(part)
            got += channel.receive()
        assert got == [Ready(["a"]), Hurry()]


def test_end_comes_after_the_last_message(pair: Pair) -> None:
    channel, other = pair
    other.sendall(encode(Hurry()) + b"the rest of it is lost")
    other.close()
    assert channel.receive() == [Hurry()]
    with pytest.raises(ChannelError, match="has ended"):
        channel.receive()


def test_line_without_end_ends_the_channel(pair: Pair) -> None:
    channel, other = pair
    other.setblocking(False)
    with pytest.raises(ChannelError, match=f"at most {MAX_LINE} octets"):  # noqa: PT012
        for _ in range(100):
            other.send(b"x" * 50_000)
            channel.receive()


def test_first_message_is_waited_for(pair: Pair) -> None:
    channel, other = pair
    other.sendall(encode(Begin("module:app")) + encode(Hurry())[:5])
    assert channel.wait(10) == Begin("module:app", sockets=[], redirecting=[])
    other.sendall(encode(Hurry())[5:])
    assert channel.receive() == [Hurry()]


def test_wait_for_a_message_that_does_not_come_ends(pair: Pair) -> None:
    channel, other = pair
    with pytest.raises(ChannelError, match="no message within"):
        channel.wait(0.01)
    other.close()
    with pytest.raises(ChannelError, match="has ended"):
        channel.wait(10)


def read_all(other: socket.socket) -> list[Any]:
    """Return what has arrived at the other end, and what `close` still sends."""
    octets = b""
    while received := other.recv(1 << 20):
        octets += received
    return [decode(line) for line in octets.split(b"\n")[:-1]]


def test_channel_that_is_full_drops_beats_and_nothing_else(pair: Pair) -> None:
    channel, other = pair
    beat = Beat({"text": "x" * 30_000})
    for _ in range(100):
        channel.send(beat, may_be_dropped=True)  # would not return if it waited
    channel.send(Draining("signal"))
    other.settimeout(10)
    octets = b""
    while encode(Draining("signal")) not in octets:
        octets += other.recv(1 << 20)
        channel.send(Hurry())  # sends what waits, too
    kinds = [type(decode(line)) for line in octets.split(b"\n")[:-1]]
    assert 0 < kinds.count(Beat) < 100
    assert kinds.count(Draining) == 1


def test_close_sends_what_is_unsent(pair: Pair) -> None:
    channel, other = pair
    channel.send(Failed("x" * 100_000))
    channel.close()
    channel.close()
    assert channel.fileno() == -1
    assert read_all(other) == [Failed("x" * 100_000)]


def test_what_is_left_is_taken_up_by_the_next_channel(pair: Pair) -> None:
    channel, other = pair
    line = encode(Draining("signal"))
    other.sendall(encode(Hurry()) + line[:7])
    assert channel.receive() == [Hurry()]
    received, unsent = channel.left()
    assert (received, unsent) == (line[:7], b"")
    other.sendall(line[7:])
    again = Channel(socket.socket(fileno=os.dup(channel.fileno())), received, b"unsent")
    assert again.receive() == [Draining("signal")]
    again.close()
    assert other.recv(100) == b"unsent"


def test_send_after_the_other_side_is_gone_raises_nothing(pair: Pair) -> None:
    channel, other = pair
    other.close()
    channel.send(Hurry())
    channel.send(Hurry())


def test_descriptor_is_passed_on() -> None:
    one, other = (Channel(end) for end in socket.socketpair())
    receiving, sending = os.pipe()
    one.pass_on(sending)
    os.close(sending)
    passed = other.passed()
    assert not os.get_inheritable(passed)
    os.write(passed, b"x")
    os.close(passed)
    assert os.read(receiving, 2) == b"x"
    os.close(receiving)
    one.close()
    for _ in range(2):
        with pytest.raises(ChannelError, match="the channel has ended"):
            other.passed()
    other.close()
    with pytest.raises(ChannelError, match="the channel has ended"):
        other.passed()

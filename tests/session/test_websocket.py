"""One WebSocket as its session serves it: messages, queue, clocks, and the reason of each end."""

import dataclasses
import logging
from collections.abc import Callable
from typing import Final

import pytest

from bide.errors import DisconnectedError, Misuse
from bide.exchange import DONE, WebSocket
from bide.session.session import Session
from bide.terms import Clock, CloseReason, State
from bide.websocket.handshake import Handshake
from tests.support.client import request
from tests.support.frames import BINARY, CLOSE, PING, PONG, TEXT, close, frame, read
from tests.support.loops import JumpingLoop
from tests.support.stage import SECONDS, Stage, StubWire

ASKING: Final = request("/chat", "Connection: upgrade", "Upgrade: websocket")
HANDSHAKE: Final = Handshake(b"accepted", [], b"", None)
MAX_QUEUE: Final = 4


@dataclasses.dataclass
class Scene:
    """A WebSocket that was accepted, and the wire below it."""

    stage: Stage
    session: Session
    wire: StubWire
    websocket: WebSocket

    def sent(self) -> list[tuple[int, bytes]]:
        """Return the frames written since the last call."""
        octets, self.wire.written = self.wire.written, b""
        return read(octets)

    def receive(self, octets: bytes) -> None:
        self.session.octets_received(octets)

    @property
    def reason(self) -> CloseReason | None:
        return self.session.connection.reason

    def clock(self) -> Clock | None:
        """Return the clock that the deadline belongs to."""
        if self.session.deadline == float("inf"):
            return None
        left = self.session.deadline - self.session.waiting_since
        return next(clock for clock, seconds in SECONDS.items() if seconds == left)


def opened(stage: Stage, early: bytes = b"") -> Scene:
    session, wire, exchange = stage.begun(ASKING + early)
    websocket = exchange.accept(HANDSHAKE, None, [])
    head, _, rest = wire.written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"\r\nsec-websocket-accept: accepted\r\n" in head
    assert b"\r\nDate: " in head
    wire.written = rest
    assert session.state is State.TUNNEL
    return Scene(stage, session, wire, websocket)


@pytest.fixture
def scene(loop: JumpingLoop) -> Scene:
    return opened(Stage(loop, ws_max_queue=MAX_QUEUE, ws_max_size=100_000, limit_buffer=1024))


# -- Messages ---------------------------------------------------------------------------------------------------------------


def test_messages_are_taken_in_order(scene: Scene) -> None:
    assert scene.websocket.take() is None
    scene.receive(frame(TEXT, b"a") + frame(BINARY, b"b"))
    assert [scene.websocket.take(), scene.websocket.take(), scene.websocket.take()] == ["a", b"b", None]
    assert scene.websocket.messages_received == 2


def test_frames_that_came_behind_the_handshake_are_read_after_it(stage: Stage) -> None:
    scene = opened(stage, frame(TEXT, b"early"))
    assert scene.websocket.take() == "early"


def test_message_is_sent_at_once(scene: Scene) -> None:
    assert scene.websocket.send("a") is DONE
    assert scene.websocket.send(b"b") is DONE
    assert scene.sent() == [(TEXT, b"a"), (BINARY, b"b")]
    assert scene.websocket.messages_sent == 2


def test_ping_is_answered(scene: Scene) -> None:
    scene.receive(frame(PING, b"x"))
    assert scene.sent() == [(PONG, b"x")]


def test_waiting_ends_with_a_message(loop: JumpingLoop, scene: Scene) -> None:
    loop.call_later(1.0, scene.receive, frame(TEXT, b"a"))
    loop.run_until_complete(_awaited(scene.websocket))
    assert loop.elapsed == pytest.approx(1.0)
    loop.run_until_complete(_awaited(scene.websocket))
    assert loop.elapsed == pytest.approx(1.0), "a message waits"


async def _awaited(websocket: WebSocket) -> None:
    for waits in (websocket.changed(), websocket.changed()):
        await waits


# -- Backpressure -------------------------------------------------------------------------------------------------------------


def test_reading_pauses_while_the_queue_is_full_and_goes_on_at_half(scene: Scene) -> None:
    scene.receive(frame(TEXT, b"a") * MAX_QUEUE)
    assert scene.wire.orders == ["pause"]
    assert scene.clock() is None, "a pong could not be read"
    taken = 0
    while scene.wire.orders == ["pause"]:
        assert scene.websocket.take() == "a"
        taken += 1
    assert taken == MAX_QUEUE // 2
    assert scene.wire.orders == ["pause", "resume"]
    assert scene.clock() is Clock.WS_PING


def test_octets_beyond_the_queue_wait_unread(scene: Scene) -> None:
    many = 15_000
    scene.receive(b"".join(frame(TEXT, b"%05d" % number) for number in range(many)))
    held = len(scene.websocket._messages.received)  # type: ignore[attr-defined]
    assert MAX_QUEUE <= held <= 65536 // 11, "what a piece of 64 KiB holds, at most"
    taken = []
    while (message := scene.websocket.take()) is not None:
        taken.append(message)
    assert taken == [f"{number:05d}" for number in range(many)], "none is lost"
    assert scene.wire.orders == ["pause", "resume"]


def test_one_message_may_be_longer_than_the_buffer(scene: Scene) -> None:
    scene.receive(frame(BINARY, bytes(50_000)))
    assert scene.wire.orders == ["pause"]
    message = scene.websocket.take()
    assert message is not None
    assert len(message) == 50_000
    assert scene.wire.orders == ["pause", "resume"]


def test_send_waits_while_the_client_takes_nothing(loop: JumpingLoop, scene: Scene) -> None:
    scene.session.write_paused()
    flows = scene.websocket.send("a")
    assert flows is not DONE
    assert scene.clock() is Clock.SEND
    loop.call_later(5.0, scene.session.write_resumed)
    loop.run_until_complete(_flowing(flows))
    assert loop.elapsed == pytest.approx(5.0)


async def _flowing(flows: object) -> None:
    await flows  # type: ignore[misc]


def test_send_that_waits_raises_at_the_end(loop: JumpingLoop, scene: Scene) -> None:
    scene.session.write_paused()
    flows = scene.websocket.send("a")
    loop.call_later(5.0, scene.session.lost)
    with pytest.raises(DisconnectedError):
        loop.run_until_complete(_flowing(flows))


def test_others_have_their_turn_after_a_mebibyte(loop: JumpingLoop, scene: Scene) -> None:
    sends = [scene.websocket.send(bytes(1 << 16)) for _ in range(17)]
    assert [flows is DONE for flows in sends] == [True] * 16 + [False]
    loop.run_until_complete(_flowing(sends[-1]))


def test_only_the_last_ping_is_answered_while_the_client_takes_nothing(scene: Scene) -> None:
    scene.session.write_paused()
    for number in range(1000):
        scene.receive(frame(PING, b"%d" % number))
    assert scene.sent() == []
    scene.session.write_resumed()
    assert scene.sent() == [(PONG, b"999")]


# -- Clocks -----------------------------------------------------------------------------------------------------------------


def test_silence_is_followed_by_a_ping_then_by_the_end(scene: Scene) -> None:
    assert scene.clock() is Clock.WS_PING
    scene.stage.run_out(scene.session)
    assert scene.sent() == [(PING, b"")]
    assert scene.clock() is Clock.WS_PONG
    scene.stage.run_out(scene.session)
    assert scene.sent() == [(CLOSE, b"\x03\xf3ping timeout")]
    assert scene.reason is CloseReason.WEBSOCKET_PING_TIMEOUT
    assert (scene.websocket.over, scene.websocket.code) == (True, 1011)


@pytest.mark.parametrize("octets", [frame(PONG), frame(PONG, b"other"), frame(TEXT, b"a"), b"\x81"])
def test_any_octet_proves_that_the_client_lives(scene: Scene, octets: bytes) -> None:
    scene.stage.run_out(scene.session)
    assert scene.clock() is Clock.WS_PONG
    scene.stage.now += 1.0
    scene.receive(octets)
    assert scene.clock() is Clock.WS_PING
    assert scene.session.waiting_since == scene.stage.now


def test_each_octet_delays_the_ping(scene: Scene) -> None:
    scene.stage.now += 1.0
    scene.receive(frame(TEXT, b"a"))
    assert scene.session.waiting_since == scene.stage.now
    scene.stage.now += 1.0
    scene.websocket.send("a")
    assert scene.session.waiting_since == scene.stage.now - 1.0, "what is sent proves nothing"


def test_octets_that_wait_unread_are_a_reprieve(scene: Scene) -> None:
    scene.stage.run_out(scene.session)
    scene.wire.waiting = True
    scene.stage.run_out(scene.session)
    assert scene.reason is None
    scene.receive(frame(PONG))
    assert scene.clock() is Clock.WS_PING


@pytest.mark.parametrize(("interval", "timeout"), [(0.0, 20.0), (20.0, 0.0)])
def test_clock_of_zero_never_expires(loop: JumpingLoop, interval: float, timeout: float) -> None:
    scene = opened(Stage(loop, ws_ping_interval=interval, ws_ping_timeout=timeout))
    if interval:
        scene.stage.run_out(scene.session)
        assert scene.sent() == [(PING, b"")]
    assert scene.session.deadline == float("inf")


def test_closing_handshake_has_a_clock_that_nothing_delays(scene: Scene) -> None:
    scene.websocket.close(1000, "")
    assert scene.clock() is Clock.WS_CLOSE
    begun = scene.session.waiting_since
    scene.stage.now += 1.0
    scene.receive(frame(TEXT, b"a") + frame(PING))
    assert (scene.clock(), scene.session.waiting_since) == (Clock.WS_CLOSE, begun)
    scene.stage.run_out(scene.session)
    assert scene.reason is CloseReason.WEBSOCKET_APPLICATION_CLOSE
    assert scene.session.state is State.CLOSING
    assert scene.wire.orders[-1:] == ["half_close"], "never a reset while the client may not have read all"


# -- Ends -------------------------------------------------------------------------------------------------------------------

R = CloseReason


def both(*steps: Callable[[Scene], object]) -> Callable[[Scene], object]:
    def act(scene: Scene) -> None:
        for step in steps:
            step(scene)

    return act


#: What happens, in order -> reason of the connection, close code, code of the Close frame that was sent.
ENDS: Final[dict[str, tuple[Callable[[Scene], object], CloseReason, int, int | None]]] = {
    "client closes": (lambda s: s.receive(close(1001)), R.WEBSOCKET_CLIENT_CLOSE, 1001, 1001),
    "client closes without a code": (lambda s: s.receive(frame(CLOSE)), R.WEBSOCKET_CLIENT_CLOSE, 1005, None),
    "client's EOF": (lambda s: s.session.eof_received(), R.WEBSOCKET_EOF, 1006, None),
    "reset": (lambda s: s.session.lost(), R.CLIENT_RESET, 1006, None),
    "malformed": (lambda s: s.receive(b"\xff\xff"), R.WEBSOCKET_REJECTED, 1002, 1002),
    "not UTF-8": (lambda s: s.receive(frame(TEXT, b"\xff")), R.WEBSOCKET_REJECTED, 1007, 1007),
    "too big": (lambda s: s.receive(frame(TEXT, bytes(100_001))), R.WEBSOCKET_REJECTED, 1009, 1009),
    "application closes": (
        both(lambda s: s.websocket.close(4000, "why"), lambda s: s.receive(close(4000))),
        R.WEBSOCKET_APPLICATION_CLOSE,
        4000,
        4000,
    ),
    "application closes, client is gone": (
        both(lambda s: s.websocket.close(4000, "why"), lambda s: s.session.lost()),
        R.WEBSOCKET_APPLICATION_CLOSE,
        4000,
        4000,
    ),
    "application closes, client's EOF": (
        both(lambda s: s.websocket.close(4000, "why"), lambda s: s.session.eof_received()),
        R.WEBSOCKET_APPLICATION_CLOSE,
        4000,
        4000,
    ),
    "application returns": (
        both(lambda s: s.websocket.finished(False), lambda s: s.receive(close(1000))),
        R.WEBSOCKET_APPLICATION_CLOSE,
        1000,
        1000,
    ),
    "application fails": (
        both(lambda s: s.websocket.finished(True), lambda s: s.receive(close(1011))),
        R.WEBSOCKET_APPLICATION_FAILED,
        1011,
        1011,
    ),
    "drain": (both(lambda s: s.session.drain_tunnel(), lambda s: s.receive(close(1012))), R.DRAIN, 1012, 1012),
    "drain timeout": (lambda s: s.session.stop(), R.DRAIN_DEADLINE, 1012, 1012),
}


@pytest.mark.parametrize("end", ENDS)
def test_end_has_one_reason_and_one_code(scene: Scene, end: str) -> None:
    act, reason, code, code_sent = ENDS[end]
    act(scene)
    closes = [content for opcode, content in scene.sent() if opcode == CLOSE]
    assert [int.from_bytes(content[:2], "big") for content in closes if content] == (
        [] if code_sent is None else [code_sent]
    )
    assert (scene.websocket.over, scene.websocket.code) == (True, code)
    assert scene.reason is reason
    if end not in ("reset", "application closes, client is gone"):
        scene.session.lost()
    assert scene.stage.manager.ends == [reason]
    assert scene.stage.context.counters.websockets == {code: 1}
    with pytest.raises((DisconnectedError, Misuse)):
        scene.websocket.send("late")
    scene.websocket.finished(False)
    scene.session.drain_tunnel()
    assert scene.sent() == []


def test_messages_before_the_clients_close_are_kept_for_the_application(scene: Scene) -> None:
    scene.receive(frame(TEXT, b"last") + close(1000))
    assert scene.websocket.over
    assert [scene.websocket.take(), scene.websocket.take()] == ["last", None]


def test_clients_close_behind_a_full_queue_is_seen_when_there_is_room(scene: Scene) -> None:
    scene.receive(frame(TEXT, b"a") * MAX_QUEUE + frame(BINARY, bytes(80_000)) + close(1000))
    assert not scene.websocket.over
    while scene.websocket.take() is not None:
        pass
    assert (scene.websocket.over, scene.websocket.code) == (True, 1000)
    assert scene.websocket.messages_received == MAX_QUEUE + 1


def test_close_drops_what_waits_and_reads_on(scene: Scene) -> None:
    scene.receive(frame(TEXT, b"a") * MAX_QUEUE + frame(BINARY, bytes(20_000)))
    scene.websocket.close(1000, "")
    assert scene.websocket.take() is None
    assert scene.wire.orders == ["pause", "resume"]
    scene.receive(close(1000))
    assert scene.session.state is State.CLOSING


def test_close_after_the_clients_does_nothing(scene: Scene) -> None:
    scene.receive(close(1001))
    scene.sent()
    scene.websocket.close(1000, "")
    assert scene.sent() == []


def test_second_close_is_misuse(scene: Scene) -> None:
    scene.websocket.close(1000, "")
    with pytest.raises(Misuse):
        scene.websocket.close(1000, "")
    with pytest.raises(Misuse):
        scene.websocket.send("late")


def test_close_with_a_code_that_may_not_be_sent_changes_nothing(scene: Scene) -> None:
    with pytest.raises(Misuse):
        scene.websocket.close(1005, "")
    assert not scene.websocket.over
    scene.websocket.send("a")
    assert scene.sent() == [(TEXT, b"a")]


def test_waiting_for_a_message_ends_with_the_end(loop: JumpingLoop, scene: Scene) -> None:
    loop.call_later(1.0, scene.session.lost)
    loop.run_until_complete(_awaited(scene.websocket))
    assert loop.elapsed == pytest.approx(1.0)


def test_drain_leaves_a_websocket_open_until_it_is_told(scene: Scene) -> None:
    scene.session.announce_drain()
    assert scene.sent() == []
    assert scene.session.state is State.TUNNEL
    scene.session.drain_tunnel()
    scene.session.drain_tunnel()
    assert scene.sent() == [(CLOSE, b"\x03\xf4")]


def test_failure_of_ours_ends_the_connection(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.websocket._messages = None  # type: ignore[attr-defined]
    with caplog.at_level(logging.ERROR, "bide.connection"):
        scene.receive(frame(TEXT, b"a"))
    assert scene.reason is CloseReason.INTERNAL_ERROR

"""One exchange as its gateway and its session see it; the session is a stand-in, the protocol object is real."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from bide.errors import DisconnectedError, Misuse
from bide.exchange import DONE
from bide.http1.connection import Connection
from bide.http1.lifetime import CLOSING, IDLE, TUNNEL
from bide.policy.clocks import FOREVER
from bide.semantics.forwarded import Origin
from bide.session.exchange import MAX_GATHERED, ServedExchange
from bide.terms import REFUSED, Clock, CloseReason
from tests.support.carrier import StubCarrier, StubTunnel
from tests.support.client import request
from tests.support.loops import JumpingLoop
from tests.support.managed import NOBODY
from tests.support.server import logged
from tests.support.stage import GET, POST, SECONDS, Stage

HALF_CLOSED: Final = 50.0
#: Octets after which a sender lets others have their turn.
FAIR: Final = 1 << 20

EXPECTING: Final = request("/", "Expect: 100-continue", "Content-Length: 4", method="POST")
CHUNKED: Final = request("/", "Transfer-Encoding: chunked", method="POST")


class Scene:
    """One exchange of a stand-in session. connection: its protocol object."""

    def __init__(self, loop: JumpingLoop, octets: bytes = GET, *, facts: int = 0) -> None:
        self.stage = Stage(loop, timeout_half_closed=HALF_CLOSED, body_rate=0)
        self.carrier = StubCarrier()
        self.connection: Connection = self.stage.context.pool.take(facts, 0)
        head = self.connection.receive(octets)
        assert head is not None
        self.exchange = ServedExchange(self.carrier, self.stage.context, self.connection, head, self.stage.now)

    def answer(self) -> None:
        """Answer, and have the session end the exchange."""
        self.exchange.respond(204, [], False)
        self.exchange.send(b"", False)
        self.exchange.ended()

    def lose(self) -> None:
        """Have the connection lost."""
        self.connection.lost()
        self.exchange.ended()


@pytest.fixture
def scene(loop: JumpingLoop) -> Scene:
    return Scene(loop)


@pytest.fixture
def upload(loop: JumpingLoop) -> Scene:
    """Return an exchange of whose body of four octets two have arrived."""
    return Scene(loop, POST[:-2])


def is_pending(result: object) -> bool:
    """Whether a send has to be waited for; it is not, here."""
    if result is DONE:
        return False
    assert asyncio.iscoroutine(result)
    result.close()
    return True


# -- What a gateway reads ---------------------------------------------------------------------------------------------------


def test_exchange_shows_its_request_and_the_ends_of_its_carrier(scene: Scene) -> None:
    exchange = scene.exchange
    assert exchange.request.method == "GET"
    assert (exchange.client, exchange.local, exchange.scheme) == (NOBODY, ("192.0.2.2", 80), "http")
    assert exchange.prefix == b""
    assert exchange.begun == scene.stage.now
    assert (exchange.over, exchange.complete, exchange.client_left) == (False, False, False)


def test_exchange_shows_what_a_front_end_tells_of_the_client(scene: Scene) -> None:
    exchange = scene.exchange
    exchange.origin_told(Origin(("192.0.2.9", 0), "https", b"", b""))
    assert (exchange.client, exchange.scheme, exchange.prefix) == (("192.0.2.9", 0), "https", b"")
    assert (b"host", b"a.example") not in exchange.request.fields
    exchange.origin_told(Origin(None, "http", b"a.example", b"/app"))
    assert (exchange.client, exchange.scheme, exchange.prefix) == (None, "http", b"/app")
    assert (b"host", b"a.example") in exchange.request.fields


@pytest.mark.parametrize(("facts", "is_refused"), [(0, False), (REFUSED, True)])
def test_exchange_is_refused_if_its_connection_is(loop: JumpingLoop, facts: int, is_refused: bool) -> None:
    assert Scene(loop, facts=facts).exchange.is_refused is is_refused


# -- The request's content --------------------------------------------------------------------------------------------------


def test_content_that_arrived_is_taken_once(upload: Scene) -> None:
    exchange = upload.exchange
    complete = [exchange.body_complete]
    assert exchange.take() == b"bo"
    assert exchange.take() == b""
    upload.connection.receive(b"dy")
    complete.append(exchange.body_complete)
    assert exchange.take() == b"dy"
    assert complete == [False, True]


def test_content_of_the_next_request_is_not_given(upload: Scene) -> None:
    upload.connection.receive(b"dy")
    upload.answer()
    assert upload.connection.receive(POST) is not None
    assert upload.exchange.take() == b""
    assert upload.connection.take_content() == b"body"


def test_change_of_an_exchange_is_awaitable(loop: JumpingLoop, upload: Scene) -> None:
    upload.lose()

    async def wait() -> None:
        await upload.exchange.changed()

    loop.run_until_complete(wait())


@pytest.mark.parametrize(("is_reading", "told"), [(True, []), (False, ["settle"])])
def test_content_taken_lets_a_paused_wire_go_on(upload: Scene, is_reading: bool, told: list[str]) -> None:
    upload.carrier.is_reading = is_reading
    upload.exchange.take()
    assert upload.carrier.told == told


def test_body_awaited_asks_for_it_once(loop: JumpingLoop) -> None:
    scene = Scene(loop, EXPECTING)
    assert scene.connection.output == b""
    scene.exchange.await_body()
    scene.exchange.await_body()
    assert scene.connection.output == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert scene.carrier.told == ["settle"]


def test_body_is_awaited_while_one_call_waits(upload: Scene) -> None:
    exchange = upload.exchange
    awaited = [exchange.is_body_awaited]
    for step in (exchange.await_body, exchange.await_body, exchange.await_body_no_more, exchange.await_body_no_more):
        step()
        awaited.append(exchange.is_body_awaited)
    assert awaited == [False, True, True, True, False]
    assert upload.carrier.told == ["settle", "settle"], "the clock starts, and it stops"


def test_body_of_an_exchange_that_is_over_has_no_clock_to_stop(upload: Scene) -> None:
    upload.exchange.await_body()
    upload.lose()
    upload.carrier.told.clear()
    upload.exchange.await_body_no_more()
    assert not upload.exchange.is_body_awaited
    assert upload.carrier.told == []


def test_body_deadline_counts_from_the_first_wait(upload: Scene) -> None:
    upload.stage.now += 100.0
    upload.exchange.await_body()
    assert upload.exchange.body_deadline() == upload.stage.now + SECONDS[Clock.BODY]


def test_body_deadline_leaves_out_time_in_which_nobody_waited(upload: Scene) -> None:
    exchange, stage = upload.exchange, upload.stage
    exchange.await_body()
    before = exchange.body_deadline()
    stage.now += 10.0
    exchange.await_body_no_more()
    stage.now += 100.0
    exchange.await_body()
    assert exchange.body_deadline() == before + 100.0


def test_body_deadline_is_renewed_by_content(upload: Scene) -> None:
    upload.exchange.await_body()
    upload.stage.now += 100.0
    upload.connection.receive(b"d")
    assert upload.exchange.content_came(1) == upload.stage.now + SECONDS[Clock.BODY]


def test_content_that_nobody_awaits_has_no_deadline(upload: Scene) -> None:
    upload.connection.receive(b"d")
    assert upload.exchange.content_came(1) == FOREVER


def test_content_that_is_malformed_counts_as_a_client_that_left(loop: JumpingLoop) -> None:
    """The rest of the body can never be had; the response, which has begun, can be completed."""
    scene = Scene(loop, CHUNKED)
    scene.exchange.respond(200, [], False)
    scene.exchange.send(b"begun", True)
    scene.connection.receive(b"rubbish\r\n")
    left = [scene.exchange.client_left]
    scene.exchange.content_came(9)
    left.append(scene.exchange.client_left)
    assert left == [False, True]
    assert not scene.exchange.over


# -- News -------------------------------------------------------------------------------------------------------------------


def test_news_that_the_client_left_reaches_senders_before_listeners(scene: Scene) -> None:
    """A listener cancels the sender as a rule, and is to find it at an `await` of the application's own."""
    scene.exchange.client_left = True
    order: list[str] = []

    async def wait() -> None:
        sender = scene.exchange.flow_news()
        other = scene.exchange.flow_news()
        given_up = scene.exchange.flow_news()
        listener = scene.exchange.news()
        sender.add_done_callback(lambda _: order.append("sender"))
        listener.add_done_callback(lambda _: order.append("listener"))
        given_up.cancel()
        scene.exchange.wake()
        await sender
        await other
        await listener

    scene.stage.context.loop.run_until_complete(wait())
    assert order == ["sender", "listener"]


@pytest.mark.parametrize("event", ["content", "eof", "ended", "wake"])
def test_news_of_each_kind_wakes_every_call_that_waits(upload: Scene, event: str) -> None:
    exchange = upload.exchange
    waiting = [exchange.news(), exchange.news()]
    given_up = exchange.news()
    given_up.cancel()
    match event:
        case "content":
            exchange.content_came(0)
        case "eof":
            exchange.eof_watched(upload.stage.now)
        case "ended":
            exchange.ended()
        case _:
            exchange.wake()
    assert [waiter.result() for waiter in waiting] == [None, None]
    assert not exchange.news().done(), "it was news once"


def test_eof_after_the_whole_request_is_taken_for_a_half_close_at_first(scene: Scene) -> None:
    exchange, now = scene.exchange, scene.stage.now
    left = []
    for seconds in (0.0, HALF_CLOSED - 1.0, HALF_CLOSED):
        exchange.eof_watched(now + seconds)
        left.append(exchange.client_left)
    assert left == [False, False, True]
    assert not exchange.over, "an answer can still be sent"


def test_eof_within_the_body_is_told_at_once(upload: Scene) -> None:
    upload.exchange.eof_watched(upload.stage.now)
    assert upload.exchange.client_left


# -- The response -----------------------------------------------------------------------------------------------------------


def test_interim_response_is_written_at_once(scene: Scene) -> None:
    scene.exchange.inform(103, [(b"link", b"</a>")])
    assert scene.connection.output == b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    assert scene.carrier.told == ["settle"]


def test_whole_response_is_done_at_once(scene: Scene) -> None:
    scene.exchange.respond(200, [(b"content-length", b"5")], False)
    assert scene.exchange.send(b"whole", False) is DONE
    assert scene.connection.output.endswith(b"\r\n\r\nwhole")
    assert scene.connection.state is IDLE
    assert scene.carrier.told[-1] == "answered"


def test_head_without_content_is_released_once_the_pass_is_over(loop: JumpingLoop, scene: Scene) -> None:
    scene.exchange.respond(200, [], False)
    assert scene.carrier.told == []
    loop.run_for(0.0)
    assert scene.carrier.told == ["release_head"]


def test_head_with_content_in_the_same_pass_is_not_released(loop: JumpingLoop, scene: Scene) -> None:
    scene.exchange.respond(200, [], False)
    scene.exchange.send(b"part", True)
    scene.carrier.told.clear()
    loop.run_for(0.0)
    assert scene.carrier.told == []


def test_head_given_while_the_request_is_handed_over_is_held_by_the_session(loop: JumpingLoop, scene: Scene) -> None:
    """Nearly all responses are complete by then, and none of them costs a call."""
    scene.carrier.is_serving = True
    scene.exchange.respond(200, [], False)
    loop.run_for(0.0)
    assert scene.carrier.told == []
    scene.exchange.hold_head()
    loop.run_for(0.0)
    assert scene.carrier.told == ["release_head"]


def test_content_after_a_released_head_that_was_the_whole_response_has_no_taker(loop: JumpingLoop) -> None:
    scene = Scene(loop, request("/", method="HEAD"))

    def release_head() -> None:
        scene.connection.release_head()
        scene.exchange.ended()

    scene.carrier.release_head = release_head  # type: ignore[method-assign]  # as the session does
    scene.exchange.respond(200, [], False)
    loop.run_for(0.0)
    with pytest.raises(DisconnectedError, match="complete with its head"):
        scene.exchange.send(b"for a GET", False)
    with pytest.raises(Misuse):
        scene.exchange.send(b"more of it", False)


@pytest.mark.parametrize("more", [True, False])
def test_content_after_a_response_that_was_complete_with_its_head_has_no_taker(loop: JumpingLoop, more: bool) -> None:
    """The application does not misuse anything: it answers HEAD as it answers GET."""
    scene = Scene(loop, request("/", method="HEAD"))
    scene.exchange.respond(200, [], False)
    assert scene.exchange.send(b"for a GET", True) is DONE
    assert scene.connection.state is IDLE
    assert scene.carrier.told == ["answered"]
    scene.exchange.ended()
    with pytest.raises(DisconnectedError, match="complete with its head"):
        scene.exchange.send(b"more of it", more)
    with pytest.raises(DisconnectedError if more else Misuse):
        scene.exchange.send(b"and more", False)


def test_trailers_after_a_response_to_head_are_dropped(loop: JumpingLoop) -> None:
    scene = Scene(loop, request("/", method="HEAD"))
    scene.exchange.respond(200, [], True)
    scene.exchange.send(b"for a GET", True)
    scene.exchange.ended()
    written = scene.connection.output
    scene.exchange.send_trailers([(b"x", b"1")], False)
    assert scene.connection.output == written


def test_content_that_its_status_forbids_is_dropped_with_a_warning(scene: Scene) -> None:
    scene.exchange.respond(204, [], False)
    with logged() as log:
        assert scene.exchange.send(b"forbidden", False) is DONE
    (message,) = log.messages(logging.WARNING)
    assert "content given with status 204 was dropped" in message
    assert b"forbidden" not in scene.connection.output


def test_content_longer_than_declared_is_misuse_and_the_rest_is_written(scene: Scene) -> None:
    scene.exchange.respond(200, [(b"content-length", b"4")], False)
    scene.carrier.told.clear()
    with pytest.raises(Misuse, match="longer than its Content-Length"):
        scene.exchange.send(b"too long", False)
    assert scene.connection.output.endswith(b"\r\n\r\ntoo ")
    assert scene.carrier.told == ["answered"]


def test_content_shorter_than_declared_is_misuse_and_not_written(scene: Scene) -> None:
    scene.exchange.respond(200, [(b"content-length", b"400")], False)
    scene.carrier.told.clear()
    with pytest.raises(Misuse, match="shorter than its Content-Length"):
        scene.exchange.send(b"too short", False)
    assert scene.connection.output == b""
    assert scene.carrier.told == []


def test_content_before_more_is_written_and_said_to_be_followed(scene: Scene) -> None:
    scene.exchange.respond(200, [], False)
    assert scene.exchange.send(b"part", True) is DONE
    assert scene.connection.output.endswith(b"4\r\npart\r\n")
    assert scene.carrier.told[-2:] == ["answered", "content_left"]


def test_content_while_gathering_is_held_up_to_a_limit(scene: Scene) -> None:
    scene.exchange.respond(200, [], False)
    scene.carrier.is_gathering = True
    scene.carrier.told.clear()
    assert scene.exchange.send(bytes(MAX_GATHERED // 2), True) is DONE
    assert scene.carrier.told == []
    assert scene.exchange.send(bytes(MAX_GATHERED // 2), True) is DONE
    assert scene.carrier.told == ["answered", "content_left"]


def test_last_content_while_gathering_is_not_held(scene: Scene) -> None:
    scene.exchange.respond(200, [], False)
    scene.carrier.is_gathering = True
    scene.carrier.told.clear()
    assert scene.exchange.send(b"last", False) is DONE
    assert scene.carrier.told == ["answered"]


def test_content_that_the_client_does_not_take_is_waited_for(scene: Scene) -> None:
    scene.exchange.respond(200, [], False)
    scene.carrier.is_write_paused = True
    assert is_pending(scene.exchange.send(b"part", True))


def test_content_of_a_megabyte_lets_others_have_their_turn_once(scene: Scene) -> None:
    scene.exchange.respond(200, [], False)
    assert not is_pending(scene.exchange.send(bytes(FAIR), True))
    assert is_pending(scene.exchange.send(b"x", True))
    assert not is_pending(scene.exchange.send(b"x", True))


# -- Files ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    """Return the descriptor of a file of ten octets."""
    (tmp_path / "file").write_bytes(b"0123456789")
    with (tmp_path / "file").open("rb") as opened:
        yield opened.fileno()


def test_file_is_sent_at_once_if_the_kernel_takes_it(scene: Scene, file: int) -> None:
    scene.exchange.respond(200, [], False)
    assert scene.exchange.send_file(file, 2, 5, False) is DONE
    assert scene.carrier.file_octets == b"23456"
    assert scene.carrier.told[-2:] == ["send_file 2 5", "answered"]
    assert scene.connection.state is IDLE
    assert b"Content-Length: 5" in scene.connection.output


def test_file_without_octets_is_no_file(scene: Scene, file: int) -> None:
    scene.exchange.respond(200, [], False)
    assert scene.exchange.send_file(file, 0, 0, False) is DONE
    assert b"Content-Length: 0" in scene.connection.output
    assert scene.carrier.told == ["answered"]
    assert scene.connection.state is IDLE


def test_file_without_octets_before_more_content_is_no_chunk(scene: Scene, file: int) -> None:
    scene.exchange.respond(200, [], False)
    assert scene.exchange.send_file(file, 0, 0, True) is DONE
    scene.exchange.send(b"ok", False)
    assert scene.connection.output.endswith(b"\r\n\r\n2\r\nok\r\n0\r\n\r\n")


def test_file_is_sent_as_the_kernel_takes_it(scene: Scene, file: int, loop: JumpingLoop) -> None:
    scene.exchange.respond(200, [], False)
    scene.carrier.space = 4
    sending = scene.exchange.send_file(file, 0, 10, False)
    assert scene.carrier.file_octets == b"0123"
    scene.carrier.space = 100
    loop.run_until_complete(awaited(sending))
    assert scene.carrier.file_octets == b"0123456789"
    assert scene.connection.state is IDLE


def test_file_is_not_sent_while_writing_is_paused(scene: Scene, file: int, loop: JumpingLoop) -> None:
    scene.exchange.respond(200, [], False)
    scene.carrier.is_write_paused = True
    sending = loop.create_task(awaited(scene.exchange.send_file(file, 0, 10, False)))
    loop.run_for(1.0)
    assert scene.carrier.file_octets == b""
    scene.carrier.is_write_paused = False
    scene.exchange.wake()
    loop.run_until_complete(sending)
    assert scene.carrier.file_octets == b"0123456789"


def test_file_of_more_than_a_megabyte_lets_others_have_their_turn(
    scene: Scene, tmp_path: Path, loop: JumpingLoop
) -> None:
    (tmp_path / "large").write_bytes(bytes(FAIR + 2))
    scene.exchange.respond(200, [], False)
    with (tmp_path / "large").open("rb") as opened:
        share = FAIR + 1
        scene.carrier.share = share
        sending = scene.exchange.send_file(opened.fileno(), 0, FAIR + 2, False)
        assert len(scene.carrier.file_octets) == share
        loop.run_until_complete(awaited(sending))
    assert len(scene.carrier.file_octets) == FAIR + 2


def test_file_that_ends_too_soon_is_misuse(scene: Scene, file: int) -> None:
    scene.exchange.respond(200, [], False)
    with pytest.raises(Misuse, match="the file ended 3 octets too soon"):
        scene.exchange.send_file(file, 0, 13, False)
    scene.exchange.finished()
    assert scene.connection.reason is CloseReason.RESPONSE_INCOMPLETE


def test_file_to_a_client_that_leaves_raises(scene: Scene, file: int, loop: JumpingLoop) -> None:
    scene.exchange.respond(200, [], False)
    scene.carrier.space = 4
    sending = scene.exchange.send_file(file, 0, 10, False)
    scene.lose()
    with pytest.raises(DisconnectedError):
        loop.run_until_complete(awaited(sending))
    with pytest.raises(DisconnectedError):
        scene.exchange.send_file(file, 0, 10, False)


def test_file_in_answer_to_head_is_not_sent(loop: JumpingLoop, file: int) -> None:
    scene = Scene(loop, request("/", method="HEAD"))
    scene.exchange.respond(200, [], False)
    assert scene.exchange.send_file(file, 0, 10, False) is DONE
    assert scene.carrier.told == ["answered"]
    assert b"Content-Length: 10" in scene.connection.output
    assert scene.connection.state is IDLE


def test_file_beyond_the_declared_length_is_not_sent(scene: Scene, file: int) -> None:
    scene.exchange.respond(200, [(b"content-length", b"2")], False)
    scene.exchange.send(b"ok", True)
    assert scene.exchange.send_file(file, 0, 10, False) is DONE
    assert scene.carrier.file_octets == b""
    assert scene.connection.state is IDLE


async def awaited(result: Awaitable[None]) -> None:
    """Await what a call has returned."""
    await result


def test_trailers_complete_the_response(loop: JumpingLoop) -> None:
    scene = Scene(loop, request("/", "TE: trailers", "Connection: TE"))
    scene.exchange.respond(200, [], True)
    scene.exchange.send(b"content", False)
    scene.carrier.told.clear()
    scene.exchange.send_trailers([(b"x", b"1")], False)
    assert scene.connection.output.endswith(b"0\r\nx: 1\r\n\r\n")
    assert scene.connection.state is IDLE
    assert scene.carrier.told == ["answered"]


def test_upgrade_hands_over_to_the_tunnel_what_came_after_the_request(loop: JumpingLoop) -> None:
    scene = Scene(loop, request("/", "Connection: upgrade", "Upgrade: echo") + b"early")
    tunnel = StubTunnel()
    scene.exchange.upgrade(b"echo", [], tunnel)
    assert scene.connection.output.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert scene.connection.state is TUNNEL
    assert scene.carrier.told == ["switched"]
    assert scene.carrier.tunnel is tunnel
    assert scene.carrier.received == b"early"


# -- Streams of events ------------------------------------------------------------------------------------------------------

EVENT_STREAM: Final = [(b"content-type", b"text/event-stream")]


def test_end_of_an_event_stream_is_told_as_if_its_client_had_left(scene: Scene) -> None:
    scene.exchange.respond(200, EVENT_STREAM, False)
    scene.exchange.send(b"data: 1\n\n", True)
    news = scene.exchange.news()
    scene.exchange.end_stream()
    assert scene.exchange.client_left
    assert news.done()
    scene.exchange.disconnect_delivered()
    scene.exchange.finished()
    assert scene.connection.output.endswith(b"\r\n0\r\n\r\n"), "the stream ends in form"
    assert scene.connection.state is IDLE
    assert scene.carrier.told[-1] == "answered"


@pytest.mark.parametrize(
    "fields", [[], [(b"content-type", b"text/plain")], [*EVENT_STREAM, (b"content-length", b"99")]]
)
def test_end_of_event_streams_does_not_concern_other_responses(scene: Scene, fields: list[tuple[bytes, bytes]]) -> None:
    scene.exchange.respond(200, fields, False)
    scene.exchange.send(b"part", True)
    scene.exchange.end_stream()
    assert not scene.exchange.client_left


def test_end_of_an_event_stream_whose_client_has_left_changes_nothing(scene: Scene) -> None:
    scene.exchange.respond(200, EVENT_STREAM, False)
    scene.exchange.send(b"data: 1\n\n", True)
    scene.exchange.client_left = True
    scene.exchange.end_stream()
    scene.exchange.finished()
    assert not scene.connection.output.endswith(b"0\r\n\r\n")
    assert scene.connection.reason is CloseReason.CLIENT_LEFT


# -- The end ----------------------------------------------------------------------------------------------------------------


def test_exchange_ended_after_its_response_is_complete(scene: Scene) -> None:
    scene.answer()
    assert (scene.exchange.over, scene.exchange.complete) == (True, True)


def test_exchange_ended_before_its_response_is_not_complete(scene: Scene) -> None:
    scene.lose()
    assert (scene.exchange.over, scene.exchange.complete) == (True, False)


CALLS: Final[dict[str, Callable[[ServedExchange], object]]] = {
    "inform": lambda exchange: exchange.inform(103, []),
    "respond": lambda exchange: exchange.respond(200, [], False),
    "send": lambda exchange: exchange.send(b"", False),
    "upgrade": lambda exchange: exchange.upgrade(b"echo", [], StubTunnel()),
    "send_trailers": lambda exchange: exchange.send_trailers([], False),
}


@pytest.mark.parametrize("call", CALLS)
def test_call_after_the_whole_response_is_misuse(scene: Scene, call: str) -> None:
    scene.answer()
    written = scene.connection.take_output()
    assert written.startswith(b"HTTP/1.1 204 ")
    with pytest.raises(Misuse, match="the response is complete"):
        CALLS[call](scene.exchange)
    assert scene.connection.output == b""


def test_application_that_ends_without_an_answer_has_failed(scene: Scene) -> None:
    scene.exchange.finished()
    assert scene.connection.output.startswith(b"HTTP/1.1 500 ")
    assert scene.connection.state is IDLE
    assert scene.carrier.told == ["answered"]


def test_application_that_ends_after_the_client_left_has_not_failed(scene: Scene) -> None:
    scene.exchange.client_left = True
    scene.exchange.finished()
    assert scene.connection.output == b""
    assert (scene.connection.state, scene.connection.reason) == (CLOSING, CloseReason.CLIENT_LEFT)
    assert scene.carrier.told == ["answered"]


def abandoned(scene: Scene) -> bool:
    """Whether a response that is completed now is cut all the same."""
    scene.exchange.send(b"last", False)
    return scene.connection.reason is CloseReason.CLIENT_LEFT


@pytest.mark.parametrize(("client_left", "is_abandoned"), [(True, True), (False, False)])
def test_response_unfinished_when_the_disconnect_was_delivered_is_cut(
    scene: Scene, client_left: bool, is_abandoned: bool
) -> None:
    """An application that was told so stops, and what it has begun would look whole."""
    scene.exchange.respond(200, [], False)
    scene.exchange.send(b"part", True)
    scene.exchange.client_left = client_left
    scene.exchange.disconnect_delivered()
    assert abandoned(scene) is is_abandoned


def test_response_to_a_request_that_broke_off_is_not_cut_by_the_disconnect(loop: JumpingLoop) -> None:
    """The request may have been refused early, and its client reads on (9.5)."""
    scene = Scene(loop, CHUNKED)
    scene.exchange.respond(400, [], False)
    scene.exchange.send(b"begun", True)
    scene.connection.receive(b"rubbish\r\n")
    scene.exchange.content_came(9)
    scene.exchange.disconnect_delivered()
    assert not abandoned(scene)


def test_disconnect_delivered_after_the_exchange_changes_nothing(scene: Scene) -> None:
    scene.answer()
    scene.exchange.client_left = True
    scene.exchange.disconnect_delivered()
    assert scene.connection.state is IDLE


def test_application_that_ends_after_the_exchange_changes_nothing(scene: Scene) -> None:
    scene.answer()
    scene.carrier.told.clear()
    scene.exchange.finished()
    assert scene.connection.state is IDLE
    assert scene.carrier.told == []


@pytest.mark.parametrize("call", CALLS)
def test_call_after_the_connection_was_lost_says_that_the_client_is_gone(scene: Scene, call: str) -> None:
    scene.lose()
    with pytest.raises(DisconnectedError, match="the client is gone"):
        CALLS[call](scene.exchange)

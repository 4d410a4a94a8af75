"""Plays a hostile client, a careless application and an impatient worker at one connection, in any order, and holds it to its laws."""

from typing import Final

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bide.policy.clocks import running
from bide.terms import (
    AGE_LIMIT,
    CLIENT_POLICY,
    DRAIN,
    EXPECTATION_UNMET,
    KEEP_ALIVE_OFF,
    PRESSURE,
    REBALANCED,
    REFUSED,
    REQUEST_LIMIT,
    REQUEST_UNREAD,
    CloseMode,
    State,
)
from tests.http1.cases import CASES, chunked, get, head, post
from tests.http1.driver import GET, connect, limits, read_answers, slices
from tests.http1.laws import Laws

MOST_AT_ONCE: Final = 600

whole = st.sampled_from(
    [
        GET,
        GET * 3,
        GET * 20,
        GET * 40,
        b"\r\n" + GET + b"\r",
        head(b"HEAD / HTTP/1.1", b"Host: a"),
        head(b"GET / HTTP/1.0", b"Connection: keep-alive"),
        post(b"hello", b"Content-Length: 5"),
        post(b"hello", b"Content-Length: 5", b"Expect: 100-continue"),
        chunked(b"5\r\nhello\r\n0\r\n\r\n"),
        chunked(b"5\r\nhello\r\n0\r\n\r\n") * 2 + GET,
    ]
)
open_ended = st.sampled_from(
    [
        head(b"HEAD / HTTP/1.1", b"Host: a", b"Content-Length: 9"),
        post(b"", b"Content-Length: 5"),
        post(b"", b"Content-Length: 5", b"Expect: 100-continue"),
        post(b"", b"Content-Length: 120"),
        post(b"", b"Content-Length: 999999"),
        chunked(b""),
        chunked(b"5\r\nhel"),
    ]
)
more_body = st.sampled_from([b"5\r\nhello\r\n", b"lo\r\n", b"0\r\n\r\n", b"hello", b"x" * 120, b"x" * MOST_AT_ONCE])
last_request = st.sampled_from([head(b"GET / HTTP/1.0"), get(b"Connection: close"), get(b"Connection: close") + GET])
bad = st.one_of(
    st.sampled_from([case.octets[:MOST_AT_ONCE] for case in CASES if case.status]),
    st.sampled_from([GET[:9], GET[9:], b"X: a\r\n", b"\r\n", b"\r", b"\n", b"x" * 300]),
    st.binary(max_size=20),
)

statuses = st.sampled_from([0, 101, 103, 200, 200, 200, 200, 204, 205, 304, 404, 500, 999, 1000])
fields = st.lists(
    st.sampled_from(
        [
            (b"content-length", b"2"),
            (b"content-length", b"0"),
            (b"Content-Length", b"5"),
            (b"content-type", b"text/plain"),
            (b"connection", b"close"),
            (b"connection", b"x, keep-alive"),
            (b"transfer-encoding", b"chunked"),
            (b"transfer-encoding", b"gzip"),
            (b"date", b"now"),
            (b"x", b"a\r\nb: c"),
            (b"x y", b"a"),
        ]
    ),
    max_size=2,
)
contents = st.sampled_from([b"", b"o", b"ok", b"hello", b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
facts = st.sampled_from(
    [
        DRAIN,
        KEEP_ALIVE_OFF,
        REQUEST_LIMIT,
        AGE_LIMIT,
        PRESSURE,
        REBALANCED,
        REFUSED,
        CLIENT_POLICY,
        REQUEST_UNREAD,
        EXPECTATION_UNMET,
    ]
)


sizes = st.sampled_from([1, 7, MOST_AT_ONCE])


def may_read(machine: "Hostile") -> bool:
    return not machine.connection.input_ended and not machine.connection.wants_pause


def may_act(machine: "Hostile") -> bool:
    """Whether the application has something to do; or it acts out of turn."""
    return machine.connection.state is State.EXCHANGE or machine.patience < 3


class Hostile(Laws, RuleBasedStateMachine):
    """The worker keeps to its contract, and to nothing else; neither client nor application keeps to anything.

    patience: steps before somebody ends the connection for no reason of the protocol.
    """

    patience: int

    @initialize(
        standing=st.sampled_from([0, 0, 0, 0, DRAIN, KEEP_ALIVE_OFF]),
        patience=st.integers(0, 60),
    )
    def accept(self, standing: int, patience: int) -> None:
        self.watch(connect(limits(), standing), MOST_AT_ONCE)
        self.patience = patience
        self.output = b""

    # -- the client

    def _receive(self, data: bytes, size: int) -> None:
        for piece in slices(data, size):
            if self.connection.wants_pause:
                break
            self.begin(self.connection.receive(piece))

    @precondition(may_read)
    @rule(data=whole, size=sizes)
    def a_request_comes(self, data: bytes, size: int) -> None:
        self._receive(data, size)

    @precondition(may_read)
    @rule(data=open_ended, size=sizes)
    def a_head_comes(self, data: bytes, size: int) -> None:
        self._receive(data, size)

    @precondition(lambda self: may_read(self) and not self.connection.body_complete)
    @rule(data=more_body, size=sizes)
    def more_of_a_body_comes(self, data: bytes, size: int) -> None:
        self._receive(data, size)

    @precondition(lambda self: may_read(self) and self.patience < 5)
    @rule(data=st.one_of(bad, bad, last_request), size=sizes)
    def a_last_or_bad_request_comes(self, data: bytes, size: int) -> None:
        self._receive(data, size)

    @precondition(lambda self: not self.connection.input_ended and self.patience < 10)
    @rule()
    def eof(self) -> None:
        self.connection.receive_eof()

    # -- the application

    @precondition(may_act)
    @rule(status=statuses, named=fields, trailers=st.booleans())
    def responds(self, status: int, named: list[tuple[bytes, bytes]], trailers: bool) -> None:
        self.may_misuse(lambda: self.connection.respond(status, named, trailers))

    @precondition(may_act)
    @rule(content=contents, more=st.booleans())
    def sends(self, content: bytes, more: bool) -> None:
        self.may_misuse(lambda: self.connection.send(content, more))

    @precondition(may_act)
    @rule(status=st.sampled_from([200, 404]), content=contents)
    def answers(self, status: int, content: bytes) -> None:
        self.may_misuse(lambda: self.connection.respond(status, []))
        self.may_misuse(lambda: self.connection.send(content, False))
        self.begin(self.connection.next_request())

    @precondition(may_act)
    @rule(named=fields, more=st.booleans())
    def sends_trailers(self, named: list[tuple[bytes, bytes]], more: bool) -> None:
        self.may_misuse(lambda: self.connection.send_trailers(named, more))

    @precondition(may_act)
    @rule(status=statuses, named=fields)
    def informs(self, status: int, named: list[tuple[bytes, bytes]]) -> None:
        self.may_misuse(lambda: self.connection.inform(status, named))

    @precondition(lambda self: self.patience < 10)
    @rule()
    def fails(self) -> None:
        self.connection.fail()

    @precondition(may_act)
    @rule()
    def asks(self) -> None:
        self.connection.want_content()

    @precondition(may_act)
    @rule()
    def takes(self) -> None:
        self.take_content()

    # -- the worker

    @rule()
    def next_request(self) -> None:
        self.begin(self.connection.next_request())

    @rule()
    def output_is_taken(self) -> None:
        self.output += self.connection.take_output()

    @precondition(lambda self: self.patience < 10)
    @rule(fact=facts)
    def notes(self, fact: int) -> None:
        self.connection.add_facts(fact)

    @precondition(lambda self: self.connection.state is not State.CLOSED and self.patience < 0)
    @rule(body_awaited=st.booleans(), write_paused=st.booleans())
    def a_clock_runs_out(self, body_awaited: bool, write_paused: bool) -> None:
        awaited = body_awaited and not self.connection.body_complete
        clock = running(self.connection.state, body_awaited=awaited, write_paused=write_paused)
        if clock is not None:
            self.connection.expire(clock)

    @precondition(lambda self: self.connection.state in {State.NEW, State.IDLE} and self.patience < 0)
    @rule()
    def sheds(self) -> None:
        self.connection.shed()

    @precondition(lambda self: self.connection.state is not State.CLOSED and self.patience < 0)
    @rule()
    def stops(self) -> None:
        self.connection.stop()

    @precondition(lambda self: self.patience < 0)
    @rule()
    def breaks_down(self) -> None:
        self.connection.fail_internal()

    @precondition(lambda self: self.connection.state is State.CLOSING)
    @rule()
    def flushed(self) -> None:
        if self.connection.close_mode() is CloseMode.LINGER:
            self.connection.half_closed()
        else:
            self.connection.lost()

    @precondition(lambda self: self.connection.state is not State.CLOSED and self.patience < 0)
    @rule()
    def lost(self) -> None:
        self.connection.lost()

    # -- what holds

    @invariant()
    def patience_ends(self) -> None:
        self.patience -= 1

    def teardown(self) -> None:
        """Check that the output is responses in order, at most one for each request. Only the last may be cut or say close."""
        if not hasattr(self, "connection"):
            return
        written = self.output + self.connection.take_output()
        methods = [request.method for request in self.begun]
        answers = [answer for answer in read_answers(written, methods) if answer.status >= 200]
        assert len(answers) <= self.connection.served + 1
        for answer in answers[:-1]:
            assert answer.whole
            assert b"close" not in answer.values(b"connection")
        if answers and b"close" in answers[-1].values(b"connection"):
            assert self.connection.announced is not None or self.connection.reason is not None


TestHostile = Hostile.TestCase
TestHostile.settings = settings(
    max_examples=120, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
TestHostile = pytest.mark.timeout(300)(TestHostile)

"""Holds a Connection to its laws at any moment, whatever client, application and worker do. Contains no test.

`test_hostile` and the fuzz target play the three in different ways, and hold the connection to the same laws.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hypothesis.stateful import invariant

from bide.errors import Misuse
from bide.http1.connection import Connection
from bide.http1.writer import CUT
from bide.message import Request
from bide.policy.clocks import running
from bide.terms import CloseReason, State
from tests.http1.driver import BUFFER_LIMIT, HEAD_LIMIT, octets_held

OPEN: Final = frozenset({State.NEW, State.HEAD, State.EXCHANGE, State.DISCARD, State.IDLE})


class Laws:
    """The laws are the methods that are marked as invariants.

    connection: the one that is held to them.
    most_at_once: the most octets that it is given at once.
    reason: why it ends, as seen so far.
    begun: the requests that it has handed out.
    served: its count of requests, as seen so far.
    """

    connection: Connection
    most_at_once: int

    def watch(self, connection: Connection, most_at_once: int) -> None:
        """Begin to watch a connection."""
        self.connection = connection
        self.most_at_once = most_at_once
        self.reason: CloseReason | None = None
        self.begun: list[Request] = []
        self.served = 0

    # -- What holds of single acts

    def begin(self, request: Request | None) -> None:
        """A request was handed out, or none was."""
        if request is not None:
            assert self.reason is None, "nothing is served once the end is decided"
            assert self.connection.state is State.EXCHANGE
            self.begun.append(request)

    def may_misuse(self, act: Callable[[], object]) -> None:
        """The application does something that it may not be allowed to do."""
        before = self.connection.output
        try:
            act()
        except Misuse as error:
            if "longer than its Content-Length" not in str(error):  # the declared octets are written
                assert self.connection.output == before, "nothing of it is written"

    def take_content(self) -> None:
        """The application takes what there is of the body."""
        waits = self.connection.has_content
        assert bool(self.connection.take_content()) == waits
        assert not self.connection.has_content

    # -- What holds at any moment

    @invariant()
    def one_reason_that_never_changes(self) -> None:
        connection = self.connection
        assert (connection.reason is None) == (connection.state in OPEN)
        if self.reason is not None:
            assert connection.reason is self.reason
        self.reason = connection.reason

    @invariant()
    def memory_is_bounded(self) -> None:
        connection = self.connection
        held = octets_held(connection)
        assert held <= max(BUFFER_LIMIT, HEAD_LIMIT) + self.most_at_once
        if connection.state is State.EXCHANGE:
            reader = connection._reader
            assert sum(map(len, reader._content or [])) == reader.content_size
            assert connection.wants_pause == (held > BUFFER_LIMIT)

    @invariant()
    def reading_pauses_only_where_something_else_goes_on(self) -> None:
        connection = self.connection
        if connection.wants_pause:
            assert connection.state in {State.EXCHANGE, State.IDLE}
            if not connection.body_complete:
                assert connection.has_content, "an application that waits would wait for ever"

    @invariant()
    def every_open_state_has_a_clock_or_a_reason_not_to(self) -> None:
        connection = self.connection
        clock = running(connection.state, body_awaited=not connection.body_complete, write_paused=False)
        if clock is None and connection.state is not State.CLOSED:
            assert connection.state is State.EXCHANGE
            assert connection.body_complete, "nobody but the application is waited for"

    @invariant()
    def nothing_waits_for_ever(self) -> None:
        """A worker asks for the next request where `pipelined` says so: nowhere else may one be found."""
        connection = self.connection
        if connection.state is State.IDLE and not connection.pipelined:
            assert not connection._reader.has_unread
            assert octets_held(connection) == 0
            assert not connection._reader.is_in_head
            assert not connection.input_ended

    @invariant()
    def what_is_counted_only_grows(self) -> None:
        connection = self.connection
        assert connection.served >= max(self.served, len(self.begun))
        self.served = connection.served

    @invariant()
    def a_response_that_is_cut_has_no_exchange(self) -> None:
        if self.connection.progress == CUT:
            assert self.connection.state not in OPEN


#: The invariants, to be called where hypothesis does not.
LAWS: Final[tuple[Callable[[Laws], None], ...]] = (
    Laws.one_reason_that_never_changes,
    Laws.memory_is_bounded,
    Laws.reading_pauses_only_where_something_else_goes_on,
    Laws.every_open_state_has_a_clock_or_a_reason_not_to,
    Laws.nothing_waits_for_ever,
    Laws.what_is_counted_only_grows,
    Laws.a_response_that_is_cut_has_no_exchange,
)

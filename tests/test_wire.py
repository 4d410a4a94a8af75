"""The contract of transports: a closed wire takes every order and answers every question, and real ones are whole."""

from collections.abc import Callable
from typing import Final

import pytest

from bide.session.session import Session
from bide.transport.stream import SocketWire
from bide.wire import CLOSED_WIRE, ClosedWire, Receiver, Wire
from tests.support.managed import StubConnection
from tests.support.stage import StubWire

#: What a wire that is no more does with each order, and answers to each question.
ANSWERS: Final[dict[str, tuple[Callable[[Wire], object], object]]] = {
    "is_ready": (lambda wire: wire.is_ready, True),
    "scheme": (lambda wire: wire.scheme, "http"),
    "can_half_close": (lambda wire: wire.can_half_close, True),
    "defers": (lambda wire: wire.defers(), False),
    "write": (lambda wire: wire.write(b"x"), None),
    "write_pieces": (lambda wire: wire.write_pieces([b"x"]), None),
    "send_file": (lambda wire: wire.send_file(b"x", 0, 0, 1), 0),
    "pause_reading": (lambda wire: wire.pause_reading(), None),
    "resume_reading": (lambda wire: wire.resume_reading(), None),
    "half_close": (lambda wire: wire.half_close(b"x"), None),
    "half_close_if_quiet": (lambda wire: wire.half_close_if_quiet(), False),
    "release": (lambda wire: wire.release(), None),
    "abort": (lambda wire: wire.abort(), None),
    "rest": (lambda wire: wire.rest(StubConnection()), False),
    "unsent": (lambda wire: wire.unsent(), 0),
    "octets_waiting": (lambda wire: wire.octets_waiting(), False),
    "peer_gone": (lambda wire: wire.peer_gone(), True),
    "probe_peer": (lambda wire: wire.probe_peer(), None),
    "descriptor": (lambda wire: wire.descriptor(), -1),
    "security": (lambda wire: wire.security(), None),
    "peer": (lambda wire: wire.peer(), None),
    "local": (lambda wire: wire.local(), None),
}


def test_table_of_answers_has_every_order_and_question() -> None:
    assert set(ANSWERS) == Wire.__abstractmethods__


@pytest.mark.parametrize("name", ANSWERS)
def test_closed_wire_takes_each_order_and_answers_each_question(name: str) -> None:
    ask, answer = ANSWERS[name]
    assert ask(CLOSED_WIRE) == answer


@pytest.mark.parametrize(
    ("contract", "kind"),
    [
        (Wire, ClosedWire),
        (Wire, SocketWire),
        (Wire, StubWire),
        (Receiver, Session),
        (Receiver, StubConnection),
    ],
)
def test_implementation_has_every_method_of_its_contract(contract: type, kind: type) -> None:
    assert issubclass(kind, contract)
    assert contract.__abstractmethods__  # type: ignore[attr-defined]
    assert kind.__abstractmethods__ == frozenset()  # type: ignore[attr-defined]

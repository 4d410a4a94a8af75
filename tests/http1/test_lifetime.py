"""Every pair of state and input, against a second writing of the table; and what holds for the table as a whole."""

from itertools import product
from typing import cast

import pytest

from bide.http1.lifetime import TRANSITIONS, step, steps
from bide.terms import Input, State

# One line per state: the inputs that it takes, and where they lead.
EXPECTED = """
handshake ready>new  handshake_rejected>closing  peer_eof>closing  deadline>closing  shed>closing  stopped>closing  lost>closed
new       first_octet>head  head_complete>exchange  head_rejected>closing  peer_eof>closing  deadline>closing  shed>closing  stopped>closing  lost>closed
head      head_complete>exchange  head_rejected>closing  peer_eof>closing  deadline>closing  stopped>closing  lost>closed
exchange  persists>idle  unread>discard  switched>tunnel  closes>closing  body_rejected>closing  peer_eof>closing  deadline>closing  stopped>closing  lost>closed
discard   body_complete>idle  body_rejected>closing  closes>closing  peer_eof>closing  deadline>closing  stopped>closing  lost>closed
idle      first_octet>head  head_complete>exchange  head_rejected>closing  peer_eof>closing  deadline>closing  shed>closing  stopped>closing  lost>closed
tunnel    closes>closing  peer_eof>closing  deadline>closing  stopped>closing  lost>closed
closing   half_closed>linger  deadline>closing  stopped>closing  lost>closed
linger    deadline>linger  stopped>linger  lost>closed
closed
"""
TABLE: dict[tuple[State, Input], State] = {
    (State(line.split()[0]), Input(happened)): State(following)
    for line in EXPECTED.strip().splitlines()
    for happened, following in (pair.split(">") for pair in line.split()[1:])
}
OPEN = {State.HANDSHAKE, State.NEW, State.HEAD, State.EXCHANGE, State.DISCARD, State.IDLE, State.TUNNEL}
ENDING = set(State) - OPEN


def reached(start: State) -> set[State]:
    found = {start}
    while True:
        more = {following for (state, _), following in TABLE.items() if state in found} - found
        if not more:
            return found
        found |= more


@pytest.mark.parametrize(
    ("state", "happened"), list(product(State, Input)), ids=lambda word: cast("State | Input", word).value
)
def test_step_of_each_state_and_input_follows_the_table(state: State, happened: Input) -> None:
    following = TABLE.get((state, happened))
    if following is None:
        with pytest.raises(AssertionError, match=f"{happened.name} cannot happen in {state.name}"):
            step(state, happened)
    else:
        assert step(state, happened) is following


@pytest.mark.parametrize("happened", Input, ids=lambda word: cast("Input", word).value)
def test_steps_of_an_input_are_its_column(happened: Input) -> None:
    assert steps(happened) == {state: following for (state, what), following in TABLE.items() if what is happened}


def test_table_has_a_row_for_each_state() -> None:
    assert set(TRANSITIONS) == set(State)


def test_each_state_is_reached_from_new_or_comes_before() -> None:
    assert reached(State.NEW) == set(State) - {State.HANDSHAKE}
    assert reached(State.HANDSHAKE) == set(State)


@pytest.mark.parametrize("state", [State.CLOSING, State.LINGER, State.CLOSED])
def test_ending_state_leads_to_ending_states_only(state: State) -> None:
    assert reached(state) <= ENDING


@pytest.mark.parametrize("state", State)
def test_each_state_leads_to_closed(state: State) -> None:
    assert State.CLOSED in reached(state)


@pytest.mark.parametrize("state", [state for state in State if state is not State.CLOSED])
def test_loss_deadline_and_stop_in_each_state_end_it(state: State) -> None:
    assert step(state, Input.LOST) is State.CLOSED
    assert step(state, Input.DEADLINE) in ENDING
    assert step(state, Input.STOPPED) in ENDING


def test_closed_is_reached_by_loss_only() -> None:
    """So that connections closed and reasons given are the same number."""
    assert {happened for (_, happened), following in TABLE.items() if following is State.CLOSED} == {Input.LOST}
    assert not any(state is State.CLOSED for state, _ in TABLE)


def test_each_input_has_a_place_in_the_table() -> None:
    assert {happened for _, happened in TABLE} == set(Input)


def test_exchange_begins_with_a_complete_head_only() -> None:
    ways = {happened for (_, happened), following in TABLE.items() if following is State.EXCHANGE}
    assert ways == {Input.HEAD_COMPLETE}


def test_shed_is_for_connections_that_are_owed_nothing() -> None:
    assert {state for state, happened in TABLE if happened is Input.SHED} == {State.HANDSHAKE, State.NEW, State.IDLE}

"""Checks the vocabulary: reasons have rows, facts have bits of their own, and names are fit for logs and labels."""

import re

import pytest

from bide import terms
from bide.terms import (
    FACTS,
    REASONS,
    Cause,
    Clock,
    CloseMode,
    CloseReason,
    Initiator,
    Input,
    State,
    WorkerInput,
    WorkerOrder,
    WorkerState,
)

BITS = {
    name: value
    for name, value in vars(terms).items()
    if isinstance(value, int) and name.isupper() and not name.startswith("_")
}


def test_reasons_have_rows_in_the_order_of_the_enumeration() -> None:
    assert list(REASONS) == list(CloseReason)


@pytest.mark.parametrize("reason", CloseReason)
def test_row_of_a_reason_has_initiator_section_and_sentence(reason: CloseReason) -> None:
    row = REASONS[reason]
    assert isinstance(row.initiator, Initiator)
    assert re.fullmatch(r"(RFC \d{4} |PROXY )?\d+(\.\d+)*", row.section), "of RFC 9112, or of the document named"
    assert re.fullmatch(r"[A-Zb].*[^.]\.", row.sentence), "one sentence"


def test_sentences_of_reasons_are_unique() -> None:
    assert len({row.sentence for row in REASONS.values()}) == len(REASONS)


def test_initiator_of_a_reason_follows_its_name() -> None:
    named = {
        Initiator.CLIENT: [reason for reason in CloseReason if reason.value.startswith("client_")],
        Initiator.APPLICATION: [reason for reason in CloseReason if reason.value.startswith("response_")],
        Initiator.SERVER: [reason for reason in CloseReason if reason.value.endswith("_timeout")],
    }
    named[Initiator.CLIENT].remove(CloseReason.CLIENT_POLICY)  # the server's policy, about clients
    for initiator, reasons in named.items():
        assert reasons
        assert {REASONS[reason].initiator for reason in reasons} == {initiator}


@pytest.mark.parametrize(
    "words",
    [State, Input, CloseReason, CloseMode, Clock, Initiator, WorkerState, WorkerInput, WorkerOrder, Cause],
)
def test_words_are_fit_for_labels(words: type[State]) -> None:
    for word in words:
        assert word.value == word.name.lower()
        assert re.fullmatch(r"[a-z][a-z0-9_]*", word.value)


@pytest.mark.parametrize(
    "words", [State, Input, CloseReason, CloseMode, Clock, WorkerState, WorkerInput, WorkerOrder, Cause]
)
def test_words_are_keys_by_identity(words: type[State]) -> None:
    table = {word: word.name for word in words}
    for word in words:
        assert table[words(word.value)] == word.name
        assert hash(word) == object.__hash__(word)


def test_every_fact_is_one_bit_of_its_own() -> None:
    assert BITS
    for name, fact in BITS.items():
        assert fact.bit_count() == 1, name
    assert len(set(BITS.values())) == len(BITS)


def test_every_fact_with_the_name_of_a_reason_gives_that_reason() -> None:
    """HTTP_1_0 and CLIENT_KEEP_ALIVE have no reason of their name: `persist` reads them together (9.3)."""
    assert {reason.name: fact for reason, fact in FACTS.items()} == {
        name: fact for name, fact in BITS.items() if name not in {"HTTP_1_0", "CLIENT_KEEP_ALIVE"}
    }

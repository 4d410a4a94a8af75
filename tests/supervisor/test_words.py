"""What signals mean to the supervisor."""

import signal
from pathlib import Path

import pytest

from bide.supervisor import words
from bide.supervisor.words import SIGNALS, Word, has_terminal, meaning


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (signal.SIGTERM, Word.STOP),
        (signal.SIGINT, Word.STOP),
        (signal.SIGQUIT, Word.STOP),
        (signal.SIGHUP, Word.RELOAD),
        (signal.SIGUSR1, Word.REOPEN),
        (signal.SIGUSR2, Word.UPGRADE),
        (signal.SIGTTIN, Word.MORE),
        (signal.SIGTTOU, Word.FEWER),
    ],
)
def test_signal_has_a_meaning(number: signal.Signals, word: Word) -> None:
    assert meaning(number, had_terminal=False) is word
    assert number in SIGNALS


@pytest.mark.parametrize(
    ("had_terminal", "exists", "word"),
    [(True, True, Word.RELOAD), (True, False, Word.STOP), (False, True, Word.RELOAD), (False, False, Word.RELOAD)],
)
def test_hangup_stops_if_the_terminal_is_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, had_terminal: bool, exists: bool, word: Word
) -> None:
    terminal = tmp_path / "tty"
    if exists:
        terminal.touch()
    monkeypatch.setattr(words, "_TERMINAL", terminal)
    assert has_terminal() is exists
    assert meaning(signal.SIGHUP, had_terminal=had_terminal) is word
    assert meaning(signal.SIGTERM, had_terminal=had_terminal) is Word.STOP

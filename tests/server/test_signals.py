"""Signals: who handles them when, and that the program's own handlers come back."""

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bide.errors import Stopped
from bide.observe.log_files import LogFile
from bide.server.server import loop_factory
from bide.server.signals import SIGNALS, Signals
from tests.support.server import Log, log, loop
from tests.support.waiting import until

__all__ = ["log", "loop"]  # fixtures


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Whatever a test does, the handlers are those of before."""
    before = [(number, signal.getsignal(number)) for number in SIGNALS]
    yield
    for number, handler in before:
        signal.signal(number, handler)


def current() -> list[object]:
    return [signal.getsignal(number) for number in SIGNALS]


def test_handlers_at_the_end_are_those_of_the_program() -> None:
    signal.signal(signal.SIGTERM, lambda *_: None)
    before = current()
    with Signals():
        assert not set(current()) & set(before)
    assert current() == before


def test_hangup_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Signals():
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL


def test_signal_for_the_logs_opens_them_again(tmp_path: Path, log: Log) -> None:
    path = tmp_path / "log"
    before = signal.getsignal(signal.SIGUSR1)
    file = LogFile(str(path))
    with Signals(reopens_logs=True):
        path.unlink()
        signal.raise_signal(signal.SIGUSR1)
        assert path.exists()
        path.unlink()
        path.mkdir()
        log.expect("cannot be opened: Is a directory")
        signal.raise_signal(signal.SIGUSR1)
        until(log.messages)
    file.close()
    assert signal.getsignal(signal.SIGUSR1) is before


def test_signal_for_the_logs_is_the_applications_if_there_are_none() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with Signals():
        assert signal.getsignal(signal.SIGUSR1) is before


def test_handlers_in_another_thread_are_left_alone() -> None:
    before = current()
    seen: list[list[object]] = []

    def enter() -> None:
        with Signals():
            seen.append(current())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_while_the_application_is_imported_is_raised(number: signal.Signals) -> None:
    with Signals():
        for _ in range(2):
            with pytest.raises(Stopped):
                signal.raise_signal(number)


def test_signals_that_an_import_swallowed_are_told_as_the_application_starts(loop: str) -> None:
    told: list[str] = []

    async def start(signals: Signals) -> None:
        signals.starting(lambda: told.append("signalled"), lambda: told.append("seen"))
        while len(told) < 2:
            await asyncio.sleep(0)

    with Signals() as signals, asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        for _ in range(2):
            with pytest.raises(Stopped):
                signal.raise_signal(signal.SIGTERM)
        runner.run(start(signals))


def test_signal_while_the_application_starts_wakes_the_event_loop(loop: str) -> None:
    """It comes from outside, while the loop waits for nothing else."""

    async def start(signals: Signals) -> None:
        signalled = asyncio.Event()
        signals.starting(signalled.set, lambda: None)
        main = threading.main_thread().ident
        assert main is not None
        asyncio.get_running_loop().call_later(0.1, lambda: None)  # the loop has gone to sleep before, and does so again
        threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGTERM)).start()
        await signalled.wait()

    with Signals() as signals, asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(start(signals))
        signals.leaving()
    assert not signals.interrupted


def test_first_signal_while_serving_interrupts_nothing(loop: str) -> None:
    told: list[str] = []

    async def serve(signals: Signals) -> None:
        signals.starting(lambda: told.append("signalled"), lambda: told.append("seen"))
        signals.serving()
        signal.raise_signal(signal.SIGTERM)
        assert told == ["seen"], "at once"
        time.sleep(1.5)  # noqa: ASYNC251  # longer than what an urgent stop leaves; the thread that looks has no other clock
        await asyncio.sleep(0)

    with Signals() as signals, asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(serve(signals))
        signals.leaving()
    assert told == ["seen", "signalled"]
    assert not signals.interrupted


def test_second_signal_while_serving_interrupts_what_blocks(loop: str) -> None:
    told: list[str] = []

    async def serve(signals: Signals) -> None:
        signals.starting(lambda: told.append("signalled"), lambda: told.append("seen"))
        signals.serving()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Stopped):
            time.sleep(60)  # noqa: ASYNC251  # it is interrupted
        await asyncio.sleep(0)

    with Signals() as signals, asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(serve(signals))
        signals.leaving()
    assert told == ["seen", "signalled", "signalled"]
    assert signals.interrupted


def test_signal_once_the_event_loop_is_done_is_ignored() -> None:
    with Signals() as signals:
        signals.leaving()
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)

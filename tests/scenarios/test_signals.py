"""A signal counts whatever the main thread does: it imports, starts, serves or stops, and its event loop turns or is blocked.

1. A signal comes while the application starts. A startup that completes in its second of grace is shut down properly; one that takes
   longer is cancelled; one that blocks the event loop is interrupted by an exception. One line says which; the status is 0.
2. A second signal ends a startup at once, and what blocks the event loop of a server for a second after it is interrupted.
3. A third one ends the process, with a line and the status of a signal.
4. What swallows every exception does not keep the process.
5. SIGABRT prints the stacks, of a blocked event loop, too.
6. A signal to a child that the application has forked is the child's.
"""

import signal
from pathlib import Path

import pytest

from tests.support.program import Launch, Program, serving

SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP]

#: What would block does so for 60 s: a program that ends within this time was ended, seconds.
LONG_BEFORE = 30.0


def starting(launch: Launch, loop: str, app: str, number: signal.Signals = signal.SIGTERM) -> Program:
    return launch(
        *serving(loop, f"signalled_apps:{app}"), "--lifespan", "on", "--no-access-log", env={"NUMBER": str(int(number))}
    )


def lines(program: Program) -> list[str]:
    """Return what a program logged, without the time."""
    return [line.partition(" ")[2] for line in program.errors]


INTERRUPTED = "WARNING startup interrupted: it had blocked the event loop for 1 s after a signal"
APPLICATION_INTERRUPTED = "WARNING application interrupted: it had blocked the event loop for 1 s after a signal"
STOPPED = "INFO stopped before serving"


# -- The first ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", SIGNALS)
def test_startup_that_completes_after_the_signal_is_shut_down(
    launch: Launch, loop: str, number: signal.Signals
) -> None:
    program = starting(launch, loop, "completes", number)
    assert program.wait(LONG_BEFORE) == 0
    assert program.output == ["starting", "acquired", "released", "left"]
    assert lines(program) == [
        "INFO startup completed after the stop had begun: the application cleans up",
        STOPPED,
    ]


def test_startup_that_completes_without_a_pause_after_the_signal_is_shut_down(launch: Launch, loop: str) -> None:
    program = starting(launch, loop, "completes_without_a_pause")
    assert program.wait(LONG_BEFORE) == 0
    assert program.output == ["starting", "acquired", "released", "left"]
    assert "stopped" in lines(program)[-1]


def test_startup_that_takes_longer_is_cancelled(launch: Launch, loop: str) -> None:
    program = starting(launch, loop, "awaits")
    program.line("starting", program.output)
    program.signal()
    assert program.wait(LONG_BEFORE) == 0
    assert program.output == ["starting", "left"]
    assert lines(program) == ["WARNING startup cancelled: not complete 1 s after the stop had begun", STOPPED]


def test_startup_that_fails_after_the_signal_is_said(launch: Launch, loop: str) -> None:
    program = starting(launch, loop, "fails")
    assert program.wait(LONG_BEFORE) == 0
    assert lines(program) == ["ERROR the application failed at startup: OSError('no disk')", STOPPED]


@pytest.mark.parametrize("app", ["blocks", "computes"])
def test_startup_that_blocks_is_interrupted(launch: Launch, loop: str, app: str) -> None:
    program = starting(launch, loop, app)
    program.line("blocking", program.output)
    program.signal()
    assert program.wait(LONG_BEFORE) == 0
    assert program.output == ["starting", "blocking", "unblocked", "left"]
    assert lines(program) == [INTERRUPTED, STOPPED]


def test_startup_that_blocks_once_the_event_loop_has_heard_the_signal_is_interrupted(launch: Launch, loop: str) -> None:
    program = starting(launch, loop, "awaits_then_blocks")
    assert program.wait(LONG_BEFORE) == 0
    assert program.output == ["starting", "blocking", "unblocked", "left"]
    assert STOPPED in lines(program)


def test_startup_that_swallows_the_interruption_is_left(launch: Launch, loop: str) -> None:
    program = starting(launch, loop, "swallows")
    program.line("blocking", program.output)
    program.signal()
    assert program.wait(LONG_BEFORE) == 0
    assert program.output == ["starting", "blocking", "swallowed"]
    assert lines(program) == ["ERROR the event loop stays blocked: the process ends, and nothing more is cleaned up"]


def test_signal_that_an_import_swallows_stops_the_server_before_it_serves(
    launch: Launch, loop: str, tmp_path: Path
) -> None:
    (tmp_path / "swallowing.py").write_text(
        "import os, signal\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "except BaseException:\n"
        "    print('swallowed', flush=True)\n"
        "import asyncio\n"
        "async def app(scope, receive, send):\n"
        "    await receive()\n"
        "    print('starting', flush=True)\n"
        "    try:\n"
        "        await asyncio.sleep(60)\n"
        "    finally:\n"
        "        print('cancelled', flush=True)\n"
    )
    program = launch("serve", "swallowing:app", "--app-dir", str(tmp_path), "--port", "0", "--loop", loop)
    assert program.wait(LONG_BEFORE) == 0
    assert program.output == ["swallowed", "starting", "cancelled"]
    assert lines(program) == ["WARNING startup cancelled: not complete 1 s after the stop had begun", STOPPED]


# -- The second -----------------------------------------------------------------------------------------------------------------


def test_second_signal_cancels_a_startup_at_once(launch: Launch, loop: str) -> None:
    program = starting(launch, loop, "is_signalled_twice")
    assert program.wait(LONG_BEFORE) == 0
    assert program.output == ["starting", "left"]
    assert lines(program) == ["WARNING startup cancelled: not complete when the stop was forced", STOPPED]


def test_second_signal_interrupts_a_startup_that_blocks(launch: Launch, loop: str) -> None:
    program = starting(launch, loop, "is_signalled_twice_and_blocks")
    assert program.wait(LONG_BEFORE) == 0
    assert program.output == ["starting", "blocking", "unblocked", "left"]
    assert lines(program) == [INTERRUPTED, STOPPED]


def test_second_signal_interrupts_a_request_that_blocks_and_the_application_cleans_up(
    launch: Launch, loop: str
) -> None:
    program = starting(launch, loop, "blocked")
    with program.client() as client:
        client.ask("/block")
        program.line("blocking", program.output)
        program.signal()
        program.signal(signal.SIGINT)
        assert program.wait(LONG_BEFORE) == 0
    assert program.output == ["blocking", "unblocked", "released"]
    program.line("GET /block: cancelled before its response was complete")
    assert lines(program)[-2:] == [APPLICATION_INTERRUPTED, "INFO stopped"]


def test_second_signal_interrupts_a_clean_up_that_blocks(launch: Launch, loop: str) -> None:
    program = starting(launch, loop, "blocks_at_shutdown")
    program.line("serving")
    program.signal()
    program.line("blocking", program.output)
    program.signal()
    assert program.wait(LONG_BEFORE) == 0
    assert program.output == ["blocking", "unblocked"]
    assert lines(program)[-2:] == [APPLICATION_INTERRUPTED, "INFO stopped"]


def test_second_signal_leaves_what_swallows_the_interruption(launch: Launch, loop: str) -> None:
    program = starting(launch, loop, "blocked")
    with program.client() as client:
        client.ask("/swallow")
        program.line("blocking", program.output)
        program.signal()
        program.signal(signal.SIGINT)
        assert program.wait(LONG_BEFORE) == 0
    assert program.output == ["blocking", "swallowed"]
    program.line("ERROR the event loop stays blocked")


# -- The third --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", SIGNALS)
def test_third_signal_ends_a_process_whose_event_loop_is_blocked(
    launch: Launch, loop: str, number: signal.Signals
) -> None:
    program = starting(launch, loop, "blocked", number)
    with program.client() as client:
        client.ask("/three")
        assert program.wait(LONG_BEFORE) == 128 + number
    assert program.output == []
    assert lines(program)[-1] == "ERROR third signal: the process ends, and nothing more is cleaned up"


def test_third_signal_ends_a_startup_that_blocks(launch: Launch, loop: str) -> None:
    program = starting(launch, loop, "is_signalled_three_times")
    assert program.wait(LONG_BEFORE) == 128 + signal.SIGTERM
    assert program.output == ["starting"]
    assert lines(program) == ["ERROR third signal: the process ends, and nothing more is cleaned up"]


def test_third_signal_ends_a_process_whose_log_is_held(launch: Launch, loop: str) -> None:
    """Then without its line. The interruption that the first signal brings comes in the middle of it."""
    program = starting(launch, loop, "holds_the_log")
    assert program.wait(LONG_BEFORE) == 128 + signal.SIGTERM
    assert program.output == ["starting"]
    assert program.errors == []


def test_third_signal_ends_an_import_that_swallows_every_exception(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "swallowing.py").write_text(
        "import os, signal\n"
        "while True:\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    except BaseException:\n"
        "        print('swallowed', flush=True)\n"
    )
    program = launch("serve", "swallowing:app", "--app-dir", str(tmp_path))
    assert program.wait(LONG_BEFORE) == 128 + signal.SIGTERM
    assert program.output == ["swallowed", "swallowed"]


def test_third_signal_ends_a_drain(launch: Launch, loop: str) -> None:
    """Whose event loop turns."""
    program = starting(launch, loop, "is_signalled_at_shutdown")
    program.line("serving")
    program.signal()
    assert program.wait(LONG_BEFORE) == 128 + signal.SIGTERM
    assert program.output == ["stopping"]
    assert lines(program)[-1] == "ERROR third signal: the process ends, and nothing more is cleaned up"


# -- Children -----------------------------------------------------------------------------------------------------------------------


def test_signal_to_a_forked_child_is_the_childs(launch: Launch, loop: str) -> None:
    program = launch(*serving(loop, "signalled_apps:forks"))
    with program.client() as client:
        assert client.get().content == str(-signal.SIGTERM).encode()
        assert not client.get().says_close
    assert not any("stopping" in line for line in program.errors)


# -- Stacks -------------------------------------------------------------------------------------------------------------------


def test_abort_prints_the_stacks_of_a_blocked_loop(launch: Launch, loop: str) -> None:
    program = starting(launch, loop, "blocks")
    program.line("starting", program.output)
    program.signal(signal.SIGABRT)
    assert program.wait(LONG_BEFORE) == -signal.SIGABRT
    assert any("signalled_apps.py" in line for line in program.errors)

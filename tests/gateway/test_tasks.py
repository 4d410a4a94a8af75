"""Calls of an application run in tasks of their own, and are counted until they end."""

import asyncio
import contextvars

from bide.gateway.tasks import ApplicationTasks, Call
from tests.support.loops import JumpingLoop

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


def some_passes(loop: JumpingLoop) -> None:
    for _ in range(5):
        loop.run_until_complete(asyncio.sleep(0))


def started(tasks: ApplicationTasks, waits_for: asyncio.Future[None]) -> tuple[Call, list[str]]:
    """Start a call that waits, and return it with what it has seen."""
    call = Call()
    seen: list[str] = []

    async def application() -> None:
        seen.append(VARIABLE.get())
        VARIABLE.set("set by a call")
        try:
            await waits_for
        finally:
            tasks.running.discard(call)

    tasks.running.add(call)
    tasks.start(call, application())
    return call, seen


def test_call_is_counted_until_its_coroutine_ends(loop: JumpingLoop) -> None:
    tasks = ApplicationTasks(loop)
    future = loop.create_future()

    async def start() -> None:
        call, _ = started(tasks, future)
        assert tasks.running == {call}
        assert call.task is not None
        assert call.task.get_name() == "bide-request"

    loop.run_until_complete(start())
    some_passes(loop)
    assert len(tasks.running) == 1
    future.set_result(None)
    some_passes(loop)
    assert tasks.running == set()


def test_calls_do_not_see_each_others_context_variables(loop: JumpingLoop) -> None:
    tasks = ApplicationTasks(loop)
    future = loop.create_future()
    calls: list[list[str]] = []

    async def start_both() -> None:
        for _ in range(2):
            calls.append(started(tasks, future)[1])
            await asyncio.sleep(0)

    loop.run_until_complete(start_both())
    some_passes(loop)
    assert calls == [["unset"], ["unset"]]
    future.set_result(None)
    some_passes(loop)


def test_cancelled_call_ends_even_if_it_has_not_begun(loop: JumpingLoop) -> None:
    tasks = ApplicationTasks(loop)
    future = loop.create_future()

    async def start() -> None:
        started(tasks, future)
        tasks.cancel()

    loop.run_until_complete(start())
    some_passes(loop)
    assert tasks.running == set()

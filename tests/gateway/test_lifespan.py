"""The lifespan: what an application says of its start and its stop, whoever still waits for it, and what the log makes of it.

The facts are the application's: a wait of the server's own that is cancelled changes none of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from bide.errors import LifespanError, Stopped
from bide.gateway.lifespan import Lifespan
from tests.support.apps import Message, Receive, Send
from tests.support.server import Log, logged


@pytest.fixture
def log() -> Iterator[Log]:
    with logged() as log:
        yield log


def loud(log: Log) -> list[str]:
    """Return the level and the text of each warning and error."""
    return [
        f"{record.levelname} {record.getMessage()}"
        for record in log.records
        if record.levelname in {"WARNING", "ERROR"}
    ]


async def passes(count: int = 5) -> None:
    """Let the event loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


class Gated:
    """An application that answers the startup and the shutdown when it is let. `seen`: what it got to."""

    def __init__(self, answer: str = "complete", shutdown: str = "complete") -> None:
        self.answer = answer
        self.shutdown = shutdown
        self.may_start = asyncio.Event()
        self.may_stop = asyncio.Event()
        self.seen: list[str] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await self.may_start.wait()
        await send({"type": f"lifespan.startup.{self.answer}", "message": "no database"})
        self.seen.append("started")
        if self.answer == "failed":
            return
        await receive()
        await self.may_stop.wait()
        await send({"type": f"lifespan.shutdown.{self.shutdown}", "message": "lost the queue"})
        self.seen.append("stopped")


async def cancelled(wait: Awaitable[None]) -> None:
    """Begin a wait, and cancel it."""
    task = asyncio.ensure_future(wait)
    await passes()
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()


# -- A wait that was cancelled --------------------------------------------------------------------------------------------


def test_startup_complete_once_nobody_waits_is_taken_and_shutdown_follows(log: Log) -> None:
    async def program() -> list[str]:
        app = Gated()
        lifespan = Lifespan(app, "on")
        await cancelled(lifespan.startup())
        facts = [lifespan.is_starting]
        stopping = asyncio.ensure_future(lifespan.shutdown())
        await passes()
        app.may_start.set()
        await lifespan.started()
        facts.append(lifespan.is_starting)
        assert facts == [True, False]
        app.may_stop.set()
        await stopping
        return app.seen

    assert asyncio.run(program()) == ["started", "stopped"]
    assert loud(log) == []


def test_startup_failed_once_the_stop_has_begun_is_one_line(log: Log) -> None:
    async def program() -> list[str]:
        app = Gated("failed")
        lifespan = Lifespan(app, "on")
        await cancelled(lifespan.startup())
        stopping = asyncio.ensure_future(lifespan.shutdown())
        await passes()
        app.may_start.set()
        await stopping
        return app.seen

    assert asyncio.run(program()) == ["started"]
    assert loud(log) == ["ERROR the application failed at startup: no database"]


@pytest.mark.parametrize("mode", ["on", "auto"])
def test_startup_that_raises_once_the_stop_has_begun_is_not_served(log: Log, mode: str) -> None:
    may_fail = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await may_fail.wait()
        raise OSError("no disk")

    async def program() -> None:
        lifespan = Lifespan(app, mode)  # type: ignore[arg-type]  # a parameter
        await cancelled(lifespan.startup())
        stopping = asyncio.ensure_future(lifespan.shutdown())
        await passes()
        may_fail.set()
        await stopping

    asyncio.run(program())
    assert loud(log) == ["ERROR the application failed at startup: OSError('no disk')"]


def test_shutdown_complete_once_nobody_waits_is_taken(log: Log) -> None:
    async def program() -> list[str]:
        app = Gated()
        app.may_start.set()
        lifespan = Lifespan(app, "on")
        await lifespan.startup()
        await cancelled(lifespan.shutdown())
        app.may_stop.set()
        await passes()
        return app.seen

    assert asyncio.run(program()) == ["started", "stopped"]
    assert loud(log) == []


# -- What the server itself has ended ---------------------------------------------------------------------------------------


def ended(error: BaseException | None, at: str) -> Callable[[Message, Receive, Send], Awaitable[None]]:
    """Make an application that answers as Starlette does if it is ended from outside; `error`: by this, or else by `cancel`."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        started = False
        await receive()
        try:
            if at == "shutdown":
                await send({"type": "lifespan.startup.complete"})
                started = True
                await receive()
            if error is not None:
                raise error
            await asyncio.Event().wait()
        except BaseException:
            await send({"type": f"lifespan.{'shutdown' if started else 'startup'}.failed", "message": "Traceback ..."})
            raise

    return app


@pytest.mark.parametrize("at", ["startup", "shutdown"])
def test_application_that_is_cancelled_is_no_line(log: Log, at: str) -> None:
    async def program() -> None:
        lifespan = Lifespan(ended(None, at), "on")
        if at == "startup":
            await cancelled(lifespan.startup())
        else:
            await lifespan.startup()
        stopping = asyncio.ensure_future(lifespan.shutdown())
        await passes()
        lifespan.cancel()
        await stopping

    asyncio.run(program())
    assert loud(log) == []


@pytest.mark.parametrize("at", ["startup", "shutdown"])
def test_application_that_a_signal_interrupts_is_no_line(log: Log, at: str) -> None:
    async def program() -> None:
        lifespan = Lifespan(ended(Stopped(), at), "auto")
        if at == "startup":
            with pytest.raises(LifespanError):
                await lifespan.startup()
        else:
            await lifespan.startup()
        await lifespan.shutdown()

    asyncio.run(program())
    assert loud(log) == []


# -- Lines that fit their time ------------------------------------------------------------------------------------------------

GOES_ON = "the server goes on, and no clean-up will run when it stops"

ENDS = {
    "failed": "ERROR the application failed its lifespan while serving: lost the queue; " + GOES_ON,
    "failed without a reason": "ERROR the application failed its lifespan while serving: it gave no reason; " + GOES_ON,
    "failed and raises": "ERROR the application failed its lifespan while serving: lost the queue; " + GOES_ON,
    "raises": "ERROR the application failed its lifespan while serving: OSError('lost the queue'); " + GOES_ON,
    "complete": "WARNING the application ended its lifespan while serving; " + GOES_ON,
    "returns": "WARNING the application ended its lifespan while serving; " + GOES_ON,
    "is cancelled": "WARNING the application ended its lifespan while serving; " + GOES_ON,
}


def ending(
    how: str, before: Callable[[Receive], Awaitable[object]]
) -> Callable[[Message, Receive, Send], Awaitable[None]]:
    """Make an application that ends its lifespan in this way; `before`: what it awaits before that."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await before(receive)
        if how == "complete":
            await send({"type": "lifespan.shutdown.complete"})
        elif how == "failed without a reason":
            await send({"type": "lifespan.shutdown.failed"})
        elif how.startswith("failed"):
            await send({"type": "lifespan.shutdown.failed", "message": "lost the queue"})
        if how.endswith("raises"):
            raise OSError("lost the queue")
        if how == "is cancelled":
            raise asyncio.CancelledError

    return app


@pytest.mark.parametrize("how", ENDS)
def test_lifespan_that_ends_while_serving_is_one_line_that_says_so(log: Log, how: str) -> None:
    async def program() -> None:
        lifespan = Lifespan(ending(how, lambda _: passes()), "on")
        await lifespan.startup()
        await passes(20)
        assert loud(log) == [ENDS[how]]
        await lifespan.shutdown()

    asyncio.run(program())
    assert loud(log) == [ENDS[how]]


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("failed", ["ERROR the application failed at shutdown: lost the queue"]),
        ("failed without a reason", ["ERROR the application failed at shutdown: it gave no reason"]),
        ("failed and raises", ["ERROR the application failed at shutdown: lost the queue"]),
        ("raises", ["ERROR the application failed at shutdown: OSError('lost the queue')"]),
        ("complete", []),
        ("returns", []),
    ],
)
def test_lifespan_that_ends_at_shutdown_is_one_line_that_says_so(log: Log, how: str, line: list[str]) -> None:
    async def program() -> None:
        lifespan = Lifespan(ending(how, lambda receive: receive()), "on")
        await lifespan.startup()
        await lifespan.shutdown()

    asyncio.run(program())
    assert loud(log) == line


def test_event_out_of_turn_is_refused(log: Log) -> None:
    refused: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        async def tried(kind: str) -> None:
            try:
                await send({"type": f"lifespan.{kind}"})
            except RuntimeError:
                refused.append(kind)

        await tried("shutdown.complete")
        await tried("shutdown.failed")
        await tried("nonsense")
        await tried("startup.complete")
        await tried("startup.complete")
        await tried("startup.failed")
        await receive()
        await receive()
        await tried("shutdown.complete")
        await tried("shutdown.failed")

    async def program() -> None:
        lifespan = Lifespan(app, "on")
        await lifespan.startup()
        await lifespan.shutdown()

    asyncio.run(program())
    assert refused == [
        "shutdown.complete",
        "shutdown.failed",
        "nonsense",
        "startup.complete",
        "startup.failed",
        "shutdown.failed",
    ]
    assert loud(log) == []

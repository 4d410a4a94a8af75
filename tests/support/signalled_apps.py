"""Applications that a signal meets: as they start, as they serve, as they stop. What they print, the tests wait for."""

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from multiprocessing.connection import Connection
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.support.apps import Message, Receive, Send

#: The signal that an application sends to its own process: Python has handled it when the next line runs.
NUMBER = int(os.environ.get("NUMBER", signal.SIGTERM))

#: How long what blocks would block, seconds: no test waits for that.
LONG = 60.0


def say(word: str) -> None:
    print(word, flush=True)


def signal_self(times: int = 1) -> None:
    for _ in range(times):
        os.kill(os.getpid(), NUMBER)


async def passes() -> None:
    """Let the event loop hear of a signal."""
    for _ in range(20):
        await asyncio.sleep(0)


def _spin() -> None:
    until = time.monotonic() + LONG
    while time.monotonic() < until:
        pass


def compute() -> None:
    """Compute for LONG, without a call that waits, between "blocking" and "unblocked"."""
    say("blocking")
    try:
        _spin()  # a call: CPython 3.13 leaves the jump of a loop out of the `try` around it
    finally:
        say("unblocked")


def block() -> None:
    """Wait for LONG, between "blocking" and "unblocked"."""
    say("blocking")
    try:
        time.sleep(LONG)
    finally:
        say("unblocked")


def swallow() -> None:
    """Wait for LONG, whatever is raised."""
    say("blocking")
    until = time.monotonic() + LONG
    while time.monotonic() < until:
        try:
            time.sleep(LONG)
        except BaseException:
            say("swallowed")


def starting(start: Callable[[], Any]) -> Starlette:
    """Make an application whose startup does this, between "starting" and "acquired"; "left" is said whichever way it ends."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        say("starting")
        try:
            made = start()
            if asyncio.iscoroutine(made):
                await made
            say("acquired")
            yield
            say("released")
        finally:
            say("left")

    return Starlette(lifespan=lifespan)


async def _signalled_then_completes() -> None:
    signal_self()
    await passes()


async def _awaits_then_blocks() -> None:
    signal_self()
    await passes()
    block()


async def _is_impatient() -> None:
    signal_self(2)
    await asyncio.sleep(LONG)


def _signalled_three_times_while_the_log_is_held() -> None:
    held = threading.Event()

    def hold() -> None:
        for handler in logging.getLogger("bide").handlers:
            handler.acquire()
        held.set()
        time.sleep(LONG)

    threading.Thread(target=hold, daemon=True).start()
    held.wait()
    signal_self(2)
    time.sleep(0.5)  # so that the interruption, a second after the first signal, meets the third one
    signal_self()
    block()


def _signalled_twice_then_blocks() -> None:
    signal_self(2)
    block()


completes = starting(_signalled_then_completes)
completes_without_a_pause = starting(signal_self)
awaits = starting(lambda: asyncio.sleep(LONG))
blocks = starting(block)
computes = starting(compute)
swallows = starting(swallow)
awaits_then_blocks = starting(_awaits_then_blocks)
is_signalled_twice = starting(_is_impatient)
is_signalled_twice_and_blocks = starting(_signalled_twice_then_blocks)
holds_the_log = starting(_signalled_three_times_while_the_log_is_held)
is_signalled_three_times = starting(lambda: signal_self(3))


async def fails(_scope: Message, receive: Receive, _send: Send) -> None:
    """Fail at startup after a signal, and not as Starlette does, which says so with a traceback."""
    await receive()
    await _signalled_then_completes()
    raise OSError("no disk")


# -- Serving ----------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _served(_app: Starlette) -> AsyncIterator[None]:
    yield
    say("released")


async def _block(_request: Request) -> PlainTextResponse:
    block()
    return PlainTextResponse("never")


async def _swallow(_request: Request) -> PlainTextResponse:
    swallow()
    return PlainTextResponse("never")


async def _signal_three_times(_request: Request) -> PlainTextResponse:
    signal_self(3)
    say("survived")
    return PlainTextResponse("never")


blocked = Starlette(
    lifespan=_served,
    routes=[Route("/block", _block), Route("/swallow", _swallow), Route("/three", _signal_three_times)],
)


@contextlib.asynccontextmanager
async def _blocks_at_shutdown(_app: Starlette) -> AsyncIterator[None]:
    yield
    block()


blocks_at_shutdown = Starlette(lifespan=_blocks_at_shutdown)


async def is_signalled_at_shutdown(scope: Message, receive: Receive, send: Send) -> None:
    """Have its process get the second signal and the third one as it stops."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    say("stopping")
    await passes()
    signal_self(2)
    say("survived")


# -- Children -----------------------------------------------------------------------------------------------------------------


def _child(ready: Connection) -> None:
    ready.send(None)  # Python drops a signal that comes sooner after the fork
    time.sleep(LONG)


async def _fork(_request: Request) -> PlainTextResponse:
    """End a forked child by a signal, as `multiprocessing` does, and answer by which it has ended."""
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe()
    child = fork.Process(target=_child, args=(there,))
    child.start()
    await asyncio.to_thread(here.recv)
    child.terminate()
    await asyncio.to_thread(child.join)
    return PlainTextResponse(str(child.exitcode))


forks = Starlette(routes=[Route("/", _fork)])

"""An application is told that the server starts and stops, if it wants to know.

1. It starts before the first connection is accepted, and stops after the last one has ended.
2. What it leaves in its state, each request has.
3. It says that it cannot start: the server does not listen; one line, status 1. It says that it could not stop cleanly: a line.
4. It knows no lifespan: the server goes on without, unless told otherwise.
5. It hangs: a signal ends the program all the same.
6. A second signal while connections end leaves it a moment to clean up.
7. It ends or fails its lifespan while it is served: a line says so, and the server goes on.
"""

import asyncio
import logging
import signal
import time

import pytest

from bide.errors import LifespanError
from bide.terms import DRAIN
from tests.support.apps import Lifespan, Message, Receive, Send, hello
from tests.support.program import Launch, serving
from tests.support.server import NOISE, Serve


@pytest.mark.parametrize("mode", ["on", "auto"])
def test_lifespan_is_told_of_start_and_stop(serve: Serve, mode: str) -> None:
    app = Lifespan()
    server = serve(app, lifespan=mode)
    assert app.seen == ["startup"]
    with server.client() as client:
        assert client.get().content == b"{'book': 'open'}"
    server.stop()
    assert app.seen == ["startup", "shutdown"]


def test_lifespan_off_is_not_called(serve: Serve) -> None:
    app = Lifespan()
    server = serve(app, lifespan="off")
    with server.client() as client:
        assert client.get().content == b"no state"
    server.stop()
    assert app.seen == []


def test_lifespan_state_is_copied_for_each_request(serve: Serve) -> None:
    """Shallowly: what one request adds, no other sees; what is shared, is shared."""
    shared: list[int] = []
    seen: list[dict[str, object]] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["shared"] = shared
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        seen.append(dict(scope["state"]))
        scope["state"]["mine"] = True
        scope["state"]["shared"].append(1)
        await hello(scope, receive, send)

    server = serve(app, lifespan="on")
    with server.client() as client:
        client.get()
        client.get()
    assert [set(state) for state in seen] == [{"shared"}, {"shared"}]
    assert shared == [1, 1]


def test_application_without_lifespan_serves_unless_it_is_required(serve: Serve) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        assert "state" not in scope
        await hello(scope, receive, send)

    server = serve(app, lifespan="auto")
    with server.client() as client:
        assert client.get().content == b"hello\n"
    with pytest.raises(LifespanError, match="NotImplementedError"):
        serve(app, lifespan="on")


def test_application_that_ignores_lifespan_serves(serve: Serve) -> None:
    """An application that ignores the scope altogether."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await hello(scope, receive, send)

    server = serve(app, lifespan="auto")
    with server.client() as client:
        assert client.get().content == b"hello\n"


def test_startup_that_fails_raises(serve: Serve) -> None:
    for mode in ("on", "auto"):
        with pytest.raises(LifespanError, match="no luck today"):
            serve(Lifespan("startup"), lifespan=mode)


def test_shutdown_that_fails_is_logged(serve: Serve) -> None:
    server = serve(Lifespan("shutdown"), lifespan="on")
    server.log.expect("no luck today")
    with server.client() as client:
        client.get()


def test_shutdown_that_raises_is_logged(serve: Serve) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise RuntimeError("at stop")

    serve(app, lifespan="on").log.expect("failed at shutdown: RuntimeError")


def test_lifespan_that_fails_while_serving_is_said_and_the_server_goes_on(serve: Serve) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await hello(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.failed", "message": "lost the queue"})

    server = serve(app, lifespan="on")
    server.log.expect("failed its lifespan while serving: lost the queue; the server goes on")
    server.until(lambda: server.log.messages(logging.ERROR))
    with server.client() as client:
        assert client.get().content == b"hello\n"


def test_shutdown_comes_after_the_last_request(serve: Serve) -> None:
    events: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"]
                events.append(kind)
                await send({"type": f"{kind}.complete"})
                if kind == "lifespan.shutdown":
                    return
        await asyncio.sleep(0.3)
        await hello(scope, receive, send)
        await asyncio.sleep(0.1)
        events.append("request")

    server = serve(app, lifespan="on")
    with server.client() as client:
        client.ask()
        server.until(lambda: server.states()["exchange"])
        server.drain()
        assert client.response().content == b"hello\n"
    server.stop()
    assert events == ["lifespan.startup", "request", "lifespan.shutdown"]


def test_shutdown_after_a_second_signal_has_a_moment(serve: Serve) -> None:
    events: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await asyncio.sleep(0.3)
            events.append("clean")
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await asyncio.sleep(30)

    server = serve(app, lifespan="on", drain_timeout=20.0)
    server.log.expect("at the second signal")
    worker = server.server.worker
    with server.client() as client:
        client.ask()
        server.until(lambda: server.states()["exchange"])
        server.drain()
        server.until(lambda: worker.context.facts & DRAIN)
        server.call(worker.force_stop)
        server.stop()
    assert events == ["clean"]


def test_program_whose_startup_fails_exits_1(launch: Launch, loop: str) -> None:
    program = launch(*serving(loop, "apps:failing_startup"), "--lifespan", "auto")
    assert program.wait() == 1
    (line,) = program.errors
    assert line.startswith("bide: ")
    assert "no luck today" in line


def test_program_whose_shutdown_fails_says_so(launch: Launch, loop: str) -> None:
    program = launch(*serving(loop, "apps:failing_shutdown"), "--lifespan", "on")
    with program.client() as client:
        client.get()
    program.signal()
    program.wait()
    program.line("no luck today")


def test_program_without_lifespan_exits_1_if_it_is_required(launch: Launch, loop: str) -> None:
    program = launch(*serving(loop, "apps:no_lifespan"), "--lifespan", "on")
    assert program.wait() == 1
    assert len(program.errors) == 1
    program = launch(*serving(loop, "apps:no_lifespan"), "--lifespan", "auto")
    with program.client() as client:
        assert client.get().status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_startup_that_hangs_is_ended_by_a_signal(launch: Launch, loop: str, number: signal.Signals) -> None:
    program = launch(*serving(loop, "apps:hanging_startup"), "--lifespan", "on")
    program.line("hanging", program.output)
    signalled = program.signal(number)
    program.wait()
    assert time.monotonic() - signalled < NOISE


def test_shutdown_that_hangs_is_ended_by_a_second_signal(launch: Launch, loop: str) -> None:
    program = launch(*serving(loop, "apps:hanging_shutdown"), "--lifespan", "on")
    program.line("serving on")
    program.signal()
    program.line("hanging", program.output)
    signalled = program.signal()
    program.wait()
    assert time.monotonic() - signalled < NOISE

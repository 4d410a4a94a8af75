"""A reset is named for what the connection was doing: of an idle connection it is as harmless as a FIN.

1. The client leaves by RST, in each state of the connection.
2. `client_reset` is left for those that lose something: a request or a response was not complete.
3. HAProxy ends the idle connections of its pool so.
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from bide.terms import State
from tests.support.apps import App, Message, Receive, Send, answer, hello, refuse
from tests.support.client import Client, request
from tests.support.front_ends import haproxy
from tests.support.server import Serve, Served


def is_in(server: Served, state: State) -> Callable[[], bool]:
    return lambda: any(session.state is state for session in server.server.worker.register)


async def endless(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await receive()
    await receive()


async def never(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await receive()


def is_new(client: Client, server: Served) -> None:
    server.until(is_in(server, State.NEW))


def is_idle(client: Client, server: Served) -> None:
    client.get()
    server.until(is_in(server, State.IDLE))


def has_sent_an_empty_line(client: Client, server: Served) -> None:
    is_idle(client, server)
    client.send(b"\r\n")


def is_within_a_head(client: Client, server: Served) -> None:
    client.send(b"GET / HT")
    server.until(is_in(server, State.HEAD))


def is_within_the_second_head(client: Client, server: Served) -> None:
    client.get()
    is_within_a_head(client, server)


def awaits_its_answer(client: Client, server: Served) -> None:
    client.ask()
    server.until(is_in(server, State.EXCHANGE))


def is_within_an_answer(client: Client, server: Served) -> None:
    client.ask()
    client.head()


def is_within_a_body(client: Client, server: Served) -> None:
    client.send(request("/", "Content-Length: 10", method="POST") + b"five!")
    server.until(is_in(server, State.EXCHANGE))


def is_answered_within_a_body(client: Client, server: Served) -> None:
    client.send(request("/", "Content-Length: 10", method="POST") + b"five!")
    assert client.response().status == 413
    server.until(is_in(server, State.DISCARD))


#: What the client does before it resets -> (application, reason).
STATES: Final[dict[Callable[[Client, Served], None], tuple[App, str]]] = {
    is_new: (hello, "client_eof_unused"),
    is_idle: (hello, "client_eof_idle"),
    has_sent_an_empty_line: (hello, "client_eof_idle"),
    is_within_a_head: (hello, "client_incomplete"),
    is_within_the_second_head: (hello, "client_incomplete"),
    awaits_its_answer: (never, "client_reset"),
    is_within_an_answer: (endless, "client_reset"),
    is_within_a_body: (never, "client_reset"),
    is_answered_within_a_body: (refuse, "client_incomplete"),
}


@pytest.mark.parametrize("before", STATES, ids=lambda before: before.__name__)
def test_reset_is_named_for_what_the_connection_was_doing(
    serve: Serve, before: Callable[[Client, Served], None]
) -> None:
    app, reason = STATES[before]
    server = serve(app)
    with server.client() as client:
        before(client, server)
        client.reset()
    assert server.ends() == {reason: 1}


def test_reset_of_an_idle_connection_whose_answer_is_stuck_is_a_reset(serve: Serve) -> None:
    """The exchange is over, and the client has not taken what was written."""

    async def large(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, bytes(20_000_000))

    server = serve(large)
    with server.client(receive_buffer=4096) as client:
        client.ask()
        server.until(is_in(server, State.IDLE))
        client.reset()
    assert server.ends() == {"client_reset": 1}


def test_reset_behind_pipelined_requests_is_a_reset(serve: Serve) -> None:
    """The first answer is stuck, and the next request waits for its turn."""

    async def large(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, bytes(20_000_000))

    server = serve(large)
    with server.client(receive_buffer=4096) as client:
        client.send(request("/") * 3)
        server.until(is_in(server, State.IDLE))
        client.reset()
    assert server.ends() == {"client_reset": 1}


#: Of HAProxy, at once.
CLIENTS: Final = 10


def test_idle_connections_that_haproxy_purges_are_no_resets(
    serve: Serve, system_tool: Callable[..., str], tmp_path: Path
) -> None:
    """Clients ask at once, so that HAProxy opens connections; then it has too many, and purges them."""
    program = system_tool("haproxy")

    async def slow(scope: Message, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.2)
        await answer(send, b"hello\n")

    server = serve(slow)
    where = "{}:{}".format(*server.where)
    with (
        haproxy(program, tmp_path, f"{where} pool-purge-delay 200ms", backend="http-reuse always") as front,
        contextlib.ExitStack() as clients,
    ):
        asking = [clients.enter_context(Client(front)) for _ in range(CLIENTS)]
        for client in asking:
            client.ask()
        for client in asking:
            assert client.response().content == b"hello\n"
        server.until(lambda: sum(server.counters.closed.values()) > 0, timeout=20.0)
    ended = server.ends()
    assert set(ended) <= {"client_eof_idle", "client_eof_unused"}, ended
    assert ended["client_eof_idle"] > 0

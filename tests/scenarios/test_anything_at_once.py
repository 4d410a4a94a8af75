"""Clients that do anything, applications that do anything, and a drain in between: nothing is left, and no server's error is logged.

1. Each client sends some requests, pipelined or not, of any method and version, with bodies whole or broken.
2. It reads a little, pauses, half-closes, closes, or resets.
3. Each application sends a head and pieces, with and without pauses, reads, listens, is cancelled, sends from a thread, or fails.
4. At the end, or in the middle, the server stops. Each connection has ended for a reason, no task and no descriptor is left.
"""

import asyncio
import contextlib
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from tests.support.apps import Message, Receive, Send
from tests.support.client import Client, request
from tests.support.server import Serve, Served

#: Connections of each client, and clients at a time.
VISITS: Final = 25
CLIENTS: Final = 8

PAUSES: Final = (None, None, 0.0, 0.001, 0.02)
PIECES: Final = (b"", b"x", b"x" * 1000, b"x" * 100_000, b"x" * 1_200_000)


async def pause(chance: random.Random) -> None:
    seconds = chance.choice(PAUSES)
    if seconds is not None:
        await asyncio.sleep(seconds)


async def anything(scope: Message, receive: Receive, send: Send) -> None:
    """Do something that the target's number decides; errors of misuse are its own."""
    chance = random.Random(scope["path"])
    loop = asyncio.get_running_loop()
    listener: asyncio.Future[None] | None = None
    own = asyncio.current_task()
    assert own is not None

    async def listen() -> None:
        while (await receive())["type"] != "http.disconnect":
            await asyncio.sleep(0)
        if chance.random() < 0.8:
            own.cancel()

    async def put(message: Message) -> None:
        if chance.random() < 0.05:
            await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(send(message), loop).result(10))  # type: ignore[arg-type]
        else:
            await send(message)

    try:
        if chance.random() < 0.5:
            listener = asyncio.ensure_future(listen())
        elif chance.random() < 0.5:
            while (await receive()).get("more_body"):
                await pause(chance)
        await pause(chance)
        if chance.random() < 0.05:
            own.cancel()
        fields: list[tuple[bytes, bytes]] = []
        pieces = [chance.choice(PIECES) for _ in range(chance.choice((0, 1, 1, 3, 10)))]
        if chance.random() < 0.3:
            length = sum(map(len, pieces)) + chance.choice((0, 0, 0, -1, 1))
            fields.append((b"content-length", b"%d" % max(0, length)))
        if chance.random() < 0.3:
            fields.append((b"content-type", b"text/event-stream"))
        status = chance.choice((200, 200, 200, 404, 204, 205, 304))
        has_trailers = chance.random() < 0.1
        await put({"type": "http.response.start", "status": status, "headers": fields, "trailers": has_trailers})
        for piece in pieces:
            await pause(chance)
            await put({"type": "http.response.body", "body": piece, "more_body": True})
        if chance.random() < 0.05:
            raise ConnectionAbortedError("enough")
        await pause(chance)
        if chance.random() < 0.9:
            await put({"type": "http.response.body", "body": chance.choice(PIECES[:3])})
        if has_trailers:
            await put({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})
        await pause(chance)
    finally:
        if listener is not None:
            listener.cancel()


def visit(client: Client, chance: random.Random) -> None:
    """Do something on one connection."""
    with contextlib.suppress(OSError):
        for _ in range(chance.choice((1, 1, 2, 5))):
            octets = b""
            for _ in range(chance.choice((1, 1, 3))):
                method = chance.choice(("GET", "GET", "HEAD", "POST"))
                lines = chance.choice(((), (), ("TE: trailers",), ("Connection: close",), ("Expect: 100-continue",)))
                body = chance.choice((None, b"body", b"x" * 100_000)) if method == "POST" else None
                version = chance.choice(("1.1", "1.1", "1.1", "1.0"))
                octets += request(f"/{chance.random()}", *lines, method=method, version=version, body=body)
            if chance.random() < 0.15:
                octets = octets[: chance.randrange(len(octets))]
            client.send(octets)
            time.sleep(chance.choice((0.0, 0.0, 0.001, 0.02)))  # real clients: no clock can stand for them
            client.sock.settimeout(chance.choice((0.01, 0.05)))
            with contextlib.suppress(TimeoutError):
                for _ in range(chance.choice((0, 1, 5, 100))):
                    if not client.sock.recv(1 << 16):
                        break
            client.sock.settimeout(10)
            if chance.random() < 0.2:
                client.half_close()
                if chance.random() < 0.5:
                    client.sock.settimeout(chance.choice((0.02, 1.0)))
                    while client.sock.recv(1 << 18):
                        pass
                break
        client.reset() if chance.random() < 0.4 else client.close()


def check(server: Served, opened: int) -> None:
    """Check what holds of each server; `serve` checks that no task and no socket is left."""
    assert sum(server.counters.closed.values()) == opened == server.counters.opened
    assert not [line for line in server.log.messages() if "bide failed" in line]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("drains", [False, True])
def test_anything_at_once_leaves_nothing_behind(serve: Serve, drains: bool, seed: int) -> None:
    server = serve(anything, timeout_half_closed=0.02, drain_streams=0.05, drain_timeout=1.0, timeout_linger=0.1)
    # The applications' own errors, each of which `anything` makes.
    server.log.asked_for.append("")

    def run(number: int) -> int:
        chance = random.Random(1000 * seed + number)
        opened = 0
        for _ in range(VISITS):
            try:
                client = server.client()
            except OSError:  # it has stopped
                break
            opened += 1
            with client:
                visit(client, chance)
        return opened

    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(run, number) for number in range(CLIENTS)]
        if drains:
            server.until(lambda: sum(server.counters.closed.values()) >= CLIENTS * VISITS // 4, timeout=30.0)
            server.drain()
        opened = sum(one.result() for one in running)
    if drains:
        server.stop()
        assert server.counters.opened == sum(server.counters.closed.values())
    else:
        server.ends()
        check(server, opened)
    assert not [line for line in server.log.messages() if "bide failed" in line or "Task" in line]
    errors = {str(record.exc_info[1]) for record in server.log.records if record.exc_info}
    assert not {error for error in errors if not error.startswith(KNOWN)}, errors


#: What the applications are to be told of their own mistakes.
KNOWN: Final = ("content is", "enough", "trailers before", "content after", "the response is complete")

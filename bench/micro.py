"""Times the parts of bide in one process, without a socket: `python -m bench.micro`.

Prints the times, and never fails because of them.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from bide.config import Config
from bide.gateway.asgi import AsgiGateway
from bide.http1.connection import Connection
from bide.http1.head import read_head
from bide.http1.lifetime import step
from bide.http1.response import CommonFields, field_lines
from bide.observe.counters import Counters
from bide.policy.persistence import persist
from bide.session.clients import ClientFacts
from bide.session.context import SessionContext
from bide.session.session import Session
from bide.terms import CLIENT_KEEP_ALIVE, HTTP_1_0, Input, State
from bide.wire import CLOSED_WIRE, Receiver
from bide.worker.admission import Admission
from bide.worker.manager import Manager
from bide.worker.register import Register
from bide.worker.settings import WorkerSettings

_ROUNDS: Final = 9
_ROUND_S: Final = 0.1  # duration of a round of one part

_MINIMAL: Final = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n"
_FIELDS: Final = [(b"content-type", b"text/plain"), (b"content-length", b"13")]


def _browser(number: int) -> bytes:
    """Return a head of 16 fields. Target, Referer and Cookie vary with `number`."""
    return (
        b"GET /items/%d?page=%d HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nConnection: keep-alive\r\n"
        b"Cache-Control: max-age=0\r\n"
        b'sec-ch-ua: "Chromium";v="130", "Not?A_Brand";v="99"\r\n'
        b'sec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: "Linux"\r\nUpgrade-Insecure-Requests: 1\r\n'
        b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) Chrome/130.0.0.0 Safari/537.36\r\n"
        b"Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n"
        b"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
        b"Referer: http://127.0.0.1:8000/items/%d\r\nAccept-Encoding: gzip, deflate, br\r\n"
        b"Accept-Language: en-US,en;q=0.9\r\nCookie: session=%d; theme=dark\r\n\r\n"
        % (number, number, number - 1, number)
    )


_BROWSER: Final = [_browser(number) for number in range(1, 257)]


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": _FIELDS})
    await send({"type": "http.response.body", "body": b"Hello, world!"})


def _time(part: Callable[[int], object]) -> tuple[float, float]:
    """Return the median and the least nanoseconds of one call. `part(n)` makes n calls."""
    count = 1
    while True:
        begun = time.perf_counter()
        part(count)
        took = time.perf_counter() - begun
        if took > _ROUND_S:
            break
        count = max(count * 2, int(count * _ROUND_S / max(took, 1e-6)))
    rounds = []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        part(count)
        rounds.append((time.perf_counter() - begun) / count * 1e9)
    return statistics.median(rounds), min(rounds)


def _parts(loop: asyncio.AbstractEventLoop) -> dict[str, Callable[[int], object]]:
    settings = WorkerSettings(Config())
    bounds = settings.limits
    connection = Connection(bounds, CommonFields(b"Date: Sun, 22 Nov 2026 11:14:12 GMT\r\n"))
    heads = [head[:-4] for head in _BROWSER]
    register = Register()
    clients = ClientFacts(settings.rules)
    counters = Counters()
    admission = Admission(loop, register, clients.peers, limit=1000, descriptors=1000, overflow=0, per_peer=0)
    context = SessionContext(
        loop,
        AsgiGateway(_app, loop),
        Manager(register, admission, counters, clients.peers, lambda _: None),
        limits=bounds,
        durations=settings.durations,
        idle=settings.idle_timeout(),
        draw_limits=settings.draw_limits,
        clients=clients,
        counters=counters,
        access_log=None,
        websocket_limits=settings.websocket_limits,
    )
    # The closed wire takes all orders, and does nothing.
    sessions: list[Receiver] = [Session(context, CLOSED_WIRE) for _ in range(64)]

    def head(count: int) -> None:
        minimal = _MINIMAL[:-4]
        for _ in range(count):
            read_head(minimal, bounds)

    def head_16(count: int) -> None:
        for index in range(count):
            read_head(heads[index & 255], bounds)

    def decide(count: int) -> None:
        for _ in range(count):
            persist(0)

    def decide_10(count: int) -> None:
        for _ in range(count):
            persist(HTTP_1_0 | CLIENT_KEEP_ALIVE)

    def transition(count: int) -> None:
        for _ in range(count):
            step(State.IDLE, Input.FIRST_OCTET)

    def response(count: int) -> None:
        for _ in range(count):
            field_lines(b"", _FIELDS)

    def exchange(count: int) -> None:
        for _ in range(count):
            connection.receive(_MINIMAL)
            connection.respond(200, _FIELDS)
            connection.send(b"Hello, world!", False)
            connection.take_output()

    def request(count: int) -> None:
        async def serve() -> None:
            for index in range(count):
                sessions[index & 63].octets_received(_MINIMAL)
                if index & 63 == 63:
                    await asyncio.sleep(0)
            await asyncio.sleep(0)

        loop.run_until_complete(serve())

    def request_16(count: int) -> None:
        async def serve() -> None:
            for index in range(count):
                sessions[index & 63].octets_received(_BROWSER[index & 255])
                if index & 63 == 63:
                    await asyncio.sleep(0)
            await asyncio.sleep(0)

        loop.run_until_complete(serve())

    return {
        "head, 1 field": head,
        "head, 16 fields": head_16,
        "persist, HTTP/1.1": decide,
        "persist, HTTP/1.0": decide_10,
        "transition": transition,
        "response fields": response,
        "exchange in the core": exchange,
        "request, no socket": request,
        "request of 16 fields, no socket": request_16,
    }


def new_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop that bide takes by default, as the thread's current one."""
    try:
        import uvloop

        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    except ImportError:
        loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


def parts_here() -> dict[str, Callable[[int], object]]:
    """Return the parts by their names, on a loop of their own."""
    return _parts(new_loop())


def main(wanted: list[str]) -> None:
    """Time the parts whose names begin with a word of `wanted`, or all parts."""
    loop = new_loop()
    print(f"{'part':34}{'median ns':>12}{'least ns':>12}")
    for name, part in _parts(loop).items():
        if not wanted or any(name.startswith(word) for word in wanted):
            median, least = _time(part)
            print(f"{name:34}{median:12.0f}{least:12.0f}")
    loop.close()


if __name__ == "__main__":
    main(sys.argv[1:])

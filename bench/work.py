"""Defines the table of rows: requests, expected answers, and the figures that are compared."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from bench.apps import HELLO, PIECE, PIECES

ASGI = ("bide", "granian", "uvicorn")
SLOW = ("gunicorn", "gunicorn[fast]", "hypercorn")  # one row suffices to show their distance
NATIVE = ("peregrine", "weft", "fastpysgi", "saltare", "m0serve")  # loop, parser and ASGI are native
ALL = (*ASGI, "nginx", "limit")


# The figures that a row can compare, as keys of its samples. Less is better.
CPU, LATENCY, MEMORY, START = "cpu_us", "p50_us", "pss", "start_ms"


@dataclass(frozen=True)
class Row:
    """Describes a comparison.

    request: each @ in it becomes a number that counts up, so that no two requests are equal.
    answer, content_type: of the expected response.
    app: application to serve.
    figure: the figure that is compared.
    connections: number of connections.
    times: number of requests that are sent at once.
    logged: whether the access log is on.
    build: environment of bide.
    goals: set before measuring, peer -> (required ratio, desired ratio) of peer / bide.
    """

    name: str
    title: str
    request: bytes
    answer: bytes = HELLO
    content_type: str = "text/plain"
    app: str = "bench.apps:minimal"
    servers: tuple[str, ...] = ASGI
    figure: str = CPU
    connections: int = 64
    times: int = 1
    logged: bool = False
    build: str = "compiled"
    goals: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def once(self) -> bool:
        """Whether each connection carries one request."""
        return b"Connection: close" in self.request


def get(*fields: str, target: str = "/") -> bytes:
    """Return a GET request."""
    return "\r\n".join((f"GET {target} HTTP/1.1", "Host: bench.test", *fields, "", "")).encode()


def post(target: str, body: bytes) -> bytes:
    """Return a POST request of a JSON body."""
    return (
        f"POST {target} HTTP/1.1\r\nHost: bench.test\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


BROWSER = get(
    "Connection: keep-alive",
    'sec-ch-ua: "Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"',
    "sec-ch-ua-mobile: ?0",
    'sec-ch-ua-platform: "Linux"',
    "Upgrade-Insecure-Requests: 1",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-User: ?1",
    "Sec-Fetch-Dest: document",
    "Referer: https://bench.test/articles/@?page=@&from=search",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8",
    "Cookie: session=8f14e45fceea167a5a36dedd4bea2543@; theme=dark; seen=@",
    target="/articles/@?page=@&sort=newest",
)
MEASUREMENTS = [{"id": number, "name": f"sensor-{number}", "value": number / 8, "ok": True} for number in range(16)]
JSON_1KB = json.dumps({"measurements": MEASUREMENTS, "note": "x" * 50}).encode()
ITEM = b'{"name":"Kettle","price":24.5,"tags":["kitchen","steel","1.7 l"]}'

JSON, OCTETS = "application/json", "application/octet-stream"
ECHO, STREAM, FASTAPI = "bench.apps:echo_json", "bench.apps:stream_1mb", "bench.fastapi_app:app"
LEVEL = {"granian": (1.0, 1.0), "uvicorn": (1.0, 1.0)}
GET = {
    "peregrine": (1.0, 1.2),
    "weft": (1.2, 1.2),
    "granian": (1.6, 2.0),
    "uvicorn": (1.6, 2.1),
    "gunicorn": (4.0, 4.0),
    "gunicorn[fast]": (4.0, 4.0),
    "hypercorn": (11.0, 11.0),
    "nginx": (0.62, 0.75),
}
OLDEST = {"granian": (1.25, 1.5), "uvicorn": (1.35, 1.6)}
FIELDS = {"peregrine": (0.9, 1.05), "weft": (1.0, 1.05), "granian": (1.4, 1.7), "uvicorn": (1.8, 2.2)}
OLDEST_FIELDS = {"granian": (1.05, 1.05), "uvicorn": (1.35, 1.35)}
ONCE = {"peregrine": (1.0, 1.3), "weft": (1.2, 1.3), "granian": (1.5, 1.5), "nginx": (0.75, 0.9)}
HELD = {"saltare": (0.71, 1.0), "uvicorn": (10.0, 10.0)}
MODEL = {"peregrine": (0.92, 1.0), "weft": (0.95, 1.0), "granian": (1.3, 1.3), "uvicorn": (1.5, 1.5)}
ROWS = (
    *(
        Row(
            f"fastapi-{connections}",
            f"FastAPI, a Pydantic model in and out, {connections} connections",
            post("/items", ITEM),
            ITEM,
            JSON,
            FASTAPI,
            servers=(*ASGI, *NATIVE),
            connections=connections,
            goals=MODEL if connections > 1 else {},
        )
        for connections in (64, 8, 1)
    ),
    Row("get", "Minimal GET", get(), servers=(*ALL, *NATIVE, *SLOW), goals=GET),
    Row("get-interpreted", "Minimal GET, bide interpreted", get(), servers=ALL, build="interpreted", goals=OLDEST),
    Row("browser", "GET with 16 fields of a browser", BROWSER, servers=(*ALL, *NATIVE), goals=FIELDS),
    Row(
        "browser-interpreted",
        "GET with 16 fields of a browser, bide interpreted",
        BROWSER,
        build="interpreted",
        goals=OLDEST_FIELDS,
    ),
    Row(
        "json",
        "POST of 1 KB of JSON, parsed and sent back",
        post("/", JSON_1KB),
        JSON_1KB,
        JSON,
        ECHO,
        servers=(*ASGI, *NATIVE),
        goals={"peregrine": (0.95, 1.1), "weft": (1.0, 1.1), "uvicorn": (1.5, 1.5)},
    ),
    Row(
        "stream",
        "1 MB streamed in chunks of 16 KB",
        get(),
        PIECE * PIECES,
        OCTETS,
        STREAM,
        servers=(*ASGI, *NATIVE),
        goals={"granian": (1.8, 2.2), "uvicorn": (1.15, 1.4)},
    ),
    Row(
        "pipelined",
        "16 requests pipelined",
        get(),
        servers=(*ALL, *NATIVE),
        times=16,
        goals={"peregrine": (1.0, 1.0), "weft": (1.0, 1.0), "granian": (3.0, 4.0), "uvicorn": (2.8, 4.0)},
    ),
    Row("close", "New connection per request", get("Connection: close"), servers=(*ALL, *NATIVE), goals=ONCE),
    Row(
        "logged",
        "Minimal GET, access log to a file",
        get(),
        servers=(*ASGI, "nginx"),
        logged=True,
        goals={"granian": (2.6, 3.3), "uvicorn": (2.8, 3.5)},
    ),
    Row(
        "latency",
        "One connection, one request at a time",
        get(),
        servers=(*ALL, *NATIVE),
        figure=LATENCY,
        connections=1,
        goals=LEVEL,
    ),
    Row("idle", "Idle connection after one request", get(), servers=(*ALL, *NATIVE), figure=MEMORY, goals=HELD),
    Row("start", "Start to first answer", get(), servers=ALL, figure=START, goals=LEVEL),
)
QUICK = ("get", "browser", "idle")

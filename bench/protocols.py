"""Compares TLS, WSGI and WebSocket with other servers: `python -m bench.protocols [ROW ...]`.

It is run by the Python of an environment in which bide and the peers are installed. Each figure is
the CPU time of the server per request or message, as a median of rounds that take turns.
"""

from __future__ import annotations

import argparse
import os
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.measure import LOAD_CORE, PATIENCE_S, SERVER_CORE, TICK, Failed, tree
from bench.servers import HERE

CONNECTIONS: Final = 64
_HANDSHAKE: Final = (
    b"GET / HTTP/1.1\r\nHost: bench.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_KEY: Final = bytes(4)  # masks nothing, which servers cannot know

_BIDE: Final = "{python} -m bide serve {app} --port {port} --loop uvloop --no-access-log"
_BIDE_TLS: Final = _BIDE + " --ssl-certfile {folder}/cert.pem --ssl-keyfile {folder}/key.pem"
_UVICORN: Final = (
    "{python} -m uvicorn {app} --port {port} --loop uvloop --http httptools --no-access-log --log-level warning"
)
_UVICORN_TLS: Final = _UVICORN + " --ssl-certfile {folder}/cert.pem --ssl-keyfile {folder}/key.pem"
_GRANIAN: Final = "{python} -m granian {app} --port {port} --http 1 --no-access-log --log-level warning"
_GRANIAN_TLS: Final = (
    _GRANIAN + " --interface asgi --loop uvloop --ssl-certificate {folder}/cert.pem --ssl-keyfile {folder}/key.pem"
)
_PEREGRINE: Final = "{bin}/peregrine {app} --host 127.0.0.1 --port {port} --python-path {root}"
_GUNICORN: Final = (
    "{python} -m gunicorn {app} --bind 127.0.0.1:{port} --worker-class gthread --threads 8 --keep-alive 75"
    " --no-control-socket"
)


@dataclass(frozen=True)
class Row:
    """Describes a comparison.

    app: application to serve.
    servers: name -> command line, as in `bench.servers`.
    size: octets of a WebSocket message; 0 for HTTP.
    connections: number of connections.
    secure: whether it is served over TLS.
    once: whether each connection carries one request.
    """

    app: str
    servers: dict[str, str]
    size: int = 0
    connections: int = CONNECTIONS
    secure: bool = False
    once: bool = False


_TLS: Final = {"bide": _BIDE_TLS, "uvicorn": _UVICORN_TLS, "granian": _GRANIAN_TLS}
_WEBSOCKET: Final = {
    "bide": _BIDE,
    "uvicorn": _UVICORN + " --ws websockets-sansio",
    "granian": _GRANIAN + " --interface asgi --loop uvloop",
}
ROWS: Final = {
    "tls": Row("bench.apps:minimal", _TLS, secure=True),
    "tls-each": Row("bench.apps:minimal", _TLS, secure=True, once=True),
    "wsgi": Row(
        "bench.apps:wsgi_minimal",
        {
            "bide": _BIDE + " --threads 0",
            "granian": _GRANIAN + " --interface wsgi",
            "peregrine": _PEREGRINE,
        },
    ),
    "wsgi-8": Row(
        "bench.apps:wsgi_minimal",
        {
            "bide": _BIDE + " --threads 8",
            "granian": _GRANIAN + " --interface wsgi --blocking-threads 8",
            "gunicorn": _GUNICORN,
        },
    ),
    "wsgi-stream": Row(
        "bench.apps:wsgi_stream",
        {"bide": _BIDE + " --threads 8", "granian": _GRANIAN + " --interface wsgi --blocking-threads 8"},
    ),
    "websocket": Row("bench.apps:echo_messages", _WEBSOCKET, size=32),
    "websocket-64k": Row("bench.apps:echo_messages", _WEBSOCKET, size=1 << 16, connections=16),
}


@contextmanager
def running(command: str, app: str, folder: Path) -> Iterator[tuple[int, int]]:
    """Run a server on its core; give its process id and port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    filled = command.format(
        python=sys.executable, bin=Path(sys.executable).parent, root=HERE.parent, app=app, port=port, folder=folder
    )
    process = subprocess.Popen(
        ["taskset", "--cpu-list", str(SERVER_CORE), *filled.split()],
        cwd=HERE.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Failed(f"does not start: {filled}") from error
                time.sleep(0.02)
        yield process.pid, port
    finally:
        for pid in tree(process.pid):
            os.kill(pid, 9)
        process.wait()


def cpu(pid: int) -> float:
    """Return the CPU seconds of a process and its children."""
    return sum(sum(map(int, stat[11:15])) for stat in tree(pid).values()) / TICK


def by_wrk(pid: int, port: int, row: Row, seconds: float) -> float:
    """Return the CPU time of each request, microseconds."""
    url = f"{'https' if row.secure else 'http'}://127.0.0.1:{port}/"
    argv = ["taskset", "--cpu-list", str(LOAD_CORE), "wrk", "--threads=1", f"--connections={row.connections}"]
    argv += ["--header", "Connection: close"] if row.once else []
    subprocess.run([*argv, "--duration=1s", url], check=True, capture_output=True)
    before = cpu(pid)
    done = subprocess.run([*argv, f"--duration={seconds:g}s", url], check=True, capture_output=True, text=True)
    took = cpu(pid) - before
    if "Non-2xx" in done.stdout:
        raise Failed(done.stdout)
    requests = int(next(line for line in done.stdout.splitlines() if "requests in" in line).split()[0])
    if not requests:
        raise Failed("no request was answered")
    return took / requests * 1e6


def by_messages(pid: int, port: int, row: Row, seconds: float) -> float:
    """Return the CPU time of each message, microseconds.

    Every client sends as soon as it has its echo.
    """
    os.sched_setaffinity(0, {LOAD_CORE})
    length = bytes([0x80 | row.size]) if row.size < 126 else b"\xff" + row.size.to_bytes(8, "big")
    message = b"\x82" + length + _KEY + bytes(row.size)
    size = len(message) - len(_KEY)
    with ExitStack() as stack:
        poll = stack.enter_context(select.epoll())
        clients: dict[int, socket.socket] = {}
        lacking: dict[int, int] = {}
        for _ in range(row.connections):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(_HANDSHAKE)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)
            if not head.startswith(b"HTTP/1.1 101"):
                raise Failed(head.decode("latin-1"))
            clients[client.fileno()] = client
            lacking[client.fileno()] = size
            poll.register(client, select.EPOLLIN)
            client.sendall(message)
        messages, before = 0, 0.0
        begin = time.monotonic() + 0.5
        is_warm = False
        while (now := time.monotonic()) < begin + seconds:
            if not is_warm and now >= begin:
                is_warm, messages, before = True, 0, cpu(pid)
            for descriptor, _ in poll.poll(0.1):
                lacking[descriptor] -= len(clients[descriptor].recv(1 << 18))
                if not lacking[descriptor]:
                    lacking[descriptor] = size
                    messages += 1
                    clients[descriptor].sendall(message)
        return (cpu(pid) - before) / messages * 1e6


def certificate(folder: Path) -> None:
    """Write a certificate for the loopback interface, on the curve P-256."""
    argv = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    argv += f" -keyout {folder / 'key.pem'} -out {folder / 'cert.pem'}"
    subprocess.run(argv.split(), check=True, capture_output=True)


def compare(row: Row, rounds: int, seconds: float, folder: Path) -> dict[str, float]:
    """Return the median of each server; the servers take turns, in alternating order."""
    seen: dict[str, list[float]] = {name: [] for name in row.servers}
    for number in range(rounds):
        for name in list(row.servers)[:: -1 if number % 2 else 1]:
            try:
                with running(row.servers[name], row.app, folder) as (pid, port):
                    time.sleep(0.3)
                    seen[name].append((by_messages if row.size else by_wrk)(pid, port, row, seconds))
            except (Failed, subprocess.CalledProcessError, OSError) as error:
                print(f"  {name} failed: {error}"[:200], file=sys.stderr)
    return {name: statistics.median(values) for name, values in seen.items() if values}


def main() -> None:
    """Measure the rows that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench.protocols", description="Compare TLS, WSGI and WebSocket.")
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        certificate(Path(name))
        for row_name in given.rows or ROWS:
            found = compare(ROWS[row_name], given.rounds, given.seconds, Path(name))
            ours = found.get("bide", 0.0)
            shown = ", ".join(f"{peer} {value:.1f} us" for peer, value in found.items())
            ratios = ", ".join(f"{peer} {value / ours:.2f}" for peer, value in found.items() if ours and peer != "bide")
            print(f"{row_name}: {shown}; peer / bide: {ratios}", flush=True)


if __name__ == "__main__":
    main()

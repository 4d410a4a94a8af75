"""Holds small WSGI applications, each with one kind of behaviour. Programs import this file as a module of its own."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Environ = dict[str, Any]
Start = Callable[..., Callable[[bytes], None]]
WsgiApp = Callable[[Environ, Start], Iterable[bytes]]


def hello(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Say hello, whatever is asked."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello\n"]


def echo(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Send the request body back."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [body]


def endless(environ: Environ, start_response: Start) -> Iterator[bytes]:
    """Never stop sending."""
    start_response("200 OK", [])
    while True:
        yield bytes(1 << 14)


def stubborn(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Never return."""
    start_response("200 OK", [])
    while True:
        time.sleep(0.05)


def measure(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Read the request body, and answer with its length."""
    size = 0
    while content := environ["wsgi.input"].read(1 << 16):
        size += len(content)
    start_response("200 OK", [])
    return [b"%d" % size]


def hundred_megabytes(environ: Environ, start_response: Start) -> Iterator[bytes]:
    """Send 100 MB, piece by piece."""
    start_response("200 OK", [])
    for _ in range(1600):
        yield bytes(62_500)


def written(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Send the same by `write`."""
    write = start_response("200 OK", [])
    for _ in range(1600):
        write(bytes(62_500))
    return []


def processes(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Say whether other processes serve this application, too."""
    start_response("200 OK", [])
    return [repr(environ["wsgi.multiprocess"]).encode()]

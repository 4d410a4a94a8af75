"""WSGI applications over real sockets, on threads and on the event loop's thread.

1. Requests and responses are those of PEP 3333, and of the same HTTP as any other.
2. Whoever waits is woken when the client leaves; `close` is called, and the thread is free.
3. A stop serves what has begun, and leaves no thread.
"""

import contextlib
import logging
import re
import signal
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from wsgiref.validate import validator

import pytest

from bide.errors import DisconnectedError
from tests.support.client import Client, chunked, request
from tests.support.program import APPS, Launch, Program
from tests.support.server import NOISE, Serve, Served
from tests.support.tls import Authority
from tests.support.waiting import PATIENCE, pause
from tests.support.wsgi_apps import Environ, Start, echo, endless, hello

#: Octets of a response that may wait for the client, and what the kernel and the server's own buffer hold besides.
WINDOW: Final = 1 << 18
BUFFERS: Final = 8 << 20


@pytest.fixture(autouse=True)
def threads_end() -> Iterator[None]:
    """Check that no thread of a server outlives it."""
    yield
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("bide-wsgi")]
    assert left == []


@pytest.fixture(params=[0, 3], ids=["loop-thread", "threads"])
def threads(request: pytest.FixtureRequest) -> int:
    """The number of threads: a test that asks for it runs without any, too."""
    count: int = request.param
    return count


class Result:
    """Yields pieces, and keeps whether it was closed and by which thread."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = iter(pieces)
        self.closed: list[int] = []

    def __iter__(self) -> Iterator[bytes]:
        return self.pieces

    def close(self) -> None:
        self.closed.append(threading.get_ident())


def figures(served: Served) -> tuple[int, int, int]:
    """Return the numbers of threads, of busy ones, and of requests that wait for one."""
    snapshot = served.snapshot()
    return snapshot["threads"], snapshot["threads_busy"], snapshot["threads_waiting"]


def failures(served: Served) -> list[str]:
    """Return what the log says of errors in the application."""
    return served.log.messages(logging.ERROR, "bide.error")


# -- Requests and responses -------------------------------------------------------------------------------------------------


def test_connection_persists(serve: Serve, threads: int) -> None:
    server = serve(hello, threads=threads)
    with server.client() as client:
        for _ in range(20):
            response = client.get()
            assert (response.status, response.content) == (200, b"hello\n")
            assert response["content-length"] == "6"
            assert "connection" not in response
    assert server.ends() == {"client_eof_idle": 1}
    assert server.explained() == [(20, "client_eof_idle")]


def test_pipelined_requests_are_answered_in_order(serve: Serve, threads: int) -> None:
    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [environ["PATH_INFO"].encode()]

    server = serve(app, threads=threads)
    with server.client() as client:
        client.send(b"".join(request(f"/{number}") for number in range(200)))
        assert [client.response().content for _ in range(200)] == [b"/%d" % number for number in range(200)]


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_body_is_read_whole(serve: Serve, threads: int, size: int, is_chunked: bool) -> None:
    server = serve(echo, threads=threads)
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    with server.client() as client:
        for _ in range(2):
            if is_chunked:
                pieces = [body[place : place + 50_000] for place in range(0, size, 50_000)]
                client.send(request("/", "Transfer-Encoding: chunked", method="POST"))
                sending = threading.Thread(target=client.send, args=(chunked(*pieces),))
            else:
                sending = threading.Thread(target=client.send, args=(request("/", method="POST", body=body),))
            sending.start()
            assert client.response().content == body
            sending.join()
    assert server.ends() == {"client_eof_idle": 1}


def test_100_is_sent_when_a_read_has_to_wait(serve: Serve, threads: int) -> None:
    server = serve(echo, threads=threads)
    with server.client() as client:
        client.send(request("/", "Content-Length: 3", "Expect: 100-continue", method="POST"))
        assert client.head().status == 100
        client.send(b"abc")
        assert client.response().content == b"abc"


def test_100_is_not_sent_if_nothing_is_read(serve: Serve) -> None:
    server = serve(hello)
    with server.client() as client:
        client.send(request("/", "Content-Length: 3", "Expect: 100-continue", method="POST"))
        response = client.response()
        assert (response.status, response.interim) == (200, [])
    assert server.ends() == {"expectation_unmet": 1}


def test_response_without_length_is_chunked_piece_by_piece(serve: Serve, threads: int) -> None:
    go = threading.Event()

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        yield b"first"
        if threads:
            go.wait(PATIENCE)
        yield b"second"

    server = serve(app, threads=threads)
    with server.client() as client:
        client.ask()
        client.head()
        assert client.line() == b"5"
        assert client.exactly(7) == b"first\r\n"  # it has left while the application went on
        go.set()
        assert client.exactly(16) == b"6\r\nsecond\r\n0\r\n\r\n"
    with server.client() as client:
        response = client.get(version="1.0")
        assert response.close_delimited
        assert response.content == b"firstsecond"


def test_answer_to_head_has_the_fields_of_that_to_get(serve: Serve, threads: int) -> None:
    server = serve(hello, threads=threads)
    with server.client() as client:
        response = client.get(method="HEAD")
        assert (response.status, response["content-length"]) == (200, "6")
        assert client.get().content == b"hello\n"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_status_without_content_has_none(serve: Serve, threads: int, status: str) -> None:
    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response(status, [])
        return iter(())

    server = serve(app, threads=threads)
    with server.client() as client:
        for _ in range(2):
            assert client.get().status == int(status[:3])


def test_application_that_closes_is_obeyed(serve: Serve, threads: int) -> None:
    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [("Connection", "close")])
        return [b"a"]

    server = serve(app, threads=threads)
    with server.client() as client:
        assert client.get().says_close
        assert client.ending().how == "fin"
    assert server.ends() == {"response_close_option": 1}


def test_application_is_told_of_unix_sockets(serve: Serve, threads: int, tmp_path: Path) -> None:
    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [repr([environ[key] for key in ("SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR")]).encode()]

    server = serve(app, threads=threads, uds=str(tmp_path / "bide.sock"))
    with server.client() as client:
        assert client.get().content == b"['localhost', '80', '']"


def test_application_is_told_of_https(serve: Serve, threads: int, tmp_path: Path) -> None:
    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [environ["wsgi.url_scheme"].encode(), environ["wsgi.input"].read()]

    authority = Authority.made(tmp_path)
    server = serve(app, threads=threads, **authority.issue("server"))
    with server.client() as client:
        client.sock = authority.context().wrap_socket(client.sock, server_hostname="localhost")
        body = bytes(200_000)
        assert client.get(method="POST", body=body).content == b"https" + body
        with contextlib.suppress(ssl.SSLError):
            client.sock.unwrap()


def test_validator_finds_nothing_wrong(serve: Serve, threads: int) -> None:
    """`wsgiref.validate` checks environ, input, errors and the order of calls."""

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"]
        read = [body.read(3), body.readline(), *body.readlines(), *body]
        environ["wsgi.errors"].write("")
        environ["wsgi.errors"].flush()
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"|".join(read))
        return iter([b"", b"!"])

    validated: Any = validator(app)
    server = serve(validated, threads=threads, interface="wsgi")
    with server.client() as client:
        for target in ("/", "/a%20b/%E4?x=1"):
            response = client.get(target, "Content-Type: text/plain", method="POST", body=b"abcdef\ng\nh")
            assert response.content == b"abc|def\n|g\n|h!"
            client.send(request(target, "Transfer-Encoding: chunked", method="POST") + chunked(b"abc", b"def\n"))
            assert client.response().content == b"abc|def\n!"
        assert client.get(method="HEAD").status == 200
    assert failures(server) == []


# -- What goes wrong --------------------------------------------------------------------------------------------------------


def test_failure_before_the_first_octet_is_500_and_the_connection_persists(serve: Serve, threads: int) -> None:
    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        raise RuntimeError("no")

    server = serve(app, threads=threads)
    server.log.expect("GET /: the application failed")
    with server.client() as client:
        assert [client.get().status for _ in range(2)] == [500, 500]
    assert server.ends() == {"client_eof_idle": 1}
    assert len(failures(server)) == 2


def test_failure_after_the_first_octet_cuts_the_response(serve: Serve, threads: int) -> None:
    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        yield b"a"
        raise RuntimeError("no")

    server = serve(app, threads=threads)
    server.log.expect("GET /: the application failed")
    with server.client() as client:
        client.ask()
        ending = client.ending()
    assert b"1\r\na\r\n" in ending.rest
    assert not ending.rest.endswith(b"0\r\n\r\n")
    assert server.ends() == {"response_incomplete": 1}


def test_content_that_is_too_long_is_cut_to_its_length(serve: Serve, threads: int) -> None:
    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "3")])
        return iter([b"ab", b"cd"])

    server = serve(app, threads=threads)
    server.log.expect("GET /: the application failed")
    with server.client() as client:
        assert [client.get().content for _ in range(2)] == [b"abc", b"abc"]
    assert server.ends() == {"client_eof_idle": 1}


def test_content_that_is_too_short_cuts_the_response(serve: Serve, threads: int) -> None:
    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "3")])
        return iter([b"ab"])

    server = serve(app, threads=threads)
    server.log.expect("GET /: the application failed")
    with server.client() as client:
        client.ask()
        assert client.ending().rest.endswith(b"\r\n\r\nab")
    assert server.ends() == {"response_incomplete": 1}
    assert len(failures(server)) == 1


@pytest.mark.parametrize("name", ["a b", "a:b", ""])
def test_field_that_http_does_not_allow_is_500(serve: Serve, threads: int, name: str) -> None:
    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [(name, "c")])
        return [b"a"]

    server = serve(app, threads=threads)
    server.log.expect("GET /: the application failed")
    with server.client() as client:
        assert [client.get().status for _ in range(2)] == [500, 500]
    assert len(failures(server)) == 2


def test_body_over_the_limit_is_413_if_it_is_received_before_the_call(serve: Serve, threads: int) -> None:
    server = serve(echo, threads=threads, limit_body_spooled=1000)
    with server.client() as client:
        assert client.get(method="POST", body=bytes(1000)).status == 200
        client.send(request("/", "Content-Length: 1001", method="POST"))
        if threads:
            client.send(bytes(1001))
        assert client.response().status == (200 if threads else 413)
    with server.client() as client:
        client.send(request("/", "Transfer-Encoding: chunked", method="POST") + b"3e9\r\n" + bytes(1001))
        assert client.response().status == 413
        client.ending()


# -- Bodies that do not come ------------------------------------------------------------------------------------------------


class Reading:
    """Reads the body, and keeps what it read or why it could not."""

    def __init__(self) -> None:
        self.read: list[object] = []

    def __call__(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        try:
            while content := environ["wsgi.input"].read(1000):
                self.read.append(len(content))
        except DisconnectedError as error:
            self.read.append(type(error))
            raise
        start_response("200 OK", [])
        return [b"read"]


def test_body_that_is_cut_raises(serve: Serve) -> None:
    reading = Reading()
    server = serve(reading, threads=1)
    with server.client() as client:
        client.send(request("/", "Content-Length: 3000", method="POST") + bytes(1500))
        server.until(lambda: reading.read == [1000])
        client.half_close()
        assert client.response().status == 400
    assert server.ends() == {"client_incomplete": 1}
    server.until(lambda: reading.read == [1000, DisconnectedError])


def test_body_that_stops_coming_raises(serve: Serve) -> None:
    reading = Reading()
    server = serve(reading, threads=1, timeout_body=0.3)
    with server.client() as client:
        client.send(request("/", "Content-Length: 3000", method="POST") + bytes(1000))
        assert client.response().status == 408
        client.ending()
    assert server.ends() == {"body_timeout": 1}
    server.until(lambda: reading.read == [1000, DisconnectedError])


def test_application_is_not_called_with_a_malformed_body(serve: Serve, threads: int) -> None:
    reading = Reading()
    server = serve(reading, threads=threads)
    with server.client() as client:
        client.send(request("/", "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n")
        client.send(b"rubbish\r\n")
        assert client.response().status == 400
        client.ending()
    assert server.ends() == {"body_rejected": 1}
    assert reading.read == []


def test_body_clock_does_not_run_while_the_application_is_busy(serve: Serve) -> None:
    go = threading.Event()

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        go.wait(PATIENCE)
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    server = serve(app, threads=1, timeout_body=0.3)
    with server.client() as client:
        client.send(request("/", "Content-Length: 3", method="POST"))
        pause(1.0)  # longer than the clock
        client.send(b"abc")
        go.set()
        assert client.response().content == b"abc"


def test_body_that_does_not_come_on_the_event_loop_calls_no_application(serve: Serve) -> None:
    reading = Reading()
    server = serve(reading, threads=0, timeout_body=0.3)
    with server.client() as client:
        client.send(request("/", "Content-Length: 3000", method="POST") + bytes(1000))
        assert client.response().status == 408
        client.ending()
    with server.client() as client:
        client.send(request("/", "Content-Length: 3000", method="POST") + bytes(1000))
        client.half_close()
        assert client.response().status == 400
    assert server.ends() == {"body_timeout": 1, "client_incomplete": 1}
    assert reading.read == []


# -- Clients that leave, or do not read -------------------------------------------------------------------------------------


def test_response_is_made_only_as_far_as_its_client_reads(serve: Serve, threads: int) -> None:
    made = [0]

    def pieces() -> Iterator[bytes]:
        for _ in range(10_000):
            made[0] += 1 << 14
            yield bytes(1 << 14)

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        return pieces()

    server = serve(app, threads=threads)
    with server.client(receive_buffer=4096) as client:
        client.ask()
        client.head()
        server.until(lambda: bool(server.sessions()) and server.sessions()[0].is_write_paused)
        pause(0.3)  # the server has nothing to wait for but this client
        assert made[0] <= BUFFERS + WINDOW
        client.reset()
    assert server.ends() == {"client_reset": 1}


@pytest.mark.parametrize("leaves", ["reset", "close"])
def test_iterable_is_closed_when_the_client_leaves(serve: Serve, threads: int, leaves: str) -> None:
    results: list[Result] = []

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        results.append(Result(bytes(1 << 14) for _ in iter(int, 1)))
        return results[-1]

    server = serve(app, threads=threads)
    with server.client(receive_buffer=4096) as client:
        client.ask()
        client.head()
        getattr(client, leaves)()
    server.until(lambda: bool(results) and bool(results[0].closed))
    assert len(results[0].closed) == 1
    assert server.ends() == {"client_reset": 1}
    with server.client() as client:
        client.ask()
        assert client.head().status == 200
        client.reset()


def test_client_that_does_not_read_is_timed_out_and_the_thread_is_free(serve: Serve, threads: int) -> None:
    server = serve(endless, threads=threads and 1, timeout_send=0.5)
    with server.client(receive_buffer=4096) as client:
        client.ask()
        server.until(lambda: server.counters.closed and sum(server.counters.closed.values()) == 1)
    assert server.ends() == {"send_timeout": 1}
    server.until(lambda: server.snapshot()["threads_busy"] == 0)


def test_request_whose_client_leaves_before_a_thread_is_free_is_not_begun(serve: Serve) -> None:
    go = threading.Event()
    called: list[str] = []

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        called.append(environ["PATH_INFO"])
        go.wait(PATIENCE)
        start_response("200 OK", [])
        return []

    server = serve(app, threads=1)
    server.log.allow("all 1 threads are busy")
    with server.client() as first:
        first.ask("/first")
        server.until(lambda: called)
        with server.client() as second:
            second.ask("/second")
            server.until(lambda: server.snapshot()["threads_waiting"] == 1)
            second.reset()
        server.until(lambda: server.counters.closed and sum(server.counters.closed.values()) == 1)
        go.set()
        assert first.response().status == 200
    assert server.ends() == {"client_reset": 1, "client_eof_idle": 1}
    assert called == ["/first"]


def test_client_that_half_closes_gets_its_answer(serve: Serve) -> None:
    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        time.sleep(0.5)  # longer than the client's patience lasts, to the server's knowledge
        start_response("200 OK", [("Content-Length", "6")])
        return iter([b"abc", b"def"])

    server = serve(app, threads=1, timeout_half_closed=0.1)
    with server.client() as client:
        client.ask()
        client.half_close()
        assert client.response().content == b"abcdef"
    assert server.ends() == {"client_half_closed": 1}


def test_stream_ends_when_its_client_has_half_closed(serve: Serve) -> None:
    results: list[Result] = []

    def pieces() -> Iterator[bytes]:
        while True:
            time.sleep(0.05)
            yield b"tick"

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        results.append(Result(pieces()))
        return results[-1]

    server = serve(app, threads=1, timeout_half_closed=0.1)
    with server.client() as client:
        client.ask()
        client.head()
        client.half_close()
        server.until(lambda: bool(results[0].closed))
        assert not client.ending().rest.endswith(b"0\r\n\r\n")
    assert server.ends() == {"client_left": 1}


# -- Threads ----------------------------------------------------------------------------------------------------------------


def test_health_check_is_answered_while_all_threads_are_busy(serve: Serve) -> None:
    go = threading.Event()

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        go.wait(PATIENCE)
        start_response("200 OK", [])
        return []

    server = serve(app, threads=2, health_path="/health")
    server.log.expect("all 2 threads are busy: 3 requests wait for one")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in range(5)]
        for client in clients:
            client.ask()
        server.until(lambda: figures(server) == (2, 2, 3))
        with server.client() as client:
            assert client.get("/health").status == 200
        server.until(lambda: server.snapshot()["threads_longest_wait"] > 1.0)
        server.until(lambda: any("threads are busy" in line for line in server.log.messages(logging.WARNING)))
        go.set()
        assert [client.response().status for client in clients] == [200] * 5
    server.until(lambda: server.snapshot()["threads_busy"] == 0)


def test_close_is_called_by_the_thread_that_ran_the_application(serve: Serve, threads: int) -> None:
    results: list[tuple[int, Result]] = []

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        results.append((threading.get_ident(), Result([b"a"])))
        return results[-1][1]

    server = serve(app, threads=threads)
    with server.client() as client:
        for _ in range(10):
            client.get()
    server.until(lambda: len(results) == 10 and all(result.closed for _, result in results))
    assert all(result.closed == [thread] for thread, result in results)


# -- The stop ---------------------------------------------------------------------------------------------------------------


def test_requests_that_have_begun_or_wait_for_a_thread_are_served_at_a_stop(serve: Serve) -> None:
    go = threading.Event()

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        go.wait(PATIENCE)
        start_response("200 OK", [])
        return [b"done"]

    server = serve(app, threads=1)
    server.log.allow("all 1 threads are busy")
    with server.client() as first, server.client() as second:
        for client in (first, second):
            client.ask()
        server.until(lambda: server.snapshot()["threads_waiting"] == 1)
        server.drain()
        pause(0.1)  # so that the stop has begun
        go.set()
        for client in (first, second):
            response = client.response()
            assert (response.content, response.says_close) == (b"done", True)
    server.stop()
    assert server.ends(wait=False) == {"drain": 2}


def test_threads_that_wait_for_a_client_are_freed_at_the_drain_timeout(serve: Serve, threads: int) -> None:
    results: list[Result] = []

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        results.append(Result(bytes(1 << 14) for _ in iter(int, 1)))
        return results[-1]

    server = serve(app, threads=threads, drain_timeout=0.5)
    server.log.expect("1 unfinished connections closed at the drain timeout")
    with server.client(receive_buffer=4096) as client:
        client.ask()
        client.head()
        server.until(lambda: bool(results))
        server.stop()
    assert server.ends(wait=False) == {"drain_deadline": 1}
    assert len(results[0].closed) == 1


def test_thread_that_waits_for_a_body_is_freed_at_the_drain_timeout(serve: Serve) -> None:
    reading = Reading()
    server = serve(reading, threads=1, drain_timeout=0.5)
    server.log.expect("1 unfinished connections closed at the drain timeout")
    with server.client() as client:
        client.send(request("/", "Content-Length: 3000", method="POST") + bytes(1000))
        server.until(lambda: reading.read)
        server.stop()
        assert client.response().status == 503
    assert server.ends(wait=False) == {"drain_deadline": 1}
    assert reading.read == [1000, DisconnectedError]


def test_event_stream_ends_in_form_at_a_stop(serve: Serve) -> None:
    def pieces() -> Iterator[bytes]:
        while True:
            yield b"data: tick\n\n"
            time.sleep(0.05)

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return pieces()

    server = serve(app, threads=1, drain_streams=0.1)
    with server.client() as client:
        client.ask()
        client.head()
        server.drain()
        assert client.ending().rest.endswith(b"\r\n0\r\n\r\n")
    server.stop()
    assert server.ends(wait=False) == {"drain": 1}


def test_program_exits_without_a_thread_that_never_ends(launch: Launch, loop: str) -> None:
    program = launch(
        "serve", "wsgi_apps:stubborn", "--app-dir", str(APPS), "--port", "0", "--loop", loop, "--drain-timeout", "0.5"
    )
    with program.client() as client:
        client.ask("/stubborn")
        pause(0.3)  # until a thread runs it: nothing tells that from outside
        began = program.signal(signal.SIGTERM)
        assert program.wait() == 0
        assert time.monotonic() - began < 5.0 + NOISE
    program.line(r"still run \(GET /stubborn\): the process ends without them")


def test_program_serves_wsgi_by_its_name(launch: Launch, loop: str) -> None:
    program = launch("serve", "wsgi_apps:hello", "--app-dir", str(APPS), "--port", "0", "--loop", loop)
    with Client(program.where) as client:
        assert client.get().content == b"hello\n"
    program.signal()
    assert program.wait() == 0


@pytest.mark.parametrize(("workers", "told"), [(1, b"False"), (2, b"True")])
def test_application_is_told_of_other_processes(launch: Launch, loop: str, workers: int, told: bytes) -> None:
    arguments = ["--app-dir", str(APPS), "--port", "0", "--loop", loop, "--workers", str(workers)]
    program = launch("serve", "wsgi_apps:processes", *arguments)
    with program.client() as client:
        assert client.get().content == told
    program.signal()
    assert program.wait() == 0


# -- Memory -----------------------------------------------------------------------------------------------------------------

#: Octets that the process may need besides, for what it does for the first time.
FEW: Final = 5_000_000


def memory_of(program: Program) -> int:
    """Return the most memory that a program has had, in octets."""
    status = Path(f"/proc/{program.process.pid}/status").read_text()
    match = re.search(r"VmHWM:\s*(\d+) kB", status)
    assert match is not None
    return int(match[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("app", ["measure", "hundred_megabytes", "written"])
def test_hundred_megabytes_pass_in_little_memory(launch: Launch, loop: str, app: str, threads: int) -> None:
    arguments = ["--app-dir", str(APPS), "--port", "0", "--loop", loop, "--threads", str(threads)]
    program = launch("serve", f"wsgi_apps:{app}", *arguments)

    def transfer(size: int) -> None:
        with program.client() as client:
            if app == "measure":
                client.send(request("/", f"Content-Length: {size}", method="POST"))
                for _ in range(size // 50_000):
                    client.send(bytes(50_000))
                assert client.response().content == b"%d" % size
            else:
                client.ask()
                client.head()
                left = size - len(client.buffer)
                while left > 0:
                    left -= len(client.sock.recv(1 << 16))
                    if left % 10 == 0:
                        pause(0.001)  # so that the server is ahead of this client
                client.reset()

    transfer(1_000_000)
    before = memory_of(program)
    transfer(100_000_000)
    assert memory_of(program) - before < FEW
    program.signal()
    assert program.wait() == 0

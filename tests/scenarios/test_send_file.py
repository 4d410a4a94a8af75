"""Files as responses: WSGI's `file_wrapper` and ASGI's `http.response.pathsend`, plain and over TLS.

1. The file arrives whole, with its length, and the connection persists.
2. A file that has become shorter cuts the response. A client that leaves, or does not read, ends it.
3. Nothing of the file is read ahead of a client that is slow.
"""

import contextlib
import os
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from tests.support.apps import Message, Receive, Send
from tests.support.client import Client
from tests.support.server import Serve, Served
from tests.support.tls import Authority
from tests.support.waiting import pause, until
from tests.support.wsgi_apps import Environ, Start

SIZE: Final = 5_000_000

#: More than the buffers of both kernels hold.
LARGE: Final = 100_000_000

Make = Callable[[Path], Any]


class Files:
    """Files that WSGI applications have opened."""

    def __init__(self) -> None:
        self.opened: list[Any] = []

    def app(self, path: Path) -> Any:
        def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
            start_response("200 OK", [("Content-Type", "text/plain")])
            file = path.open("rb")
            self.opened.append(file)
            wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
            return wrapped

        return app


def pathsend(path: Path) -> Any:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        assert "http.response.pathsend" in scope["extensions"]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.pathsend", "path": str(path)})

    return app


@pytest.fixture
def files() -> Iterator[Files]:
    files = Files()
    yield files
    until(lambda: all(file.closed for file in files.opened))  # a thread closes it after its response


@pytest.fixture(params=["asgi", "wsgi-loop", "wsgi-threads"])
def serve_file(
    request: pytest.FixtureRequest, serve: Serve, files: Files, tmp_path: Path
) -> Callable[..., tuple[Served, Path]]:
    """Serve a file, by each of the interfaces."""

    def start(size: int, **options: Any) -> tuple[Served, Path]:
        path = tmp_path / "file"
        with path.open("wb") as file:
            file.write(os.urandom(min(size, SIZE)))
            file.truncate(size)
        app = pathsend(path) if request.param == "asgi" else files.app(path)
        return serve(app, **({"threads": 2 if request.param == "wsgi-threads" else 0} | options)), path

    return start


ServeFile = Callable[..., tuple[Served, Path]]


@pytest.mark.parametrize("size", [0, 1, 20_000, SIZE])
def test_file_arrives_whole_and_the_connection_persists(serve_file: ServeFile, size: int) -> None:
    server, path = serve_file(size)
    content = path.read_bytes()
    with server.client() as client:
        for _ in range(3):
            response = client.get()
            assert response.content == content
            assert response.all("content-length") == [str(size)]
            head = client.get(method="HEAD")
            assert (head.status, head.all("content-length")) == (200, [str(size)])
    assert server.ends() == {"client_eof_idle": 1}


def test_file_arrives_whole_over_tls(serve_file: ServeFile, tmp_path: Path) -> None:
    authority = Authority.made(tmp_path)
    server, path = serve_file(SIZE, **authority.issue("server"))
    with server.client() as client:
        client.sock = authority.context().wrap_socket(client.sock, server_hostname="localhost")
        for _ in range(2):
            assert client.get().content == path.read_bytes()
        with contextlib.suppress(ssl.SSLError):
            client.sock.unwrap()


def test_file_arrives_whole_on_a_unix_socket(serve_file: ServeFile, tmp_path: Path) -> None:
    server, path = serve_file(SIZE, uds=str(tmp_path / "bide.sock"))
    with server.client() as client:
        for _ in range(2):
            assert client.get().content == path.read_bytes()


def test_file_for_http_1_0_has_its_length(serve_file: ServeFile) -> None:
    server, path = serve_file(SIZE)
    with server.client() as client:
        response = client.get("/", "Connection: keep-alive", version="1.0")
        assert response.content == path.read_bytes()
        assert response.all("connection") == ["keep-alive"]


def test_client_that_reads_slowly_gets_it_all(serve_file: ServeFile) -> None:
    server, path = serve_file(SIZE, timeout_send=5.0)
    with server.client(receive_buffer=4096) as client:
        client.ask()
        head = client.head()
        content = bytearray()
        while len(content) < int(head["content-length"]):
            content += client.exactly(min(250_000, SIZE - len(content)))
            pause(0.01)  # so that it has to wait for this client
        assert content == path.read_bytes()
    assert server.ends() == {"client_eof_idle": 1}


def test_pipelined_requests_are_answered_in_order(serve_file: ServeFile) -> None:
    server, path = serve_file(100_000)
    content = path.read_bytes()
    with server.client() as client:
        for _ in range(20):
            client.ask()
        assert all(client.response().content == content for _ in range(20))


def test_file_that_becomes_shorter_cuts_the_response(serve_file: ServeFile) -> None:
    server, path = serve_file(LARGE)
    server.log.expect("the application failed")
    with server.client(receive_buffer=4096) as client:
        client.ask()
        head = client.head()
        server.until(lambda: bool(server.sessions()) and server.sessions()[0].is_write_paused)
        os.truncate(path, 100)
        assert len(client.ending().rest) < int(head["content-length"])
    assert server.ends() == {"response_incomplete": 1}


@pytest.mark.parametrize("leaves", ["reset", "close"])
def test_client_that_leaves_ends_it(serve_file: ServeFile, leaves: str) -> None:
    server, _ = serve_file(LARGE)
    with server.client(receive_buffer=4096) as client:
        client.ask()
        client.head()
        getattr(client, leaves)()
    assert server.ends() == {"client_reset": 1}
    with server.client() as client:
        assert client.get(method="HEAD").status == 200


def test_client_that_does_not_read_is_timed_out(serve_file: ServeFile) -> None:
    server, _ = serve_file(LARGE, timeout_send=0.5)
    with server.client(receive_buffer=4096) as client:
        client.ask()
        server.until(lambda: sum(server.counters.closed.values()) == 1)
    assert server.ends() == {"send_timeout": 1}


def test_stop_cuts_it_at_the_drain_timeout(serve_file: ServeFile) -> None:
    server, _ = serve_file(LARGE, drain_timeout=0.5)
    server.log.expect("1 unfinished connections closed at the drain timeout")
    with server.client(receive_buffer=4096) as client:
        client.ask()
        client.head()
        server.stop()
    assert server.ends(wait=False) == {"drain_deadline": 1}


def test_fast_client_does_not_keep_others_waiting(serve_file: ServeFile) -> None:
    """Ten others are answered while one takes a file as fast as it can."""
    server, _ = serve_file(LARGE, health_path="/health")
    with server.client() as fast:
        reading = threading.Thread(target=read_all, args=(fast,))
        fast.ask()
        reading.start()
        for _ in range(10):
            with server.client() as other:
                assert other.get("/health").status == 200
        reading.join()


def read_all(client: Client) -> None:
    """Read a response, and keep nothing of it."""
    left = int(client.head()["content-length"]) - len(client.buffer)
    while left:
        left -= len(client.sock.recv(1 << 20))


# -- WSGI -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [0, 2])
def test_file_is_sent_from_its_position_and_within_its_length(serve: Serve, tmp_path: Path, threads: int) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")

    def app(environ: Environ, start_response: Start) -> Any:
        file = (tmp_path / "file").open("rb")
        file.seek(2)
        start_response("200 OK", [("Content-Length", "5")])
        return environ["wsgi.file_wrapper"](file)

    server = serve(app, threads=threads)
    with server.client() as client:
        assert [client.get().content for _ in range(2)] == [b"23456"] * 2


@pytest.mark.parametrize("threads", [0, 2])
def test_file_that_is_shorter_than_its_declared_length_cuts_the_response(
    serve: Serve, tmp_path: Path, threads: int
) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")

    def app(environ: Environ, start_response: Start) -> Any:
        start_response("200 OK", [("Content-Length", "20")])
        return environ["wsgi.file_wrapper"]((tmp_path / "file").open("rb"))

    server = serve(app, threads=threads)
    server.log.expect("the application failed")
    with server.client() as client:
        client.ask()
        assert client.ending().rest.endswith(b"0123456789")
    assert server.ends() == {"response_incomplete": 1}


@pytest.mark.parametrize("threads", [0, 2])
def test_file_follows_written_content(serve: Serve, tmp_path: Path, threads: int) -> None:
    (tmp_path / "file").write_bytes(b"0123456789" * 10_000)

    def app(environ: Environ, start_response: Start) -> Any:
        start_response("200 OK", [])(b"first")
        return environ["wsgi.file_wrapper"]((tmp_path / "file").open("rb"))

    server = serve(app, threads=threads)
    with server.client() as client:
        for _ in range(2):
            assert client.get().content == b"first" + b"0123456789" * 10_000


# -- ASGI -------------------------------------------------------------------------------------------------------------------


def test_starlette_sends_files_by_their_path(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(1_000_000))
    seen: list[bool] = []

    async def file(request: Request) -> FileResponse:
        seen.append("http.response.pathsend" in request.scope["extensions"])
        return FileResponse(tmp_path / "file")

    server = serve(Starlette(routes=[Route("/", file)]))
    with server.client() as client:
        for _ in range(2):
            assert client.get().content == (tmp_path / "file").read_bytes()
        assert client.get("/", "Range: bytes=10-19").status == 206
        assert client.get(method="HEAD")["content-length"] == "1000000"
    assert seen == [True] * 4


def test_path_that_does_not_exist_is_500(serve: Serve, tmp_path: Path) -> None:
    server = serve(pathsend(tmp_path / "none"))
    server.log.expect("the application failed")
    with server.client() as client:
        assert [client.get().status for _ in range(2)] == [500, 500]


def test_file_before_trailers_is_chunked(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.pathsend", "path": str(tmp_path / "file")})
        await send({"type": "http.response.trailers", "headers": [(b"x", b"1")]})

    server = serve(app)
    with server.client() as client:
        response = client.get("/", "TE: trailers")
        assert (response.content, response.trailers) == (b"0123456789", [("x", "1")])

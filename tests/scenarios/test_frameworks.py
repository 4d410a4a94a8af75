"""Applications as people write them: Starlette, FastAPI, Django.

1. Each is served as it is, lifespan included where it has one.
2. Pages, forms, JSON, streams, background work and files work, over one connection.
3. A client that leaves in the middle brings no traceback into the log.
"""

import asyncio
import contextlib
import importlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.support.apps import App
from tests.support.client import request as octets_of
from tests.support.django import settings
from tests.support.server import Serve
from tests.support.waiting import pause


def starlette_app(folder: Path, *middleware: Middleware) -> tuple[App, list[str], asyncio.Event]:
    """Return an application, what it has done, and what its background work waits for."""
    done: list[str] = []
    go = asyncio.Event()

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        done.append("startup")
        yield {"greeting": "hello"}
        done.append("shutdown")

    async def greet(request: Request) -> Response:
        return PlainTextResponse(request.state.greeting)

    async def measure(request: Request) -> Response:
        return JSONResponse({"size": len(await request.body()), "type": request.headers.get("content-type")})

    async def numbers(request: Request) -> Response:
        async def lines() -> AsyncIterator[bytes]:
            for number in range(int(request.path_params["count"])):
                yield b"%d\n" % number
                await asyncio.sleep(0)

        return StreamingResponse(lines())

    async def work() -> None:
        await go.wait()
        done.append("work")

    async def later(request: Request) -> Response:
        return PlainTextResponse("soon", background=BackgroundTask(work))

    async def file(request: Request) -> Response:
        return FileResponse(folder / "file")

    async def fail(request: Request) -> Response:
        raise RuntimeError("no")

    app = Starlette(
        routes=[
            Route("/", greet),
            Route("/measure", measure, methods=["POST"]),
            Route("/numbers/{count}", numbers),
            Route("/later", later),
            Route("/file", file),
            Route("/fail", fail),
        ],
        middleware=middleware,
        lifespan=lifespan,
    )
    return app, done, go


class Wrapping(BaseHTTPMiddleware):
    """Starlette's base of much middleware. It uses `receive` and `send` in unusual ways."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Go on."""
        response = await call_next(request)
        response.headers["x-wrapped"] = "yes"
        return response


@pytest.mark.parametrize("middleware", [[], [Middleware(Wrapping)]])
def test_starlette_serves_pages_forms_streams_and_files(
    serve: Serve, tmp_path: Path, middleware: list[Middleware]
) -> None:
    (tmp_path / "file").write_bytes(b"0123456789" * 100_000)
    app, done, go = starlette_app(tmp_path, *middleware)
    server = serve(app, lifespan="on")
    server.log.expect("the application failed")
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        for _ in range(2):
            assert client.get("/").text == "hello"
            assert client.post("/measure", content=bytes(300_000)).json()["size"] == 300_000
            assert client.post("/measure", data={"a": "b"}).json()["type"] == "application/x-www-form-urlencoded"
            assert client.get("/numbers/1000").text.count("\n") == 1000
            assert client.head("/file").headers["content-length"] == "1000000"
            assert len(client.get("/file").content) == 1_000_000
            assert client.get("/file", headers={"Range": "bytes=10-19"}).content == b"0123456789"
            assert client.get("/missing").status_code == 404
            assert client.get("/measure").status_code == 405
            assert client.get("/fail").status_code == 500
        if middleware:  # it keeps the answer open until its background work is done
            server.call(go.set)
        assert client.get("/later").text == "soon"
        assert client.get("/").text == "hello"
        server.call(go.set)
    assert server.ends() == {"client_eof_idle": 1}
    server.until(lambda: "work" in done)
    server.stop()
    assert done[0] == "startup"
    assert done[-1] == "shutdown"


@pytest.mark.parametrize("middleware", [[], [Middleware(Wrapping)]])
def test_starlette_with_clients_that_leave_logs_nothing(
    serve: Serve, tmp_path: Path, middleware: list[Middleware]
) -> None:
    (tmp_path / "file").write_bytes(bytes(20_000_000))
    app, _, go = starlette_app(tmp_path, *middleware)
    server = serve(app)
    server.call(go.set)
    beginnings = [
        octets_of("/file"),
        octets_of("/numbers/100000"),
        octets_of("/measure", "Content-Length: 100000", method="POST") + bytes(1000),
        octets_of("/later"),
    ]
    for octets in beginnings:
        for wait in (0.0, 0.1):
            with server.client(receive_buffer=4096) as client:
                client.send(octets)
                pause(wait)
                client.reset()
    ends = server.ends()
    assert sum(ends.values()) == 8
    assert set(ends) <= {"client_reset", "client_incomplete", "client_eof_idle"}


def test_fastapi_serves_json_and_dependencies(serve: Serve) -> None:
    fastapi: Any = importlib.import_module("fastapi")
    app = fastapi.FastAPI()

    def connection() -> Iterator[str]:
        yield "book"

    @app.get("/items/{number}")  # type: ignore[untyped-decorator, unused-ignore]
    async def item(number: int, book: str = fastapi.Depends(connection)) -> dict[str, object]:
        return {"number": number, "book": book}

    @app.post("/items")  # type: ignore[untyped-decorator, unused-ignore]
    def add(item: dict[str, int]) -> dict[str, int]:
        return {"sum": sum(item.values())}

    server = serve(app, lifespan="auto")
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        for number in range(20):
            assert client.get(f"/items/{number}").json() == {"number": number, "book": "book"}
            assert client.post("/items", json={"a": number, "b": 1}).json() == {"sum": number + 1}
        assert client.get("/items/x").status_code == 422
        assert client.get("/openapi.json").json()["info"]
    assert server.ends() == {"client_eof_idle": 1}


@pytest.fixture(scope="module")
def django_app() -> Iterator[App]:
    with settings(ROOT_URLCONF=__name__):
        yield made_by_django()


def made_by_django() -> App:
    asgi: Any = importlib.import_module("django.core.asgi")
    urls: Any = importlib.import_module("django.urls")
    answers: Any = importlib.import_module("django.http")

    async def hello(request: Any) -> Any:
        return answers.HttpResponse(
            f"{request.method} {request.path} {request.GET.get('q')} {request.META['SERVER_PORT']}"
        )

    def blocking(request: Any) -> Any:
        time.sleep(0.05)
        return answers.JsonResponse({"size": len(request.body)})

    def fields(request: Any) -> Any:
        return answers.JsonResponse({**request.POST.dict(), "files": [file.size for file in request.FILES.values()]})

    async def numbers(request: Any) -> Any:
        async def lines() -> AsyncIterator[bytes]:
            for number in range(100):
                yield b"%d\n" % number

        return answers.StreamingHttpResponse(lines())

    urlpatterns.extend(
        [
            urls.path("hello", hello),
            urls.path("blocking", blocking),
            urls.path("fields", fields),
            urls.path("numbers", numbers),
        ]
    )
    app: App = asgi.get_asgi_application()
    return app


urlpatterns: list[object] = []


def test_django_serves_pages_forms_streams_and_files(serve: Serve, django_app: App) -> None:
    server = serve(django_app, lifespan="auto")
    port = server.url.rpartition(":")[2]
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        for _ in range(3):
            assert client.get("/hello?q=%C3%A4").text == f"GET /hello ä {port}"
            assert client.post("/blocking", content=bytes(200_000)).json() == {"size": 200_000}
            form = client.post("/fields", data={"a": "b"}, files={"file": b"content"})
            assert form.json() == {"a": "b", "files": [7]}
            assert client.get("/numbers").text.count("\n") == 100
            assert client.head("/hello").content == b""
            assert client.get("/missing").status_code == 404
    assert server.ends() == {"client_eof_idle": 1}


def test_django_with_clients_that_leave_logs_nothing(serve: Serve, django_app: App) -> None:
    server = serve(django_app)
    for octets in (octets_of("/blocking"), octets_of("/blocking", "Content-Length: 9", method="POST") + b"x"):
        for wait in (0.0, 0.02):
            with server.client() as client:
                client.send(octets)
                pause(wait)
                client.reset()
    with server.client() as client:
        assert json.loads(client.get("/blocking").content) == {"size": 0}
    assert sum(server.ends().values()) == 5

"""WSGI applications as people write them, unchanged, on threads and on the event loop's thread.

Each has the same routes, and is asked the same: pages, forms, JSON, uploads, streams, files, errors.
"""

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import falcon
import flask
import httpx
import pytest

from tests.support.client import request as octets_of
from tests.support.django import settings
from tests.support.server import Serve, Served
from tests.support.waiting import pause

bottle: Any = importlib.import_module("bottle")

FILE = b"0123456789" * 50_000
JSON = {"Content-Type": "application/json"}


@pytest.fixture(params=[0, 4], ids=["loop-thread", "threads"])
def threads(request: pytest.FixtureRequest) -> int:
    count: int = request.param
    return count


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file.bin").write_bytes(FILE)
    return tmp_path / "file.bin"


def pieces() -> Iterator[bytes]:
    for number in range(1000):
        yield b"%d\n" % number


def flask_app(path: Path) -> Any:
    app = flask.Flask("test")

    @app.get("/hello")
    def hello() -> str:
        return f"{flask.request.method} {flask.request.path} {flask.request.args.get('q')}"

    @app.post("/size")
    def size() -> dict[str, int]:
        return {"size": len(flask.request.get_data())}

    @app.post("/form")
    def form() -> dict[str, object]:
        return {**flask.request.form, "files": [len(file.read()) for file in flask.request.files.values()]}

    @app.post("/json")
    def numbers() -> dict[str, int]:
        assert flask.request.json is not None
        return {"sum": sum(flask.request.json)}

    @app.get("/stream")
    def stream() -> flask.Response:
        return flask.Response(pieces())

    @app.get("/file")
    def file() -> flask.Response:
        return flask.send_file(path)

    @app.get("/fail")
    def fail() -> str:
        raise RuntimeError("no")

    return app


def falcon_app(path: Path) -> Any:
    class Hello:
        def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
            response.text = f"{request.method} {request.path} {request.get_param('q')}"

    class Size:
        def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
            response.media = {"size": len(request.bounded_stream.read() or request.stream.read())}

    class Form:
        def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
            found: dict[str, Any] = {"files": []}
            media = request.get_media()
            if isinstance(media, dict):
                found.update(media)
            else:
                for part in media:
                    if part.filename:
                        found["files"].append(len(part.stream.read()))
                    else:
                        found[part.name] = part.text
            response.media = found

    class Json:
        def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
            response.media = {"sum": sum(request.media)}

    class Stream:
        def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
            response.stream = pieces()

    class File:
        def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
            response.set_stream(path.open("rb"), len(FILE))

    class Fail:
        def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
            raise RuntimeError("no")

    app = falcon.App()
    routes = {"hello": Hello(), "size": Size(), "form": Form(), "json": Json(), "stream": Stream(), "file": File()}
    for name, resource in {**routes, "fail": Fail()}.items():
        app.add_route(f"/{name}", resource)
    return app


def bottle_app(path: Path) -> Any:
    def hello() -> str:
        return f"{bottle.request.method} {bottle.request.path} {bottle.request.query.q}"

    def size() -> dict[str, int]:
        return {"size": len(bottle.request.body.read())}

    def form() -> dict[str, object]:
        files = [len(upload.file.read()) for upload in bottle.request.files.values()]
        return {**bottle.request.forms, "files": files}

    def numbers() -> dict[str, int]:
        return {"sum": sum(bottle.request.json)}

    def file() -> Any:
        return bottle.static_file(path.name, str(path.parent))

    def fail() -> str:
        raise RuntimeError("no")

    app: Any = bottle.Bottle()
    for name, view in {"hello": hello, "stream": pieces, "file": file, "fail": fail}.items():
        app.route(f"/{name}", "GET", view)
    for name, view in {"size": size, "form": form, "json": numbers}.items():
        app.route(f"/{name}", "POST", view)
    return app


urlpatterns: list[object] = []


def django_app(path: Path) -> Any:
    http: Any = importlib.import_module("django.http")
    urls: Any = importlib.import_module("django.urls")

    def hello(request: Any) -> Any:
        return http.HttpResponse(f"{request.method} {request.path} {request.GET.get('q')}")

    def size(request: Any) -> Any:
        return http.JsonResponse({"size": len(request.body)})

    def form(request: Any) -> Any:
        return http.JsonResponse({**request.POST.dict(), "files": [file.size for file in request.FILES.values()]})

    def numbers(request: Any) -> Any:
        return http.JsonResponse({"sum": sum(json.loads(request.body))})

    def stream(request: Any) -> Any:
        return http.StreamingHttpResponse(pieces())

    def file(request: Any) -> Any:
        return http.FileResponse(path.open("rb"))

    def fail(request: Any) -> Any:
        raise RuntimeError("no")

    urlpatterns[:] = [
        urls.path(name, view)
        for name, view in {
            "hello": hello,
            "size": size,
            "form": form,
            "json": numbers,
            "stream": stream,
            "file": file,
            "fail": fail,
        }.items()
    ]
    urls.clear_url_caches()
    return importlib.import_module("django.core.wsgi").get_wsgi_application()


Make = Callable[[Path], Any]

APPS: dict[str, Make] = {"flask": flask_app, "django": django_app, "falcon": falcon_app, "bottle": bottle_app}


@pytest.fixture(params=APPS)
def start(
    request: pytest.FixtureRequest, serve: Serve, threads: int, path: Path, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[[], Served]]:
    """Serve the application of a framework."""
    with settings(ROOT_URLCONF=__name__):
        yield lambda: serve(APPS[request.param](path), threads=threads)


Start = Callable[[], Served]


def test_pages_forms_uploads_streams_and_files(start: Start) -> None:
    server = start()
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        for _ in range(2):
            assert client.get("/hello?q=%C3%A4").text == "GET /hello ä"
            assert client.head("/hello").content == b""
            assert client.post("/size", content=bytes(300_000)).json() == {"size": 300_000}
            assert client.post("/form", data={"a": "b"}).json() == {"a": "b", "files": []}
            form = client.post("/form", data={"a": "b"}, files={"file": bytes(200_000)})
            assert form.json() == {"a": "b", "files": [200_000]}
            assert client.post("/json", json=[1, 2, 3]).json() == {"sum": 6}
            assert client.get("/stream").content == b"".join(pieces())
            response = client.get("/file")
            assert response.content == FILE
            assert response.headers["content-length"] == str(len(FILE))
            assert client.get("/fail").status_code == 500
            assert client.get("/missing").status_code == 404
    assert server.ends() == {"client_eof_idle": 1}


def test_body_without_length_is_read_whole(start: Start) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    with httpx.Client(base_url=start().url, trust_env=False) as client:
        for _ in range(2):
            assert client.post("/size", content=iter([bytes(100_000)] * 3)).json() == {"size": 300_000}
            assert client.post("/json", content=iter([b"[1, 2", b", 3]"]), headers=JSON).json() == {"sum": 6}
            assert client.post("/form", content=iter([b"a", b"=b"]), headers=form).json() == {"a": "b", "files": []}


def test_clients_that_leave_log_nothing(start: Start) -> None:
    server = start()
    beginnings = [
        octets_of("/file"),
        octets_of("/stream"),
        octets_of("/size", "Content-Length: 100000", method="POST") + bytes(1000),
    ]
    for octets in beginnings:
        for wait in (0.0, 0.05):
            with server.client(receive_buffer=4096) as client:
                client.send(octets)
                pause(wait)
                client.reset()
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        assert client.get("/hello").status_code == 200
    assert sum(server.ends().values()) == 7

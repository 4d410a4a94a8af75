"""The example application, route by route, without a server."""

import asyncio
import hashlib
import importlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

EXAMPLES = Path(__file__).parents[2] / "examples"
CLIENT = ("192.0.2.1", 40000)


class Visitor:
    """Sends each request with the application started up before and shut down after it."""

    def __init__(self, app: Starlette) -> None:
        """Visit this application."""
        self.app = app

    def __call__(
        self,
        method: str,
        path: str,
        *,
        client: tuple[str, int] = CLIENT,
        headers: dict[str, str] | None = None,
        content: bytes | AsyncIterator[bytes] | None = None,
        note: object = None,
    ) -> httpx.Response:
        """Send one request and return its response."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=client)
            async with (
                self.app.router.lifespan_context(self.app),
                httpx.AsyncClient(transport=transport, base_url="http://inn") as http,
            ):
                return await http.request(method, path, headers=headers, content=content, json=note)

        return asyncio.run(send())


@pytest.fixture
def inn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Import the example afresh, its modules being top-level ones as under `--app-dir`."""
    monkeypatch.setenv("BIDE_EXAMPLE_DB", str(tmp_path / "notes.sqlite3"))
    monkeypatch.syspath_prepend(str(EXAMPLES))
    names = ("app", "guestbook", "visits", "hello", "hello_wsgi")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("app")
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def visit(inn: ModuleType) -> Visitor:
    """Return a visitor to the example."""
    return Visitor(inn.app)


@pytest.mark.parametrize("path", ["/", "/about", "/notes/1"])
def test_page_is_html_that_loads_nothing_from_elsewhere(visit: Visitor, path: str) -> None:
    response = visit("GET", path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"] == "default-src 'self'"
    assert "/static/inn.css" in response.text


def test_files_that_the_page_names_exist(visit: Visitor) -> None:
    names = {part.split('"')[0] for part in visit("GET", "/").text.split('="/static/')[1:]}
    assert len(names) >= 9
    for name in names:
        response = visit("GET", f"/static/{name}")
        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-cache"


def test_static_file_is_revalidated_and_stays_in_its_folder(visit: Visitor) -> None:
    etag = visit("GET", "/static/inn.css").headers["etag"]
    again = visit("GET", "/static/inn.css", headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert visit("GET", "/static/%2e%2e/app.py").status_code == 404


def test_note_is_created_listed_fetched_shown_and_deleted(visit: Visitor) -> None:
    created = visit("POST", "/api/notes", note={"author": " Ada <i> ", "text": "Good beds.\nWarm soup. ✨"})
    assert created.status_code == 201
    note = created.json()
    assert (note["author"], note["text"]) == ("Ada <i>", "Good beds.\nWarm soup. ✨")
    path = created.headers["location"]
    assert path == f"/api/notes/{note['id']}"
    assert visit("GET", path).json() == note
    assert visit("GET", "/api/notes").json()["notes"][0] == note
    assert visit("GET", "/api/notes?limit=1").json() == {"notes": [note]}
    shown = visit("GET", f"/notes/{note['id']}").text
    assert "Ada &lt;i&gt;" in shown
    assert "Ada <i>" not in shown
    deleted = visit("DELETE", path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert visit("DELETE", path).status_code == 404
    assert visit("GET", path).status_code == 404


def test_guestbook_emptied_stays_empty(visit: Visitor) -> None:
    for note in visit("GET", "/api/notes").json()["notes"]:
        assert visit("DELETE", f"/api/notes/{note['id']}").status_code == 204
    assert visit("GET", "/api/notes").json() == {"notes": []}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 9000, b"author=Ada"])
def test_body_that_is_not_json_is_400(visit: Visitor, body: bytes) -> None:
    response = visit("POST", "/api/notes", content=body)
    assert response.status_code == 400
    assert response.json() == {"error": "The body is not JSON."}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ("[]", {""}),
        ("{}", {"author", "text"}),
        ('{"author": 1, "text": " "}', {"author", "text"}),
        (json.dumps({"author": "a" * 61, "text": "t" * 500}), {"author"}),
        (json.dumps({"author": "a" * 60, "text": "t" * 501}), {"text"}),
        ('{"author": "Ada", "text": "\\ud800"}', {"text"}),
    ],
)
def test_json_without_a_note_is_422_and_names_the_fields(visit: Visitor, body: str, fields: set[str]) -> None:
    response = visit("POST", "/api/notes", content=body.encode())
    assert response.status_code == 422
    assert response.json()["fields"].keys() == fields


def test_note_too_large_is_413(visit: Visitor) -> None:
    assert visit("POST", "/api/notes", content=b" " * 20_000).status_code == 413


@pytest.mark.parametrize("number", ["0", "99", "-1", "x", "1.0", "%D9%A1", "9" * 18, "9" * 30, "9" * 5000])
def test_number_of_no_note_is_404(visit: Visitor, number: str) -> None:
    for method, path in (("GET", "/api/notes/"), ("DELETE", "/api/notes/"), ("GET", "/notes/")):
        response = visit(method, path + number)
        assert response.status_code == 404
        assert response.json() == {"error": "There is no such note."}


def test_error_for_a_browser_is_a_page(visit: Visitor) -> None:
    response = visit("GET", "/nowhere", headers={"Accept": "text/html,*/*;q=0.8"})
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")
    assert response.text.partition("<main")[2].count("Not Found") == 1
    assert "There is no such page." in response.text
    assert visit("GET", "/nowhere").json() == {"error": "Not Found"}


def test_guestbook_of_each_user_is_its_own(inn: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    guestbook = importlib.import_module("guestbook")
    monkeypatch.delenv("BIDE_EXAMPLE_DB")
    assert guestbook.database_path().name == f"bide-example-{os.getuid()}.sqlite3"


def test_wrong_method_is_405_and_names_the_right_ones(visit: Visitor) -> None:
    response = visit("PUT", "/api/notes")
    assert response.status_code == 405
    assert {"GET", "POST"} <= set(response.headers["allow"].split(", "))


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "limit=", "limit=1.5"])
def test_bad_number_of_notes_is_400(visit: Visitor, query: str) -> None:
    assert visit("GET", f"/api/notes?{query}").status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [("PUT", "/upload/a%20b.bin", "a b.bin"), ("POST", "/upload?name=c.bin", "c.bin"), ("POST", "/upload", "unnamed")],
)
def test_upload_is_answered_with_size_and_digest(visit: Visitor, method: str, path: str, name: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"octets" * 1000

    expected = hashlib.sha256(b"octets" * 64_000).hexdigest()
    answer = visit(method, path, content=pieces()).json()
    assert answer == {"name": name, "size": 384_000, "sha256": expected}


def test_upload_of_nothing_is_answered(visit: Visitor) -> None:
    assert visit("PUT", "/upload/nothing").json()["sha256"] == hashlib.sha256(b"").hexdigest()


def test_upload_too_large_is_413_declared_or_not(
    visit: Visitor, inn: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inn, "UPLOAD_MAX", 10)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"123456"
        yield b"78901"

    assert visit("PUT", "/upload/a", content=b"1234567890").status_code == 200
    assert visit("PUT", "/upload/a", content=b"12345678901").status_code == 413
    assert visit("PUT", "/upload/a", content=pieces()).status_code == 413


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 1_000_000])
def test_download_has_the_length_asked_for_and_the_digest_announced(visit: Visitor, size: int) -> None:
    response = visit("GET", f"/download?size={size}")
    assert response.headers["content-length"] == str(len(response.content)) == str(size)
    announced = visit("GET", response.headers["link"].split(">")[0].strip("<")).json()
    assert announced == {"size": size, "sha256": hashlib.sha256(response.content).hexdigest()}


def test_head_of_a_download_announces_its_length(visit: Visitor) -> None:
    response = visit("HEAD", "/download")
    assert response.headers["content-length"] == str(64 * 1024 * 1024)
    assert response.content == b""


@pytest.mark.parametrize("size", ["", "x", "-1", "1.5", "1073741825", "9" * 5000])
@pytest.mark.parametrize("path", ["/download", "/download/sha256"])
def test_download_of_a_bad_size_is_400(visit: Visitor, path: str, size: str) -> None:
    response = visit("GET", f"{path}?size={size}")
    assert response.status_code == 400
    assert "size" in response.json()["error"]


def test_events_tick_up_to_the_limit_and_say_that_they_end(visit: Visitor) -> None:
    response = visit("GET", "/events?limit=3&interval=0.01")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert "content-length" not in response.headers
    events = response.text.split("\n\n")
    assert [event.split("\n")[0] for event in events] == ["retry: 1000", "id: 1", "id: 2", "id: 3", "event: end", ""]
    told = json.loads(events[1].split("data: ")[1])
    assert (told["tick"], told["of"], told["connection"]) == (1, 3, CLIENT[1])


@pytest.mark.parametrize(("seen", "first"), [("2", "id: 3"), ("3", "event: end"), ("99", "event: end"), ("x", "id: 1")])
def test_events_go_on_after_the_last_one_seen(visit: Visitor, seen: str, first: str) -> None:
    text = visit("GET", "/events?limit=3&interval=0.01", headers={"Last-Event-ID": seen}).text
    assert text.split("\n\n")[1].startswith(first)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=10001", "limit=x", "interval=0", "interval=61", "interval=nan", "interval=-1"]
)
def test_events_out_of_bounds_are_400(visit: Visitor, query: str) -> None:
    assert visit("GET", f"/events?{query}").status_code == 400


@pytest.mark.parametrize("spec_version", ["2.3", "2.5"])
def test_events_end_when_the_client_leaves(inn: ModuleType, spec_version: str) -> None:
    """A server of either kind: one that reports the departure on receive, and one that raises OSError on send."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": spec_version},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/events",
        "raw_path": b"/events",
        "query_string": b"limit=10000&interval=0.01",
        "root_path": "",
        "headers": [],
        "client": CLIENT,
        "server": ("inn", 80),
    }
    sent: list[dict[str, Any]] = []
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if gone.is_set() and spec_version >= "2.4":
            raise OSError("the client has left")
        sent.append(message)
        if len(sent) == 5:
            gone.set()

    async def serve() -> None:
        try:
            await asyncio.wait_for(inn.app(scope, receive, send), timeout=5)
        except Exception as error:
            if type(error).__name__ != "ClientDisconnect":
                raise

    asyncio.run(serve())
    assert 5 <= len(sent) <= 7


def test_requests_of_a_connection_are_numbered(visit: Visitor) -> None:
    first, second = (visit("GET", "/api/connection") for _ in range(2))
    other = visit("GET", "/api/connection", client=("192.0.2.1", 40001)).json()
    assert [first.json()["request"], second.json()["request"], other["request"]] == [1, 2, 1]
    assert (second.json()["connection"], other["connection"]) == (40000, 40001)
    assert second.headers["server-timing"].startswith('connection;desc="40000", request;desc="2", age;desc="')
    assert visit("GET", "/nowhere").headers["server-timing"].startswith('connection;desc="40000", request;desc="3"')


def test_requests_without_a_port_are_not_numbered(visit: Visitor) -> None:
    response = visit("GET", "/api/connection", client=("192.0.2.1", 0))
    assert response.json() == {}
    assert "server-timing" not in response.headers


def test_connections_beyond_the_bound_are_forgotten(visit: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    visits = sys.modules["visits"]
    monkeypatch.setattr(visits, "REMEMBERED", 1)
    visit("GET", "/api/connection")
    visit("GET", "/api/connection", client=("192.0.2.1", 40001))
    assert visit("GET", "/api/connection").json()["request"] == 1
    monkeypatch.setattr(visits, "FORGOTTEN_AFTER", -1.0)
    assert visit("GET", "/api/connection").json()["request"] == 1


def test_oldest_notes_make_room(visit: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["guestbook"], "KEPT", 3)
    visit("POST", "/api/notes", note={"author": "Ada", "text": "One more."})
    assert [note["id"] for note in visit("GET", "/api/notes").json()["notes"]] == [5, 4, 3]


def test_two_processes_share_one_guestbook(tmp_path: Path) -> None:
    program = (
        "import guestbook; book = guestbook.Guestbook(guestbook.database_path()); book.prepare();"
        "[book.add('Twin', str(count)) for count in range(20)]; print(len(book.newest(500)))"
    )
    path = tmp_path / "shared.sqlite3"
    environment = {**os.environ, "BIDE_EXAMPLE_DB": str(path), "PYTHONPATH": str(EXAMPLES)}
    twins = [
        subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE) for _ in range(2)
    ]
    counts = [int(twin.communicate(timeout=30)[0]) for twin in twins]
    assert [twin.returncode for twin in twins] == [0, 0]
    assert max(counts) == 44


def test_smallest_application_says_hello(inn: ModuleType) -> None:
    hello = importlib.import_module("hello")

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(hello.app), base_url="http://inn") as http:
            return await http.get("/")

    response = asyncio.run(send())
    assert response.text == "Hello, world!\n"
    assert response.headers["content-length"] == str(len(response.content))
    with pytest.raises(NotImplementedError):
        asyncio.run(hello.app({"type": "lifespan"}, None, None))


def test_smallest_wsgi_application_says_hello(inn: ModuleType) -> None:
    hello = importlib.import_module("hello_wsgi")
    with httpx.Client(transport=httpx.WSGITransport(hello.app), base_url="http://inn") as http:
        response = http.get("/")
    assert response.text == "Hello, world!\n"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"

"""The Bide Inn: a guestbook and a connection lab, the application that `make serve` serves.

It asks of a server what real applications ask: pages, static files, a JSON API over SQLite, an
upload that is never held in memory, a large download that is made while it is sent, and a stream of
events. The page draws the connection of each of its requests, so that a user can watch connections
persist.
"""

import hashlib
import html
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from string import Template

import anyio
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from guestbook import Guestbook, InvalidNoteError, Note, checked, database_path
from visits import Visits

HERE = Path(__file__).parent
MIB = 1024 * 1024
JSON_MAX = 16 * 1024
UPLOAD_MAX = 4096 * MIB
DOWNLOAD_DEFAULT, DOWNLOAD_MAX = 64 * MIB, 1024 * MIB
TICKS_DEFAULT, TICKS_MAX = 60, 10_000
INTERVAL_DEFAULT, INTERVAL_MIN, INTERVAL_MAX = 1.0, 0.01, 60.0
# Texts of error pages, for errors that have only a status.
UNSAID = {404: "There is no such page.", 405: "This address is asked in another way."}
BLOCK = hashlib.shake_256(b"bide").digest(64 * 1024)


@lru_cache
def template(name: str) -> Template:
    """Read a template once."""
    return Template((HERE / "templates" / f"{name}.html").read_text("utf-8"))


def page(name: str, code: int = 200, **values: object) -> HTMLResponse:
    """Fill a template, and frame it. Values are escaped here, so no caller can forget to."""
    escaped = {key: html.escape(str(value)) for key, value in values.items()}
    text = template("frame").substitute(title=escaped["title"], body=template(name).substitute(escaped))
    return HTMLResponse(text, code, {"Content-Security-Policy": "default-src 'self'", "Cache-Control": "no-cache"})


async def home(request: Request) -> Response:
    """Answer with the main page."""
    return page("home", title="The Bide Inn")


async def about(request: Request) -> Response:
    """Answer with the page that explains the drawing and lists the commands."""
    return page("about", title="How connections persist", base=str(request.base_url).rstrip("/"))


async def note_page(request: Request) -> Response:
    """Answer with the page of one note, which is readable without a script."""
    note = await find_note(request)
    when = note.created.replace("T", ", ").replace("Z", " UTC")
    return page("note", title=f"A note by {note.author}", when=when, **asdict(note))


def number(request: Request, name: str, default: float, low: float, high: float) -> float:
    """Return a number from the query. A malformed one, or one out of bounds, is answered 400."""
    raw = request.query_params.get(name)
    if raw is None:
        return default
    try:
        value: float = type(default)(raw)
    except ValueError:
        raise HTTPException(400, f"{name} must be a number, not {raw[:40]!r}") from None
    if not low <= value <= high:
        raise HTTPException(400, f"{name} must be from {low} to {high}")
    return value


def guestbook(request: Request) -> Guestbook:
    """Return the guestbook that the lifespan opened."""
    book: Guestbook = request.app.state.guestbook
    return book


def note_id(request: Request) -> int:
    """Return the note's number from the path. A number that no note can have is answered 404."""
    raw: str = request.path_params["id"]
    if not (raw.isascii() and raw.isdigit() and len(raw) <= 18):
        raise HTTPException(404, "There is no such note.")
    return int(raw)


async def find_note(request: Request) -> Note:
    """Return the note that the path names, or 404."""
    note = await run_in_threadpool(guestbook(request).get, note_id(request))
    if note is None:
        raise HTTPException(404, "There is no such note.")
    return note


class Notes(HTTPEndpoint):
    """Serves the notes as a collection. It is an endpoint, so 405 names all of its methods."""

    async def get(self, request: Request) -> Response:
        """Answer with the newest notes."""
        limit = int(number(request, "limit", 50, 1, 200))
        notes = await run_in_threadpool(guestbook(request).newest, limit)
        return JSONResponse({"notes": [asdict(note) for note in notes]}, headers={"Cache-Control": "no-store"})

    async def post(self, request: Request) -> Response:
        """Add a note. Answers: 413 for a large body, 400 for no JSON, 422 for an invalid note."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > JSON_MAX:
                raise HTTPException(413, f"A note may take at most {JSON_MAX} bytes.")
        try:
            author, text = checked(json.loads(body))
        except InvalidNoteError as error:
            return JSONResponse({"error": str(error), "fields": error.fields}, 422)
        except (ValueError, RecursionError):
            raise HTTPException(400, "The body is not JSON.") from None
        note = await run_in_threadpool(guestbook(request).add, author, text)
        return JSONResponse(asdict(note), 201, {"Location": f"/api/notes/{note.id}"})


class OneNote(HTTPEndpoint):
    """Serves one note."""

    async def get(self, request: Request) -> Response:
        """Answer with the note."""
        return JSONResponse(asdict(await find_note(request)))

    async def delete(self, request: Request) -> Response:
        """Remove the note."""
        if not await run_in_threadpool(guestbook(request).remove, note_id(request)):
            raise HTTPException(404, "There is no such note.")
        return Response(status_code=204)


async def connection(request: Request) -> Response:
    """Answer with the facts about the connection of this request."""
    return JSONResponse(request.scope.get("visit", {}), headers={"Cache-Control": "no-store"})


async def upload(request: Request) -> Response:
    """Measure a file chunk by chunk. Refuse it before it is sent, if it is declared too large."""
    too_large = HTTPException(413, f"A file may have at most {UPLOAD_MAX} bytes.")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > UPLOAD_MAX:
        raise too_large
    size, digest = 0, hashlib.sha256()
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > UPLOAD_MAX:
                raise too_large
            digest.update(chunk)
    except ClientDisconnect:
        raise HTTPException(400, "The body ended before its time.") from None
    name = request.path_params.get("name") or request.query_params.get("name") or "unnamed"
    return JSONResponse({"name": name, "size": size, "sha256": digest.hexdigest()})


def chunks(size: int) -> Iterator[bytes]:
    """Make the large file: always the same, with numbered blocks, so a lost one is noticed."""
    for offset in range(0, size, len(BLOCK)):
        yield (offset.to_bytes(8, "big") + BLOCK[8:])[: size - offset]


async def generated(size: int) -> AsyncIterator[bytes]:
    """Make the large file on the event loop. A plain iterator would take a thread per chunk."""
    for chunk in chunks(size):
        yield chunk


@lru_cache(maxsize=64)
def generated_sha256(size: int) -> str:
    """Return the digest of the large file, so that a client can check it."""
    digest = hashlib.sha256()
    for chunk in chunks(size):
        digest.update(chunk)
    return digest.hexdigest()


async def download(request: Request) -> Response:
    """Send a large file of known length, made while it is sent. HEAD does not make it."""
    size = int(number(request, "size", DOWNLOAD_DEFAULT, 0, DOWNLOAD_MAX))
    headers = {
        "Content-Length": str(size),
        "Content-Disposition": f'attachment; filename="bide-{size}.bin"',
        "Link": f'</download/sha256?size={size}>; rel="describedby"',
    }
    body = generated(0 if request.method == "HEAD" else size)
    return StreamingResponse(body, headers=headers, media_type="application/octet-stream")


async def download_sha256(request: Request) -> Response:
    """Answer with the digest of the large file."""
    size = int(number(request, "size", DOWNLOAD_DEFAULT, 0, DOWNLOAD_MAX))
    return JSONResponse({"size": size, "sha256": await run_in_threadpool(generated_sha256, size)})


async def ticks(first: int, last: int, interval: float, visit: dict[str, int | float]) -> AsyncIterator[str]:
    """Send the ticks from first to last, then an event that tells the page not to reconnect."""
    yield "retry: 1000\n\n"
    for count in range(first, last + 1):
        yield f"id: {count}\nevent: tick\ndata: {json.dumps({'tick': count, 'of': last, **visit})}\n\n"
        if count < last:
            await anyio.sleep(interval)
    yield f"event: end\ndata: {last}\n\n"


async def events(request: Request) -> Response:
    """Send a clock's ticks as server-sent events. A client that reconnects gets the next ones."""
    limit = int(number(request, "limit", TICKS_DEFAULT, 1, TICKS_MAX))
    interval = number(request, "interval", INTERVAL_DEFAULT, INTERVAL_MIN, INTERVAL_MAX)
    seen = request.headers.get("last-event-id", "")
    first = min(int(seen), limit) + 1 if seen.isdecimal() and len(seen) <= 9 else 1
    last = 0 if request.method == "HEAD" else limit
    stream = ticks(first, last, interval, request.scope.get("visit", {}))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, headers=headers, media_type="text/event-stream")


async def failed(request: Request, error: Exception) -> Response:
    """Answer an error: with a page to a browser, with JSON to other clients."""
    assert isinstance(error, HTTPException)
    if "text/html" in request.headers.get("accept", ""):
        title = HTTPStatus(error.status_code).phrase
        what = error.detail if error.detail != title else UNSAID.get(error.status_code, "There is no more to say.")
        answer: Response = page("failed", error.status_code, status=error.status_code, title=title, what=what)
    else:
        answer = JSONResponse({"error": error.detail}, error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def asked_for_every_time(files: ASGIApp) -> ASGIApp:
    """Have browsers ask for static files on every visit, so that there are requests to draw."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_field(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Cache-Control"] = "no-cache"
            await send(message)

        await files(scope, receive, send_with_field)

    return application


@asynccontextmanager
async def lifespan(application: Starlette) -> AsyncIterator[None]:
    """Open the guestbook before the first request."""
    book = Guestbook(database_path())
    await run_in_threadpool(book.prepare)
    application.state.guestbook = book
    yield


app = Starlette(
    routes=[
        Route("/", home),
        Route("/about", about),
        Route("/notes/{id}", note_page),
        Route("/api/notes", Notes),
        Route("/api/notes/{id}", OneNote),
        Route("/api/connection", connection),
        Route("/upload", upload, methods=["POST", "PUT"]),
        Route("/upload/{name}", upload, methods=["POST", "PUT"]),
        Route("/download", download),
        Route("/download/sha256", download_sha256),
        Route("/events", events),
        Mount("/static", asked_for_every_time(StaticFiles(directory=HERE / "static"))),
    ],
    middleware=[Middleware(Visits)],
    exception_handlers={HTTPException: failed},
    lifespan=lifespan,
)

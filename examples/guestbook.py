"""Keeps the guestbook: notes in one SQLite file, which any number of processes may share."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

AUTHOR_MAX = 60
TEXT_MAX = 500
KEPT = 500

FIRST_NOTES = (
    ("The innkeeper", "Welcome. Hang up your coat, take a chair, and stay as long as you like."),
    ("A load balancer", "I always leave a little before the host does. We have never once collided in the doorway."),
    ("Curl", "Three errands, one trip. Re-using connection #0 with host inn."),
    ("A mobile phone", "Lost my signal in the tunnel. The table was still laid when I came out on the other side."),
)

COLUMNS = "SELECT id, author, text, created FROM notes"


class InvalidNoteError(ValueError):
    """Raised for an invalid note.

    fields: field -> complaint, so that a form can show all complaints at once.
    """

    def __init__(self, fields: dict[str, str]) -> None:
        """Keep the complaints."""
        super().__init__("The note cannot be kept as it is.")
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Note:
    """Holds one entry of the guestbook."""

    id: int
    author: str
    text: str
    created: str


def database_path() -> Path:
    """Return the file: `BIDE_EXAMPLE_DB`, or one for each user in the temporary folder."""
    default = Path(tempfile.gettempdir()) / f"bide-example-{os.getuid()}.sqlite3"
    return Path(os.environ.get("BIDE_EXAMPLE_DB") or default)


def checked(body: object) -> tuple[str, str]:
    """Return (author, text) of a note in JSON. Raises InvalidNoteError with all complaints."""
    if not isinstance(body, dict):
        raise InvalidNoteError({"": 'must be an object with "author" and "text"'})
    complaints: dict[str, str] = {}
    values: dict[str, str] = {}
    for field, longest in (("author", AUTHOR_MAX), ("text", TEXT_MAX)):
        value = body.get(field)
        if not isinstance(value, str) or not value.strip():
            complaints[field] = "must be a string that is not blank"
        elif len(value.strip()) > longest:
            complaints[field] = f"must have at most {longest} characters"
        elif any("\ud800" <= character <= "\udfff" for character in value):
            complaints[field] = "must not contain half of a surrogate pair"
        else:
            values[field] = value.strip()
    if complaints:
        raise InvalidNoteError(complaints)
    return values["author"], values["text"]


class Guestbook:
    """Keeps the notes in one file.

    Every call opens the file anew. A SQLite connection belongs to one thread, and opening one costs
    less than a millisecond. So no connection crosses a fork or must be closed at the end.
    """

    def __init__(self, path: Path) -> None:
        """Remember the path. `prepare` makes the file."""
        self.path = path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=10, isolation_level=None)) as database:
            yield database

    def prepare(self) -> None:
        """Create the table, if no process has done so before. An emptied book stays empty."""
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            if database.execute("PRAGMA user_version").fetchone()[0] == 0:
                database.execute(
                    "CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, author TEXT NOT NULL,"
                    " text TEXT NOT NULL, created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')))"
                )
                database.executemany("INSERT INTO notes (author, text) VALUES (?, ?)", reversed(FIRST_NOTES))
                database.execute("PRAGMA user_version = 1")
            database.execute("COMMIT")

    def newest(self, limit: int) -> list[Note]:
        """Return the latest notes, newest first."""
        with self._open() as database:
            return [Note(*row) for row in database.execute(f"{COLUMNS} ORDER BY id DESC LIMIT ?", (limit,))]

    def get(self, note_id: int) -> Note | None:
        """Return the note with this number, or None if there is none."""
        with self._open() as database:
            row = database.execute(f"{COLUMNS} WHERE id = ?", (note_id,)).fetchone()
        return Note(*row) if row else None

    def add(self, author: str, text: str) -> Note:
        """Add a note. Beyond `KEPT` notes the oldest are deleted, so the disk never fills up."""
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            row = database.execute(
                "INSERT INTO notes (author, text) VALUES (?, ?) RETURNING id, author, text, created", (author, text)
            ).fetchone()
            database.execute("DELETE FROM notes WHERE id <= ?", (row[0] - KEPT,))
            database.execute("COMMIT")
        return Note(*row)

    def remove(self, note_id: int) -> bool:
        """Remove a note, and return whether it existed."""
        with self._open() as database:
            return database.execute("DELETE FROM notes WHERE id = ?", (note_id,)).rowcount > 0

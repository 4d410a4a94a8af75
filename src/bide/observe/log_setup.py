"""Sets up logging for the command line: text for people, JSON for machines.

A program that embeds bide sets up its own logging.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import final

from bide.observe.log_files import LogFile, Stream
from bide.observe.pieces import pieces


@final
class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object on one line."""

    def __init__(self, worker: int) -> None:
        """Keep the number of this worker; 0 without a supervisor."""
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON. Its traceback is a text within."""
        row: dict[str, str | int] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "event": record.name,
            "message": record.getMessage(),
        }
        if self._worker:
            row["worker"] = self._worker
        if record.exc_info:
            row["traceback"] = self.formatException(record.exc_info)
        return json.dumps(row)


@final
class WholeLines(logging.StreamHandler[Stream]):
    """Writes records in pieces that stay whole, since other workers write to the same pipe."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            for piece in pieces((self.format(record) + self.terminator).splitlines(keepends=True)):
                self.stream.write(piece)
                self.flush()
        except Exception:
            self.handleError(record)


def configure(level: str, style: str, worker: int = 0, path: str | None = None) -> None:
    """Send bide's log to standard error, or to a file. Raises OSError.

    level: the lowest level that is written.
    style: "text" or "json".
    worker: number of this worker, which each line has; 0 without a supervisor.
    path: of the file; None for standard error.
    """
    file = None if path is None else LogFile(path)
    may_mix = worker > 0 and (file is None or file.is_pipe)
    stream: Stream = sys.stderr if file is None else file
    handler = WholeLines(stream) if may_mix else logging.StreamHandler(stream)
    if style == "json":
        handler.setFormatter(JsonFormatter(worker))
    else:
        number = f" worker={worker}" if worker else ""
        text = logging.Formatter(f"%(asctime)s %(levelname)s %(message)s{number}", "%Y-%m-%dT%H:%M:%SZ")
        text.converter = time.gmtime
        handler.setFormatter(text)
    log = logging.getLogger("bide")
    before, log.handlers[:] = log.handlers[:], [handler]
    for old in before:
        if isinstance(old, logging.StreamHandler) and isinstance(old.stream, LogFile):
            old.stream.close()
    log.setLevel(level.upper())
    log.propagate = False

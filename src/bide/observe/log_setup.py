"""Sets up logging for the command line: text for people, JSON for machines.

A program that embeds bide sets up its own logging.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import final


@final
class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON. Its traceback is a text within."""
        row = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "event": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            row["traceback"] = self.formatException(record.exc_info)
        return json.dumps(row)


def configure(level: str, style: str) -> None:
    """Send bide's log to standard error.

    level: the lowest level that is written.
    style: "text" or "json".
    """
    handler = logging.StreamHandler(sys.stderr)
    if style == "json":
        handler.setFormatter(JsonFormatter())
    else:
        text = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        text.converter = time.gmtime
        handler.setFormatter(text)
    log = logging.getLogger("bide")
    log.handlers[:] = [handler]
    log.setLevel(level.upper())
    log.propagate = False

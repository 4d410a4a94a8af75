"""Writes the access log: one line per request, with the request's number on its connection and, on the last one, why it ends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TextIO, final

from bide.terms import Address, CloseReason

#: Called once per request: peer, method, target, minor version, status, octets of content, seconds, number, reason.
Record = Callable[[Address | None, str, bytes, int, int, int, float, int, CloseReason | None], None]


def peer_name(peer: Address | None) -> str:
    """Return an address as text: host and port, or a Unix socket's path, or "-"."""
    if peer is None:
        return "-"
    # A client chooses the path of its Unix socket: whatever that holds, it must stay on one line.
    return ascii(peer[0])[1:-1] if peer[1] is None else f"{peer[0]}:{peer[1]}"


@final
class Journal:
    """Lines are collected and written together, once per pass of the event loop: `schedule` has `flush` called soon."""

    __slots__ = ("_lines", "_schedule", "_stamp", "_stamped", "_stream")

    def __init__(self, stream: TextIO, schedule: Callable[[Callable[[], None]], object]) -> None:
        self._stream = stream
        self._schedule = schedule
        self._lines: list[str] = []
        self._stamped = 0
        self._stamp = ""

    def plain(
        self,
        peer: Address | None,
        method: str,
        target: bytes,
        minor: int,
        status: int,
        octets: int,
        seconds: float,
        number: int,
        reason: CloseReason | None,
    ) -> None:
        """Record a request as a line for people."""
        end = "" if reason is None else f" close={reason.value}"
        text = target.decode("latin-1")
        if '"' in text or "\\" in text:
            text = text.replace("\\", "\\x5C").replace('"', "\\x22")  # as nginx
        self._add(
            f'{self._now()} {peer_name(peer)} "{method} {text} HTTP/1.{minor}"'
            f" {status} {octets} {seconds * 1000.0:.1f}ms #{number}{end}\n"
        )

    def json(
        self,
        peer: Address | None,
        method: str,
        target: bytes,
        minor: int,
        status: int,
        octets: int,
        seconds: float,
        number: int,
        reason: CloseReason | None,
    ) -> None:
        """Record a request as a JSON object on one line."""
        row = {
            "time": self._now(),
            "level": "info",
            "event": "request",
            "peer": peer_name(peer),
            "method": method,
            "target": target.decode("latin-1"),
            "version": f"1.{minor}",
            "status": status,
            "bytes": octets,
            "duration_ms": round(seconds * 1000.0, 3),
            "request": number,
            "close": None if reason is None else reason.value,
        }
        self._add(json.dumps(row) + "\n")

    def flush(self) -> None:
        """Write what was recorded. A stream that takes nothing any more loses the lines, not the server."""
        lines = self._lines
        if not lines:
            return
        self._lines = []
        try:
            self._stream.write("".join(lines))
            self._stream.flush()
        except (OSError, ValueError):
            pass

    def _add(self, line: str) -> None:
        if not self._lines:
            self._schedule(self.flush)
        self._lines.append(line)

    def _now(self) -> str:
        """The time of day as text (RFC 3339, UTC), made once a second."""
        now = int(time.time())
        if now != self._stamped:
            self._stamped = now
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        return self._stamp

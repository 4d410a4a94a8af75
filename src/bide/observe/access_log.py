"""Writes the access log: one line per request, with the request's number on its connection and, on the last one, why it ends."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, TextIO, final

from bide.terms import Address, CloseReason


def peer_name(peer: Address | None) -> str:
    """Return an address as text: host and port, or a Unix socket's path, or "-"."""
    if peer is None:
        return "-"
    # A client chooses the path of its Unix socket: whatever that holds, it must stay on one line.
    return ascii(peer[0])[1:-1] if peer[1] is None else f"{peer[0]}:{peer[1]}"


# The pieces of nearly every line, as text: to make them anew each time is most of what a line costs.
_FEW: Final = 1000
_NUMBERS: Final = [str(number) for number in range(_FEW)]
_VERSIONS: Final = [f' HTTP/1.{minor}" ' for minor in range(2)]
_TOOK: Final = [f" {number // 10}.{number % 10}ms #" for number in range(_FEW)]
_MOST_PEERS: Final = 1024
_peers: Final[dict[object, str]] = {}


def _number(number: int) -> str:
    return _NUMBERS[number] if number < _FEW else str(number)


def _known_peer(peer: Address | None) -> str:
    key: object = peer
    text = _peers.get(key)
    if text is None:
        text = f' {peer_name(peer)} "'
        if len(_peers) >= _MOST_PEERS:
            _peers.clear()
        _peers[key] = text
    return text


class AccessLog(ABC):
    """Lines are collected and written together, once per pass of the event loop: `schedule` has `flush` called soon."""

    __slots__ = ("_lines", "_now", "_schedule", "_stamped", "_stream")

    def __init__(self, stream: TextIO, schedule: Callable[[Callable[[], None]], object]) -> None:
        self._stream = stream
        self._schedule = schedule
        self._lines: list[str] = []
        self._stamped = 0
        self._now = ""  # the time of day when the first of these lines was recorded, as text (RFC 3339, UTC)

    @abstractmethod
    def record(
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
        """Record a request. octets: of content. number: the how many-th it was on its connection. reason: why that ends."""

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

    def begin(self) -> None:
        """The first line is about to be recorded."""
        self._schedule(self.flush)
        now = int(time.time())
        if now != self._stamped:
            self._stamped = now
            self._now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))


@final
class TextAccessLog(AccessLog):
    """For people."""

    __slots__ = ()

    def record(
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
        """Record a request as a line."""
        if not self._lines:
            self.begin()
        text = target.decode("latin-1")
        if '"' in text or "\\" in text:
            text = text.replace("\\", "\\x5C").replace('"', "\\x22")  # as nginx
        end = "\n" if reason is None else f" close={reason.value}\n"
        tenths = int(seconds * 10_000.0 + 0.5)
        took = _TOOK[tenths] if tenths < _FEW else f" {tenths // 10}.{tenths % 10}ms #"
        self._lines.append(
            f"{self._now}{_known_peer(peer)}{method} {text}{_VERSIONS[minor]}{_number(status)} {_number(octets)}{took}"
            f"{_number(number)}{end}"
        )


@final
class JsonAccessLog(AccessLog):
    """For machines."""

    __slots__ = ()

    def record(
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
        """Record a request as an object on one line."""
        if not self._lines:
            self.begin()
        row = {
            "time": self._now,
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
        self._lines.append(json.dumps(row) + "\n")

"""Writes the access log: one line for each request.

A line has the request's number on its connection. If the connection ends after the request, the
line says why.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, NamedTuple, final

from bide.observe.log_files import Stream
from bide.observe.pieces import PIPE_BUF, pieces
from bide.terms import Address, CloseReason


class TunnelSummary(NamedTuple):
    """Says how a WebSocket ended.

    code: its close code (RFC 6455, 7.1.5).
    received, sent: numbers of messages.
    """

    code: int
    received: int
    sent: int


def peer_name(peer: Address | None) -> str:
    """Return an address as text: host and port, a Unix socket's path, or "-" for None."""
    if peer is None:
        return "-"
    # A client chooses the path of its Unix socket: escaped, it stays on one line.
    return ascii(peer[0])[1:-1] if peer[1] is None else f"{peer[0]}:{peer[1]}"


# Pieces of nearly every line, as text. Making them anew would be most of the cost of a line.
_CACHED_NUMBERS: Final = 1000
_NUMBERS: Final = [str(number) for number in range(_CACHED_NUMBERS)]
_VERSIONS: Final = [f' HTTP/1.{minor}" ' for minor in range(2)]
_DURATIONS: Final = [f" {tenths // 10}.{tenths % 10}ms #" for tenths in range(_CACHED_NUMBERS)]
_MAX_PEERS: Final = 1024

# Octets of a target that are kept if its line as JSON is longer than a pipe takes at once. In JSON
# an octet has at most six characters.
_SHORT_TARGET: Final = PIPE_BUF // 16
_peers: Final[dict[object, str]] = {}


def _number(number: int) -> str:
    return _NUMBERS[number] if number < _CACHED_NUMBERS else str(number)


def _known_peer(peer: Address | None) -> str:
    key: object = peer
    text = _peers.get(key)
    if text is None:
        text = f' {peer_name(peer)} "'
        if len(_peers) >= _MAX_PEERS:
            _peers.clear()
        _peers[key] = text
    return text


class AccessLog(ABC):
    """Collects lines, and writes them together, once per pass of the event loop."""

    __slots__ = ("_lines", "_may_mix", "_now", "_schedule", "_stamped", "_stream", "_worker")

    def __init__(
        self,
        stream: Stream,
        schedule: Callable[[Callable[[], None]], object],
        worker: int = 0,
        *,
        may_mix: bool = False,
    ) -> None:
        """Keep the stream.

        schedule: has the event loop call its argument after this pass.
        worker: number of this worker, which each line has; 0 without a supervisor.
        may_mix: whether other workers may write to the same pipe. Then lines are written in pieces
            that stay whole.
        """
        self._worker = worker
        self._may_mix = may_mix
        self._stream = stream
        self._schedule = schedule
        self._lines: list[str] = []
        self._stamped = 0  # second of `_now`
        self._now = ""  # when the first of these lines was recorded (RFC 3339, UTC)

    @abstractmethod
    def record(
        self,
        client: Address | None,
        method: str,
        target: bytes,
        minor: int,
        status: int,
        octets: int,
        seconds: float,
        number: int,
        reason: CloseReason | None,
        tunnel: TunnelSummary | None = None,
        via: Address | None = None,
    ) -> None:
        """Record a request.

        client: address of the client.
        method, target, minor: from the request line.
        status: status of the response.
        octets: octets of content sent.
        seconds: from the request's head to the end of its response.
        number: 1 for the connection's first request.
        reason: why the connection ends after it; None if it persists.
        tunnel: of a WebSocket, how it ended.
        via: address of the front end that the request came through; None if there is none.
        """

    def flush(self) -> None:
        """Write the recorded lines. If the stream fails, only the lines are lost."""
        lines = self._lines
        if not lines:
            return
        self._lines = []
        try:
            for piece in pieces(lines) if self._may_mix else ("".join(lines),):
                self._stream.write(piece)
                self._stream.flush()
        except (OSError, ValueError):
            pass

    def begin(self) -> None:
        """Prepare for the first line: schedule `flush`, and read the time of day."""
        self._schedule(self.flush)
        now = int(time.time())
        if now != self._stamped:
            self._stamped = now
            self._now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))


@final
class TextAccessLog(AccessLog):
    """Writes lines for people."""

    __slots__ = ()

    def record(
        self,
        client: Address | None,
        method: str,
        target: bytes,
        minor: int,
        status: int,
        octets: int,
        seconds: float,
        number: int,
        reason: CloseReason | None,
        tunnel: TunnelSummary | None = None,
        via: Address | None = None,
    ) -> None:
        """Record a request as a line."""
        if not self._lines:
            self.begin()
        text = target.decode("latin-1")
        if '"' in text or "\\" in text:
            text = text.replace("\\", "\\x5C").replace('"', "\\x22")  # as nginx
        end = "\n" if reason is None else f" close={reason.value}\n"
        if self._worker:
            end = f"{end[:-1]} worker={self._worker}\n"
        if tunnel is not None:
            end = f" code={tunnel.code} messages={tunnel.received}/{tunnel.sent}{end}"
        tenths = int(seconds * 10_000.0 + 0.5)
        took = _DURATIONS[tenths] if tenths < _CACHED_NUMBERS else f" {tenths // 10}.{tenths % 10}ms #"
        self._lines.append(
            f"{self._now}{_known_peer(client)}{method} {text}{_VERSIONS[minor]}{_number(status)} {_number(octets)}"
            f"{took}{_number(number)}{end}"
        )


@final
class JsonAccessLog(AccessLog):
    """Writes JSON objects, one on each line."""

    __slots__ = ()

    def record(
        self,
        client: Address | None,
        method: str,
        target: bytes,
        minor: int,
        status: int,
        octets: int,
        seconds: float,
        number: int,
        reason: CloseReason | None,
        tunnel: TunnelSummary | None = None,
        via: Address | None = None,
    ) -> None:
        """Record a request as an object."""
        if not self._lines:
            self.begin()
        row: dict[str, object] = {
            "time": self._now,
            "level": "info",
            "event": "request",
            "peer": peer_name(client),
            "via": None if via is None else peer_name(via),
            "method": method,
            "target": target.decode("latin-1"),
            "version": f"1.{minor}",
            "status": status,
            "bytes": octets,
            "duration_ms": round(seconds * 1000.0, 3),
            "request": number,
            "close": None if reason is None else reason.value,
        }
        if tunnel is not None:
            row["websocket_code"], row["messages_received"], row["messages_sent"] = tunnel
        if self._worker:
            row["worker"] = self._worker
        line = json.dumps(row) + "\n"
        if self._may_mix and len(line) > PIPE_BUF:
            row["target"] = f"{target[:_SHORT_TARGET].decode('latin-1')}...({len(target)} octets, cut)"
            line = json.dumps(row) + "\n"
        self._lines.append(line)

"""The contract between the supervisor and a worker process: messages, one JSON object on each line.

Unknown kinds and fields are ignored, and missing fields have defaults, so that processes of
different versions understand each other. The end of the channel tells each side that the other one
is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, final

#: Environment variables of a worker: descriptor of its end of the channel; its number, which its
#: application may use.
DESCRIPTOR: Final = "BIDE_CHANNEL"
NUMBER: Final = "BIDE_WORKER"

#: Signals for the supervisor. A terminal, or `pkill`, sends them to its workers, too. There they
#: have a handler that does nothing: programs that the application starts would inherit SIG_IGN.
NOT_FOR_WORKERS: Final = (
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
)
#: Signals that are blocked in a worker's process until its handlers stand.
BLOCKED: Final = (signal.SIGTERM, signal.SIGXCPU, *NOT_FOR_WORKERS)

#: Octets of the longest line. A longer one ends the channel.
MAX_LINE: Final = 1 << 20

# Octets that wait to be sent. With more, messages that the next one replaces are dropped.
_MAX_UNSENT: Final = 1 << 16
_READ_SIZE: Final = 1 << 16
# For the last messages, as the process ends.
_LAST_SEND_S: Final = 1.0

# The octet with a descriptor.
_PASSING: Final = b"+"

_NONE: Final[Mapping[str, Any]] = {}


class Begin(NamedTuple):
    """Tells a worker what to serve; always the first message.

    app: "module:attribute".
    options: of `bide.config.Config`.
    number: of the worker, from 1.
    generation: number of the reload that it is started for.
    sockets: descriptors of bound sockets, each with whether no other server listens on it.
    redirecting: descriptors of bound sockets for plain HTTP, which is redirected to https.
    page: descriptor of the page of counts (`bide.page`).
    is_template: whether to import the application only, and to fork workers.
    """

    app: str = ""
    options: Mapping[str, Any] = _NONE
    number: int = 1
    generation: int = 1
    sockets: Sequence[tuple[int, bool]] = ()
    redirecting: Sequence[int] = ()
    page: int = -1
    is_template: bool = False


class Drain(NamedTuple):
    """Tells a worker to drain.

    seconds: within which.
    is_last: whether no other process will listen on its sockets.
    cause: a `bide.terms.Cause`.
    """

    seconds: float = 0.0
    is_last: bool = False
    cause: str = ""


class Hurry(NamedTuple):
    """Tells a worker to drain without waiting."""


class Ask(NamedTuple):
    """Asks a worker for its open connections.

    number: of the question.
    limit: most that it lists.
    """

    number: int = 0
    limit: int = 0


class Answer(NamedTuple):
    """Answers a question. number: its number. connections: as `Worker.connections` returns them."""

    number: int = 0
    connections: Sequence[Mapping[str, Any]] = ()


class Reopen(NamedTuple):
    """Tells a worker to open its log files again."""


class Hello(NamedTuple):
    """Tells the supervisor who the worker is. version: of bide. python: its version."""

    pid: int = 0
    version: str = ""
    python: str = ""


class Ready(NamedTuple):
    """Tells the supervisor that the worker accepts. urls: that clients connect to."""

    urls: Sequence[str] = ()


class Failed(NamedTuple):
    """Tells the supervisor that the worker cannot start, before it ends with status 1.

    text: of the error, one line that says what to do.
    traceback: of the application's own error; "" without one.
    """

    text: str = ""
    traceback: str = ""


class Unfit(NamedTuple):
    """Tells the supervisor that a template cannot fork. threads: names of those that run."""

    threads: str = ""


class Forked(NamedTuple):
    """Tells the supervisor of the process that it asked a template for.

    pid: its id; 0 if the system cannot start one.
    """

    pid: int = 0


class Beat(NamedTuple):
    """Tells the supervisor that the worker's event loop turns.

    snapshot: as `bide.observe.snapshot` returns it.
    memory: resident octets.
    is_final: whether it is the last one, after the drain.
    """

    snapshot: Mapping[str, Any] = _NONE
    memory: int = 0
    is_final: bool = False


class Draining(NamedTuple):
    """Tells the supervisor that the worker drains. cause: a `bide.terms.Cause`."""

    cause: str = ""


#: All kinds, by the name in the field `kind`.
KINDS: Final[dict[str, type[Any]]] = {
    "begin": Begin,
    "drain": Drain,
    "hurry": Hurry,
    "reopen": Reopen,
    "ask": Ask,
    "answer": Answer,
    "hello": Hello,
    "ready": Ready,
    "failed": Failed,
    "unfit": Unfit,
    "forked": Forked,
    "beat": Beat,
    "draining": Draining,
}
_NAMES: Final = {kind: name for name, kind in KINDS.items()}


class ChannelError(Exception):
    """Raised for octets that are no message, and at the end of the channel."""


def encode(message: Any) -> bytes:  # noqa: ANN401
    """Return a message as a line."""
    return json.dumps({"kind": _NAMES[type(message)], **message._asdict()}).encode() + b"\n"


def decode(line: bytes) -> Any:  # noqa: ANN401
    """Return the message of a line; None for an unknown kind. Raises ChannelError."""
    try:
        row = json.loads(line)
        kind = KINDS.get(row["kind"])
    except (ValueError, KeyError, TypeError) as error:
        raise ChannelError(f"a line must be a JSON object with a kind, got {line[:80]!r}") from error
    if kind is None:
        return None
    known: tuple[str, ...] = kind._fields
    return kind(**{name: value for name, value in row.items() if name in known})


@final
class Channel:
    """Sends and receives messages over one end of a socket pair. It never blocks."""

    def __init__(self, sock: socket.socket, received: bytes = b"", unsent: bytes = b"") -> None:
        """Keep the end. received, unsent: what a program before has left, as `left` returns it."""
        self._end = sock
        self._received = received
        self._unsent = unsent
        sock.setblocking(False)

    def left(self) -> tuple[bytes, bytes]:
        """Return the octets received that are no whole message yet, and those not sent yet."""
        return self._received, self._unsent

    def fileno(self) -> int:
        """Return the descriptor; -1 once closed."""
        return self._end.fileno()

    def receive(self) -> list[Any]:
        """Return the messages that have arrived.

        Raises ChannelError at the end, once all messages before it were returned.
        """
        messages: list[Any] = []
        while True:
            try:
                octets = self._end.recv(_READ_SIZE)
            except (BlockingIOError, InterruptedError):
                return messages
            except OSError:
                octets = b""
            if not octets:
                if messages:
                    return messages
                raise ChannelError("the channel has ended")
            *lines, self._received = (self._received + octets).split(b"\n")
            messages += [message for message in map(decode, lines) if message is not None]
            if len(self._received) > MAX_LINE:
                raise ChannelError(f"a line must have at most {MAX_LINE} octets, got more")

    def wait(self, seconds: float) -> Any:  # noqa: ANN401
        """Return the first message. Raises ChannelError if none arrives within `seconds`."""
        self._end.settimeout(seconds)
        try:
            while b"\n" not in self._received:
                octets = self._end.recv(_READ_SIZE)
                if not octets or len(self._received) > MAX_LINE:
                    raise ChannelError("the channel has ended")
                self._received += octets
        except OSError as error:
            raise ChannelError(f"no message within {seconds:g} s") from error
        finally:
            self._end.setblocking(False)
        line, _, self._received = self._received.partition(b"\n")
        return decode(line)

    def send(self, message: Any, *, may_be_dropped: bool = False) -> None:  # noqa: ANN401
        """Send a message, after those that could not be sent yet. An error ends nothing.

        may_be_dropped: whether a later message of this kind will do as well.
        """
        if may_be_dropped and len(self._unsent) > _MAX_UNSENT:
            self._flush()
            return
        self._unsent += encode(message)
        self._flush()

    def pass_on(self, descriptor: int) -> None:
        """Pass a descriptor, with one octet, which is no part of a message. Raises OSError."""
        socket.send_fds(self._end, [_PASSING], [descriptor])

    def passed(self) -> int:
        """Wait for a descriptor, and return it. Raises ChannelError at the end."""
        try:
            self._end.setblocking(True)
            _, descriptors, _, _ = socket.recv_fds(self._end, 1, 1)
            self._end.setblocking(False)
        except OSError:
            descriptors = []
        if not descriptors:
            raise ChannelError("the channel has ended")
        os.set_inheritable(descriptors[0], False)
        return descriptors[0]

    def close(self) -> None:
        """Send what is unsent, for a second at most, then close."""
        if self._end.fileno() >= 0:
            if self._unsent:
                with contextlib.suppress(OSError):
                    self._end.settimeout(_LAST_SEND_S)
                    self._end.sendall(self._unsent)
            self._end.close()

    def _flush(self) -> None:
        with contextlib.suppress(OSError):
            while self._unsent:
                self._unsent = self._unsent[self._end.send(self._unsent) :]

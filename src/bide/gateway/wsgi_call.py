"""Calls a WSGI application, and takes its status, fields and content (PEP 3333)."""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, Final, final

from bide.errors import DisconnectedError, Misuse, Stopped
from bide.exchange import DONE, Exchange
from bide.gateway.application import WsgiApplication
from bide.gateway.file_wrapper import FilePart, FileWrapper

_log = logging.getLogger("bide.error")

Environ = dict[str, Any]

#: Length of a response without Content-Length.
UNDECLARED: Final = -1

# The form of PEP 3333. The phrase is not sent: HTTP gives it no meaning (RFC 9112, 4).
_STATUS: Final = re.compile(r"([2-9][0-9][0-9])(?: .*)?", re.DOTALL)

# Statuses and names of fields as applications write them, which are few -> what they mean. Bounds
# as in `bide.http1.response`.
_MAX_REMEMBERED: Final = 1024
_MAX_REMEMBERED_CHARACTERS: Final = 256
_statuses: Final[dict[str, int]] = {}
_names: Final[dict[str, tuple[bytes, int]]] = {}

# Kinds of fields.
_ORDINARY: Final = 0
_LENGTH: Final = 1
_CONNECTION: Final = 2
_HOP: Final = 3
_LINE_END: Final = 4  # in its name

# Fields that an application must not send, for the server owns the connection (PEP 3333, as
# `wsgiref.util.is_hop_by_hop`). Of Connection, `close` is obeyed.
_HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
    }
)


class WsgiCall(ABC):
    """Calls the application for one exchange.

    exchange: the request, and where the response goes.
    has_ended: whether the application has returned, and its result is closed.
    """

    __slots__ = (
        "_app",
        "_declared",
        "_environ",
        "_fields",
        "_has_begun",
        "_is_whole",
        "_iterator",
        "_result",
        "_status",
        "exchange",
        "has_ended",
    )

    def __init__(self, app: WsgiApplication, exchange: Exchange, environ: Environ) -> None:
        self._app = app
        self.exchange = exchange
        self._environ = environ
        self._status = 0  # 0 before `start_response`
        self._fields: list[tuple[bytes, bytes]] = []
        self._declared = UNDECLARED  # octets of content declared and not yet given, or UNDECLARED
        self._has_begun = False  # the head is given away, and cannot be replaced any more
        self._is_whole = False  # all content is given away
        self.has_ended = False
        self._result: Any = None
        self._iterator: Iterator[Any] | None = None  # None before the application has returned

    # -- What the application calls ----------------------------------------------------------------

    def start_response(
        self,
        status: object,
        headers: object,
        exc_info: Any = None,  # noqa: ANN401  # as `sys.exc_info` returns it
    ) -> Callable[[Any], None]:
        """Take status and fields; return `write`. Raises Misuse.

        exc_info: an exception that replaces the head. If the head was given away before, it is
            raised.
        """
        if exc_info is not None:
            try:
                if self._has_begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # its traceback holds this frame
        elif self._status:
            raise Misuse("start_response was called a second time without exc_info")
        code = _statuses.get(status, 0) if isinstance(status, str) else 0
        if not code:
            code = _read_status(status)
        self._fields, self._declared = self._converted(headers)
        self._status = code
        return self.write

    def write(self, data: object) -> None:
        """Send content before what the application returns. Raises Misuse or DisconnectedError."""
        if self.has_ended:
            raise Misuse("write was called after the application had returned")
        self._written(self._take(data))

    # -- Where the response goes -------------------------------------------------------------------

    @abstractmethod
    def _put(self, content: bytes, more: bool) -> Awaitable[None]:
        """Send content, after the head if that was not given away.

        Return DONE, or what to wait for before more is sent. Raises Misuse or DisconnectedError.

        more: whether more content follows.
        """

    @abstractmethod
    def _put_file(self, part: FilePart) -> Awaitable[None]:
        """Send a part of a file, which completes the content; otherwise as `_put`."""

    @abstractmethod
    def _written(self, flows: Awaitable[None]) -> None:
        """Take what `_put` returned to `write`, which cannot wait."""

    @abstractmethod
    def _flush_written(self) -> Awaitable[None]:
        """Return DONE, or what to wait for after calls of `write`. The application has returned."""

    @abstractmethod
    def _drop_written(self) -> None:
        """Forget what is left of it. The call ends."""

    @abstractmethod
    def _is_cut(self) -> bool:
        """Return whether the response can no longer become complete."""

    # -- The call ----------------------------------------------------------------------------------

    @final
    def run(self) -> Awaitable[None]:
        """Call the application, and send what it returns.

        Return DONE once it has ended. Otherwise `go_on` is to be called when the result is done.
        """
        try:
            self._result = self._app(self._environ, self.start_response)
            flows = self._flush_written()
        except BaseException as error:
            self.give_up(error)
            return DONE
        return self.go_on() if flows is DONE else flows

    @final
    def go_on(self) -> Awaitable[None]:
        """Send what is left of the result; return as `run`."""
        try:
            if self._iterator is None:
                flows = self._begin(self._result)
                if flows is not DONE:
                    return flows
            assert self._iterator is not None
            if not self._is_head_all():
                for piece in self._iterator:
                    if self._is_head_all():
                        break
                    flows = self._take(piece)
                    if flows is not DONE:
                        return flows
            if not self._is_whole:
                self._require_start()
                self._give(b"", False)
        except BaseException as error:
            self.log_failure(error)
        self._end()
        return DONE

    @final
    def give_up(self, error: BaseException) -> None:
        """End the call, since what it waited for has failed."""
        self.log_failure(error)
        self._end()

    def _begin(self, result: Any) -> Awaitable[None]:  # noqa: ANN401  # whatever was returned
        """Send a result that is whole, or begin to iterate over it; return as `_put`."""
        self._iterator = iter(())
        if isinstance(result, list | tuple):
            self._take_all(b"".join(result))
        elif type(result) is FileWrapper and (part := result.rest()) is not None:
            return self._take_file(part)
        else:
            self._iterator = iter(result)
        return DONE

    def _is_head_all(self) -> bool:
        """Return whether the head is all that is sent, so that no content need be made.

        A generator has it set only once it runs.
        """
        return self._status != 0 and self.exchange.request.method == "HEAD"

    def _require_start(self) -> None:
        if not self._status:
            raise Misuse("start_response was not called before the first content, or the end")

    def _take(self, content: object) -> Awaitable[None]:
        """Send a piece of content; return as `_put`."""
        if not isinstance(content, bytes):
            raise Misuse(f"content must be bytes, got {type(content).__name__}")
        if not content:
            return DONE
        self._require_start()
        if self._is_head_all():
            return DONE
        if self._is_cut() or (self.exchange.client_left and self._declared == UNDECLARED):
            # A client that has only half-closed gets a response whose end is near.
            raise DisconnectedError("the client is gone")
        declared = self._declared
        if declared == UNDECLARED:
            return self._give(content, True)
        excess = len(content) - declared
        if excess > 0:
            content = content[:declared]
        flows: Awaitable[None] = DONE if self._is_whole else self._give(content, excess < 0)
        if excess > 0:
            raise Misuse(f"content is at least {excess} octets longer than its Content-Length: these were not sent")
        return flows

    def _take_all(self, content: bytes) -> None:
        """Send content that is whole."""
        self._require_start()
        declared = self._declared
        if 0 <= declared < len(content) and not self._is_head_all():
            if not self._is_whole:
                self._give(content[:declared], False)
            excess = len(content) - declared
            raise Misuse(f"content is {excess} octets longer than its Content-Length: these were not sent")
        if not self._is_whole:
            self._give(content, False)

    def _take_file(self, part: FilePart) -> Awaitable[None]:
        """Send a file; return as `_put`. Octets beyond a declared length are not sent."""
        self._require_start()
        if self._is_whole:
            return DONE
        flows = self._put_file(part)
        self._has_begun = True
        self._is_whole = True
        return flows

    def _give(self, content: bytes, more: bool) -> Awaitable[None]:
        """Send content; return as `_put`, and DONE if no more follows."""
        if self._declared != UNDECLARED:
            self._declared -= len(content)
        flows = self._put(content, more)
        self._has_begun = True
        self._is_whole = not more
        return flows

    # -- The end -----------------------------------------------------------------------------------

    def _end(self) -> None:
        """Close what the application has returned: exactly once, whatever has happened."""
        self.has_ended = True
        result = self._result
        self._result = None
        self._iterator = iter(())
        self._drop_written()
        try:
            # Most results are a list, which has none: to find that out costs an exception.
            close = None if type(result) is list else getattr(result, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            self.log_failure(error)

    def log_failure(self, error: BaseException) -> None:
        """Log why the application, or its response, did not come to its end."""
        request = self.exchange.request
        target = request.path.decode("ascii")
        if isinstance(error, Stopped | CancelledError):
            _log.warning("%s %s: cancelled before its response was complete", request.method, target)
        elif isinstance(error, DisconnectedError) or self._is_given_up():
            # An application may end by any exception once its client has left. The access log has
            # the reason.
            _log.debug("%s %s: ended by %r after its client had left", request.method, target, error)
        else:
            _log.error("%s %s: the application failed", request.method, target, exc_info=error)

    def _is_given_up(self) -> bool:
        """Return whether no client waits for the response."""
        return not self._is_whole and (self.exchange.over or self.exchange.client_left)

    def _converted(self, headers: object) -> tuple[list[tuple[bytes, bytes]], int]:
        """Return (fields, declared length or UNDECLARED). Raises Misuse."""
        if not isinstance(headers, list):
            raise Misuse(f"headers must be a list, got {type(headers).__name__}")
        fields: list[tuple[bytes, bytes]] = []
        length = UNDECLARED
        for pair in headers:
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise Misuse(f"a header must be a tuple of name and value, got {pair!r}")
            name, value = pair
            if not isinstance(name, str) or not isinstance(value, str):
                raise Misuse(f"name and value of a header must be str, got {pair!r}")
            try:
                known = _names.get(name)
                if known is None:
                    known = _read_name(name)
                octets, kind = known
                content = value.encode("latin-1")
            except UnicodeEncodeError as error:
                raise Misuse(f"a header must be of characters up to U+00FF, got {pair!r}") from error
            if kind == _LINE_END or _has_line_end(value):
                raise Misuse(f"CR, LF or NUL in a header: {pair!r}")
            if kind >= _CONNECTION:
                if kind == _CONNECTION and "close" in _members(value):
                    fields.append((b"connection", b"close"))
                else:
                    _log.debug("%s: dropped from the response: only the server may send it", name)
                continue
            if kind == _LENGTH and value.isascii() and value.isdigit():
                length = int(value)
            fields.append((octets, content))
        return fields, length


def _read_status(status: object) -> int:
    """Return the code of a status. Raises Misuse."""
    match = _STATUS.fullmatch(status) if isinstance(status, str) else None
    if match is None:
        raise Misuse(f"status must be a str of three digits, a space and a phrase, got {status!r}")
    code = int(match[1])
    if len(match[0]) <= _MAX_REMEMBERED_CHARACTERS:
        if len(_statuses) >= _MAX_REMEMBERED:
            _statuses.clear()
        _statuses[match[0]] = code
    return code


def _read_name(name: str) -> tuple[bytes, int]:
    """Return (octets, kind) of a field name. Raises UnicodeEncodeError."""
    lowered = name.lower()
    kind = _ORDINARY
    if lowered == "content-length":
        kind = _LENGTH
    elif lowered in _HOP_BY_HOP:
        kind = _CONNECTION if lowered == "connection" else _HOP
    elif _has_line_end(name):
        kind = _LINE_END
    known = (name.encode("latin-1"), kind)
    if len(name) <= _MAX_REMEMBERED_CHARACTERS:
        if len(_names) >= _MAX_REMEMBERED:
            _names.clear()
        _names[name] = known
    return known


def _has_line_end(text: str) -> bool:
    """Return whether `text` would end a field line, or split the response (RFC 9110, 5.5)."""
    return "\n" in text or "\r" in text or "\0" in text


def forget(flows: Awaitable[None]) -> None:
    """Close a coroutine that nobody will await."""
    if isinstance(flows, Coroutine):
        flows.close()


def _members(value: str) -> list[str]:
    """Return the members of a list-based field value, in lower case (RFC 9110, 5.6.1)."""
    return [member.strip(" \t") for member in value.lower().split(",")]

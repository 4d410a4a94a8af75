"""Holds `wsgi.input` for a request body that arrives while the application runs (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Self, final

# As size or limit: no bound, as for files.
_ALL: Final = -1


@final
class WsgiInput:
    """Reads a request body to its end; it is used by one thread at a time."""

    __slots__ = ("_content", "_position", "_receive")

    def __init__(self, content: bytes, receive: Callable[[], bytes]) -> None:
        """Begin with content that has arrived.

        receive: waits for more content and returns it; b"" at the end of the body. Raises
            DisconnectedError if the body will never be complete.
        """
        self._content = content
        self._position = 0  # octets of `content` that were read
        self._receive = receive

    def read(self, size: int | None = _ALL, /) -> bytes:
        """Return `size` octets, fewer only at the end of the body; all for None or less than 0."""
        if size is None or size < 0:
            pieces = [self._rest()]
            while content := self._receive():
                pieces.append(content)
            return b"".join(pieces)
        position = self._position
        end = position + size
        if end <= len(self._content):
            self._position = end
            return self._content[position:end]
        pieces = [self._rest()]
        missing = size - len(pieces[0])
        while missing:
            content = self._receive()
            if not content:
                break
            pieces.append(content[:missing])
            self._keep(content, missing)
            missing -= len(pieces[-1])
        return b"".join(pieces)

    def readline(self, limit: int | None = _ALL, /) -> bytes:
        """Return a line with its end, at most `limit` octets of it; b"" at the end of the body."""
        most = _ALL if limit is None else limit
        pieces: list[bytes] = []
        size = 0
        while most < 0 or size < most:
            if self._position == len(self._content):
                self._keep(self._receive(), 0)
                if not self._content:
                    break
            position = self._position
            stop = len(self._content) if most < 0 else min(len(self._content), position + most - size)
            end = self._content.find(b"\n", position, stop) + 1
            self._position = end or stop
            pieces.append(self._content[position : self._position])
            size += self._position - position
            if end:
                break
        return b"".join(pieces)

    def readlines(self, hint: int | None = _ALL, /) -> list[bytes]:
        """Return lines until they have `hint` octets; all for None, 0 or less."""
        lines: list[bytes] = []
        size = 0
        while line := self.readline():
            lines.append(line)
            size += len(line)
            if hint is not None and 0 < hint <= size:
                break
        return lines

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def _rest(self) -> bytes:
        """Return what is left of the content that has arrived."""
        rest = self._content[self._position :] if self._position else self._content
        self._keep(b"", 0)
        return rest

    def _keep(self, content: bytes, position: int) -> None:
        self._content = content
        self._position = min(position, len(content))

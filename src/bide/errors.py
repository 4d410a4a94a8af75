"""Who was wrong: the client (`Rejected`), the application (`Misuse`), or nobody: the client is gone (`DisconnectedError`)."""

from __future__ import annotations

from typing import final


@final
class Rejected(Exception):
    """The client's octets are not a message that may be served. Stays inside the protocol core.

    status: what the client is answered, if an answer is still possible.
    detail: one sentence for the log and the body of that answer.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@final
class Misuse(RuntimeError):
    """The application asked for something that HTTP does not allow; nothing of it was put on the wire."""


@final
class DisconnectedError(OSError):
    """The client is gone, or its connection was ended: nothing sent now can reach it."""

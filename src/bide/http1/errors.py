"""Who was wrong: the client (`Rejected`) or the application (`Misuse`). Neither ever leaves bide as a traceback of ours."""

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

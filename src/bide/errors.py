"""Every error that bide raises: those of a start, of which a program hears, and those of an exchange, of which an application does."""

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


class StartError(Exception):
    """The server cannot start; the message says what to do."""


@final
class ConfigError(StartError, ValueError):
    """Invalid option values.

    Options are named as Python has them; `bide.cli` puts in the command line's names. Values that are text stand in quotes.
    """


@final
class ApplicationError(StartError):
    """The application cannot be found, imported or called."""


@final
class ListenError(StartError):
    """A socket cannot be listened on."""


@final
class LifespanError(StartError):
    """The application could not start: it said so, or failed."""


@final
class Stopped(BaseException):
    """A signal ends the code that runs in the main thread."""

"""Defines every error that bide raises.

Errors of a start reach the program that runs the server. Errors of an exchange reach the
application; `Rejected` stays inside the protocol core.
"""

from __future__ import annotations

from typing import final


@final
class Rejected(Exception):
    """Raised for octets of a client that are not a valid message. Stays inside the protocol core.

    status: status of the answer, if an answer is still possible.
    detail: one sentence for the log, and for the body of that answer.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@final
class Misuse(RuntimeError):
    """Raised for a call of the application that HTTP does not allow. Nothing of it was sent."""


@final
class DisconnectedError(OSError):
    """Raised for a send after the connection to the client has ended."""


class StartError(Exception):
    """Raised if the server cannot start. The message says what to do."""


@final
class ConfigError(StartError, ValueError):
    """Raised for invalid option values.

    Messages name options as in Python; `bide.cli` replaces them by flags. Text values are quoted.
    """


@final
class ApplicationError(StartError):
    """Raised if the application cannot be found, imported or called."""


@final
class ListenError(StartError):
    """Raised if a socket cannot be opened to listen on."""


@final
class LifespanError(StartError):
    """Raised if the application's startup failed, or reported a failure."""


@final
class Stopped(BaseException):
    """Raised by a signal, to end the code that runs in the main thread."""

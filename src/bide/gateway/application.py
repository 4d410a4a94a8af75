"""Names the types of applications, and what the gateways of HTTP and WebSocket share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final, Literal

#: What servers and applications agree on.
Interface = Literal["asgi", "wsgi"]

# An application that speaks either.
AnyApplication = Callable[..., Any]

# The arguments are the environ and `start_response`, which frameworks also type in several ways.
WsgiApplication = Callable[..., Iterable[bytes]]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
# The arguments are Scope, Receive and Send. asgiref, Starlette and Litestar type them in ways that
# exclude each other.
Application = Callable[..., Awaitable[None]]

#: Seconds for which sends to a client that is gone are ignored, if the application listens for
#: the event that says so. The default of nginx's lingering_timeout.
SEND_GRACE: Final = 5.0


def target(scope: Scope) -> str:
    """Return the path for the log, as sent: decoded, it may hold line breaks."""
    path: bytes = scope["raw_path"]
    return path.decode("ascii")

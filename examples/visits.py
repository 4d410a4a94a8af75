"""Tells each request its connection, and its number there. The page draws both."""

import os
import time
from collections import OrderedDict
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REMEMBERED = 4096
FORGOTTEN_AFTER = 600.0


@dataclass(slots=True)
class Visit:
    """Describes one connection, as this application sees it."""

    port: int
    first_seen: float
    last_seen: float
    requests: int = 0

    def facts(self) -> dict[str, int | float]:
        """Return the facts about the connection at its present request."""
        age = round(self.last_seen - self.first_seen, 3)
        return {"connection": self.port, "request": self.requests, "age": age, "worker": os.getpid()}


class Visits:
    """Numbers the requests of each connection, and tells the browser through `Server-Timing`.

    ASGI gives connections no name. But while a connection is open, no other can have the same
    client address and port. `Server-Timing` is the one response field that a page's own script can
    read for every image and stylesheet. Ports are used again, so old connections are forgotten.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application. Each process counts alone: a connection stays in one process."""
        self.app = app
        self.visits: OrderedDict[tuple[str, int], Visit] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request, and add the field to its response, if the client has a port."""
        client = scope.get("client")
        if scope["type"] != "http" or not client or not client[1]:
            await self.app(scope, receive, send)
            return
        facts = self._count((client[0], client[1])).facts()
        scope["visit"] = facts
        field = ", ".join(f'{name};desc="{value}"' for name, value in facts.items())

        async def send_with_facts(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("server-timing", field)
            await send(message)

        await self.app(scope, receive, send_with_facts)

    def _count(self, client: tuple[str, int]) -> Visit:
        now = time.monotonic()
        visit = self.visits.get(client)
        if visit is None or now - visit.last_seen > FORGOTTEN_AFTER:
            visit = self.visits[client] = Visit(client[1], now, now)
        visit.requests += 1
        visit.last_seen = now
        self.visits.move_to_end(client)
        if len(self.visits) > REMEMBERED:
            self.visits.popitem(last=False)
        return visit

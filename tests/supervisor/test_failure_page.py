"""What a browser sees in the place of a worker that failed."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from typing import Any

from bide import Config
from bide.supervisor.failure_page import FailurePage
from tests.support.client import Client, Response

OPTIONS: dict[str, Any] = dataclasses.asdict(
    Config(reload=True, lifespan="on", health_path="/health", interface="wsgi", limit_worker_age=5.0)
)


def test_page_answers_every_request_until_it_is_hidden() -> None:
    seen: list[Response] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        where = listening.getsockname()

        def ask() -> None:
            with Client(where) as client:
                seen.append(client.get("/health", "Connection: close"))

        async def scene() -> None:
            page = FailurePage(OPTIONS)
            await page.close()
            for text in ("first \udc80", "again"):
                page.show([listening], text)
                page.show([listening], text)
                assert page.is_shown
                await asyncio.to_thread(ask)
                page.hide()
                assert not page.is_shown
            await page.close()

        asyncio.run(scene())
        assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), "the sockets are still there"
    assert [(response.status, response.content) for response in seen] == [
        (503, b"first \\udc80"),
        (503, b"again"),
    ]
    assert seen[0]["content-type"] == "text/plain; charset=utf-8"


def test_websocket_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        where = listening.getsockname()
        statuses: list[int] = []

        def ask() -> None:
            upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
            with Client(where) as client:
                statuses.append(client.get("/", *upgrade, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==").status)

        async def scene() -> None:
            page = FailurePage(OPTIONS)
            page.show([listening], "text")
            await asyncio.to_thread(ask)
            await page.close()

        asyncio.run(scene())
    assert statuses[0] >= 400

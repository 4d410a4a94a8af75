"""WebSocket applications as people write them, with clients as they use them."""

import asyncio
import importlib
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import fastapi
import pytest
import websockets
from litestar import Litestar, WebSocket as LitestarWebSocket, websocket as litestar_websocket
from quart import Quart, websocket as quart_websocket
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.support.apps import App
from tests.support.django import settings
from tests.support.server import Serve, Served
from tests.support.waiting import PATIENCE

#: Seconds.
PINGS_EVERY = 0.5


def address(server: Served, path: str) -> str:
    return server.url.replace("http", "ws", 1).removesuffix("/") + path


async def echoed(server: Served, path: str, message: str | bytes, **options: Any) -> str | bytes:
    """Return what comes back."""
    async with websockets.connect(address(server, path), open_timeout=PATIENCE, **options) as client:
        await client.send(message)
        return await client.recv()


def test_starlette(serve: Serve) -> None:
    left: list[int] = []

    async def echo(websocket: WebSocket) -> None:
        await websocket.accept(subprotocol="chat", headers=[(b"x-test", b"1")])
        try:
            while True:
                await websocket.send_json({"echo": await websocket.receive_json()})
        except WebSocketDisconnect as error:
            left.append(error.code)

    async def denied(websocket: WebSocket) -> None:
        await websocket.close(4001)

    server = serve(Starlette(routes=[WebSocketRoute("/echo", echo), WebSocketRoute("/denied", denied)]))

    async def talk() -> None:
        async with websockets.connect(address(server, "/echo"), subprotocols=["chat"]) as client:  # type: ignore[list-item]
            assert client.subprotocol == "chat"
            assert client.response is not None
            assert client.response.headers["x-test"] == "1"
            for number in range(3):
                await client.send(json.dumps(number))
                assert json.loads(await client.recv()) == {"echo": number}
            await client.close(4000, "done")
        for path in ("/denied", "/nowhere"):
            with pytest.raises(websockets.InvalidStatus) as caught:
                await websockets.connect(address(server, path))
            assert caught.value.response.status_code == 403

    asyncio.run(talk())
    server.until(lambda: left == [4000])


def test_fastapi(serve: Serve) -> None:
    app = fastapi.FastAPI()

    async def token(websocket: WebSocket, token: str | None = None) -> str:
        if token is None:
            raise fastapi.WebSocketException(code=fastapi.status.WS_1008_POLICY_VIOLATION)
        return token

    @app.websocket("/items/{item}")
    async def items(websocket: WebSocket, item: int, token: str = fastapi.Depends(token)) -> None:
        await websocket.accept()
        while True:  # the client's end is an exception that nobody catches, as in the tutorial's first example
            await websocket.send_text(f"{item} {token} {await websocket.receive_text()}")

    server = serve(app)

    async def talk() -> None:
        assert await echoed(server, "/items/5?token=secret", "hello") == "5 secret hello"
        with pytest.raises(websockets.InvalidStatus):
            await echoed(server, "/items/5", "hello")

    asyncio.run(talk())
    server.until(lambda: server.counters.websockets == {1000: 1})


def test_litestar(serve: Serve) -> None:
    @litestar_websocket("/echo")
    async def echo(socket: LitestarWebSocket[Any, Any, Any]) -> None:
        await socket.accept()
        await socket.send_json({"echo": await socket.receive_json()})
        await socket.close()

    server = serve(cast(App, Litestar([echo])), lifespan="auto")
    assert json.loads(asyncio.run(echoed(server, "/echo", "[1]"))) == {"echo": [1]}


def test_quart(serve: Serve) -> None:
    app = Quart("test")

    @app.websocket("/echo")
    async def echo() -> None:
        while True:
            await quart_websocket.send(await quart_websocket.receive())

    server = serve(cast(App, app), lifespan="auto")
    assert asyncio.run(echoed(server, "/echo", b"octets")) == b"octets"


def test_django_channels(serve: Serve) -> None:
    with settings():
        check_django_channels(serve)


def check_django_channels(serve: Serve) -> None:
    generic: Any = importlib.import_module("channels.generic.websocket")
    routing: Any = importlib.import_module("channels.routing")
    urls: Any = importlib.import_module("django.urls")

    class Echo(generic.AsyncWebsocketConsumer):  # type: ignore[misc]
        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            await self.send(text_data=text_data, bytes_data=bytes_data)

    app: App = routing.ProtocolTypeRouter({"websocket": routing.URLRouter([urls.path("echo/<room>", Echo.as_asgi())])})
    server = serve(app)
    assert asyncio.run(echoed(server, "/echo/lobby", "text")) == "text"
    assert asyncio.run(echoed(server, "/echo/lobby", b"octets")) == b"octets"


@pytest.mark.parametrize("transports", [["websocket"], ["polling", "websocket"]])
def test_socketio(serve: Serve, transports: list[str]) -> None:
    socketio: Any = importlib.import_module("socketio")
    rooms = socketio.AsyncServer(async_mode="asgi", monitor_clients=False, ping_interval=PINGS_EVERY)

    @rooms.event  # type: ignore[untyped-decorator]
    async def shout(sid: str, text: str) -> str:
        return text.upper()

    server = serve(socketio.ASGIApp(rooms, on_shutdown=rooms.shutdown), lifespan="auto")

    async def talk() -> None:
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(server.url, transports=transports)
            assert client.transport == transports[-1]
            assert await client.call("shout", "hello") == "HELLO"

    asyncio.run(talk())
    # Socket.IO lets a task of its own wait for the time of the next ping.
    server.until(lambda: not any("_send_ping" in repr(task) for task in asyncio.all_tasks(server.loop)))


def test_strawberry_subscription(serve: Serve) -> None:
    strawberry: Any = importlib.import_module("strawberry")
    router: Any = importlib.import_module("strawberry.fastapi").GraphQLRouter

    class Query:
        hello: str = "hello"

    class Subscription:
        async def count(self, to: int) -> AsyncIterator[int]:
            for number in range(to):
                yield number

    Subscription.count = strawberry.subscription(Subscription.count)  # type: ignore[method-assign]
    schema = strawberry.Schema(query=strawberry.type(Query), subscription=strawberry.type(Subscription))
    app = fastapi.FastAPI()
    app.include_router(router(schema), prefix="/graphql")
    server = serve(app)

    async def talk() -> list[int]:
        async with websockets.connect(
            address(server, "/graphql"),
            subprotocols=["graphql-transport-ws"],  # type: ignore[list-item]
        ) as client:
            await client.send(json.dumps({"type": "connection_init"}))
            assert json.loads(await client.recv()) == {"type": "connection_ack"}
            query = {"query": "subscription { count(to: 5) }"}
            await client.send(json.dumps({"id": "1", "type": "subscribe", "payload": query}))
            numbers = []
            while (message := json.loads(await client.recv()))["type"] == "next":
                numbers.append(message["payload"]["data"]["count"])
            assert message == {"id": "1", "type": "complete"}
            return numbers

    assert asyncio.run(talk()) == [0, 1, 2, 3, 4]


def test_mcp_over_streamable_http(serve: Serve) -> None:
    """No WebSocket, but an event stream in both directions over several requests."""
    server_of: Any = importlib.import_module("mcp.server.mcpserver").MCPServer
    client_of: Any = importlib.import_module("mcp").Client
    tools = server_of("tools")

    @tools.tool()  # type: ignore[untyped-decorator]
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    server = serve(tools.streamable_http_app(), lifespan="auto")

    async def talk() -> Any:
        async with client_of(server.url + "/mcp") as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == ["add"]
            return await client.call_tool("add", {"a": 2, "b": 3})

    assert asyncio.run(talk()).content[0].text == "5"

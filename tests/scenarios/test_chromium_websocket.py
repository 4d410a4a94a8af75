"""A browser's WebSockets: messages, compression, close codes, and a stop, over plain HTTP and TLS.

The page reports to a server of its own, so that it can tell what it saw of the other's stop.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.scenarios.test_chromium import FLAGS
from tests.support.apps import Message, Receive, Send, answer, read_body
from tests.support.server import Serve
from tests.support.tls import Authority
from tests.support.waiting import until

PAGE: Final = """<!doctype html><script>
const report = (name, value) => fetch("REPORTS", {method: "POST", mode: "no-cors", body: JSON.stringify([name, value])});
const at = (path) => new WebSocket("ADDRESS" + path, ["chat"]);
const echo = at("/echo");
echo.binaryType = "arraybuffer";
const received = [];
echo.onopen = () => { echo.send("h\\u00e4llo"); echo.send(new Uint8Array(100000)); echo.send(""); };
echo.onmessage = (event) => {
  received.push(event.data instanceof ArrayBuffer ? event.data.byteLength : event.data);
  if (received.length == 3) report("echo", [received, echo.protocol, echo.extensions.split(";")[0]]);
};
echo.onclose = (event) => report("stop", [event.code, event.wasClean]);
const closed = at("/close");
closed.onclose = (event) => report("close", [event.code, event.reason, event.wasClean]);
at("/deny").onclose = (event) => report("deny", [event.code, event.wasClean]);
</script>"""

WANTED: Final[dict[str, Any]] = {
    "echo": [["h\u00e4llo", 100000, ""], "chat", "permessage-deflate"],
    "close": [4000, "why", True],
    "deny": [1006, False],
    "stop": [1012, True],
}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_websockets_of_a_browser(
    serve: Serve,
    system_tool: Callable[..., str],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    secure: bool,
) -> None:
    chromium = system_tool("chromium", "chromium-browser", "google-chrome")
    reports: dict[str, Any] = {}
    page = b""

    async def reported(scope: Message, receive: Receive, send: Send) -> None:
        name, value = json.loads(await read_body(receive))
        reports[name] = value
        await answer(send, b"")

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await answer(send, page, fields=[(b"content-type", b"text/html")])
            return
        await receive()
        if scope["path"] == "/deny":
            await send({"type": "websocket.close"})
            return
        await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][0]})
        if scope["path"] == "/close":
            await send({"type": "websocket.close", "code": 4000, "reason": "why"})
            return
        while (event := await receive())["type"] == "websocket.receive":
            await send({**event, "type": "websocket.send"})

    files = Authority.made(tmp_path_factory.mktemp("tls")).issue("server") if secure else {}
    listener = serve(reported)
    server = serve(app, drain_ws=0.2, **files)
    address = server.url.replace("http", "ws", 1).removesuffix("/")
    page = PAGE.replace("REPORTS", listener.url).replace("ADDRESS", address).encode()
    flags = [flag for flag in FLAGS if not flag.startswith(("--virtual-time", "--dump"))]
    browser = subprocess.Popen(
        [
            chromium,
            *flags,
            "--ignore-certificate-errors",
            "--remote-debugging-port=0",  # or it would end with the page's load
            f"--user-data-dir={tmp_path / 'profile'}",
            server.url,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: {"echo", "close", "deny"} <= reports.keys(), 60.0, lambda: reports)
        server.stop()
        until(lambda: "stop" in reports, message=lambda: reports)
    finally:
        browser.terminate()
        browser.wait()
    assert reports == WANTED

"""The access log: a line for each request, with its number on its connection, and on the last one why the connection ends.

1. Requests come over several connections, and these end for different reasons.
2. Each line holds peer, request, status, size, duration, and the request's number; the last of a connection says `close=REASON`
   where that was known when the answer left.
3. As JSON the same, one object per line.
4. Connections that end without a request are told of in the log, at debug level, with their reason.
"""

import json
import os
import re
import socket
from pathlib import Path

import pytest

from tests.support.apps import Message, Receive, Send, echo, hello, slow, stream, target
from tests.support.client import request
from tests.support.program import Launch, serving
from tests.support.server import NOISE, Serve

LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (?P<peer>\S+)"
    r' "(?P<method>\S+) (?P<target>\S+) HTTP/(?P<version>1\.[01])"'
    r" (?P<status>\d{3}) (?P<octets>\d+) (?P<ms>[\d.]+)ms #(?P<number>\d+)(?: close=(?P<close>\w+))?"
)


def parsed(line: str) -> re.Match[str]:
    match = LINE.fullmatch(line)
    assert match, line
    return match


def test_lines_as_text_hold_each_figure(serve: Serve) -> None:
    server = serve(slow, access_log=True)
    with server.client() as client:
        client.get("/first?a=b")
        client.get("/0.2")
        client.get("/last", "Connection: close")
        host, port = client.address
    first, second, last = map(parsed, server.access_log(3))
    assert {line["peer"] for line in (first, second, last)} == {f"{host}:{port}"}
    assert [line["number"] for line in (first, second, last)] == ["1", "2", "3"]
    assert [line["close"] for line in (first, second, last)] == [None, None, "client_close_option"]
    assert first.expand(r"\g<method> \g<target> \g<version> \g<status> \g<octets>") == "GET /first?a=b 1.1 200 6"
    assert 200 <= float(second["ms"]) <= 200 + 1000 * NOISE
    assert float(first["ms"]) < float(second["ms"])


def test_lines_as_json_hold_each_figure(serve: Serve) -> None:
    server = serve(echo, access_log=True, log_format="json")
    with server.client() as client:
        client.get('/a%22?"q"', method="POST", body=b"twelve bytes")
        client.get("/", version="1.0")
        host, port = client.address
    first, last = map(json.loads, server.access_log(2))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first.pop("time"))
    assert 0 <= first.pop("duration_ms") < 1000 * NOISE
    assert first == {
        "level": "info",
        "event": "request",
        "peer": f"{host}:{port}",
        "via": None,
        "method": "POST",
        "target": '/a%22?"q"',
        "version": "1.1",
        "status": 200,
        "bytes": 12,
        "request": 1,
        "close": None,
    }
    assert (last["version"], last["request"], last["close"]) == ("1.0", 2, "client_http10")


def test_rejected_and_late_heads_have_lines(serve: Serve) -> None:
    server = serve(hello, access_log=True, timeout_head=0.2)
    with server.client() as client:
        client.get()
        client.send(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")
        assert client.response().status == 400
    with server.client() as client:
        client.send(b"GET / HT")
        assert client.response().status == 408
    ok, rejected, late = map(parsed, server.access_log(3))
    assert ok["close"] is None
    assert (rejected["method"], rejected["target"]) == ("-", "-")
    assert (rejected["status"], rejected["number"], rejected["close"]) == ("400", "2", "head_rejected")
    assert (late["status"], late["number"], late["close"]) == ("408", "1", "head_timeout")


def test_failed_responses_have_lines(serve: Serve) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/late":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"12345", "more_body": True})
        raise RuntimeError("no")

    server = serve(app, access_log=True)
    server.log.expect("the application failed")
    with server.client() as client:
        assert client.get("/early").status == 500
        client.ask("/late")
        client.ending()
    early, late = map(parsed, server.access_log(2))
    assert (early["status"], early["close"]) == ("500", None)
    assert (late["status"], late["octets"], late["close"]) == ("200", "5", "response_incomplete")


def test_response_cut_by_the_client_has_a_line(serve: Serve) -> None:
    server = serve(stream, access_log=True)
    with server.client() as client:
        client.ask("/1000/0.01")
        client.line()
        client.reset()
    assert server.ends() == {"client_reset": 1}
    (line,) = map(parsed, server.access_log(1))
    assert (line["status"], line["close"]) == ("200", "client_reset")


def test_stream_is_counted_without_its_framing(serve: Serve) -> None:
    server = serve(stream, access_log=True)
    with server.client() as client:
        content = client.get("/3/0").content
        client.get("/3/0", method="HEAD")
    lines = [parsed(line) for line in server.access_log(2)]
    assert [int(line["octets"]) for line in lines] == [len(content), 0]


def test_target_with_quotes_cannot_forge_a_line(serve: Serve) -> None:
    """What a client sends stays within its line and its quotes."""
    server = serve(target, access_log=True)
    with server.client() as client:
        assert client.get('/"%0a%0d\\_200_0_0.0ms').status == 200
    (line,) = server.access_log(1)
    assert '"GET /\\x22%0a%0d\\x5C_200_0_0.0ms HTTP/1.1"' in line


def test_target_with_control_octets_cannot_forge_an_error(serve: Serve) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        raise RuntimeError("no")

    server = serve(app)
    server.log.expect("the application failed")
    with server.client() as client:
        assert client.get("/%0a2026-01-01T00:00:00Z%20ERROR%20forged%1b[31m").status == 500
    assert not any("\n" in message or "\x1b" in message for message in server.log.messages())
    assert any("/%0a2026-01-01T00:00:00Z%20ERROR%20forged%1b[31m" in message for message in server.log.messages())


@pytest.mark.parametrize("split", [True, False], ids=["head first", "in one segment"])
def test_rejected_body_has_a_line(serve: Serve, split: bool) -> None:
    """However it came, the request that was refused has its line."""
    server = serve(hello, access_log=True)
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with server.client() as client:
        client.send(request("/before"))
        client.response()
        client.send(head if split else head + b"zz\r\n")
        if split:
            client.send(b"zz\r\n")
        client.ending()
    _, line = map(parsed, server.access_log(2))
    assert (line["method"], line["target"], line["number"]) == ("POST", "/echo", "2")
    if not split:  # else the application may have answered first
        assert (line["status"], line["close"]) == ("400", "body_rejected")


def test_unix_peer_without_a_name_is_a_dash(serve: Serve, tmp_path: Path) -> None:
    server = serve(hello, access_log=True, uds=str(tmp_path / "bide.sock"))
    with server.client() as client:
        client.get()
    assert parsed(server.access_log(1)[0])["peer"] == "-"


@pytest.mark.parametrize("name", [b"peer\nFORGED", b"peer\xff", "p\u00e9er".encode()])
def test_unix_peer_of_any_name_stays_on_its_line(serve: Serve, tmp_path: Path, name: bytes) -> None:
    """A client chooses the path of its socket: its line stays one line, and can be written in any encoding."""
    path = str(tmp_path / "bide.sock")
    server = serve(hello, access_log=True, uds=path)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(os.fsencode(tmp_path) + b"/" + name)
        sock.connect(path)
        sock.sendall(request("/"))
        sock.recv(1000)
        line = server.access_log(1)[0]
    assert line.isascii()
    assert '"GET / HTTP/1.1" 200' in line


def test_access_log_off_writes_nothing(serve: Serve) -> None:
    server = serve(hello)
    with server.client() as client:
        client.get()
    assert server.access_log(0) == []


def test_ends_at_debug_level_are_explained(serve: Serve) -> None:
    server = serve(hello, timeout_first_octet=1.0)
    with server.client() as silent, server.client() as leaving, server.client() as asking:
        leaving.close()
        asking.get()
        asking.close()
        silent.ending()
        server.ends()
    assert server.explained() == [
        (0, "client_eof_unused"),
        (0, "first_octet_timeout"),
        (1, "client_eof_idle"),
    ]


@pytest.mark.parametrize("style", ["text", "json"])
def test_program_writes_requests_to_stdout_and_the_rest_to_stderr(launch: Launch, loop: str, style: str) -> None:
    """Requests on standard output, everything else on standard error; both in the style that was asked for."""
    program = launch(*serving(loop, "apps:hello", "--log-format", style, "--log-level", "debug"))
    if style == "json":
        program.line("serving on")
        assert json.loads(program.errors[-1])["level"] == "info"
        port = int(json.loads(program.line(".*serving on.*")[0])["message"].partition("127.0.0.1:")[2].split()[0])
    else:
        where = program.where
        assert not isinstance(where, str)
        port = where[1]
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(request("/", "Connection: close"))
        while sock.recv(1000):
            pass
    with socket.create_connection(("127.0.0.1", port)):
        pass
    program.line("requests=0 close=client_eof_unused")
    program.signal()
    assert program.wait() == 0
    (line,) = program.output
    assert "client_close_option" in line
    if style == "json":
        assert json.loads(line)["request"] == 1
        for row in map(json.loads, program.errors):
            assert {"time", "level", "event", "message"} <= set(row)
    else:
        parsed(line)


def test_line_is_written_without_delay(launch: Launch, loop: str) -> None:
    """A line is not kept in a buffer until the next one, or the end."""
    program = launch(*serving(loop))
    with program.client() as client:
        client.get()
        program.line(r'"GET / HTTP/1\.1" 200 6 .*#1', program.output)

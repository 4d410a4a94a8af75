"""A front end tells of its client, and every part of bide takes the same for the client.

1. Application, access log and `--close-for peer:` see the client; limits, and `via` in the JSON log, see the connection's peer.
2. Only a trusted peer is believed. What others send reaches the application as any field.
3. Nothing that a client sends makes its request fail.
"""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.support.apps import Message, Receive, Send, answer, hello
from tests.support.client import request
from tests.support.server import Serve
from tests.support.tls import Authority

CLIENT = "192.0.2.1"
#: Idle connections that are not parked (`bide.session.pool`).
RECENT = 256
FORWARDED_FOR = f"X-Forwarded-For: {CLIENT}"


async def tell(scope: Message, receive: Receive, send: Send) -> None:
    """Answer with what the application is told."""
    told = {name: scope[name] for name in ("client", "scheme", "path", "root_path")}
    told["raw_path"] = scope["raw_path"].decode()
    told["fields"] = [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]]
    await answer(send, json.dumps(told).encode())


def told(server: Any, *lines: str, source: str | None = None) -> dict[str, Any]:
    with server.client(source=source) as client:
        response = client.get("/a%20b", *lines)
        assert response.status == 200
        found: dict[str, Any] = json.loads(response.content)
        return found


def test_application_is_told_the_client_of_a_trusted_front_end(serve: Serve) -> None:
    server = serve(tell)
    found = told(server, FORWARDED_FOR, "X-Forwarded-Proto: https")
    assert (found["client"], found["scheme"]) == ([CLIENT, 0], "https")
    found = told(server)
    assert (found["client"][0], found["scheme"]) == ("127.0.0.1", "http")


def test_each_request_of_a_connection_has_its_own_client(serve: Serve) -> None:
    """Front ends send requests of many clients over one connection."""
    server = serve(tell)
    with server.client() as client:
        hosts = []
        for number in (1, 2, 2, 3):
            lines = (f"X-Forwarded-For: 192.0.2.{number}", f"X-Forwarded-Proto: {'https' if number == 2 else 'http'}")
            found = json.loads(client.get("/", *lines).content)
            hosts.append((found["client"][0], found["scheme"]))
        assert hosts == [(f"192.0.2.{n}", "https" if n == 2 else "http") for n in (1, 2, 2, 3)]
        found = json.loads(client.get("/").content)
        assert (found["client"][0], found["scheme"]) == ("127.0.0.1", "http")


def test_other_peers_are_not_believed_and_their_fields_are_passed_on(serve: Serve) -> None:
    server = serve(tell)
    found = told(server, FORWARDED_FOR, "X-Forwarded-Proto: https", source="127.0.0.7")
    assert (found["client"][0], found["scheme"]) == ("127.0.0.7", "http")
    assert ["x-forwarded-for", CLIENT] in found["fields"]


def test_fields_are_not_read_with_proxy_headers_off(serve: Serve) -> None:
    assert told(serve(tell, proxy_headers=False), FORWARDED_FOR)["client"][0] == "127.0.0.1"


def test_peer_of_a_unix_socket_is_believed(serve: Serve, tmp_path: Path) -> None:
    server = serve(tell, uds=str(tmp_path / "bide.sock"))
    assert told(server, FORWARDED_FOR)["client"] == [CLIENT, 0]


def test_forged_entries_are_not_believed_even_if_every_peer_is(serve: Serve) -> None:
    server = serve(tell, forwarded_allow_ips="*")
    assert told(server, "X-Forwarded-For: 6.6.6.6", FORWARDED_FOR, source="127.0.0.7")["client"] == [CLIENT, 0]
    server = serve(tell, forwarded_allow_ips="*", forwarded_hops=2)
    assert told(server, f"X-Forwarded-For: 6.6.6.6, {CLIENT}, 10.0.0.1")["client"] == [CLIENT, 0]


def test_standard_field_is_read_in_place_of_the_others(serve: Serve) -> None:
    server = serve(tell, forwarded_with="forwarded")
    found = told(server, "X-Forwarded-For: 6.6.6.6", f'Forwarded: for="{CLIENT}:80";proto=https')
    assert (found["client"], found["scheme"]) == ([CLIENT, 80], "https")


def test_host_and_prefix_replace_those_of_the_front_end_if_asked_for(serve: Serve) -> None:
    lines = ("X-Forwarded-Host: a.example", "X-Forwarded-Prefix: /app%20x")
    found = told(serve(tell, forwarded_host=True, forwarded_prefix=True, root_path="/other"), *lines)
    assert [field for field in found["fields"] if field[0] == "host"] == [["host", "a.example"]]
    assert (found["root_path"], found["path"], found["raw_path"]) == ("/app x", "/app x/a b", "/app%20x/a%20b")
    found = told(serve(tell, root_path="/other"), *lines)
    assert ["host", "a.example"] not in found["fields"]
    assert (found["root_path"], found["path"]) == ("/other", "/other/a b")


@pytest.mark.parametrize("rubbish", ["unknown", '"', ",,,", "[::1", "\xe4\xe4", "x" * 5000, "1.2.3.4:99999"])
def test_rubbish_in_a_field_makes_no_request_fail(serve: Serve, rubbish: str) -> None:
    server = serve(tell, forwarded_host=True, forwarded_prefix=True)
    names = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Prefix", "Forwarded")
    lines = b"".join(f"{name}: {rubbish}\r\n".encode("latin-1") for name in names)
    with server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: front\r\n" + lines + b"\r\n")
        found = json.loads(client.response().content)
    assert (found["client"][0], found["scheme"]) == ("127.0.0.1", "http")
    assert found["root_path"] == ""


def test_logs_name_the_client_and_the_json_log_the_peer_too(serve: Serve) -> None:
    server = serve(hello, access_log=True)
    with server.client() as client:
        client.get("/", FORWARDED_FOR)
        (line,) = server.access_log(1)
        assert f" {CLIENT}:0 " in line
    server = serve(hello, access_log=True, log_format="json")
    with server.client() as client:
        client.get("/", FORWARDED_FOR)
        client.get("/")
        own = "{}:{}".format(*client.sock.getsockname())
        rows = [json.loads(line) for line in server.access_log(2)]
    assert [(row["peer"], row["via"]) for row in rows] == [(f"{CLIENT}:0", own), (own, None)]


def test_request_refused_for_its_body_is_logged_with_its_client(serve: Serve) -> None:
    server = serve(hello, access_log=True)
    with server.client() as client:
        client.send(request("/", FORWARDED_FOR, "Transfer-Encoding: chunked", method="POST") + b"x\r\n")
        assert client.response().status == 400
    (line,) = server.access_log(1)
    assert f" {CLIENT}:0 " in line


def test_rules_apply_to_the_client_and_limits_to_the_peer(serve: Serve) -> None:
    server = serve(hello, close_for=[f"peer:{CLIENT}/32"], limit_connections_per_peer=1)
    with server.client() as client:
        assert not client.get("/").says_close
        assert not client.get("/", "X-Forwarded-For: 192.0.2.2").says_close
        assert client.get("/", FORWARDED_FOR).says_close
    server.ends()
    with server.client() as first, server.client() as second:
        first.get("/", "X-Forwarded-For: 192.0.2.2")
        assert second.get("/", "X-Forwarded-For: 192.0.2.3").status == 503
    assert server.ends()["client_policy"] == 1


def test_client_is_told_after_a_connection_was_parked(serve: Serve) -> None:
    server = serve(tell)
    with server.client() as client, contextlib.ExitStack() as others:
        client.get()
        for _ in range(RECENT):
            others.enter_context(server.client()).get()
        assert server.open == RECENT + 1
        assert len(server.sessions()) == RECENT  # all but the first
        assert json.loads(client.get("/", FORWARDED_FOR).content)["client"] == [CLIENT, 0]


def test_websocket_has_the_same_client_scheme_and_tls(serve: Serve, tmp_path: Path) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        told = [scope["client"][0], scope["scheme"], scope["root_path"], "tls" in scope["extensions"]]
        await send({"type": "websocket.send", "text": json.dumps(told)})
        await send({"type": "websocket.close"})

    authority = Authority.made(tmp_path)
    fields = {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "wss", "X-Forwarded-Prefix": "/app"}
    server = serve(app, forwarded_prefix=True, access_log=True)
    with connect(server.url.replace("http", "ws"), additional_headers=fields) as websocket:
        assert json.loads(websocket.recv()) == [CLIENT, "wss", "/app", False]
    (line,) = server.access_log(1)
    assert f" {CLIENT}:0 " in line
    server = serve(app, **authority.issue("websocket"))
    port = server.where[1]
    with connect(f"wss://localhost:{port}", sock=server.client().sock, ssl=authority.context()) as websocket:
        assert json.loads(websocket.recv()) == ["127.0.0.1", "wss", "", True]


@pytest.mark.parametrize("threads", [0, 2])
def test_wsgi_application_is_told_the_same(serve: Serve, threads: int) -> None:
    names = ("REMOTE_ADDR", "wsgi.url_scheme", "SCRIPT_NAME", "PATH_INFO", "HTTP_HOST")

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [json.dumps([environ[name] for name in names]).encode()]

    server = serve(app, threads=threads, forwarded_host=True, forwarded_prefix=True)
    lines = ("X-Forwarded-Proto: https", "X-Forwarded-Host: a.example", "X-Forwarded-Prefix: /app")
    with server.client() as client:
        found = json.loads(client.get("/a", FORWARDED_FOR, *lines).content)
    assert found == [CLIENT, "https", "/app", "/a", "a.example"]

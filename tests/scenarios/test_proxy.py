"""A proxy tells by a PROXY header whose connection it passes on.

1. Application, log and limits see the ends that the header tells; TLS may follow it, and may precede it at the proxy.
2. Without a header, with a malformed one, or from a peer that is not trusted, a connection ends as `proxy_header_rejected`.
3. It may come in single octets, and ends within the handshake's time.
4. HAProxy and nginx, as they are installed, are understood.
"""

import contextlib
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.apps import Message, Receive, Send, answer, hello, slow
from tests.support.client import Client, request
from tests.support.front_ends import haproxy, nginx
from tests.support.proxy_headers import LOCAL, NO_TLS, PROXY, SSL, TCP4, TLS, UNSPEC, addresses4, v2, value
from tests.support.server import Serve
from tests.support.tls import Authority

CLIENT, FRONT = ("192.0.2.1", 4000), ("198.51.100.1", 443)
V1 = b"PROXY TCP4 192.0.2.1 198.51.100.1 4000 443\r\n"
V2 = v2(PROXY, TCP4, addresses4(CLIENT, FRONT))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made(tmp_path_factory.mktemp("tls"))


async def tell(scope: Message, receive: Receive, send: Send) -> None:
    """Answer with what the application is told."""
    await answer(send, json.dumps([scope["client"], scope["server"], scope["scheme"]]).encode())


def told(client: Client, *lines: str) -> Any:
    return json.loads(client.get("/", *lines).content)


# -- What a header tells ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "header"), [("v1", V1), ("v2", V2), ("auto", V1), ("auto", V2)])
def test_application_log_and_rules_see_the_ends_of_the_header(serve: Serve, version: str, header: bytes) -> None:
    server = serve(tell, proxy_protocol=version, access_log=True, close_for=["peer:192.0.2.2"])
    with server.client() as client:
        client.send(header)
        assert told(client) == [[*CLIENT], [*FRONT], "http"]
        assert told(client) == [[*CLIENT], [*FRONT], "http"]
        assert all(" 192.0.2.1:4000 " in line for line in server.access_log(2))
    assert server.ends() == {"client_eof_idle": 1}


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", v2(LOCAL, UNSPEC)])
def test_header_without_addresses_leaves_those_of_the_socket(serve: Serve, header: bytes) -> None:
    server = serve(tell, proxy_protocol="auto")
    with server.client() as client:
        client.send(header)
        assert told(client) == [[*client.sock.getsockname()], [*client.sock.getpeername()], "http"]


@pytest.mark.parametrize(("values", "scheme"), [(TLS, "https"), (NO_TLS, "http")])
def test_tls_at_the_proxy_makes_the_scheme_https(serve: Serve, values: bytes, scheme: str) -> None:
    server = serve(tell, proxy_protocol="v2")
    with server.client() as client:
        client.send(v2(PROXY, TCP4, addresses4(CLIENT, FRONT) + value(SSL, values)))
        assert told(client)[2] == scheme


def test_header_and_request_may_come_in_single_octets_or_at_once(serve: Serve) -> None:
    server = serve(tell, proxy_protocol="auto")
    for header in (V1, V2):
        for octets in ([header + request()], [bytes([octet]) for octet in header + request()]):
            with server.client() as client:
                for piece in octets:
                    client.send(piece)
                assert json.loads(client.response().content)[0] == [*CLIENT]
    assert server.ends() == {"client_eof_idle": 4}


def test_tls_follows_the_header(serve: Serve, authority: Authority) -> None:
    server = serve(tell, proxy_protocol="v2", **authority.issue("behind"))
    with server.client() as client:
        client.send(V2)
        client.sock = authority.context().wrap_socket(client.sock, server_hostname="localhost")
        assert told(client) == [[*CLIENT], [*FRONT], "https"]
    assert server.ends() == {"client_eof_idle": 1}


def test_sender_of_the_header_is_trusted_for_fields_only_if_its_client_is(serve: Serve) -> None:
    """Fields are believed from the header's source: it is the one that speaks HTTP."""
    server = serve(tell, proxy_protocol="v1", forwarded_allow_ips="192.0.2.1")
    for header, client_is in ((V1, ["192.0.2.9", 0]), (V1.replace(b"192.0.2.1", b"192.0.2.2"), ["192.0.2.2", 4000])):
        with server.client() as client:
            client.send(header)
            assert told(client, "X-Forwarded-For: 192.0.2.9")[0] == client_is


def test_limit_for_a_peer_counts_the_clients_of_headers(serve: Serve) -> None:
    server = serve(slow, proxy_protocol="v1", limit_connections_per_peer=1)
    with server.client() as first, server.client() as second, server.client() as other:
        first.send(V1 + request("/1"))
        server.until(lambda: server.states()["exchange"] == 1)
        second.send(V1)
        assert second.get("/0").status == 503
        other.send(V1.replace(b"192.0.2.1", b"192.0.2.2"))
        assert other.get("/0").status == 200
        assert first.response().status == 200
    server.ends()
    with server.client() as client:
        client.send(V1)
        assert client.get("/0").status == 200


def test_connection_that_was_parked_keeps_the_ends_of_its_header(serve: Serve) -> None:
    recent = 256  # idle connections that are not parked (`bide.session.pool`)
    server = serve(tell, proxy_protocol="v2")
    with server.client() as client, contextlib.ExitStack() as others:
        client.send(v2(PROXY, TCP4, addresses4(CLIENT, FRONT) + value(SSL, TLS)))
        told(client)
        for _ in range(recent):
            other = others.enter_context(server.client())
            other.send(V2)
            told(other)
        assert len(server.sessions()) == recent  # all but the first
        assert told(client) == [[*CLIENT], [*FRONT], "https"]


# -- What is refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v1", "v2", "auto"])
@pytest.mark.parametrize(
    "octets",
    [request(), b"\x16\x03\x01\x02\x00", b"PROXY TCP4 192.0.2.1 x 1 2\r\n", v2(PROXY, TCP4, b"abc"), b"PROXY " * 30],
)
def test_connection_without_a_good_header_is_ended(serve: Serve, version: str, octets: bytes) -> None:
    server = serve(hello, proxy_protocol=version)
    with server.client() as client:
        client.send(octets)
        assert client.ending().rest == b""
    assert server.ends() == {"proxy_header_rejected": 1}
    (line,) = [line for line in server.log.messages() if "handshake failed" in line]
    assert "from 127.0.0.1" in line


@pytest.mark.parametrize("has_tls", [False, True])
def test_peer_that_may_send_no_header_is_ended_at_once(serve: Serve, authority: Authority, has_tls: bool) -> None:
    files = authority.issue("untrusted") if has_tls else {}
    server = serve(hello, proxy_protocol="auto", proxy_allow_ips="10.0.0.0/8,unix", **files)
    with server.client() as client:
        assert client.ending().rest == b""
    assert server.ends() == {"proxy_header_rejected": 1}
    assert any("127.0.0.1 is not in --proxy-allow-ips" in line for line in server.log.messages())


def test_header_that_does_not_end_in_time_is_a_handshake_timeout(serve: Serve) -> None:
    server = serve(hello, proxy_protocol="auto", timeout_handshake=0.3)
    for sent in (b"", V1[:-1], V2[:-1]):
        with server.client() as client:
            client.send(sent)
            assert client.ending().how == "fin"
    assert server.ends() == {"handshake_timeout": 3}


def test_header_that_is_complete_after_its_time_is_ignored(serve: Serve) -> None:
    server = serve(hello, proxy_protocol="auto", timeout_handshake=0.3)
    with server.client() as client:
        client.send(V1[:-1])
        server.until(lambda: server.states()["linger"] == 1)
        client.send(V1[-1:] + request())
        assert client.ending().rest == b""
    assert server.ends() == {"handshake_timeout": 1}


def test_client_that_leaves_within_the_header_is_counted(serve: Serve) -> None:
    server = serve(hello, proxy_protocol="auto")
    for sent in (b"", V2[:-1]):
        with server.client() as client:
            client.send(sent)
            server.until(lambda: server.open == 1)
    assert server.ends() == {"client_eof_unused": 2}


def test_header_is_not_read_unless_it_is_set(serve: Serve) -> None:
    server = serve(hello)
    with server.client() as client:
        client.send(V1)
        assert client.response().status == 400
    assert server.ends() == {"head_rejected": 1}


def test_unix_socket_takes_headers_too(serve: Serve, tmp_path: Path) -> None:
    server = serve(tell, proxy_protocol="v2", uds=str(tmp_path / "bide.sock"))
    with server.client() as client:
        client.send(V2)
        assert told(client) == [[*CLIENT], [*FRONT], "http"]


# -- Real front ends --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "sends", "has_tls", "is_encrypted"),
    [
        ("v1", "send-proxy", False, False),
        ("v2", "send-proxy-v2", False, False),
        ("auto", "send-proxy-v2-ssl", True, False),
        ("auto", "send-proxy-v2-ssl", False, False),
        ("v2", "send-proxy-v2-ssl-cn", True, True),
        ("v1", "send-proxy", False, True),
    ],
)
def test_haproxy_tells_its_client(
    serve: Serve,
    authority: Authority,
    system_tool: Callable[..., str],
    tmp_path: Path,
    version: str,
    sends: str,
    has_tls: bool,
    is_encrypted: bool,
) -> None:
    """has_tls: whether clients speak TLS to HAProxy; is_encrypted: whether HAProxy speaks it to bide."""
    files = authority.issue("haproxy")
    server = serve(tell, proxy_protocol=version, **(files if is_encrypted else {}))
    pem = tmp_path / "front.pem"
    pem.write_text(Path(files["ssl_certfile"]).read_text() + Path(files["ssl_keyfile"]).read_text())
    line = "{}:{} {}".format(*server.where, sends)
    if is_encrypted:
        line += f" ssl verify required ca-file {authority.ca_file} sni str(localhost) check-sni localhost"
    bind = f"ssl crt {pem}" if has_tls else ""
    program = system_tool("haproxy")
    with haproxy(program, tmp_path, f"{line} check inter 100ms", mode="tcp", bind=bind) as front:
        with authority.client(front) if has_tls else Client(front) as client:
            peer, local, scheme = told(client)
            assert peer == [*client.sock.getsockname()]
            assert local == [*front]
            assert scheme == ("https" if has_tls or is_encrypted else "http")
        server.until(lambda: sum(server.counters.closed.values()) >= 3)  # its health checks say LOCAL
    assert set(server.ends()) <= {"client_eof_idle", "client_eof_unused", "client_reset", "tls_rejected"}


def test_nginx_in_front_speaks_tls_to_us_and_tells_its_client(
    serve: Serve, authority: Authority, system_tool: Callable[..., str], tmp_path: Path
) -> None:
    files = authority.issue("nginx")
    server = serve(tell, **files)
    assert not isinstance(server.where, str)
    lines = "".join(
        f"{line};\n"
        for line in (
            "ssl_certificate " + files["ssl_certfile"],
            "ssl_certificate_key " + files["ssl_keyfile"],
            "proxy_ssl_verify on",
            "proxy_ssl_name localhost",
            "proxy_ssl_server_name on",
            f"proxy_ssl_trusted_certificate {authority.ca_file}",
        )
    )
    program = system_tool("nginx")
    with nginx(program, tmp_path, server.where, scheme="https", listen="ssl", lines=lines) as front:
        for source in ("127.0.0.8", "127.0.0.9"):
            client = Client(front, source=source)
            context: ssl.SSLContext = authority.context()
            client.sock = context.wrap_socket(client.sock, server_hostname="localhost")
            with client:
                for _ in range(3):
                    peer, _, scheme = told(client, "X-Forwarded-For: 6.6.6.6")
                    assert (peer, scheme) == ([source, 0], "https")
    ends = server.ends()
    assert ends == {"client_eof_idle": 1}, "nginx keeps one connection for both"

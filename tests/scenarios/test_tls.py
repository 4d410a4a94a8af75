"""TLS (RFC 8446, 5246): the same care for the connection, from the first octet of the handshake to close_notify.

1. The handshake has a clock and reasons of its own.
2. Answers, bodies and streams are those of plain HTTP.
3. close_notify is the client's EOF: an answer that is owed is sent. Every end but a cut carries one.
4. A certificate is replaced without touching connections that are open.
"""

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import requests

from bide import Config, Server
from bide.errors import ConfigError
from tests.support.apps import Message, Receive, Send, answer, echo, hello, read_body, slow
from tests.support.client import Client, request
from tests.support.server import NOISE, Log, Serve
from tests.support.tls import Authority
from tests.support.waiting import PATIENCE, pause

#: Certificates in a row. Before a release, twenty: SWAPS=20.
SWAPS = int(os.environ.get("SWAPS", "4"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def files(authority: Authority) -> dict[str, str]:
    return authority.issue("server")


def client_hello(authority: Authority) -> bytes:
    """Return the first octets of a client."""
    outgoing = ssl.MemoryBIO()
    tls = authority.context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def ending_of(client: Client) -> str:
    """Read to the end; return "close_notify", "fin" or "reset"."""
    client.sock.settimeout(PATIENCE)
    try:
        while client.sock.recv(65536):
            pass
    except ssl.SSLEOFError:
        return "fin"
    except ConnectionError:
        return "reset"
    return "close_notify"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_connection_persists(
    serve: Serve, authority: Authority, files: dict[str, str], version: ssl.TLSVersion
) -> None:
    server = serve(hello, **files)
    assert server.url.startswith("https://")
    context = authority.context()
    context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    with authority.client(server.where, context) as client:
        for _ in range(3):
            assert client.get().content == b"hello\n"
        assert client.sock.selected_alpn_protocol() == "http/1.1"  # type: ignore[attr-defined]
        assert client.sock.version() == version.name.replace("_", ".", 1).replace("_", ".")  # type: ignore[attr-defined]
    assert server.ends() == {"client_eof_idle": 1}


def test_large_bodies_both_ways_arrive_whole(serve: Serve, authority: Authority, files: dict[str, str]) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, await read_body(receive))

    server = serve(app, **files)
    body = bytes(range(256)) * 12_000
    with authority.client(server.where) as client:
        for _ in range(2):
            # One after the other: two threads must not use one SSL object of Python 3.11 at a time.
            client.send(request("/", f"Content-Length: {len(body)}", method="POST") + body)
            assert client.response().content == body


def test_scheme_is_https(serve: Serve, authority: Authority, files: dict[str, str]) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, scope["scheme"].encode())

    server = serve(app, **files)
    with authority.client(server.where) as client:
        assert client.get().content == b"https"


def test_program_may_make_the_context_itself(serve: Serve, authority: Authority, files: dict[str, str]) -> None:
    told: list[Any] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        told.append(scope["extensions"]["tls"])
        await answer(send, scope["scheme"].encode())

    def factory(config: Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files["ssl_certfile"], files["ssl_keyfile"])
        return context

    server = serve(app, ssl_context_factory=factory)
    with authority.client(server.where) as client:
        assert client.get().content == b"https"
    assert (told[0]["server_cert"], told[0]["tls_version"]) == (None, 0x0304)


def test_pipelined_requests_in_one_record_are_answered_in_order(
    serve: Serve, authority: Authority, files: dict[str, str]
) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, scope["path"].encode())

    server = serve(app, **files)
    with authority.client(server.where) as client:
        client.send(b"".join(request(f"/{number}") for number in range(100)))
        assert [client.response().content for _ in range(100)] == [b"/%d" % number for number in range(100)]


# -- The handshake ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01"])
def test_handshake_that_takes_too_long_is_ended(serve: Serve, files: dict[str, str], sent: bytes) -> None:
    server = serve(hello, timeout_handshake=0.3, **files)
    with server.client() as client:
        client.send(sent)
        server.until(lambda: server.states()["handshake"] == 1)
        assert client.ending().how == "fin"
    assert server.ends() == {"handshake_timeout": 1}


def test_handshake_under_way_is_not_seen_by_the_first_octet_clock(
    serve: Serve, authority: Authority, files: dict[str, str]
) -> None:
    server = serve(hello, timeout_first_octet=0.3, **files)
    with authority.client(server.where) as client:
        assert ending_of(client) == "close_notify"
    assert server.ends() == {"first_octet_timeout": 1}


def test_flood_of_silent_handshakes_does_not_lock_clients_out(
    serve: Serve, authority: Authority, files: dict[str, str], log: Log
) -> None:
    log.expect("accepting paused")
    server = serve(hello, limit_connections=10, **files)
    with contextlib.ExitStack() as stack:
        for _ in range(20):  # half of them wait in the listen backlog, before the client
            stack.enter_context(server.client()).send(b"\x16")
        with authority.client(server.where) as client:
            assert client.get().status == 200
    ends = server.ends()
    assert ends["shed"] >= 10


def test_slow_handshakes_make_room_before_idle_clients(
    serve: Serve, authority: Authority, files: dict[str, str]
) -> None:
    limit = 10
    server = serve(hello, limit_connections=limit, **files)
    with contextlib.ExitStack() as stack:
        faithful = stack.enter_context(authority.client(server.where))
        assert faithful.get().status == 200
        slow_ones = [stack.enter_context(server.client()) for _ in range(limit - 2)]
        for client in slow_ones:
            client.send(b"\x16")
        pause(1.1)  # the age from which they are slow; the server's clock cannot be moved
        newer = [stack.enter_context(authority.client(server.where)) for _ in range(5)]
        for client in newer:
            assert client.get().status == 200
        assert faithful.get().status == 200
    ends = server.ends()
    assert ends["shed"] >= 4
    assert ends["client_eof_idle"] + ends.get("pressure", 0) == 6


def test_herd_of_handshakes_is_served_to_the_last(serve: Serve, authority: Authority, files: dict[str, str]) -> None:
    """More at once than have turns in a pass, while another client goes on."""
    server = serve(hello, **files)
    context = authority.context()
    herd = 40
    with authority.client(server.where) as busy, ThreadPoolExecutor(herd) as pool:
        asked = [pool.submit(authority.client, server.where, context) for _ in range(herd)]
        while not all(one.done() for one in asked):
            assert busy.get().status == 200
        for one in asked:
            with one.result() as client:
                assert client.get().status == 200
    assert server.ends() == {"client_eof_idle": herd + 1}


def test_handshake_that_drips_is_complete_or_timed_out(
    serve: Serve, authority: Authority, files: dict[str, str]
) -> None:
    server = serve(hello, timeout_handshake=2.0, **files)
    hello_octets = client_hello(authority)
    with server.client() as client:
        for octet in hello_octets:
            client.send(bytes([octet]))
        assert client.sock.recv(1) == b"\x16", "the server's part of the handshake"
    with server.client() as client:
        for octet in hello_octets[:20]:
            client.send(bytes([octet]))
            pause(0.01)
        assert client.ending().how == "fin"
    assert server.ends() == {"client_eof_unused": 1, "handshake_timeout": 1}


def test_handshake_that_is_complete_after_its_time_ends_nothing_twice(
    serve: Serve, authority: Authority, files: dict[str, str]
) -> None:
    server = serve(hello, timeout_handshake=0.3, **files)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = authority.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    with server.client() as client:
        client.send(outgoing.read())
        incoming.write(client.sock.recv(65536))
        server.until(lambda: server.states()["linger"] == 1)
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        client.send(outgoing.read())
        assert client.ending().how == "fin"
    assert server.ends() == {"handshake_timeout": 1}


def test_client_that_leaves_within_the_handshake_is_counted(serve: Serve, files: dict[str, str]) -> None:
    server = serve(hello, **files)
    for sent in (b"", b"\x16\x03\x01"):
        with server.client() as client:
            client.send(sent)
            server.until(lambda: server.open == 1)
    assert server.ends() == {"client_eof_unused": 2}


@pytest.mark.parametrize("sent", [b"\x00" * 100, b"SSH-2.0-OpenSSH_9.6\r\n", b"\x16\x03\x01\x00\x05hello"])
def test_rubbish_in_place_of_a_handshake_gets_an_alert(serve: Serve, files: dict[str, str], sent: bytes) -> None:
    server = serve(hello, **files)
    with server.client() as client:
        client.send(sent)
        ending = client.ending()
        assert ending.how == "fin"
        assert not ending.rest or ending.rest[0] == 0x15
    assert server.ends() == {"tls_rejected": 1}


def test_plain_http_is_told_that_this_port_speaks_https(serve: Serve, files: dict[str, str]) -> None:
    server = serve(hello, **files)
    with server.client() as client:
        response = client.get()
        assert response.status == 400
        assert b"https" in response.content
        assert response.says_close
        assert client.ending().how == "fin"
    assert server.ends() == {"tls_rejected": 1}


def test_client_without_the_certificate_that_is_required_is_rejected(
    serve: Serve, authority: Authority, files: dict[str, str]
) -> None:
    server = serve(hello, ssl_ca_certs=str(authority.ca_file), ssl_cert_reqs=2, **files)
    with contextlib.suppress(ssl.SSLError, ConnectionError), authority.client(server.where) as client:
        client.get()
        pytest.fail("it was served")
    own = authority.issue("client", "client.example")
    context = authority.context()
    context.load_cert_chain(own["ssl_certfile"], own["ssl_keyfile"])
    with authority.client(server.where, context) as client:
        assert client.get().status == 200
    assert server.ends() == {"tls_rejected": 1, "client_eof_idle": 1}


def test_record_that_is_not_valid_ends_its_connection(
    serve: Serve, authority: Authority, files: dict[str, str]
) -> None:
    server = serve(hello, **files)
    with authority.client(server.where) as client:
        assert client.get().status == 200
        raw = socket.socket(fileno=client.sock.detach())
        with raw:
            raw.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
            raw.settimeout(PATIENCE)
            with contextlib.suppress(ConnectionResetError):
                while raw.recv(65536):
                    pass
    assert server.ends() == {"tls_rejected": 1}


# -- Ends -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close_notify", "fin"])
def test_client_that_ends_its_side_behind_a_request_gets_its_answer(
    serve: Serve, authority: Authority, files: dict[str, str], how: str
) -> None:
    server = serve(slow, **files)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = authority.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    assert isinstance(server.where, tuple)
    with socket.create_connection(server.where, timeout=PATIENCE) as sock:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))
        tls.write(request("/0.3"))
        if how == "close_notify":
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.unwrap()
        sock.sendall(outgoing.read())
        if how == "fin":
            sock.shutdown(socket.SHUT_WR)
        content = b""
        while data := sock.recv(65536):
            incoming.write(data)
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                while octets := tls.read(65536):
                    content += octets
    assert content.startswith(b"HTTP/1.1 200 ")
    assert content.endswith(b"late\n")
    assert server.ends() == {"client_half_closed": 1}


def test_idle_end_and_announced_end_carry_close_notify(
    serve: Serve, authority: Authority, files: dict[str, str]
) -> None:
    server = serve(hello, timeout_idle=0.3, **files)
    with authority.client(server.where) as idle, authority.client(server.where) as asked:
        assert idle.get().status == 200
        asked.ask("/", "Connection: close")
        assert asked.response().says_close
        assert ending_of(asked) == "close_notify"
        assert ending_of(idle) == "close_notify"
    assert server.ends() == {"client_close_option": 1, "idle_timeout": 1}


def test_cut_response_carries_no_close_notify(
    serve: Serve, authority: Authority, files: dict[str, str], log: Log
) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("no luck today")

    server = serve(app, **files)
    log.expect("the application failed")
    with authority.client(server.where) as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert ending_of(client) in {"fin", "reset"}
    assert server.ends() == {"response_incomplete": 1}


def test_request_that_comes_behind_an_unannounced_end_is_counted(
    serve: Serve, authority: Authority, files: dict[str, str], log: Log
) -> None:
    log.expect("a request arrived just as its idle connection was closed")
    server = serve(hello, timeout_idle=0.3, **files)
    with authority.client(server.where) as client:
        assert client.get().status == 200
        server.until(lambda: server.states()["linger"] == 1)
        client.send(request("/late"))
        server.until(lambda: server.counters.race_lost == 1)
    assert server.ends() == {"idle_timeout": 1}


def test_drain_answers_what_is_under_way(serve: Serve, authority: Authority, files: dict[str, str]) -> None:
    server = serve(slow, **files)
    with authority.client(server.where) as busy, authority.client(server.where) as idle, server.client() as silent:
        assert idle.get().status == 200
        busy.ask("/0.5")
        server.until(
            lambda: server.states()["exchange"] == server.states()["idle"] == server.states()["handshake"] == 1
        )
        server.drain()
        assert ending_of(idle) == "close_notify"
        response = busy.response()
        assert response.content == b"late\n"
        assert response.says_close
        assert ending_of(busy) == "close_notify"
        silent.close()
    assert server.ends() == {"drain": 2, "client_eof_unused": 1}


# -- Reading and writing --------------------------------------------------------------------------------------------------------


def test_upload_that_the_application_does_not_read_is_held_back(
    serve: Serve, authority: Authority, files: dict[str, str]
) -> None:
    """Reading pauses in the middle of records; all that came meanwhile is read later."""
    go = threading.Event()
    sizes: list[int] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:

        while not go.is_set():
            await asyncio.sleep(0.01)
        sizes.append(len(await read_body(receive)))
        await answer(send, b"read")

    server = serve(app, **files)
    body = bytes(10_000_000)
    with authority.client(server.where) as client:
        sender = threading.Thread(
            target=client.send, args=(request("/", f"Content-Length: {len(body)}", method="POST") + body,)
        )
        sender.start()
        server.until(lambda: any(not session.is_reading for session in server.sessions()))
        pause(0.1)  # so that more comes while nothing is read
        go.set()
        sender.join()
        assert client.response().content == b"read"
    assert sizes == [len(body)]


# -- Certificates ---------------------------------------------------------------------------------------------------------------


def test_new_certificate_reaches_new_connections_and_no_old_one_is_lost(serve: Serve, authority: Authority) -> None:
    own = authority.issue("swapped")
    server = serve(hello, **own)

    def serial(client: Client) -> object:
        return client.sock.getpeercert()["serialNumber"]  # type: ignore[attr-defined]

    with authority.client(server.where) as old:
        first = serial(old)
        authority.issue("swapped")
        limit = time.monotonic() + PATIENCE
        while True:
            assert old.get().status == 200
            with authority.client(server.where) as new:
                assert new.get().status == 200
                if serial(new) != first:
                    break
            assert time.monotonic() < limit
        assert old.get().status == 200
    assert set(server.ends()) == {"client_eof_idle"}


def test_certificate_that_is_renewed_again_and_again_loses_no_request(
    serve: Serve, authority: Authority, log: Log
) -> None:
    """24 clients ask all the while. New connections get the new certificate within a second or two looks at the clock."""
    swaps, clients = SWAPS, 24
    own = authority.issue("renewed")
    server = serve(hello, **own)
    context = authority.context()
    over = threading.Event()

    def ask() -> int:
        with authority.client(server.where, context) as client:
            answers = 0
            while not over.is_set():
                assert client.get().status == 200
                answers += 1
                pause(0.005)  # so that 24 clients leave the machine time for handshakes
            return answers

    def current() -> object:
        with authority.client(server.where, context) as client:
            return client.sock.getpeercert()["serialNumber"]  # type: ignore[attr-defined]

    seen = {current()}
    with ThreadPoolExecutor(clients) as pool:
        asking = [pool.submit(ask) for _ in range(clients)]
        try:
            for _ in range(swaps):
                authority.issue("renewed")
                limit = time.monotonic() + 1.0 + NOISE
                while (serial := current()) in seen:
                    assert time.monotonic() < limit
                    pause(0.02)  # the server looks at the files once a second
                seen.add(serial)
        finally:
            over.set()
        assert min(one.result() for one in asking) > swaps
    assert len(seen) == swaps + 1
    assert set(server.ends()) == {"client_eof_idle", "client_eof_unused"}
    failed = [line for line in log.messages() if "handshake failed" in line]
    assert not failed


# -- Other clients ----------------------------------------------------------------------------------------------------------------


def test_openssl_resumes_its_session_and_may_not_renegotiate(
    serve: Serve, authority: Authority, files: dict[str, str], system_tool: Callable[..., str]
) -> None:
    server = serve(hello, **files)
    openssl = system_tool("openssl")
    host, port = server.where[0], server.where[1]
    done = subprocess.run(
        [openssl, "s_client", "-connect", f"{host}:{port}", "-CAfile", str(authority.ca_file), "-tls1_2", "-reconnect"],
        input=b"",
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout.count(b"Reused, TLSv1.2") == 5
    renegotiated = subprocess.run(
        [openssl, "s_client", "-connect", f"{host}:{port}", "-CAfile", str(authority.ca_file), "-tls1_2"],
        input=b"R\n",
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert b"no renegotiation" in renegotiated.stderr


def test_wrong_file_ends_the_start_before_anything_is_bound(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ssl_certfile must be a file that can be read"):
        Server(hello, ssl_certfile=str(tmp_path / "none"))


# -- Host names -------------------------------------------------------------------------------------------------------------


def test_certificate_is_the_one_for_the_host_that_the_client_asks_for(
    serve: Serve, authority: Authority, files: dict[str, str]
) -> None:
    named = authority.issue("named", "a.example")
    wild = authority.issue("wild", "*.b.example")
    own = Path(wild["ssl_certfile"])
    both = authority.folder / "both.pem"
    both.write_text(own.read_text() + Path(wild["ssl_keyfile"]).read_text())
    server = serve(
        hello,
        ssl_sni=[f"A.example={named['ssl_certfile']},{named['ssl_keyfile']}", f"*.b.example={both}"],
        **files,
    )
    for host in ("localhost", "a.example", "x.b.example"):
        with authority.client(server.where, host=host) as client:  # which checks the name
            assert client.get().content == b"hello\n"
    for host in ("b.example", "x.y.b.example", "c.example"):
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            authority.client(server.where, host=host)
    server.until(lambda: server.open == 0)


# -- What applications are told ---------------------------------------------------------------------------------------------


def test_application_is_told_of_the_tls_of_its_connection(
    serve: Serve, authority: Authority, files: dict[str, str]
) -> None:
    scopes: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await answer(send, b"ok")

    named = authority.issue("told-named", "a.example")
    own = authority.issue("told-client", "client.example", common_name="client")
    server = serve(
        app,
        ssl_ca_certs=str(authority.ca_file),
        ssl_cert_reqs=1,
        ssl_sni=[f"a.example={named['ssl_certfile']},{named['ssl_keyfile']}"],
        **files,
    )
    context = authority.context()
    with authority.client(server.where, context) as client:
        client.get()
        client.get()
    context.load_cert_chain(own["ssl_certfile"], own["ssl_keyfile"])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with authority.client(server.where, context, host="a.example") as client:
        client.get()
    first, second, last = (scope["extensions"]["tls"] for scope in scopes)
    assert first == second
    assert first is not second
    assert first["client_cert_chain"] is not second["client_cert_chain"]
    assert first["tls_version"] == 0x0304
    assert first["cipher_suite"] in range(0x1301, 0x1306)
    assert first["server_cert"] in Path(files["ssl_certfile"]).read_text()
    assert (first["client_cert_chain"], first["client_cert_name"], first["client_cert_error"]) == ([], None, None)
    assert last["tls_version"] == 0x0303
    assert last["cipher_suite"] > 0xC000  # of RFC 5289 or 7905
    assert last["server_cert"] in Path(named["ssl_certfile"]).read_text()
    assert "CN=client" in last["client_cert_name"]
    assert last["client_cert_chain"][0] in Path(own["ssl_certfile"]).read_text()


def test_application_is_not_told_of_tls_that_a_front_end_speaks(serve: Serve) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, f"{scope['scheme']} {'tls' in scope['extensions']}".encode())

    server = serve(app)
    with server.client() as client:
        assert client.get("/", "X-Forwarded-Proto: https").content == b"https False"
        assert client.get("/").content == b"http False"


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_resumes_a_session_that_it_has_kept(
    serve: Serve,
    authority: Authority,
    files: dict[str, str],
    system_tool: Callable[..., str],
    tmp_path: Path,
    version: str,
) -> None:
    server = serve(hello, **files)
    kept = str(tmp_path / "session.pem")
    command = [
        system_tool("openssl"),
        "s_client",
        "-connect",
        "{}:{}".format(*server.where),
        "-CAfile",
        str(authority.ca_file),
        "-ign_eof",
        version,
    ]
    for number, option in enumerate(("-sess_out", "-sess_in")):
        done = subprocess.run(
            [*command, option, kept],
            input=request("/", "Connection: close"),
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )
        assert b"hello\n" in done.stdout
        assert done.stdout.count(b"Reused, TLSv1." if number else b"New, TLSv1.") == 1
    assert server.ends() == {"client_close_option": 2}


@pytest.mark.parametrize("arguments", [["--tls-max", "1.2"], ["--tlsv1.3"], ["--http1.1", "--tlsv1.2"]])
def test_curl_is_served(
    serve: Serve, authority: Authority, files: dict[str, str], system_tool: Callable[..., str], arguments: list[str]
) -> None:
    server = serve(echo, **files)
    url = f"https://localhost:{server.where[1]}/"
    done = subprocess.run(
        [system_tool("curl"), "-sS", "--cacert", str(authority.ca_file), *arguments, "-d", "a" * 100_000, url, url],
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stderr == b""
    assert done.stdout == b"a" * 200_000
    assert server.ends() == {"client_eof_idle": 1}, "one connection serves both"


def test_curl_shows_its_certificate(
    serve: Serve, authority: Authority, files: dict[str, str], system_tool: Callable[..., str]
) -> None:
    own = authority.issue("curl", "curl.example")
    server = serve(hello, ssl_ca_certs=str(authority.ca_file), ssl_cert_reqs=2, **files)
    command = [system_tool("curl"), "-sS", "--cacert", str(authority.ca_file), f"https://localhost:{server.where[1]}/"]
    shown = ["--cert", own["ssl_certfile"], "--key", own["ssl_keyfile"]]
    done = subprocess.run([*command, *shown], capture_output=True, timeout=PATIENCE, check=True)
    assert done.stdout == b"hello\n"
    refused = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    assert refused.returncode != 0
    assert b"certificate required" in refused.stderr
    assert server.ends() == {"client_eof_idle": 1, "tls_rejected": 1}


def test_python_clients_are_served(serve: Serve, authority: Authority, files: dict[str, str]) -> None:
    """httpx, aiohttp and requests: several requests on one connection, with a body."""
    server = serve(echo, **files)
    url = f"https://localhost:{server.where[1]}/"
    context = authority.context()
    body = b"a" * 100_000
    with httpx.Client(verify=context, timeout=PATIENCE) as one:
        for _ in range(3):
            assert one.post(url, content=body).content == body

    async def with_aiohttp() -> None:
        async with aiohttp.ClientSession() as session:
            for _ in range(3):
                async with session.post(url, data=body, ssl=context) as response:
                    assert await response.read() == body

    asyncio.run(with_aiohttp())
    with requests.Session() as other:
        for _ in range(3):
            assert other.post(url, data=body, verify=str(authority.ca_file), timeout=PATIENCE).content == body
    assert server.ends() == {"client_eof_idle": 3}

"""The environ of a WSGI application, key by key (PEP 3333; RFC 3875)."""

import sys
from typing import Any

import pytest

from bide.gateway.environ import Environs, tell_length
from bide.gateway.file_wrapper import FileWrapper
from bide.message import Request
from bide.terms import Address
from tests.support.exchanges import StubExchange, request_of

TCP = ("192.0.2.2", 80)
UNIX = ("/run/bide.sock", None)


def environ_of(
    request: Request | None = None,
    *,
    root_path: str = "",
    has_threads: bool = True,
    client: Address | None = ("192.0.2.1", 4000),
    local: Address | None = TCP,
    scheme: str = "http",
) -> dict[str, Any]:
    exchange = StubExchange(request)
    exchange.client = client
    exchange.local = local
    exchange.scheme = scheme
    return Environs(root_path, has_threads=has_threads).of(exchange)


def test_environ_has_what_the_request_says() -> None:
    request = request_of("GET", b"/a/b%20c?x=%41", [(b"host", b"a"), (b"content-type", b"text/plain")])
    environ = environ_of(request)
    assert type(environ) is dict
    assert environ == {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a/b c",
        "QUERY_STRING": "x=%41",
        "REQUEST_URI": "/a/b%20c?x=%41",
        "RAW_URI": "/a/b%20c?x=%41",
        "SERVER_NAME": "192.0.2.2",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "bide",
        "REMOTE_ADDR": "192.0.2.1",
        "REMOTE_PORT": "4000",
        "CONTENT_TYPE": "text/plain",
        "HTTP_HOST": "a",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": None,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
    }


def test_environs_share_nothing() -> None:
    environs = Environs("", has_threads=True)
    first = environs.of(StubExchange())
    first["HTTP_X"] = "left by an application"
    assert "HTTP_X" not in environs.of(StubExchange())


@pytest.mark.parametrize(
    ("root_path", "target", "script_name", "path_info"),
    [
        ("", b"/a%2Fb", "", "/a/b"),
        ("", b"/%C3%A4", "", "/\u00c3\u00a4"),
        ("", b"/%FF%00", "", "/\u00ff\0"),
        ("", b"/100%", "", "/100%"),
        ("", b"*", "", "*"),
        ("/mounted", b"/a", "/mounted", "/a"),
        ("/\u00e4", b"/a", "/\u00c3\u00a4", "/a"),
    ],
)
def test_path_is_decoded_to_one_character_per_octet(
    root_path: str, target: bytes, script_name: str, path_info: str
) -> None:
    environ = environ_of(request_of("OPTIONS", target), root_path=root_path)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script_name, path_info)
    assert environ["RAW_URI"] == target.decode()


@pytest.mark.parametrize(("minor", "protocol"), [(0, "HTTP/1.0"), (1, "HTTP/1.1")])
def test_protocol_is_that_of_the_request(minor: int, protocol: str) -> None:
    assert environ_of(request_of(minor=minor))["SERVER_PROTOCOL"] == protocol


def test_fields_become_variables() -> None:
    fields = [
        (b"content-length", b"3"),
        (b"x-name", b"J\xfcrgen"),
        (b"x-twice", b"1"),
        (b"x-twice", b"2"),
        (b"cookie", b"a=1"),
        (b"cookie", b"b=2"),
        (b"x" * 100, b"long"),
    ]
    environ = environ_of(request_of("POST", b"/", fields))
    assert environ["CONTENT_LENGTH"] == "3"
    assert environ["HTTP_X_NAME"] == "J\u00fcrgen"
    assert environ["HTTP_X_TWICE"] == "1,2"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["HTTP_" + "X" * 100] == "long"
    assert "HTTP_CONTENT_LENGTH" not in environ


def test_many_names_of_fields_leave_those_of_content_as_they_are() -> None:
    names = [b"x-%d" % number for number in range(3000)]
    for name in names:
        assert environ_of(request_of(fields=[(name, b"1")]))["HTTP_" + name.decode().upper().replace("-", "_")] == "1"
    environ = environ_of(request_of(fields=[(b"content-type", b"a/b"), (b"content-length", b"1")]))
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("a/b", "1")


def test_chunked_body_that_was_received_is_told_as_one_with_a_length() -> None:
    environ = environ_of(request_of("POST", b"/", [(b"transfer-encoding", b"chunked")]))
    tell_length(environ, 300)
    assert environ["CONTENT_LENGTH"] == "300"
    assert "HTTP_TRANSFER_ENCODING" not in environ


@pytest.mark.parametrize(
    ("scheme", "host", "name", "port"),
    [
        ("http", b"example.org", "example.org", "80"),
        ("https", b"example.org", "example.org", "443"),
        ("http", b"example.org:8080", "example.org", "8080"),
        ("http", b"example.org:", "example.org", "80"),
        ("http", b"[::1]", "[::1]", "80"),
        ("http", b"[::1]:8080", "[::1]", "8080"),
        ("http", b"", "localhost", "80"),
        ("http", None, "localhost", "80"),
    ],
)
def test_server_on_a_unix_socket_is_named_by_host(scheme: str, host: bytes | None, name: str, port: str) -> None:
    fields = [] if host is None else [(b"host", host)]
    environ = environ_of(request_of(fields=fields), client=None, local=UNIX, scheme=scheme)
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (name, port)
    assert environ["wsgi.url_scheme"] == scheme
    assert environ["REMOTE_ADDR"] == ""
    assert "REMOTE_PORT" not in environ


def test_client_with_a_path_for_a_name_has_no_address() -> None:
    environ = environ_of(client=("/run/client.sock", None), local=UNIX)
    assert environ["REMOTE_ADDR"] == ""
    assert "REMOTE_PORT" not in environ


def test_application_on_the_event_loop_is_called_by_one_thread() -> None:
    assert environ_of(has_threads=False)["wsgi.multithread"] is False


def test_client_is_the_one_that_a_front_end_tells_of() -> None:
    environ = environ_of(client=("203.0.113.9", 0), scheme="https")
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("203.0.113.9", "https")
    assert "REMOTE_PORT" not in environ, "nobody told it"


def test_script_name_is_the_path_under_which_a_front_end_mounts_the_application() -> None:
    exchange = StubExchange()
    exchange.prefix = b"/api%20v2"
    assert Environs("/root", has_threads=True).of(exchange)["SCRIPT_NAME"] == "/api v2"


@pytest.mark.parametrize("has_processes", [True, False])
def test_application_is_told_of_other_processes(has_processes: bool) -> None:
    environs = Environs("", has_threads=True, has_processes=has_processes)
    assert environs.of(StubExchange())["wsgi.multiprocess"] is has_processes

"""Fields whose names have an underscore, which an environment of CGI or WSGI does not tell from a hyphen.

1. A front end sets `X-Forwarded-For`; the client has sent `X_Forwarded_For` of its own.
2. By default the application does not get the client's, and the debug log names it.
3. With `--underscore-fields refuse` the request is answered 400 and the connection ends; with `pass` the application gets both.
"""

import logging

from tests.support.apps import Message, Receive, Send, answer
from tests.support.server import Log, Serve

FORGED = "X_Forwarded_For: 192.0.2.1"
GENUINE = "X-Forwarded-For: 192.0.2.2"


async def environment(scope: Message, receive: Receive, send: Send) -> None:
    """Send the addresses back that an application finds where it takes its fields as CGI does."""
    names = [(name.upper().replace(b"-", b"_"), value) for name, value in scope["headers"]]
    await answer(send, b" ".join(value for name, value in names if name == b"X_FORWARDED_FOR"))


def dropped(log: Log) -> list[str]:
    """What the log says of fields that were dropped, without the peer."""
    lines = [line for line in log.messages(name="bide") if "dropped" in line]
    return [line.partition(": ")[2] for line in lines]


def test_underscored_field_is_dropped_and_the_debug_log_names_it(serve: Serve, log: Log) -> None:
    server = serve(environment)
    with server.client() as client:
        assert client.get("/", FORGED, GENUINE, "a_b: c", FORGED).content == b"192.0.2.2"
        assert client.get("/", FORGED).content == b""
        assert client.get("/", GENUINE, "Cookie: a_b").content == b"192.0.2.2"
    assert server.ends() == {"client_eof_idle": 1}
    assert dropped(log) == [
        "fields dropped, names=x_forwarded_for,a_b,x_forwarded_for; the application does not get them (--underscore-fields)",
        "fields dropped, names=x_forwarded_for; the application does not get them (--underscore-fields)",
    ]


def test_every_pipelined_request_is_rid_of_its_underscored_field(serve: Serve, log: Log) -> None:
    server = serve(environment)
    with server.client() as client:
        client.ask("/", FORGED, GENUINE)
        client.ask("/", GENUINE, FORGED)
        assert [client.response().content for _ in range(2)] == [b"192.0.2.2", b"192.0.2.2"]
    assert server.ends() == {"client_eof_idle": 1}
    assert len(dropped(log)) == 2


def test_dropped_fields_are_no_line_of_a_log_that_is_not_of_debug_level(serve: Serve, log: Log) -> None:
    server = serve(environment)
    logging.getLogger("bide").setLevel(logging.INFO)  # `log` puts it back
    with server.client() as client:
        assert client.get("/", FORGED).content == b""
    assert server.ends() == {"client_eof_idle": 1}
    assert dropped(log) == []


def test_underscored_field_is_refused(serve: Serve, log: Log) -> None:
    server = serve(environment, underscore_fields="refuse")
    with server.client() as client:
        assert client.get("/", GENUINE, "Cookie: a_b").content == b"192.0.2.2"
        response = client.get("/", FORGED, GENUINE)
        assert response.status == 400
        assert response.says_close
        assert client.ending().how == "fin"
    assert server.ends() == {"head_rejected": 1}
    assert [line for line in log.messages() if "(underscore in a field name)" in line]
    assert dropped(log) == []


def test_underscored_field_is_passed_on(serve: Serve, log: Log) -> None:
    server = serve(environment, underscore_fields="pass")
    with server.client() as client:
        assert client.get("/", FORGED, GENUINE).content == b"192.0.2.1 192.0.2.2"
    assert server.ends() == {"client_eof_idle": 1}
    assert dropped(log) == []


def test_servers_of_one_process_keep_to_their_own_option(serve: Serve) -> None:
    """They remember names together."""
    servers = {value: serve(environment, underscore_fields=value) for value in ("pass", "drop", "refuse")}
    expected = {"pass": (200, b"192.0.2.1"), "drop": (200, b""), "refuse": (400, None)}
    for _ in range(2):
        for value, server in servers.items():
            with server.client() as client:
                response = client.get("/", FORGED)
                status, content = expected[value]
                assert response.status == status
                assert content is None or response.content == content

"""curl, as people use it.

1. Several URLs in one call come over one connection, and curl reports no reconnect.
2. Uploads, chunked ones and ones with `Expect: 100-continue` included; a refused upload shows its answer, not an error.
3. HTTP/1.0, HEAD, ranges of nothing, a Unix socket, an IPv6 address; pipelines of small and large answers.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.apps import Message, Receive, Send, answer, echo, hello, refuse, stream, target
from tests.support.server import Serve

Curl = Callable[..., str]

# To a HEAD the answer is complete with its head: the client may leave before the application has ended.
IDLE_OR_NOT_YET = {"client_eof_idle", "client_half_closed"}


@pytest.fixture
def curl(system_tool: Callable[..., str]) -> Curl:
    program = system_tool("curl")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [program, "--silent", "--show-error", "--noproxy", "*", "--max-time", "60", *arguments],
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_curl_with_many_urls_uses_one_connection(serve: Serve, curl: Curl) -> None:
    server = serve(target)
    output = curl(
        "--write-out", " %{num_connects} %{local_port}\n", *(f"{server.url}/{number}" for number in range(20))
    )
    rows = [line.split() for line in output.splitlines()]
    assert [row[0] for row in rows] == [f"/{number}" for number in range(20)]
    assert [row[1] for row in rows] == ["1"] + ["0"] * 19
    assert len({row[2] for row in rows}) == 1
    assert server.ends() == {"client_eof_idle": 1}


def test_curl_uploads_in_each_framing(serve: Serve, curl: Curl, tmp_path: Path) -> None:
    server = serve(echo)
    file = tmp_path / "file"
    file.write_text("0123456789" * 300_000)
    for more in ([], ["--header", "Transfer-Encoding: chunked"], ["--header", "Expect: 100-continue"]):
        output = curl("--data-binary", f"@{file}", *more, server.url, server.url)
        assert output == file.read_text() * 2
    assert server.ends() == {"client_eof_idle": 3}


def test_curl_shows_the_answer_to_a_refused_upload(serve: Serve, curl: Curl, tmp_path: Path) -> None:
    server = serve(refuse)
    file = tmp_path / "file"
    file.write_bytes(bytes(10_000_000))
    for more in ([], ["--header", "Expect:"], ["--header", "Transfer-Encoding: chunked", "--header", "Expect:"]):
        for _ in range(5):
            output = curl("--data-binary", f"@{file}", *more, "--write-out", "%{http_code}", server.url)
            assert output == "too large\n413"
    assert server.ends() == {"expectation_unmet": 5, "request_unread": 10}


def test_curl_refused_before_continue_sends_no_body(serve: Serve, curl: Curl, tmp_path: Path) -> None:
    """The body is not even sent."""
    server = serve(refuse)
    file = tmp_path / "file"
    file.write_bytes(bytes(2_000_000))
    arguments = ["--header", "Expect: 100-continue", "--expect100-timeout", "10", "--upload-file", str(file)]
    output = curl(*arguments, "--write-out", "%{http_code} %{size_upload}", server.url)
    assert output == "too large\n413 0"
    assert server.ends() == {"expectation_unmet": 1}


def test_curl_with_http_1_0_gets_a_connection_per_request(serve: Serve, curl: Curl) -> None:
    server = serve(hello)
    output = curl("--http1.0", "--write-out", "%{num_connects}\n", server.url, server.url)
    assert output == "hello\n1\n" * 2
    assert server.ends() == {"client_http10": 2}


def test_curl_reads_heads_and_streams(serve: Serve, curl: Curl) -> None:
    server = serve(stream)
    assert "transfer-encoding: chunked" in curl("--head", f"{server.url}/3/0").lower()
    assert curl(f"{server.url}/3/0.01", f"{server.url}/1/0") == "line 0\nline 1\nline 2\nline 0\n"
    assert curl("--http1.0", f"{server.url}/3/0.01") == "line 0\nline 1\nline 2\n"
    ends = server.ends()
    assert ends.pop("close_delimited") == 1
    assert sum(ends.values()) == 2
    assert set(ends) <= IDLE_OR_NOT_YET


def test_curl_with_heads_of_streams_keeps_its_connection(serve: Serve, curl: Curl) -> None:
    server = serve(stream)
    output = curl("--head", "--write-out", "%{num_connects}\n", f"{server.url}/3/0", f"{server.url}/3/0")
    assert output.splitlines()[-1] == "0"
    assert set(server.ends()) <= IDLE_OR_NOT_YET
    assert server.counters.opened == 1


def test_curl_over_a_unix_socket_is_answered(serve: Serve, curl: Curl, tmp_path: Path) -> None:
    path = str(tmp_path / "bide.sock")
    serve(target, uds=path)
    assert curl("--unix-socket", path, "http://localhost/1", "http://localhost/2") == "/1/2"


def test_curl_with_large_answers_keeps_its_connection(serve: Serve, curl: Curl, tmp_path: Path) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, bytes(20_000_000))

    server = serve(app)
    files = [tmp_path / name for name in ("one", "two")]
    curl(*(word for file in files for word in ("--output", str(file), server.url)))
    assert [file.stat().st_size for file in files] == [20_000_000] * 2
    assert server.ends() == {"client_eof_idle": 1}

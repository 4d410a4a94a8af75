"""ab -k speaks HTTP/1.0 with keep-alive, and many people measure with it.

1. ab sends some thousand requests over a few connections, `Connection: keep-alive` in each.
2. It counts every one of them as kept alive, and none as failed; the server counts no more connections than ab has.
3. Without -k it gets a connection for each request.
"""

import re
import subprocess
from collections.abc import Callable

import pytest

from tests.support.apps import hello
from tests.support.server import Serve

Ab = Callable[..., dict[str, int]]


@pytest.fixture
def ab(system_tool: Callable[..., str]) -> Ab:
    program = system_tool("ab")

    def run(*arguments: str) -> dict[str, int]:
        """Return its report's counts."""
        done = subprocess.run([program, "-q", *arguments], check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return {name: int(count) for name, count in re.findall(r"^([\w -]+):\s+(\d+)$", done.stdout, re.MULTILINE)}

    return run


def test_ab_with_keep_alive_uses_few_connections(serve: Serve, ab: Ab) -> None:
    server = serve(hello)
    report = ab("-k", "-n", "2000", "-c", "4", f"{server.url}/")
    assert report["Complete requests"] == 2000
    assert report["Failed requests"] == 0
    assert report["Keep-Alive requests"] == 2000
    ends = server.ends()
    assert set(ends) <= {"client_eof_idle", "client_reset", "client_eof_unused"}
    assert 4 <= sum(ends.values()) <= 8, "ab opens another one now and then, which it may not use"
    assert server.counters.requests >= 2000


def test_ab_without_keep_alive_uses_a_connection_per_request(serve: Serve, ab: Ab) -> None:
    server = serve(hello)
    report = ab("-n", "300", "-c", "4", f"{server.url}/")
    assert report["Complete requests"] == 300
    assert report["Failed requests"] == 0
    assert server.ends()["client_http10"] >= 300

"""A browser loads the example's page.

1. Headless Chromium opens the page: it brings a style sheet, a script and pictures, and the script asks for more.
2. The page is whole: its script has run, and every resource was answered.
3. The access log numbers the requests of each connection: most of them came on a connection that was there already.
"""

import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.program import Launch

EXAMPLES = Path(__file__).parents[2] / "examples"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "--virtual-time-budget=3000",
    "--dump-dom",
]


@pytest.mark.timeout(180)
def test_page_of_the_example_loads_over_reused_connections(
    launch: Launch, loop: str, system_tool: Callable[..., str], tmp_path: Path
) -> None:
    chromium = system_tool("chromium", "chromium-browser", "google-chrome")
    program = launch(
        *["serve", "app:app", "--app-dir", str(EXAMPLES), "--port", "0", "--loop", loop, "--drain-idle", "0.2"],
        env={"BIDE_EXAMPLE_DB": str(tmp_path / "notes.sqlite3")},
    )
    done = subprocess.run(
        [chromium, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"{program.url}/"],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "The Bide Inn" in done.stdout
    program.signal()
    assert program.wait() == 0

    rows = re.findall(r'^\S+ (\S+) "GET (\S+) HTTP/1\.1" (\d+) .*?#(\d+)', "\n".join(program.output), re.MULTILINE)
    assert rows, program.output
    statuses = {target: int(status) for _, target, status, _ in rows}
    for resource in ("/", "/static/inn.css", "/static/inn.js"):
        assert statuses[resource] == 200, statuses
    assert sum(target.endswith(".svg") for target in statuses) >= 2, statuses
    assert set(statuses.values()) <= {200, 304, 404}
    per_connection = Counter(peer for peer, *_ in rows)
    print(dict(per_connection))
    assert len(rows) >= 6
    assert len(per_connection) <= 6, "a browser opens six at most"
    for peer, count in per_connection.items():
        assert sorted(int(number) for other, _, _, number in rows if other == peer) == list(range(1, count + 1))
    reused = sum(int(number) > 1 for *_, number in rows)
    assert reused >= 3, rows

"""Fuzzes a target with atheris: `python -m tests.fuzz.run TARGET SECONDS [CORPUS]`, TARGET being one of `tests.fuzz.targets`.

Begins with the seeds of the target, and with CORPUS, a folder that keeps what was learned. If an input fails, the exit
status is 1 and the input is in the current folder. Put it into `tests/fuzz/found/TARGET/` with the repair: tests replay it from then on.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

with atheris.instrument_imports(
    include=["bide.http1", "bide.policy", "bide.semantics", "bide.transport.proxy", "bide.websocket"]
):
    from tests.fuzz import targets

LONGEST = 2048


def main() -> None:
    """Run."""
    name, seconds, *corpus = sys.argv[1:]
    target, seeds = {
        "connection": (targets.connection, targets.seeds),
        "chunked": (targets.chunked, targets.chunked_seeds),
        "proxy": (targets.proxy, targets.proxy_seeds),
        "forwarded": (targets.forwarded, targets.forwarded_seeds),
        "websocket": (targets.websocket, targets.websocket_seeds),
    }[name]
    inputs = seeds()
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(inputs):
            Path(folder, f"seed-{number}").write_bytes(data)
        # The limit counts what the process that started this one holds, too.
        options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=10", "-rss_limit_mb=8192"]
        atheris.Setup([sys.argv[0], *options, *corpus, folder], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()

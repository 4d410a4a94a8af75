"""Counts the instructions of a request without its socket: `python -m bench.instructions`.

Runs a part of `bench.micro` under callgrind twice, with different numbers of calls. The difference
of the two counts, divided by that of the calls, is what one call takes: the start of Python and the
first calls, which fill its caches, are in both. Unlike times, counts hold on a busy machine,
to about 0.2 percent. Needs valgrind.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import Final

_PARTS: Final = ("request, no socket", "request of 16 fields, no socket")

# Calls of the two runs, after as many calls that are in both.
_FEWER: Final = 512
_MORE: Final = 2560


def _count(part: str, calls: int) -> int:
    """Return the instructions of a process that calls `part` that many times, and once before."""
    program = f"from bench.micro import parts_here; part = parts_here()[{part!r}]; part({_FEWER}); part({calls})"
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}", sys.executable, "-c", program]
    # Hashes of text decide the layout of dictionaries, and so how many steps a look-up takes.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    assert found is not None, done.stderr
    return int(found[1])


def main() -> int:
    """Print the instructions of each part."""
    if shutil.which("valgrind") is None:
        print("valgrind must be on PATH; install it", file=sys.stderr)
        return 1
    print(f"{'part':34}{'instructions':>14}")
    for part in _PARTS:
        print(f"{part:34}{(_count(part, _MORE) - _count(part, _FEWER)) // (_MORE - _FEWER):14}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Sets up what all tests share: how hypothesis searches, and what happens if a system tool is missing."""

import os
import shutil
import signal
from collections.abc import Callable

import pytest
from hypothesis import settings

CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if CI else "local")

# nohup and some CI systems have programs ignore SIGHUP. bide respects that, so its tests must not inherit it.
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def system_tool() -> Callable[..., str]:
    """Find a program by one of its names. If it is missing, the test is skipped, or fails if CI=true."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])

    def find(*names: str) -> str:
        for name in names:
            if found := shutil.which(name, path=path):
                return found
        message = f"{' or '.join(names)} not found: sh tools/system-packages"
        if CI:
            pytest.fail(message)
        pytest.skip(message)

    return find

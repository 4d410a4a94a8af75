"""Makes the virtual environments: the pinned peers with the checkout's bide.

In one environment bide is compiled, in the other interpreted.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.servers import HERE, SERVERS

CHECKOUT = HERE.parent
REQUIREMENTS = HERE / "requirements.txt"
SOURCES = ("pyproject.toml", "setup.py", "src/**/*.py", "src/**/*.pyi", "src/**/*.c")
NOT_COPIED = shutil.ignore_patterns(".venv*", "bench", "build", "dist", "__pycache__", ".*_cache", "*.so", "*.egg-info")
NEWEST, OLDEST = 14, 11  # minor versions of Python 3 to look for
ABOUT = """
import importlib.metadata, json, platform, sys
versions = {"python": platform.python_version()}
for name in sys.argv[1:]:
    try:
        versions[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        continue
if "bide" in versions:
    compiled = any(file.suffix == ".so" for file in importlib.metadata.files("bide"))
    versions["bide"] += ", compiled" if compiled else ", interpreted"
print(json.dumps(versions))
"""


@dataclass(frozen=True)
class Environment:
    """Describes a virtual environment.

    name: "compiled" or "interpreted", for bide in it.
    base: Python that it is made with.
    """

    name: str
    base: str

    @property
    def folder(self) -> Path:
        """Its folder."""
        return HERE / ".venv" / f"{self.name}-{Path(self.base).name}"

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.folder / "bin" / "python")

    @cached_property
    def versions(self) -> dict[str, str]:
        """The versions of Python and of the packages in it."""
        names = [server.package for server in SERVERS if server.package]
        argv = [self.python, "-c", ABOUT, *names, "uvloop", "httptools", "fastapi", "pydantic"]
        versions: dict[str, str] = json.loads(subprocess.check_output(argv, text=True))
        return versions

    def make(self) -> None:
        """Bring it up to date."""
        if self.outdated("peers", REQUIREMENTS.read_bytes()):
            print(f"bench: {self.folder.name}: installing the peers", file=sys.stderr)
            shutil.rmtree(self.folder, ignore_errors=True)
            subprocess.run([self.base, "-m", "venv", str(self.folder)], check=True)
            self.pip("-r", str(REQUIREMENTS))
            self.done("peers", REQUIREMENTS.read_bytes())
        sources = b"".join(path.read_bytes() for pattern in SOURCES for path in sorted(CHECKOUT.glob(pattern)))
        if sources and self.outdated("bide", sources):
            print(f"bench: {self.folder.name}: installing bide, {self.name}", file=sys.stderr)
            # A copy, so that this build does not mix with builds in the checkout.
            with tempfile.TemporaryDirectory(prefix="bench-") as name:
                copy = shutil.copytree(CHECKOUT, Path(name) / "bide", ignore=NOT_COPIED)
                self.pip("-c", str(REQUIREMENTS), str(copy))
            self.done("bide", sources)

    def pip(self, *arguments: str) -> None:
        """Run `pip install` with `arguments`."""
        compiled = {"BIDE_COMPILED": "1" if self.name == "compiled" else "0"}
        argv = [self.python, "-m", "pip", "install", "--quiet", "--quiet", "--disable-pip-version-check", *arguments]
        subprocess.run(argv, check=True, env=os.environ | compiled, stdout=sys.stderr)

    def outdated(self, what: str, content: bytes) -> bool:
        """Return whether `what` was installed from other content, or never."""
        stamp = self.folder / f"{what}.sha256"
        return not stamp.exists() or stamp.read_text() != hashlib.sha256(content).hexdigest()

    def done(self, what: str, content: bytes) -> None:
        """Remember the content that `what` was installed from."""
        (self.folder / f"{what}.sha256").write_text(hashlib.sha256(content).hexdigest())


def environments(python: str | None = None) -> dict[str, Environment]:
    """Return the two environments by name.

    The compiled one is on `python`, or else on the newest Python here, the interpreted one on the
    oldest.
    """
    found = pythons()
    compiled, interpreted = Environment("compiled", python or found[0]), Environment("interpreted", found[-1])
    return {environment.name: environment for environment in (compiled, interpreted)}


def pythons() -> list[str]:
    """Return the interpreters here that bide supports, the newest first.

    Those of pyenv are included even if they are not activated.
    """
    names = [f"python3.{minor}" for minor in range(NEWEST, OLDEST - 1, -1)]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {}
    for name in names:
        on_path = shutil.which(name)
        for path in [*([on_path] if on_path else []), *map(str, sorted(pyenv.glob(f"*/bin/{name}")))]:
            if name not in found and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
                found[name] = path
    return list(found.values()) or [sys.executable]

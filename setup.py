"""Builds bide: compiled with mypyc where that can be done, else pure. `bide --version` tells which it became.

BIDE_COMPILED=1: compiled, or no build. BIDE_COMPILED=0: pure. Not set: compiled where there is a C compiler, pure where there
is none or it fails; an editable install is pure.

pip finds its hooks here (`build-backend` in pyproject.toml): so mypy is fetched only to compile. setuptools runs the file, too.
"""

from __future__ import annotations

import atexit
import os
import platform
import shlex
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any, Final

from setuptools import build_meta, setup
from setuptools.build_meta import *  # noqa: F403  # the hooks
from setuptools.command.build_ext import build_ext

# What runs for each request or connection. The rest would gain nothing.
_COMPILED: Final = (
    "terms.py",
    "message.py",
    "exchange.py",
    "wire.py",
    "managed.py",
    "policy/[a-z]*.py",
    "http1/[a-z]*.py",
    "gateway/asgi.py",
    "gateway/builtin.py",
    "transport/aio.py",
    "transport/coalescer.py",
    "observe/counters.py",
    "observe/access_log.py",
    "session/carrier.py",
    "session/clients.py",
    "session/clock.py",
    "session/context.py",
    "session/durations.py",
    "session/exchange.py",
    "session/heads.py",
    "session/idle.py",
    "session/peers.py",
    "session/pool.py",
    "session/progress.py",
    "session/session.py",
    "session/tunnel.py",
    "worker/admission.py",
    "worker/manager.py",
    "worker/register.py",
)

_ROOT: Final = Path(__file__).resolve().parent
_WISH: Final = os.environ.get("BIDE_COMPILED", "")


def _is_to_compile(editable: bool) -> bool:
    if _WISH not in ("", "0", "1"):
        sys.exit(f"bide: BIDE_COMPILED={_WISH}: 0 or 1 is meant")
    return _WISH == "1" or (not _WISH and not editable and _can_compile())


def _can_compile() -> bool:
    """Whether there is what it takes: CPython with its headers, and a C compiler."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    return (
        sys.version_info >= (3, 11)  # pip asks what a build needs before it looks at `requires-python`
        and platform.python_implementation() == "CPython"
        and shutil.which(compiler) is not None
        and Path(sysconfig.get_path("include"), "Python.h").exists()
    )


def _compiler(editable: bool) -> list[str]:
    """Return what a build needs beside setuptools: the mypy that lint has, if it compiles."""
    if not _is_to_compile(editable):
        return []
    import tomllib  # not above: an older Python has none, and pip is to refuse that by its version

    project = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return [name for name in project["optional-dependencies"]["lint"] if name.startswith("mypy")]


def get_requires_for_build_wheel(  # type: ignore[no-redef]  # in place of the one imported
    config_settings: build_meta._ConfigSettings = None,
) -> list[str]:
    return build_meta.get_requires_for_build_wheel(config_settings) + _compiler(editable=False)


def get_requires_for_build_editable(  # type: ignore[no-redef]  # in place of the one imported
    config_settings: build_meta._ConfigSettings = None,
) -> list[str]:
    return build_meta.get_requires_for_build_editable(config_settings) + _compiler(editable=True)


class _Build(build_ext):
    """Compiles the C; where that fails and need not succeed, nothing is left of it, and the wheel is a pure one."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            _fail(error)
            for output in self.get_outputs():
                Path(output).unlink(missing_ok=True)
            self.extensions = []
            self.distribution.ext_modules = []
            wheel: Any = self.distribution.get_command_obj("bdist_wheel", create=False)
            if wheel is not None:
                wheel.root_is_pure = True


def _fail(error: BaseException) -> None:
    if _WISH == "1":
        raise error
    print(f"bide: not compiled, so the pure package it is: {str(error)[:100]}", file=sys.stderr)


def _extensions(scratch: str) -> list[Any]:
    """Write the C."""
    package = _ROOT / "src" / "bide"
    paths = [str(path.relative_to(_ROOT)) for pattern in _COMPILED for path in sorted(package.glob(pattern))]
    # Types are checked by `make lint`; here only what mypyc cannot do without stops the build.
    options = ["--config-file=", f"--cache-dir={os.devnull}", "--follow-imports=silent"]
    try:
        from mypyc.build import mypycify

        extensions: list[Any] = mypycify([*options, *paths], debug_level="0", target_dir=scratch, group_name="bide")
    except (Exception, SystemExit) as error:
        _fail(error)
        return []
    for extension in extensions:  # mypyc asks for -Werror; another compiler may have more to warn of
        extension.extra_compile_args = [option for option in extension.extra_compile_args if option != "-Werror"]
    return extensions


def main() -> None:
    scratch = tempfile.mkdtemp()  # a build must not find what another one left
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    command = sys.argv[1:]
    editable = "editable_wheel" in command
    builds = editable or "bdist_wheel" in command
    if editable:
        for left in (_ROOT / "src").rglob("*.so"):  # they would go before the sources
            left.unlink()
    setup(
        ext_modules=_extensions(scratch) if builds and _is_to_compile(editable) else [],
        cmdclass={"build_ext": _Build},
        options={"build": {"build_base": scratch}},
    )


if __name__ == "__main__":
    main()

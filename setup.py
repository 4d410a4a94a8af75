"""Builds bide: compiled with mypyc if possible, else pure. `bide --version` says which it is.

BIDE_COMPILED=1: compiled; the build fails if that is not possible.
BIDE_COMPILED=0: pure.
Not set: compiled if there is a C compiler and it succeeds, else pure. An editable install is pure.

pip finds its hooks here (`build-backend` in pyproject.toml), so mypy is fetched only to compile.
setuptools runs the file, too.
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

# Modules that run for each request or connection. The others would gain nothing.
_COMPILED: Final = (
    "terms.py",
    "message.py",
    "exchange.py",
    "wire.py",
    "managed.py",
    "page.py",
    "policy/[a-z]*.py",
    "semantics/[a-z]*.py",
    "http1/[a-z]*.py",
    "gateway/asgi.py",
    "gateway/asgi_websocket.py",
    "gateway/builtin.py",
    "gateway/environ.py",
    "gateway/redirect.py",
    "gateway/tasks.py",
    "gateway/threads.py",
    "gateway/wsgi.py",
    "gateway/wsgi_call.py",
    "gateway/wsgi_input.py",
    "gateway/wsgi_loop.py",
    "gateway/wsgi_threads.py",
    "transport/acceptor.py",
    "transport/held.py",
    "transport/polled.py",
    "transport/poller.py",
    "transport/proxy.py",
    "transport/stream.py",
    "transport/tls.py",
    "transport/turns.py",
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
    "session/parked.py",
    "session/peers.py",
    "session/pool.py",
    "session/progress.py",
    "session/session.py",
    "session/tunnel.py",
    "session/waiters.py",
    "session/websocket.py",
    "session/websocket_limits.py",
    "websocket/frames.py",
    "websocket/messages.py",
    "worker/admission.py",
    "worker/arrivals.py",
    "worker/manager.py",
    "worker/register.py",
    "worker/share.py",
    "worker/trust.py",
)

_ROOT: Final = Path(__file__).resolve().parent
_BIDE_COMPILED: Final = os.environ.get("BIDE_COMPILED", "")


def _is_to_compile(editable: bool) -> bool:
    if _BIDE_COMPILED not in ("", "0", "1"):
        sys.exit(f"bide: BIDE_COMPILED must be 0 or 1, got {_BIDE_COMPILED!r}")
    return _BIDE_COMPILED == "1" or (not _BIDE_COMPILED and not editable and _can_compile())


def _can_compile() -> bool:
    """Return whether CPython, its headers and a C compiler are here."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    return (
        sys.version_info >= (3, 11)  # pip calls this before it reads `requires-python`
        and platform.python_implementation() == "CPython"
        and shutil.which(compiler) is not None
        and Path(sysconfig.get_path("include"), "Python.h").exists()
    )


def _compiler(editable: bool) -> list[str]:
    """Return the requirements of a build besides setuptools: lint's mypy, if it compiles, and what
    mypy must find, since compiled modules import it.
    """
    if not _is_to_compile(editable):
        return []
    import tomllib  # imported here: an older Python lacks it, and pip is to refuse that one

    project = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    known = [*project["optional-dependencies"]["lint"], *project["dependencies"]]
    return [name for name in known if name.startswith(("mypy", "websockets"))]


def get_requires_for_build_wheel(  # type: ignore[no-redef]  # in place of the one imported
    config_settings: build_meta._ConfigSettings = None,
) -> list[str]:
    return build_meta.get_requires_for_build_wheel(config_settings) + _compiler(editable=False)


def get_requires_for_build_editable(  # type: ignore[no-redef]  # in place of the one imported
    config_settings: build_meta._ConfigSettings = None,
) -> list[str]:
    return build_meta.get_requires_for_build_editable(config_settings) + _compiler(editable=True)


class _Build(build_ext):
    """Compiles the C files. If that may fail, and does, it removes them; the wheel is then pure."""

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
    if _BIDE_COMPILED == "1":
        raise error
    print(f"bide: compiling failed, building the pure package: {str(error)[:100]}", file=sys.stderr)


def _extensions(scratch: str) -> list[Any]:
    """Write the C files, and return the extensions to compile from them."""
    package = _ROOT / "src" / "bide"
    paths = [str(path.relative_to(_ROOT)) for pattern in _COMPILED for path in sorted(package.glob(pattern))]
    # `make lint` checks types. Here only errors that stop mypyc fail the build.
    options = ["--config-file=", f"--cache-dir={os.devnull}", "--follow-imports=silent"]
    try:
        from mypyc.build import mypycify

        extensions: list[Any] = mypycify([*options, *paths], debug_level="0", target_dir=scratch, group_name="bide")
    except (Exception, SystemExit) as error:
        _fail(error)
        return []
    for extension in extensions:  # mypyc sets -Werror, and other compilers have other warnings
        extension.extra_compile_args = [option for option in extension.extra_compile_args if option != "-Werror"]
    return extensions


def main() -> None:
    scratch = tempfile.mkdtemp()  # so that no build finds files of another one
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    command = sys.argv[1:]
    editable = "editable_wheel" in command
    builds = editable or "bdist_wheel" in command
    if editable:
        for left in (_ROOT / "src").rglob("*.so"):  # Python would prefer them to the sources
            left.unlink()
    setup(
        ext_modules=_extensions(scratch) if builds and _is_to_compile(editable) else [],
        cmdclass={"build_ext": _Build},
        options={"build": {"build_base": scratch}},
    )


if __name__ == "__main__":
    main()

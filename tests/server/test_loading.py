"""The application is found by its name, and its interface by its arguments, or one sentence says why not."""

import functools
import sys
from pathlib import Path
from typing import Any

import pytest

from bide.errors import ApplicationError
from bide.server.loading import interface_of, load, own_traceback


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for modules; what they add to the interpreter is gone after the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return tmp_path


def loaded(name: str, *, factory: bool, app_dir: str) -> object:
    return load(name, factory, app_dir)


def test_application_is_found_by_module_and_attribute(folder: Path) -> None:
    (folder / "some_module.py").write_text("class Some:\n    inner = print\napp = max\nother = min\n")
    assert loaded("some_module:app", factory=False, app_dir=str(folder)) is max
    assert loaded("some_module", factory=False, app_dir=str(folder)) is max
    assert loaded("some_module:other", factory=False, app_dir=str(folder)) is min
    assert loaded("some_module:Some.inner", factory=False, app_dir=str(folder)) is print


def test_application_in_the_current_folder_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "here_module.py").write_text("app = max\n")
    monkeypatch.chdir(folder)
    assert loaded("here_module:app", factory=False, app_dir="") is max


def test_application_in_app_dir_comes_before_the_current_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "here").mkdir()
    (folder / "there").mkdir()
    (folder / "here" / "twice_module.py").write_text("app = max\n")
    (folder / "there" / "twice_module.py").write_text("app = min\n")
    monkeypatch.chdir(folder / "here")
    assert loaded("twice_module:app", factory=False, app_dir=str(folder / "there")) is min


def test_application_in_a_package_is_found(folder: Path) -> None:
    (folder / "some_package" / "inner").mkdir(parents=True)
    (folder / "some_package" / "__init__.py").touch()
    (folder / "some_package" / "inner" / "asgi.py").write_text("app = max\n")
    assert loaded("some_package.inner.asgi:app", factory=False, app_dir=str(folder)) is max


def test_factory_is_called_and_its_errors_are_named(folder: Path) -> None:
    (folder / "factory_module.py").write_text(
        "def make():\n    return max\ndef fail():\n    raise OSError('no disk')\n"
    )
    assert loaded("factory_module:make", factory=True, app_dir=str(folder)) is max
    with pytest.raises(ApplicationError, match=r"factory_module:fail.*OSError: no disk"):
        load("factory_module:fail", factory=True, app_dir=str(folder))


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (None, "absent_module:app", r"no module named 'absent_module'; .*--app-dir"),
        (None, "absent_package.inner:app", "no module named 'absent_package.inner'"),
        ("", "broken_module:app", "no attribute 'app'.*module:attribute"),
        ("", "broken_module:some.thing", "no attribute 'some'"),
        ("import not_installed_here", "broken_module:app", "not_installed_here.*install"),
        ("def (", "broken_module:app", "SyntaxError"),
        ("raise ValueError('why')", "broken_module:app", r"ValueError: why \(.*broken_module.py, line 1\)"),
        ("import json\n\njson.loads('{')", "broken_module:app", r"JSONDecodeError.*\(.*broken_module.py, line 3\)"),
        ("import sys\nsys.exit(3)", "broken_module:app", r"SystemExit: 3 \(.*broken_module.py, line 2\)"),
        (None, "./broken_module.py", "got './broken_module.py'; use 'broken_module:app'"),
        (None, "broken_module.py:application", "got 'broken_module.py:application'; use 'broken_module:application'"),
        (None, "package/inner.py:app", "got 'package/inner.py:app'; use 'package.inner:app'"),
        (None, "package/inner:app", "got 'package/inner:app'; use 'package.inner:app'"),
        (None, "/srv/broken_module.py:app", "got '/srv/broken_module.py:app'; use 'broken_module:app'"),
        (None, "../broken_module.py", "got '../broken_module.py'; use 'broken_module:app'"),
        (None, ".inner", "must be an absolute name, got '.inner'; use 'inner:app'"),
        (None, "..:make", "must be an absolute name, got '..:make'; use 'module:make'"),
        ("app = max", "broken_module:app.some.thing", "'app' has no attribute 'some'"),
        ("", ":app", "must be module:attribute, got ':app'"),
        ("", "", "must be module:attribute, got ''"),
    ],
)
def test_application_that_cannot_be_loaded_raises_with_a_remedy(
    folder: Path, text: str | None, name: str, message: str
) -> None:
    if text is not None:
        (folder / "broken_module.py").write_text(text)
    with pytest.raises(ApplicationError, match=message):
        load(name, factory=False, app_dir=str(folder))


def test_factory_that_is_asynchronous_raises(folder: Path) -> None:
    (folder / "factory_module.py").write_text("async def make():\n    return max\n")
    with pytest.raises(ApplicationError, match=r"factory_module:make' must return the application, got a coroutine"):
        load("factory_module:make", factory=True, app_dir=str(folder))


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(ApplicationError, match=r"--app-dir must be an existing folder, got '.*none'"):
        load("some_module:app", factory=False, app_dir=str(tmp_path / "none"))


# -- The interface (W1) -----------------------------------------------------------------------------------------------------


async def asgi_function(scope: Any, receive: Any, send: Any) -> None: ...
async def asgi_anything(*arguments: Any) -> None: ...
def asgi_plain(scope: Any, receive: Any, send: Any) -> Any: ...


class AsgiObject:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class AsgiClass:
    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...
    def __await__(self) -> Any: ...


@functools.wraps(lambda request: None)
async def asgi_decorated(scope: Any, receive: Any, send: Any) -> None: ...


def wsgi_function(environ: Any, start_response: Any) -> Any: ...


class WsgiObject:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...

    def method(self, environ: Any, start_response: Any) -> Any: ...


class WsgiClass:
    def __init__(self, environ: Any, start_response: Any) -> None: ...
    def __iter__(self) -> Any: ...


def no_arguments() -> Any: ...
def asgi2(scope: Any) -> Any: ...
def four(one: Any, two: Any, three: Any, four: Any) -> Any: ...
def any_number(*arguments: Any) -> Any: ...
def two_or_three(one: Any, two: Any, three: Any = None) -> Any: ...


@pytest.mark.parametrize(
    ("app", "interface"),
    [
        (asgi_function, "asgi"),
        (asgi_anything, "asgi"),
        (asgi_plain, "asgi"),
        (AsgiObject(), "asgi"),
        (AsgiClass, "asgi"),
        (asgi_decorated, "asgi"),
        (functools.partial(asgi_function), "asgi"),
        (wsgi_function, "wsgi"),
        (WsgiObject(), "wsgi"),
        (WsgiObject().method, "wsgi"),
        (WsgiClass, "wsgi"),
        (functools.partial(asgi_plain, {}), "wsgi"),
    ],
)
def test_interface_is_told_by_the_arguments(app: object, interface: str) -> None:
    assert interface_of(app, "it", "auto") == interface


@pytest.mark.parametrize("wanted", ["asgi", "wsgi"])
@pytest.mark.parametrize("app", [any_number, two_or_three, max])
def test_interface_that_is_asked_for_decides_if_both_fit(app: object, wanted: Any) -> None:
    assert interface_of(app, "it", wanted) == wanted


@pytest.mark.parametrize(
    ("app", "wanted", "message"),
    [
        (any_number, "auto", "it may be .* fits both, or cannot be read; use --interface asgi or --interface wsgi"),
        (two_or_three, "auto", "fits both"),
        (max, "auto", "cannot be read"),
        (no_arguments, "auto", "it must take the three .*, or the two .*; use --factory"),
        (four, "auto", "must take the three"),
        (asgi2, "auto", "guarantee_single_callable"),
        (wsgi_function, "asgi", "must take the three arguments of an ASGI application .*--factory"),
        (asgi_function, "wsgi", "must take the two of a WSGI application .*--factory"),
        (no_arguments, "wsgi", "must take the two"),
        (1, "auto", "it must be an application, got an object of type int, which cannot be called"),
        ("app:app", "wsgi", "an object of type str"),
    ],
)
def test_application_that_fits_no_interface_raises_with_a_remedy(app: object, wanted: Any, message: str) -> None:
    with pytest.raises(ApplicationError, match=message):
        interface_of(app, "it", wanted)


def test_application_that_runs_a_server_when_it_is_imported_is_named(folder: Path) -> None:
    (folder / "unguarded.py").write_text("import bide\n\nbide.run('unguarded:app', workers=2)\n")
    with pytest.raises(
        ApplicationError,
        match=r"^bide.run must not be called while 'unguarded' is imported; call it under `if __name__",
    ):
        load("unguarded:app", False, str(folder))


def test_traceback_of_an_application_has_its_own_frames_only(folder: Path) -> None:
    (folder / "outer_module.py").write_text("import inner_module\n")
    (folder / "inner_module.py").write_text("def fail():\n    raise RuntimeError('no luck')\n\n\nfail()\n")
    with pytest.raises(ApplicationError) as caught:
        load("outer_module:app", False, str(folder))
    told = own_traceback(caught.value)
    assert [line.split('"')[1] for line in told.splitlines() if line.startswith("  File")] == [
        str(folder / "outer_module.py"),
        str(folder / "inner_module.py"),
        str(folder / "inner_module.py"),
    ]
    assert told.startswith("Traceback")
    assert told.endswith("RuntimeError: no luck\n")


def test_error_without_a_cause_has_no_traceback() -> None:
    assert own_traceback(ApplicationError("the name is wrong")) == ""

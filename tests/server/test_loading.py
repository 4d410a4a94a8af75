"""The application is found by its name, or one sentence says why not."""

import sys
from pathlib import Path

import pytest

from bide.errors import ApplicationError
from bide.server.loading import load


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
        "def make():\n    return max\ndef fail():\n    raise OSError('no disk')\ndef wrong():\n    return 1\n"
    )
    assert loaded("factory_module:make", factory=True, app_dir=str(folder)) is max
    with pytest.raises(ApplicationError, match=r"factory_module:fail.*OSError: no disk"):
        load("factory_module:fail", factory=True, app_dir=str(folder))
    with pytest.raises(ApplicationError, match="cannot be called"):
        load("factory_module:wrong", factory=True, app_dir=str(folder))


def test_application_that_wraps_another_signature_is_accepted(folder: Path) -> None:
    """The wrapper takes the three arguments, whatever the wrapped function takes."""
    (folder / "decorated.py").write_text(
        "import functools\n"
        "def view(f):\n"
        "    @functools.wraps(f)\n"
        "    async def app(scope, receive, send): ...\n"
        "    return app\n"
        "@view\n"
        "async def app(request): ...\n"
    )
    assert callable(load("decorated", False, str(folder)))


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (None, "absent_module:app", r"no module named 'absent_module'; .*--app-dir"),
        (None, "absent_package.inner:app", "no module named 'absent_package.inner'"),
        ("", "broken_module:app", "no attribute 'app'.*module:attribute"),
        ("", "broken_module:some.thing", "no attribute 'some'"),
        ("app = 1", "broken_module:app", "cannot be called"),
        ("import not_installed_here", "broken_module:app", "not_installed_here.*install"),
        ("def (", "broken_module:app", "SyntaxError"),
        ("raise ValueError('why')", "broken_module:app", r"ValueError: why \(.*broken_module.py, line 1\)"),
        ("import json\n\njson.loads('{')", "broken_module:app", r"JSONDecodeError.*\(.*broken_module.py, line 3\)"),
        ("import sys\nsys.exit(3)", "broken_module:app", r"SystemExit: 3 \(.*broken_module.py, line 2\)"),
        ("def app(environ, start_response): ...", "broken_module:app", "three arguments.*--factory.*WSGI"),
        ("def app(): ...", "broken_module:app", "three arguments.*--factory"),
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


def test_application_that_is_a_class_or_object_is_accepted(folder: Path) -> None:
    (folder / "some_module.py").write_text(
        "class App:\n    async def __call__(self, scope, receive, send): ...\n"
        "class Old:\n    def __init__(self, scope, receive, send): ...\n    def __await__(self): ...\n"
        "app = App()\n"
    )
    for name in ("app", "Old"):
        assert callable(load(f"some_module:{name}", factory=False, app_dir=str(folder)))

"""Finds the application that is to be served, by the name that it was given."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from bide.errors import ApplicationError
from bide.gateway.asgi import Application

# Below such a folder, code is not the user's own.
_INSTALLED = f"{os.sep}site-packages{os.sep}"


def load(name: str, factory: bool, app_dir: str) -> Application:
    """Import the application `name`, "module:attribute"; the attribute is "app" if not given. Raises ApplicationError."""
    module_name, _, attributes = name.partition(":")
    if not module_name:
        raise ApplicationError(f"{name!r} names no module; name the application as module:attribute")
    if os.sep in module_name or module_name.endswith(".py"):
        path = os.path.normpath(module_name).removesuffix(".py")
        within = not path.startswith((os.sep, os.pardir))
        module = (path if within else os.path.basename(path)).replace(os.sep, ".")  # noqa: PTH119
        raise ApplicationError(f"{module_name!r} is a path; name the module, as {module}:{attributes or 'app'}")
    if module_name.startswith("."):
        name = f"{module_name.lstrip('.') or 'module'}:{attributes or 'app'}"
        raise ApplicationError(f"{module_name!r} is a relative name; name the module from its top, as {name}")
    if app_dir and not os.path.isdir(app_dir):  # noqa: PTH112
        raise ApplicationError(f"there is no folder {app_dir!r}; check --app-dir")
    folders = [os.path.abspath(folder) for folder in (app_dir, ".") if folder]  # noqa: PTH100
    for folder in reversed(folders):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    found: Any = _imported(module_name, folders)
    holder = f"module {module_name!r}"
    for attribute in (attributes or "app").split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            raise ApplicationError(
                f"{holder} has no attribute {attribute!r}; name the application as module:attribute"
            ) from error
        holder = repr(attribute)
    if factory:
        try:
            found = found()
        except (Exception, SystemExit) as error:
            raise ApplicationError(f"the factory {name!r} failed: {_said(error, folders)}") from error
        if inspect.iscoroutine(found):
            found.close()
            raise ApplicationError(f"the factory {name!r} is asynchronous; it has to return the application itself")
    require_asgi(found, repr(name))
    application: Application = found
    return application


def _imported(module_name: str, folders: Sequence[str]) -> object:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise ApplicationError(
                f"importing {module_name!r} failed: {_said(error, folders)}; install what it needs"
            ) from error
        raise ApplicationError(
            f"there is no module {module_name!r}; check its name, or give its folder as --app-dir"
        ) from error
    except (Exception, SystemExit) as error:
        raise ApplicationError(f"importing {module_name!r} failed: {_said(error, folders)}") from error


def require_asgi(found: object, name: str) -> None:
    """Raise ApplicationError unless `found` takes scope, receive and send."""
    if not callable(found):
        raise ApplicationError(f"{name} is not an ASGI application: it cannot be called")
    try:
        # What is wrapped may take other arguments than what is called.
        inspect.signature(found, follow_wrapped=False).bind(None, None, None)
    except TypeError as error:
        raise ApplicationError(
            f"{name} does not take the three arguments of an ASGI application (scope, receive, send); "
            "a function that makes the application needs --factory, and a WSGI application an adapter"
        ) from error
    except ValueError:  # it has no signature that could be read
        pass


def _said(error: BaseException, folders: Sequence[str]) -> str:
    """Return an error on one line, with the line of the application's code that brought it about."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, SyntaxError):  # names its line itself
        return text
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if _INSTALLED not in frame.filename and any(frame.filename.startswith(folder) for folder in folders):
            return f"{text} ({frame.filename}, line {frame.lineno})"
    return text

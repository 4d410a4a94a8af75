"""Finds the application to serve by its name, and the interface that it speaks."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from bide.errors import ApplicationError
from bide.gateway.application import AnyApplication, Interface

# Code below a folder of this name is installed, not the user's own.
_PACKAGES_FOLDER: Final = f"{os.sep}site-packages{os.sep}"

# Interface -> number of arguments that it calls an application with, and what they are.
_ARGUMENTS: Final[dict[Interface, int]] = {"asgi": 3, "wsgi": 2}
_ARGUMENT_NAMES: Final[dict[Interface, str]] = {
    "asgi": "the three arguments of an ASGI application (scope, receive, send)",
    "wsgi": "the two of a WSGI application (environ, start_response)",
}
_REMEDY: Final = "use --factory for a function that returns one"


# Holds the name of the application while it is imported.
_importing: Final[list[str]] = []


def require_no_import() -> None:
    """Raise ApplicationError if an application is being imported: its module runs a server."""
    if _importing:
        raise ApplicationError(
            f"bide.run must not be called while {_importing[0]!r} is imported; "
            'call it under `if __name__ == "__main__":`'
        )


def load(name: str, factory: bool, app_dir: str) -> AnyApplication:
    """Import the application. Raises ApplicationError.

    name: "module:attribute"; without the attribute, it is "app".
    factory: whether to call the attribute, which returns the application.
    app_dir: folder to look in before the current one; "" for none.
    """
    module_name, _, attributes = name.partition(":")
    if not module_name:
        raise ApplicationError(f"the application's name must be module:attribute, got {name!r}")
    if os.sep in module_name or module_name.endswith(".py"):
        path = os.path.normpath(module_name).removesuffix(".py")
        within = not path.startswith((os.sep, os.pardir))
        module = (path if within else os.path.basename(path)).replace(os.sep, ".")  # noqa: PTH119
        remedy = f"{module}:{attributes or 'app'}"
        raise ApplicationError(f"the application's name must be module:attribute, got {name!r}; use {remedy!r}")
    if module_name.startswith("."):
        remedy = f"{module_name.lstrip('.') or 'module'}:{attributes or 'app'}"
        raise ApplicationError(f"the application's module must be an absolute name, got {name!r}; use {remedy!r}")
    if app_dir and not os.path.isdir(app_dir):  # noqa: PTH112
        raise ApplicationError(f"--app-dir must be an existing folder, got {app_dir!r}")
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
            raise ApplicationError(
                f"the factory {name!r} must return the application, got a coroutine; define it without async"
            )
    application: AnyApplication = found
    return application


def _imported(module_name: str, folders: Sequence[str]) -> object:
    _importing.append(module_name)
    try:
        return importlib.import_module(module_name)
    except ApplicationError:  # it runs a server
        raise
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise ApplicationError(
                f"importing {module_name!r} failed: {_said(error, folders)}; install the missing package"
            ) from error
        raise ApplicationError(
            f"no module named {module_name!r}; check the name, or set --app-dir to its folder"
        ) from error
    except (Exception, SystemExit) as error:
        raise ApplicationError(f"importing {module_name!r} failed: {_said(error, folders)}") from error
    finally:
        _importing.pop()


def interface_of(app: object, name: str, wanted: Interface | Literal["auto"]) -> Interface:
    """Return the interface that an application speaks. Raises ApplicationError.

    ASGI calls it with scope, receive and send, WSGI with environ and start_response. Only the
    signature is looked at: a call could do anything.

    name: name of `app` for the error message.
    wanted: the interface that it must speak; "auto" for the one that fits.
    """
    if not callable(app):
        raise ApplicationError(
            f"{name} must be an application, got an object of type {type(app).__name__}, which cannot be called"
        )
    if wanted == "auto" and any(inspect.iscoroutinefunction(found) for found in (app, type(app).__call__)):
        wanted = "asgi"
    fitting = [interface for interface, count in _ARGUMENTS.items() if _may_take(app, count)]
    if wanted != "auto":
        if wanted not in fitting:
            raise ApplicationError(f"{name} must take {_ARGUMENT_NAMES[wanted]}; {_REMEDY}")
        return wanted
    if not fitting:
        remedy = _REMEDY
        if _may_take(app, 1):
            remedy = "an ASGI 2 application needs asgiref.compatibility.guarantee_single_callable"
        raise ApplicationError(f"{name} must take {_ARGUMENT_NAMES['asgi']}, or {_ARGUMENT_NAMES['wsgi']}; {remedy}")
    if len(fitting) > 1:
        raise ApplicationError(
            f"{name} may be an application for ASGI or for WSGI, since its signature fits both, or cannot be read; "
            "use --interface asgi or --interface wsgi"
        )
    return fitting[0]


def _may_take(app: Callable[..., object], count: int) -> bool:
    """Return whether `app` can be called with `count` arguments, as far as that is known."""
    try:
        # The outer function is called. A function that it wraps may take other arguments.
        inspect.signature(app, follow_wrapped=False).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # some builtins have no signature
        return True
    return True


def _said(error: BaseException, folders: Sequence[str]) -> str:
    """Return an error on one line, with the line of the application's code that caused it."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, SyntaxError):  # its text has the line
        return text
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if _PACKAGES_FOLDER not in frame.filename and any(frame.filename.startswith(folder) for folder in folders):
            return f"{text} ({frame.filename}, line {frame.lineno})"
    return text


def own_traceback(error: BaseException) -> str:
    """Return the traceback of the application's own error behind `error`, without bide's frames.

    "" if there is none.
    """
    cause = error.__cause__
    if cause is None:
        return ""
    told = traceback.TracebackException.from_exception(cause)
    package = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120
    told.stack = traceback.StackSummary.from_list(
        [
            frame
            for frame in told.stack
            if not frame.filename.startswith((package, "<frozen importlib")) and frame.filename != importlib.__file__
        ]
    )
    return "".join(told.format())

"""Makes the command line from the table of options in `bide.config`."""

from __future__ import annotations

import dataclasses
import faulthandler
import importlib.util
import json
import os
import platform
import re
import shlex
import signal
import sys
import typing
from typing import IO, Any, Final

import click

from bide import env_file
from bide.config import Config, about, configured, kind_of, nearest, options
from bide.errors import ConfigError, StartError
from bide.http1 import connection
from bide.server.server import run_configured
from bide.server.signals import LEAVE, SIGNALS, leave_within
from bide.supervisor.control import AUTO, known_paths
from bide.supervisor.remote import ask, described, only

# Flags of uvicorn and gunicorn that bide lacks: replaced by another option, not planned.
_INSTEAD: Final = {
    "--limit-concurrency": "--limit-connections",
    "--h11-max-incomplete-event-size": "--limit-head",
    "--header-map": "--underscore-fields",
    "--ssl-version": "--ssl-minimum-version",
    "--certfile": "--ssl-certfile",
    "--keyfile": "--ssl-keyfile",
    "--ca-certs": "--ssl-ca-certs",
    "--cert-reqs": "--ssl-cert-reqs",
    "--proxy-allow-from": "--proxy-allow-ips",
    "--bind": "--host and --port, or --uds",
    "-b": "--host and --port, or --uds",
    "--umask": "--uds-mode",
}
_NOT_HERE: Final = (
    "--http",
    "--http2",
    "--log-config",
    "--use-colors",
    "--no-use-colors",
    "--header",
    "--server-header",
    "--no-server-header",
    "--date-header",
    "--no-date-header",
    "--reset-contextvars",
)

# Variables that set no option: the application's name, the build's wish, the examples' database,
# the number of a worker whose application starts another server, and those of an upgrade.
_OTHER_VARIABLES: Final = frozenset(
    {"BIDE_APP", "BIDE_COMPILED", "BIDE_EXAMPLE_DB", "BIDE_WORKER", "BIDE_STATE", "BIDE_TRIAL"}
)

# Width of the help's column of flags, in characters. Most flags fit, and in a terminal of 80
# characters the text has space, too.
_FLAGS_WIDTH: Final = 32

# Matches quoted text, and names of options, in a message. `name=False` is Python's form of
# --no-name.
_NAMED: Final = re.compile(
    r"""'[^']*'|"[^"]*"|\b(""" + "|".join(sorted((o.name for o in options()), key=len, reverse=True)) + r")\b(=False)?"
)


# Descriptor to which the stacks are printed.
_STANDARD_ERROR: Final = 2

# Name under which the arguments are kept, for a reload.
_ARGUMENTS: Final = "bide.arguments"


class _Missing(click.ClickException):
    """Reports wrong usage on one line that says what to do."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the line."""
        click.echo(self.message, file=file, err=file is None)


def octets(value: str | int) -> int:
    """Return a number of octets. `value` may end in K, M or G.

    The help shows the function's name as the type of the option.
    """
    match = re.fullmatch(r"(-?\d+)([KMG]?)", str(value).upper())
    if match is None:
        raise click.BadParameter(f"must be a number of octets, as 65536, 64K or 512M, got {value!r}")
    return int(match[1]) << 10 * " KMG".find(match[2] or " ")


def count(value: str | int) -> int | str:
    """Return a number, or a word that stands for one, which `bide.config` checks.

    The help shows the function's name as the type of the option.
    """
    return int(value) if re.fullmatch(r"-?\d+", str(value)) else str(value).lower()


class _Commands(click.Group):
    """Finds commands, and gives a hint if an application is named in the place of one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that `args` names."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if ":" not in args[0]:
                raise
            hint = f"{error.message} Did you mean: bide serve {shlex.join(args)}"
            raise click.UsageError(hint, ctx) from None


class _Grouped(click.Command):
    """Shows the options in the groups of the table."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. A flag of another server gets an error that says what to do."""
        ctx.meta[_ARGUMENTS] = tuple(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            name = error.option_name
            if name in _INSTEAD:
                raise _Missing(f"bide has no {name}; use {_INSTEAD[name]}") from None
            if name in _NOT_HERE:
                raise _Missing(f"bide has no {name}; see README, Coming from uvicorn") from None
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the groups. Parameters without a group come last."""
        groups: dict[str, list[tuple[str, str]]] = {}
        other: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx)
            if isinstance(parameter, _Option):
                if row is not None:
                    groups.setdefault(parameter.group, []).append(row)
            elif isinstance(parameter, click.Argument):
                other.append((parameter.human_readable_name, "The application: module:attribute."))
            elif row is not None:
                other.append(row)
        for group, rows in (*groups.items(), ("Other", other)):
            with formatter.section(group):
                formatter.write_dl(rows, col_max=_FLAGS_WIDTH)


class _Option(click.Option):
    """Holds an option and its group."""

    group: str = "Other"


def _parameter(option: dataclasses.Field[Any]) -> click.Option:
    """Make the command line's option from the table's."""
    known = about(option)
    name = option.name.replace("_", "-")
    declared = [f"--{name}", option.name]
    if known.also:
        declared.insert(1, f"--{known.also.replace('_', '-')}")
    kind = kind_of(option)
    extra: dict[str, Any] = {"type": octets if known.octets else count if known.word else kind}
    if kind is bool:
        declared[0] = f"--{name}/--no-{name}" if option.default else f"--{name}"
        extra = {"is_flag": True}
    elif typing.get_origin(kind) is tuple:
        extra = {"multiple": True}
    elif typing.get_origin(kind) is typing.Literal:
        extra = {"type": click.Choice(kind.__args__, case_sensitive=False)}
    if option.name == "env_file":
        extra = {"is_eager": True, "callback": _load_env_file}  # other options may come from it
    parameter = _Option(
        declared,
        default=option.default,
        help=" ".join(filter(None, (known.help, known.precedent and f"({known.precedent})", _default(option)))),
        envvar=[
            _variable(option.name),
            *([_variable(known.also)] if known.also else []),
            *([known.variable] if known.variable else []),
        ],
        **extra,
    )
    parameter.group = known.group
    return parameter


def _load_env_file(ctx: click.Context, _parameter: click.Parameter, path: str | None) -> str | None:
    """Set the variables of `--env-file`."""
    if path and not ctx.resilient_parsing:
        try:
            env_file.load(path)
        except ConfigError as error:
            raise _Missing(f"bide: {_spoken(error)}") from None
    return path


def _variable(name: str) -> str:
    """Return the environment variable of an option."""
    return f"BIDE_{name.upper()}"


def _default(option: dataclasses.Field[Any]) -> str:
    """Return the default for the help; "" if it says nothing, as for a flag."""
    default = option.default
    if isinstance(default, bool) or default in (None, "", ()):
        return ""
    said = about(option).zero or (f"{default:g}" if isinstance(default, float) else str(default))
    return f"[default: {said}]"


def _spoken(error: Exception) -> str:
    """Return the text of an error on one line. A ConfigError names flags in place of options."""

    def flag(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]
        return f"--{'no-' if found[2] else ''}{found[1].replace('_', '-')}"

    text = " ".join(str(error).split())
    return _NAMED.sub(flag, text) if isinstance(error, ConfigError) else text


def _version(ctx: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if not asked or ctx.resilient_parsing:
        return
    from importlib.metadata import version

    loop = f"uvloop {version('uvloop')}" if importlib.util.find_spec("uvloop") else "asyncio"
    made = "interpreted" if (connection.__file__ or "").endswith(".py") else "compiled"
    click.echo(
        f"bide {version('bide')} ({made}, {loop}, {platform.python_implementation()} {platform.python_version()})"
    )
    ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version.")
def main() -> None:
    """An HTTP/1.1 server for Python applications that manages the lifetime of connections."""


def _open_standard_streams() -> None:
    """Open /dev/null for closed standard streams.

    Otherwise a socket would get descriptor 0, 1 or 2, and the output printed to it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115  # for good


def _name_unknown_variables() -> None:
    """Warn of environment variables that begin with BIDE_ and set no option."""
    known = {_variable(name) for option in options() for name in (option.name, about(option).also) if name}
    for variable in sorted(os.environ):
        if variable.startswith("BIDE_") and variable not in known | _OTHER_VARIABLES:
            near = nearest(variable.removeprefix("BIDE_").lower())
            hint = f"; did you mean {_variable(near)}?" if near else ""
            click.echo(f"bide: unknown option {variable} in the environment{hint}", err=True)


def _serve(app: str, **values: Any) -> None:  # noqa: ANN401
    """Serve the ASGI or WSGI application APP, given as module:attribute.

    Each option can also come from the environment: BIDE_PORT=8080 is --port 8080.
    """
    failure: Exception | None = None
    _open_standard_streams()
    faulthandler.enable(file=_STANDARD_ERROR)  # prints the stacks at SIGABRT
    _name_unknown_variables()
    ctx = click.get_current_context()

    def read() -> Config:
        """Return the options of the same arguments, in the environment as it is now."""
        try:
            again = ctx.command.make_context("serve", [*ctx.meta[_ARGUMENTS]]).params
            return configured({name: again[name] for name in values})
        except click.ClickException as error:
            raise ConfigError(error.format_message().removeprefix("bide: ")) from None
        except ConfigError as error:
            raise ConfigError(_spoken(error)) from None

    try:
        run_configured(app, configured(values), read)
    except StartError as error:
        click.echo(f"bide: {_spoken(error)}", err=True)
        failure = error
    for number in SIGNALS:  # from here on there is nothing left to stop
        signal.signal(number, signal.SIG_IGN)
    leave_within(LEAVE, failure)
    sys.exit(0 if failure is None else 1)


main.add_command(
    _Grouped(
        "serve",
        callback=_serve,
        help=_serve.__doc__,
        params=[
            click.Argument(["app"], envvar="BIDE_APP"),
            *map(_parameter, options()),
        ],
    )
)


_control = click.option(
    "--control",
    envvar="BIDE_CONTROL",
    default=AUTO,
    help="Path of the server's control socket; by default that of the only server with one in a runtime folder.",
)


def _asked(control: str, method: str, target: str) -> Any:  # noqa: ANN401
    """Ask the server; return its answer. Ends the program with status 1 if the server refuses."""
    try:
        _, answer = ask(only(known_paths(os.environ)) if control == AUTO else control, method, target)
    except StartError as error:
        raise click.ClickException(_spoken(error)) from None
    if "error" in answer:
        click.echo(f"bide: {target.strip('/')} failed: {answer['error']}", err=True)
        sys.exit(1)
    return answer


@main.command("status")
@_control
@click.option("--json", "as_json", is_flag=True, help="Print all figures, as JSON.")
def _status(control: str, as_json: bool) -> None:
    """Show the workers of a server that runs."""
    answer = _asked(control, "GET", "/status")
    click.echo(json.dumps(answer, indent=2) if as_json else described(answer))


@main.command("reload")
@_control
def _reload(control: str) -> None:
    """Replace all workers of a server that runs.

    They take new code. Waits until that is done, or has failed.
    """
    answer = _asked(control, "POST", "/reload")
    click.echo(f"reloaded: {answer['wanted']} workers, generation {answer['generation']}")


@main.command("upgrade")
@_control
def _upgrade(control: str) -> None:
    """Replace a server that runs by the version of bide on the disk, then its workers.

    Its process id stays. A trial shows whether the new version can run.
    """
    _asked(control, "POST", "/upgrade")
    click.echo("upgrading: `bide status` shows the version and the workers")

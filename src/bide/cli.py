"""The command line, made from the table of options in `bide.config`."""

from __future__ import annotations

import dataclasses
import importlib.util
import platform
import sys
import types
import typing
from typing import Any, Final

import click

from bide.config import Config, ConfigError, about, options
from bide.gateway.lifespan import LifespanError
from bide.http1 import connection
from bide.transport.sockets import ListenError
from bide.worker.loading import ApplicationError
from bide.worker.server import LEAVE, leave_within, run

_TYPES: Final = typing.get_type_hints(Config)


class _Grouped(click.Command):
    """Help with the options in the groups of the table."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx)
            if row is not None:
                groups.setdefault(getattr(parameter, "group", "Other"), []).append(row)
        for group, rows in groups.items():
            with formatter.section(group):
                formatter.write_dl(rows)


class _Option(click.Option):
    """An option that knows its group."""

    group: str = "Other"


def _parameter(option: dataclasses.Field[Any]) -> click.Option:
    """Make the command line's option from the table's."""
    known = about(option)
    name = option.name.replace("_", "-")
    declared = [f"--{name}", option.name]
    if known.also:
        declared.insert(1, f"--{known.also.replace('_', '-')}")
    kind: Any = _TYPES[option.name]
    if isinstance(kind, types.UnionType):
        kind = kind.__args__[0]
    extra: dict[str, Any] = {"type": kind}
    if typing.get_origin(kind) is tuple:
        extra = {"multiple": True}
    if kind is bool:
        declared[0] = f"--{name}/--no-{name}" if option.default else f"--{name}"
        extra = {"is_flag": True}
    elif typing.get_origin(kind) is typing.Literal:
        extra = {"type": click.Choice(kind.__args__)}
    text = known.help if not known.precedent else f"{known.help} ({known.precedent})"
    parameter = _Option(
        declared,
        default=option.default,
        help=text,
        show_default=option.default not in (None, "", False, ()),
        envvar=f"BIDE_{option.name.upper()}",
        **extra,
    )
    parameter.group = known.group
    return parameter


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


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version.")
def main() -> None:
    """An HTTP/1.1 server for Python applications that manages the lifetime of connections."""


def _serve(app: str, **values: Any) -> None:  # noqa: ANN401
    """Serve the ASGI application APP, given as module:attribute.

    Each option can also come from the environment: BIDE_PORT=8080 is --port 8080.
    """
    status = 0
    try:
        run(app, **values)
    except (ConfigError, ApplicationError, LifespanError, ListenError) as error:
        click.echo(f"bide: {' '.join(str(error).split())}", err=True)
        status = 1
    leave_within(LEAVE, status)
    sys.exit(status)


main.add_command(
    _Grouped(
        "serve",
        callback=_serve,
        help=_serve.__doc__,
        params=[click.Argument(["app"], envvar="BIDE_APP"), *map(_parameter, options())],
    )
)

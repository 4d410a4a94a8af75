"""Defines the table of servers and their command lines.

Each has one worker, and if it has the options, uvloop and 75 seconds of keep-alive.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Server:
    """Describes a server under test.

    command: command line; {python}, {bin}, its folder, {app}, {root}, that of the
        checkout, {port} and {folder}, a scratch folder, are filled in.
    package: Python package whose version is reported; "" for none.
    quiet, logged: arguments that turn the access log off and on. It goes to standard output or
        error, which are a file.
    once: arguments that make it close after each answer, if it cannot read the request's `close`.
    asgi: whether it runs applications; the others only send a greeting.
    """

    name: str
    command: str
    package: str = ""
    quiet: str = ""
    logged: str = ""
    once: str = ""
    asgi: bool = True

    def argv(self, python: str, app: str, port: int, folder: Path, *, logged: bool, once: bool) -> list[str]:
        """Return the command line that serves an application on a port."""
        parts = [self.command, self.logged if logged else self.quiet, self.once if once else ""]
        return shlex.split(
            " ".join(parts).format(
                python=python, bin=Path(python).parent, app=app, root=HERE.parent, port=port, folder=folder
            )
        )


GUNICORN = (
    "{python} -m gunicorn {app} --worker-class asgi --bind 127.0.0.1:{port} --asgi-loop uvloop"
    " --keep-alive 75 --worker-connections 16000 --backlog 4096 --no-control-socket"
)
SERVERS = (
    Server(
        "bide",
        "{python} -m bide serve {app} --host 127.0.0.1 --port {port} --loop uvloop --timeout-keep-alive 75"
        " --backlog 4096",
        package="bide",
        quiet="--no-access-log",
        logged="--access-log",
    ),
    Server(
        "granian",
        "{python} -m granian {app} --interface asgi --host 127.0.0.1 --port {port} --loop uvloop --http 1 --no-ws"
        " --backlog 4096 --backpressure 16384",
        package="granian",
        quiet="--no-access-log",
        logged="--access-log",
    ),
    Server(
        "uvicorn",
        "{python} -m uvicorn {app} --host 127.0.0.1 --port {port} --loop uvloop --http httptools --no-proxy-headers"
        " --timeout-keep-alive 75 --backlog 4096",
        package="uvicorn",
        quiet="--no-access-log",
        logged="--access-log",
    ),
    Server("gunicorn", f"{GUNICORN} --http-parser python", package="gunicorn", logged="--access-logfile -"),
    Server("gunicorn[fast]", f"{GUNICORN} --http-parser fast", package="gunicorn_h1c", logged="--access-logfile -"),
    Server(
        "hypercorn",
        "{python} -m hypercorn {app} --bind 127.0.0.1:{port} --worker-class uvloop --keep-alive 75 --backlog 4096",
        package="hypercorn",
        logged="--access-logfile -",
    ),
    Server(
        "peregrine",
        "{bin}/peregrine {app} --host 127.0.0.1 --port {port} --keep-alive 75000 --backlog 4096"
        " --max-connections 16000 --python-path {root}",
        package="peregrine-server",
        logged="--access-log",
    ),
    Server(
        "weft",
        "{python} -m weft {app} --host 127.0.0.1 --port {port} --keep-alive 75 --backlog 4096 --app-dir {root}",
        package="weft-server",
        logged="--access-log",
    ),
    Server(
        "fastpysgi",
        "env PYTHONPATH={root} {bin}/fastpysgi {app} --host 127.0.0.1 --port {port}",
        package="fastpysgi",
    ),
    Server(
        "saltare",
        "{bin}/saltare {app} --host 127.0.0.1 --port {port} --keep-alive-timeout 75 --listen-backlog 4096"
        " --max-concurrent-connections 16000",
        package="saltare",
        logged="--access-log",
    ),
    Server(
        "m0serve",
        "{bin}/m0serve {app} --host 127.0.0.1 --port {port} --app-dir {root} --workers 1",
        package="m0serve",
        logged="--access-log",
    ),
    Server("nginx", "nginx -p {folder} -c {folder}/nginx.conf", asgi=False),
    Server("limit", "{python} -m bench.limit --port {port}", once="--close", asgi=False),
)


def prepare(folder: Path, port: int, *, logged: bool) -> None:
    """Write the files that servers read into a scratch folder: nginx's configuration."""
    text = (HERE / "nginx.conf").read_text().replace("PORT", str(port)).replace("FOLDER", str(folder))
    (folder / "nginx.conf").write_text(text.replace("ACCESS_LOG", "/dev/stdout" if logged else "off"))

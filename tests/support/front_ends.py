"""Runs real front ends, HAProxy and nginx, before a server."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.waiting import PATIENCE, until

_HAPROXY = """
global
    maxconn 100
defaults
    mode {mode}
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend f
    bind 127.0.0.1:{port} {bind}
    default_backend b
backend b
    {backend}
    server s {server}
"""

_NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 100; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream b {{ server {where}; keepalive 8; }}
    server {{
        listen 127.0.0.1:{port} {listen};
        {lines}
        location / {{
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_pass {scheme}://b;
        }}
    }}
}}
"""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def haproxy(
    program: str, folder: Path, server: str, *, mode: str = "http", bind: str = "", backend: str = ""
) -> Iterator[tuple[str, int]]:
    """Run HAProxy, and give its address.

    server: address and parameters of its server line.
    bind, backend: more of these sections.
    """
    port = free_port()
    file = folder / "haproxy.cfg"
    file.write_text(_HAPROXY.format(port=port, server=server, mode=mode, bind=bind, backend=backend))
    with _running([program, "-db", "-q", "-f", str(file)], port):
        yield "127.0.0.1", port


@contextlib.contextmanager
def nginx(
    program: str, folder: Path, where: tuple[str, int], *, scheme: str = "http", listen: str = "", lines: str = ""
) -> Iterator[tuple[str, int]]:
    """Run nginx, and give its address.

    where, scheme: of the server behind it.
    listen, lines: more of its own server section.
    """
    port = free_port()
    file = folder / "nginx.conf"
    text = _NGINX.format(
        port=port, folder=folder, where="{}:{}".format(*where), scheme=scheme, listen=listen, lines=lines
    )
    file.write_text(text)
    with _running([program, "-p", str(folder), "-c", str(file)], port):
        yield "127.0.0.1", port


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:

        def listens() -> bool:
            assert process.poll() is None, command
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                return True
            return False

        try:
            until(listens, PATIENCE)
            yield
        finally:
            process.terminate()

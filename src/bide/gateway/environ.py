"""Makes the `environ` of a WSGI application from an exchange (PEP 3333; RFC 3875, 4.1)."""

from __future__ import annotations

import sys
from typing import Any, Final, final
from urllib.parse import unquote_to_bytes

from bide.exchange import Exchange
from bide.gateway.file_wrapper import FileWrapper
from bide.message import Field

# Names of fields as sent -> keys of an environ. Bounds as in `bide.http1.fields`.
_MAX_KEYS: Final = 1024
_MAX_NAME_OCTETS: Final = 64
_keys: Final[dict[bytes, str]] = {b"content-type": "CONTENT_TYPE", b"content-length": "CONTENT_LENGTH"}

# As a number: to look for one in bytes is quick. For bytes Python first makes an exception.
_PERCENT: Final = 0x25

_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


@final
class Environs:
    """Makes environs, which have much in common."""

    __slots__ = ("_common",)

    def __init__(self, root_path: str, *, has_threads: bool, has_processes: bool = False) -> None:
        """Keep what all environs have in common.

        root_path: path below which the application is mounted.
        has_threads: whether several threads call the application at the same time.
        has_processes: whether other processes serve the same application.
        """
        self._common: dict[str, Any] = {
            "REQUEST_METHOD": "",
            "SCRIPT_NAME": root_path.encode().decode("latin-1"),
            "PATH_INFO": "",
            "QUERY_STRING": "",
            "REQUEST_URI": "",
            "RAW_URI": "",
            "SERVER_NAME": "",
            "SERVER_PORT": "",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_SOFTWARE": "bide",
            "REMOTE_ADDR": "",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": None,
            "wsgi.errors": None,
            "wsgi.multithread": has_threads,
            "wsgi.multiprocess": has_processes,
            "wsgi.run_once": False,
            # `wsgi.input` ends where the body ends (Werkzeug, Flask, Falcon).
            "wsgi.input_terminated": True,
            "wsgi.file_wrapper": FileWrapper,
        }

    def of(self, exchange: Exchange) -> dict[str, Any]:
        """Return the environ of an exchange. The caller sets `wsgi.input`."""
        request = exchange.request
        environ = self._common.copy()
        environ["REQUEST_METHOD"] = request.method
        target = request.target.decode("latin-1")
        environ["REQUEST_URI"] = target
        environ["RAW_URI"] = target
        environ["PATH_INFO"] = _path_info(request.path)
        if exchange.prefix:
            environ["SCRIPT_NAME"] = _path_info(exchange.prefix)
        environ["QUERY_STRING"] = request.query.decode("latin-1")
        if not request.minor:
            environ["SERVER_PROTOCOL"] = "HTTP/1.0"
        environ["wsgi.errors"] = sys.stderr
        _add_fields(environ, request.fields)
        _add_ends(environ, exchange)
        return environ


def tell_length(environ: dict[str, Any], octets: int) -> None:
    """Tell of a chunked body that was received whole, as if it had come with its length.

    Many frameworks take a body without CONTENT_LENGTH for an empty one, and Bottle would look for
    chunks in it.
    """
    environ["CONTENT_LENGTH"] = str(octets)
    environ.pop("HTTP_TRANSFER_ENCODING", None)


def _path_info(path: bytes) -> str:
    """Return a path, percent-decoded, each octet as a character (PEP 3333)."""
    return (unquote_to_bytes(path) if _PERCENT in path else path).decode("latin-1")


def _add_fields(environ: dict[str, Any], fields: list[Field]) -> None:
    """Add the fields of a request. Values of a repeated field are joined (RFC 9110, 5.2)."""
    for name, value in fields:
        key = _keys.get(name)
        if key is None:
            key = _key(name)
        text = value.decode("latin-1")
        if key in environ:
            separator = "; " if key == "HTTP_COOKIE" else ","  # RFC 6265, 4.2.1
            text = f"{environ[key]}{separator}{text}"
        environ[key] = text


def _key(name: bytes) -> str:
    """Return the key of a field (RFC 3875, 4.1.18)."""
    key = "HTTP_" + name.decode("ascii").upper().replace("-", "_")
    if len(name) <= _MAX_NAME_OCTETS:
        if len(_keys) >= _MAX_KEYS:
            for known in list(_keys)[2:]:  # not the two that are given
                del _keys[known]
        _keys[name] = key
    return key


def _add_ends(environ: dict[str, Any], exchange: Exchange) -> None:
    """Add the scheme, and what is known of the connection's two ends.

    A Unix socket has no host and port: Host says them in its place (RFC 3875, 4.1.14).
    """
    scheme = exchange.scheme
    environ["wsgi.url_scheme"] = scheme
    client = exchange.client
    if client is not None and client[1] is not None:
        environ["REMOTE_ADDR"] = client[0]
        if client[1]:  # a front end need not tell the port
            environ["REMOTE_PORT"] = str(client[1])
    local = exchange.local
    if local is not None and local[1] is not None:
        environ["SERVER_NAME"] = local[0]
        environ["SERVER_PORT"] = str(local[1])
        return
    host: str = environ.get("HTTP_HOST", "")
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdigit():  # no port, or a colon within brackets
        name, port = host.removesuffix(":"), ""
    environ["SERVER_NAME"] = name or "localhost"
    environ["SERVER_PORT"] = port or _DEFAULT_PORTS.get(scheme, "80")

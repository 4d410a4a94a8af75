"""One place touches a socket's end: `transport/`. Everything else gives orders to a wire, or closes an exchange."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

SRC: Final = Path(__file__).resolve().parent.parent / "src"

MAY_END_SOCKETS: Final = ("bide/transport/",)

# Calls that end a socket whatever they are called on, and calls that do if they are called on one of these.
ALWAYS: Final = frozenset({"write_eof"})
ON_SOCKETS: Final = frozenset({"abort", "close", "shutdown"})
SOCKETS: Final = frozenset({"conn", "sock", "socket", "transport"})

ALL: Final = {path.relative_to(SRC).as_posix(): path for path in sorted((SRC / "bide").rglob("*.py"))}
FILES: Final = {name: path for name, path in ALL.items() if not name.startswith(MAY_END_SOCKETS)}


def receiver(node: ast.expr) -> str:
    """The last name before the call: `self._transport.close()` and `get_transport().close()` are called on a transport."""
    while isinstance(node, ast.Call | ast.Subscript | ast.Await):
        node = node.func if isinstance(node, ast.Call) else node.value
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def ends_of_sockets(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        on, called = receiver(node.func.value), node.func.attr
        if called in ALWAYS or (called in ON_SOCKETS and on.rpartition("_")[2] in SOCKETS):
            yield f"line {node.lineno}: {on}.{called}()"


def test_every_exception_has_a_file_that_needs_it() -> None:
    for folder in MAY_END_SOCKETS:
        sources = [path.read_text(encoding="utf-8") for name, path in ALL.items() if name.startswith(folder)]
        assert any(list(ends_of_sockets(source)) for source in sources), folder


@pytest.mark.parametrize("file", FILES)
def test_only_the_transport_ends_sockets(file: str) -> None:
    assert list(ends_of_sockets(FILES[file].read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "anything.write_eof()",
        "transport.close()",
        "self._transport.abort()",
        "self.client_sock.shutdown(SHUT_WR)",
        "get_transport().close()",
        "sockets[0].socket.close()",
    ],
)
def test_call_that_ends_a_socket_is_found(source: str) -> None:
    assert len(list(ends_of_sockets(source))) == 1


@pytest.mark.parametrize(
    "source",
    ["wire.abort()", "self.wire.half_close()", "file.close()", "loop.close()", "pool.shutdown()", "listeners.close()"],
)
def test_call_on_something_else_is_not_found(source: str) -> None:
    assert list(ends_of_sockets(source)) == []


def reads_of_config(source: str) -> Iterator[str]:
    """Each attribute that is read of something called config."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and receiver(node.value).strip("_") == "config":
            yield f"line {node.lineno}: config.{node.attr}"


def test_configuration_is_read_in_one_place_of_each_kind_of_process() -> None:
    readers = {
        path.relative_to(SRC).as_posix()
        for path in (SRC / "bide").rglob("*.py")
        if list(reads_of_config(path.read_text(encoding="utf-8")))
    }
    assert readers == {"bide/worker/settings.py", "bide/supervisor/settings.py"}

"""Who may import whom: the table, checked over the import statements of every module.

Imports inside functions and under TYPE_CHECKING count like any other: what a module names, it depends on.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

SRC: Final = Path(__file__).resolve().parent.parent / "src"

# A row holds for the module and all below it; the longest row that matches counts.
# A module that no row names has no place yet: give it one here.
MAY_IMPORT: Final[dict[str, tuple[str, ...]]] = {
    # words and contracts
    "bide.terms": (),
    "bide.message": ("bide.terms",),
    "bide.errors": (),
    "bide.exchange": ("bide.terms", "bide.message", "bide.websocket.handshake"),
    "bide.wire": ("bide.terms",),
    "bide.managed": ("bide.terms", "bide.wire"),
    "bide.config": ("bide.terms", "bide.errors"),
    # decides; one policy does not know another
    "bide.policy": ("bide.terms",),
    # reads what fields mean
    "bide.semantics": ("bide.terms", "bide.message", "bide.semantics"),
    # speaks HTTP, never I/O
    "bide.http1": ("bide.terms", "bide.errors", "bide.message", "bide.policy", "bide.semantics", "bide.http1"),
    # speaks WebSocket, never I/O
    "bide.websocket": ("bide.errors", "bide.message", "bide.websocket"),
    # sees the application, never a socket
    "bide.gateway": (
        "bide.terms",
        "bide.errors",
        "bide.message",
        "bide.exchange",
        "bide.websocket.handshake",
        "bide.gateway",
    ),
    # sees the socket, never HTTP
    "bide.transport": ("bide.terms", "bide.errors", "bide.wire", "bide.transport"),
    # look on
    "bide.observe": ("bide.terms", "bide.observe"),
    # one connection; knows no other, and neither worker, gateway nor transport
    "bide.session": (
        "bide.terms",
        "bide.errors",
        "bide.message",
        "bide.exchange",
        "bide.wire",
        "bide.managed",
        "bide.policy",
        "bide.semantics",
        "bide.http1",
        "bide.observe",
        "bide.websocket",
        "bide.session",
    ),
    # one process's connections
    "bide.worker": (
        "bide.terms",
        "bide.errors",
        "bide.exchange",
        "bide.wire",
        "bide.managed",
        "bide.page",
        "bide.config",
        "bide.policy",
        "bide.semantics",
        "bide.http1.lifetime",
        "bide.http1.limits",
        "bide.gateway",
        "bide.transport",
        "bide.observe",
        "bide.session",
        "bide.worker",
    ),
    # supervisor and worker process
    "bide.channel": ("bide.terms",),
    "bide.page": (),
    # what a program runs, with and without a supervisor
    "bide.pid_file": ("bide.errors",),
    "bide.env_file": ("bide.errors",),
    # runs worker processes; never imports the application
    "bide.supervisor": (
        "bide.terms",
        "bide.errors",
        "bide.channel",
        "bide.page",
        "bide.config",
        "bide.env_file",
        "bide.policy",
        "bide.observe.log_files",
        "bide.observe.totals",
        "bide.pid_file",
        "bide.transport.sockets",
        "bide.supervisor",
    ),
    # served by bide itself
    "bide.supervisor.control": (
        "bide.config",
        "bide.errors",
        "bide.observe.prometheus",
        "bide.worker.settings",
        "bide.worker.worker",
    ),
    "bide.supervisor.failure_page": ("bide.config", "bide.worker.settings", "bide.worker.worker"),
    # what a program runs
    "bide.server": (
        "bide.terms",
        "bide.errors",
        "bide.config",
        "bide.env_file",
        "bide.gateway",
        "bide.observe",
        "bide.channel",
        "bide.page",
        "bide.pid_file",
        "bide.supervisor.settings",
        "bide.supervisor.start",
        "bide.transport.sockets",
        "bide.worker.cleanup",
        "bide.worker.pressure",
        "bide.worker.settings",
        "bide.worker.share",
        "bide.worker.worker",
        "bide.server",
    ),
    # the way in
    "bide.worker.__main__": ("bide.server.supervised",),
    "bide.cli": ("bide",),
    "bide.__main__": ("bide.cli",),
    "bide.__init__": ("bide.config", "bide.errors", "bide.server"),
}

# Two files that are one module: the compiled part, and its coroutines, which stay interpreted. They may import each other.
HALVES: Final = (
    ("bide.gateway.asgi", "bide.gateway.asgi_coroutines"),
    ("bide.gateway.asgi_websocket", "bide.gateway.asgi_websocket_coroutines"),
    ("bide.session.exchange", "bide.session.exchange_coroutines"),
    ("bide.session.websocket", "bide.session.websocket_coroutines"),
)

# The heart computes: of the world outside it knows these, and nothing else.
HEART: Final = ("bide.terms", "bide.message", "bide.policy", "bide.semantics", "bide.http1")
HEART_MAY_IMPORT: Final = ("__future__", "collections.abc", "enum", "re", "typing")


def name_of(path: Path) -> str:
    """The dotted name of a module; a package is its `__init__` only at the top, where it is a row of its own."""
    parts = path.relative_to(SRC).with_suffix("").parts
    if parts[-1] == "__init__" and len(parts) > 2:
        parts = parts[:-1]
    return ".".join(parts)


FILES: Final = {name_of(path): path for path in sorted((SRC / "bide").rglob("*.py"))}
MODULES: Final = frozenset(FILES)


def is_within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def row_of(module: str) -> str | None:
    return max((row for row in MAY_IMPORT if is_within(module, row)), key=len, default=None)


def imports(module: str, tree: ast.Module, *, is_package: bool, modules: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Line and full name of each module imported. `from bide import wire` imports bide.wire, if there is one."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                submodule = f"{base}.{alias.name}"
                yield node.lineno, submodule if submodule in modules else base


def faults(module: str, source: str, *, is_package: bool = False, modules: frozenset[str] = MODULES) -> list[str]:
    """Each import of this module that its row does not allow."""
    row = row_of(module)
    if row is None:
        return [f"{module}: no row in MAY_IMPORT names it"]
    in_heart = any(is_within(module, part) for part in HEART)
    module = module.removesuffix(".__init__")
    found = []
    for line, imported in imports(module, ast.parse(source), is_package=is_package, modules=modules):
        if is_within(imported, "bide"):
            allowed = MAY_IMPORT[row]
        elif in_heart:
            allowed = HEART_MAY_IMPORT
        else:
            continue
        if not any(is_within(imported, prefix) for prefix in allowed):
            found.append(f"{module}:{line}: may not import {imported}")
    return found


@pytest.mark.parametrize("module", FILES)
def test_imports_only_what_its_row_allows(module: str) -> None:
    path = FILES[module]
    assert faults(module, path.read_text(encoding="utf-8"), is_package=path.stem == "__init__") == []


def test_every_row_has_a_module() -> None:
    assert [row for row in MAY_IMPORT if not any(is_within(module, row) for module in FILES)] == []


def test_rows_name_only_rows() -> None:
    for row, allowed in MAY_IMPORT.items():
        for prefix in allowed:
            assert prefix == "bide" or row_of(prefix), f"{row} may import {prefix}, which has no row"


def test_heart_may_import_the_standard_library_only() -> None:
    assert {name.partition(".")[0] for name in HEART_MAY_IMPORT} <= sys.stdlib_module_names


SAMPLE: Final = frozenset(
    {"bide.terms", "bide.wire", "bide.policy", "bide.policy.clocks", "bide.http1", "bide.http1.head", "bide.transport"}
)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("bide.terms", "import enum"),
        ("bide.message", "from bide.terms import State"),
        ("bide.message", "from bide import terms"),
        ("bide.http1.body", "from .head import Head"),
        ("bide.http1.body", "from . import head"),
        ("bide.http1.body", "from ..policy import clocks"),
        ("bide.http1.body", "from collections.abc import Iterator"),
        ("bide.gateway.asgi", "import asyncio"),
        ("bide.__init__", "from bide.config import Config"),
        ("bide.__init__", "from .config import Config"),
        ("bide.cli", "from bide.server.loading import load"),
        ("bide.__main__", "from bide.cli import main"),
        ("bide.server.server", "from bide.worker.worker import Worker"),
    ],
)
def test_import_within_the_table_is_allowed(module: str, source: str) -> None:
    assert faults(module, source, is_package=module.endswith("__init__"), modules=SAMPLE) == []


@pytest.mark.parametrize(
    ("module", "source", "imported"),
    [
        ("bide.terms", "import bide.wire", "bide.wire"),
        ("bide.terms", "import time", "time"),
        ("bide.terms", "from collections import deque", "collections"),
        ("bide.message", "import bide", "bide"),
        ("bide.message", "from bide import __version__", "bide"),
        ("bide.message", "from bide import wire", "bide.wire"),
        ("bide.policy.persistence", "from bide.policy.clocks import CLOCKS", "bide.policy.clocks"),
        ("bide.policy.persistence", "from . import clocks", "bide.policy.clocks"),
        ("bide.policy.persistence", "from bide.message import Request", "bide.message"),
        ("bide.http1.body", "def f():\n    import logging", "logging"),
        ("bide.http1.body", "from mypy_extensions import i64", "mypy_extensions"),
        ("bide.http1.body", "if TYPE_CHECKING:\n    from ..transport import stream", "bide.transport"),
        ("bide.gateway.asgi", "from bide.wire import Wire", "bide.wire"),
        ("bide.transport.stream", "from bide.http1.head import Head", "bide.http1.head"),
        ("bide.observe.live", "from bide.worker import register", "bide.worker"),
        ("bide.session.session", "from bide.cli import main", "bide.cli"),
        ("bide.termsandmore", "", "no row"),
        ("bide.newcomer", "", "no row"),
    ],
)
def test_import_beyond_the_table_is_refused(module: str, source: str, imported: str) -> None:
    (fault,) = faults(module, source, modules=SAMPLE)
    assert imported in fault


# -- Circles ------------------------------------------------------------------------------------------------------------

Graph = dict[str, set[str]]


def graph_of(sources: dict[str, str]) -> Graph:
    """Which of these modules each of them imports; for a package's own `__init__` the name ends in that only at the top."""
    modules = frozenset(sources)
    known = {module.removesuffix(".__init__"): module for module in modules}
    graph: Graph = {}
    for module, source in sources.items():
        is_package = any(other.startswith(module + ".") for other in modules) or module.endswith(".__init__")
        name = module.removesuffix(".__init__")
        found = imports(name, ast.parse(source), is_package=is_package, modules=modules)
        graph[module] = {known[imported] for _, imported in found if imported in known} - {module}
    return graph


def circles(graph: Graph) -> list[list[str]]:
    """The groups of modules of which each leads to each other one."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        ahead = list(graph[start])
        while ahead:
            module = ahead.pop()
            if module not in found:
                found.add(module)
                ahead.extend(graph[module])
        return found

    leads_to = {module: reached(module) for module in graph}
    groups = {
        tuple(sorted(other for other in leads_to[module] if module in leads_to[other]))
        for module in graph
        if module in leads_to[module]
    }
    return [list(group) for group in sorted(groups)]


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Types are imports like any other. Of two halves, that is the interpreted one's way back."""
    graph = graph_of({module: path.read_text(encoding="utf-8") for module, path in FILES.items()})
    for compiled, interpreted in HALVES:
        graph[interpreted].discard(compiled)
    assert circles(graph) == []


def test_declared_halves_import_each_other() -> None:
    graph = graph_of({module: path.read_text(encoding="utf-8") for module, path in FILES.items()})
    for compiled, interpreted in HALVES:
        assert interpreted in graph[compiled], "the two are no halves of one module"
        assert compiled in graph[interpreted], "the two are no halves of one module"


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        ({"bide.a": "", "bide.b": "import bide.a"}, []),
        ({"bide.a": "import bide.b", "bide.b": "from bide.a import A"}, [["bide.a", "bide.b"]]),
        (
            {"bide.a": "if TYPE_CHECKING:\n    from bide.b import B", "bide.b": "def f():\n    from bide import a"},
            [["bide.a", "bide.b"]],
        ),
        (
            {
                "bide.a": "import bide.b",
                "bide.b": "import bide.c",
                "bide.c": "import bide.a",
                "bide.d": "import bide.c",
            },
            [["bide.a", "bide.b", "bide.c"]],
        ),
        (
            {"bide.p": "from bide.p import a", "bide.p.a": "from . import b", "bide.p.b": "from .a import A"},
            [["bide.p.a", "bide.p.b"]],
        ),
        ({"bide.__init__": "from bide.a import A", "bide.a": "from bide import B"}, [["bide.__init__", "bide.a"]]),
    ],
)
def test_circle_is_found(sources: dict[str, str], found: list[list[str]]) -> None:
    assert circles(graph_of(sources)) == found

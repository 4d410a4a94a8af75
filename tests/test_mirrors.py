"""Every module has a test file that mirrors it, and every test file beside those says why it mirrors none.

The tests of `src/bide/a/b.py` are in `tests/a/test_b.py`, and those of `src/bide/x.py` in `tests/test_x.py`.
"""

from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent

#: Modules without a test file, and why.
WITHOUT_TESTS: Final[dict[str, str]] = {
    "__main__.py": "calls `cli.main`; tests that start programs run it",
    "worker/__main__.py": "calls `supervised.main`; tests that start workers run it",
}

#: Test files that mirror no module, and why.
WITHOUT_MODULE: Final[dict[str, str]] = {
    "test_contract.py": "checks the contract of docs/design.md",
    "test_generated.py": "checks the pages that are made from tables",
    "test_layers.py": "checks the imports of all modules",
    "test_mirrors.py": "checks test files",
    "test_one_place.py": "checks the calls of all modules",
    "http1/test_hostile.py": "sends any octets to the whole of http1",
    "http1/test_oracles.py": "compares the whole of http1 with other parsers",
    "http1/test_slicings.py": "sends the same octets in any pieces to the whole of http1",
}

#: Directories of tests that mirror no package, and why.
WITHOUT_PACKAGE: Final[dict[str, str]] = {
    "examples": "mirrors examples/",
    "fuzz": "finds octets that break a law",
    "frameworks": "serves applications of other people's frameworks",
    "scenarios": "tries whole servers over real sockets",
    "support": "holds what tests share",
}


def mirror_of(module: str) -> str:
    """Return the test file of a module. Paths are relative to src/bide and to tests."""
    path = PurePosixPath(module)
    return str(path.with_name(f"test_{path.name}"))


def faults(modules: Collection[str], tests: Collection[str]) -> list[str]:
    """Return what is wrong. Paths are relative to src/bide and to tests."""
    packages = {str(PurePosixPath(module).parent) for module in modules}
    mirrors = {mirror_of(module): module for module in modules}
    found = []
    for mirror, module in mirrors.items():
        if mirror not in tests and module not in WITHOUT_TESTS:
            found.append(f"src/bide/{module} has no test file: tests/{mirror}")
    for test in tests:
        directory = str(PurePosixPath(test).parent)
        if directory not in packages:
            if directory.partition("/")[0] not in WITHOUT_PACKAGE:
                found.append(f"tests/{test} is in a directory that mirrors no package")
        elif test not in mirrors and test not in WITHOUT_MODULE:
            found.append(f"tests/{test} mirrors no module")
    return found


def files(directory: Path, pattern: str) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob(pattern))


#: A package's `__init__` holds a docstring and public names.
MODULES: Final = [path for path in files(ROOT / "src" / "bide", "*.py") if not path.endswith("__init__.py")]
TESTS: Final = files(ROOT / "tests", "test_*.py")


def test_modules_and_test_files_mirror_each_other() -> None:
    assert faults(MODULES, TESTS) == []


def test_exceptions_are_needed() -> None:
    assert [module for module in WITHOUT_TESTS if module not in MODULES or mirror_of(module) in TESTS] == []
    mirrors = {mirror_of(module) for module in MODULES}
    assert [test for test in WITHOUT_MODULE if test not in TESTS or test in mirrors] == []
    packages = {PurePosixPath(module).parent.name for module in MODULES}
    assert [name for name in WITHOUT_PACKAGE if not (ROOT / "tests" / name).is_dir() or name in packages] == []


# -- The check itself -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("modules", "tests"),
    [
        (["x.py"], ["test_x.py"]),
        (["a/b.py"], ["a/test_b.py"]),
        (["__main__.py"], []),
        (["http1/a.py"], ["http1/test_a.py", "http1/test_oracles.py"]),
        (["x.py"], ["test_x.py", "test_layers.py", "scenarios/test_anything.py", "scenarios/deep/test_it.py"]),
    ],
)
def test_files_that_mirror_each_other_are_no_fault(modules: list[str], tests: list[str]) -> None:
    assert faults(modules, tests) == []


@pytest.mark.parametrize(
    ("modules", "tests", "fault"),
    [
        (["x.py"], [], "src/bide/x.py has no test file: tests/test_x.py"),
        (["a/b.py"], ["test_b.py", "a/b_test.py"], "src/bide/a/b.py has no test file: tests/a/test_b.py"),
        (["a/b.py"], ["a/test_b.py", "a/test_c.py"], "tests/a/test_c.py mirrors no module"),
        (["x.py"], ["test_x.py", "test_y.py"], "tests/test_y.py mirrors no module"),
        (["x.py"], ["test_x.py", "a/test_x.py"], "tests/a/test_x.py is in a directory that mirrors no package"),
    ],
)
def test_files_that_mirror_nothing_are_named(modules: list[str], tests: list[str], fault: str) -> None:
    assert fault in faults(modules, tests)

"""The contract in `docs/design.md`: rules W1 to W16, each with its place in the code and a test."""

import ast
import re
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
SRC: Final = ROOT / "src" / "bide"

NUMBERS: Final = [f"W{number}" for number in range(1, 17)]

# The heading of the table, which names its columns.
HEAD: Final = "| rule | situation | what bide does | place | test |"

# A cell of references holds nothing else: `file: name` for places, `file` or `file::test` for tests.
REFERENCES: Final = re.compile(r"`([^`]+)`(?:, `([^`]+)`)*")


class Rule(NamedTuple):
    """One row of the table.

    places: (file below src/bide, name defined there)
    tests: (file below the repository, name of the test there or "")
    """

    number: str
    situation: str
    action: str
    places: list[tuple[str, str]]
    tests: list[tuple[str, str]]


def references(cell: str, separator: str) -> list[tuple[str, str]]:
    """Return (file, name) of each reference in a cell. Raises ValueError if the cell holds anything else."""
    if REFERENCES.fullmatch(cell) is None:
        raise ValueError(f"references must be in backquotes, with commas between them, got {cell!r}")
    found = [reference.partition(separator) for reference in re.findall(r"`([^`]+)`", cell)]
    return [(file.strip(), name.strip()) for file, _, name in found]


def rules(page: str) -> list[Rule]:
    """Return the rows of the contract's table. Raises ValueError if a row is malformed or the table is not there once."""
    if page.count(HEAD) != 1:
        raise ValueError(f"the page must hold this heading once: {HEAD}")
    rows = page.partition(HEAD)[2].partition("\n\n")[0].splitlines()[2:]  # the rest of the heading, and the ruler
    found = []
    for row in rows:
        cells = [cell.strip() for cell in row.split("|")[1:-1]]
        if len(cells) != 5:
            raise ValueError(f"a row must have five cells, got {row!r}")
        number, situation, action, places, tests = cells
        found.append(Rule(number, situation, action, references(places, ":"), references(tests, "::")))
    return found


def defined(source: str) -> set[str]:
    """Return the names of all functions, methods, classes and constants that `source` defines."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def missing(rule: Rule) -> list[str]:
    """Return the places and tests of a rule that do not exist."""
    wrong = []
    for root, known, needs_name in ((SRC, rule.places, True), (ROOT, rule.tests, False)):
        for file, name in known:
            path = root / file
            if not path.is_file():
                wrong.append(file)
            elif (name or needs_name) and name not in defined(path.read_text(encoding="utf-8")):
                wrong.append(f"{file}: {name or 'no name given'}")
    return wrong


CONTRACT: Final = rules((ROOT / "docs" / "design.md").read_text(encoding="utf-8"))


def test_contract_has_every_rule_once_and_in_order() -> None:
    assert [rule.number for rule in CONTRACT] == NUMBERS


@pytest.mark.parametrize("rule", CONTRACT, ids=lambda rule: rule.number)
def test_rule_says_when_and_what(rule: Rule) -> None:
    assert rule.situation
    assert rule.action


@pytest.mark.parametrize("rule", CONTRACT, ids=lambda rule: rule.number)
def test_rule_names_a_place_and_a_test_that_exist(rule: Rule) -> None:
    assert missing(rule) == []


@pytest.mark.parametrize("rule", CONTRACT, ids=lambda rule: rule.number)
def test_rule_is_tested_by_files_of_tests(rule: Rule) -> None:
    assert [file for file, _ in rule.tests if re.fullmatch(r"tests/(\w+/)*test_\w+\.py", file) is None] == []


# -- The checks themselves ----------------------------------------------------------------------------------------------

GOOD_PLACE: Final = ("policy/persistence.py", "RULES")
GOOD_TEST: Final = ("tests/test_contract.py", "test_contract_has_every_rule_once_and_in_order")


@pytest.mark.parametrize(
    ("places", "tests", "expected"),
    [
        ([GOOD_PLACE], [GOOD_TEST], []),
        ([GOOD_PLACE], [("tests/test_contract.py", "")], []),
        ([("http1/connection.py", "receive_eof")], [GOOD_TEST], []),  # a method
        ([("policy/nowhere.py", "RULES")], [GOOD_TEST], ["policy/nowhere.py"]),
        ([("policy/persistence.py", "RULE")], [GOOD_TEST], ["policy/persistence.py: RULE"]),
        ([("policy/persistence.py", "")], [GOOD_TEST], ["policy/persistence.py: no name given"]),
        ([("http1/connection.py", "persist")], [GOOD_TEST], ["http1/connection.py: persist"]),  # only imported there
        ([GOOD_PLACE], [("tests/test_nowhere.py", "")], ["tests/test_nowhere.py"]),
        ([GOOD_PLACE], [("tests/test_contract.py", "test_none")], ["tests/test_contract.py: test_none"]),
    ],
)
def test_missing_place_or_test_is_named(
    places: list[tuple[str, str]], tests: list[tuple[str, str]], expected: list[str]
) -> None:
    assert missing(Rule("W1", "a situation", "an action", places, tests)) == expected


def test_table_is_read_cell_by_cell() -> None:
    page = f"{HEAD}\n|---|---|---|---|---|\n| W1 | when | does | `a.py: b`, `c/d.py: e` | `t.py::u`, `v.py` |\n\nrest | x |"
    assert rules(page) == [Rule("W1", "when", "does", [("a.py", "b"), ("c/d.py", "e")], [("t.py", "u"), ("v.py", "")])]


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("no table", "the page must hold this heading once"),
        (f"{HEAD}\n{HEAD}", "the page must hold this heading once"),
        (f"{HEAD}\n|---|\n| W1 | when | does | `a.py: b` |", "a row must have five cells"),
        (f"{HEAD}\n|---|\n| W1 | when | does |  | `t.py` |", "references must be in backquotes"),
        (f"{HEAD}\n|---|\n| W1 | when | does | a.py: b | `t.py` |", "references must be in backquotes"),
    ],
)
def test_malformed_table_is_an_error(page: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        rules(page)

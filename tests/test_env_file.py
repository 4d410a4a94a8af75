"""Environment variables from a file, again and again."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bide import env_file
from bide.env_file import load, parsed, without
from bide.errors import ConfigError

GIVEN = {"TEST_OWN": "own", "TEST_OTHER": "other"}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = dict(os.environ)
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    yield
    env_file._set.clear()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".env"


@pytest.mark.parametrize(
    ("line", "variables"),
    [
        ("A=b", {"A": "b"}),
        (" export A_1 = b c ", {"A_1": "b c"}),
        ("A='b # c'", {"A": "b # c"}),
        ('A="b" # c', {"A": "b"}),
        ("A=b#c # d", {"A": "b#c"}),
        ("A=# c", {"A": ""}),
        ("A=", {"A": ""}),
        ("A=b=$C", {"A": "b=$C"}),
        ("A='b", {"A": "'b"}),
        ("", {}),
        ("# A=b", {}),
        ("A=1\nB=2\nA=3", {"A": "3", "B": "2"}),
    ],
)
def test_line_is_read(line: str, variables: dict[str, str]) -> None:
    assert parsed(line, "x") == variables


@pytest.mark.parametrize("line", ["A", "1A=b", "A B=c", "=b", "import A=b"])
def test_other_line_is_named(line: str) -> None:
    said = f"env_file must have lines NAME=VALUE, got {line!r} in line 2 of 'x'"
    with pytest.raises(ConfigError) as raised:
        parsed(f"\n{line}", "x")
    assert str(raised.value) == said


def test_variables_of_the_program_win(path: Path) -> None:
    path.write_text("TEST_OWN=file\nTEST_NEW=file")
    load(str(path))
    assert (os.environ["TEST_OWN"], os.environ["TEST_NEW"]) == ("own", "file")


def test_file_read_again_takes_the_place_of_what_it_was(path: Path) -> None:
    path.write_text("TEST_GONE=1\nTEST_CHANGED=1")
    load(str(path))
    load(str(path))
    path.write_text("TEST_CHANGED=2")
    load(str(path))
    assert "TEST_GONE" not in os.environ
    assert os.environ["TEST_CHANGED"] == "2"


def test_variable_that_the_program_has_changed_since_stays(path: Path) -> None:
    path.write_text("TEST_NEW=file")
    load(str(path))
    os.environ["TEST_NEW"] = "program"
    load(str(path))
    assert os.environ["TEST_NEW"] == "program"


def test_file_that_cannot_be_read_changes_nothing(path: Path) -> None:
    path.write_text("TEST_NEW=1")
    load(str(path))
    path.write_text("TEST_NEW=2\nwrong")
    with pytest.raises(ConfigError, match="must have lines"):
        load(str(path))
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="env_file must be a text file that can be read"):
        load(str(path))
    path.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        load(str(path))
    assert os.environ["TEST_NEW"] == "1"


def test_program_that_reads_the_file_itself_gets_the_rest(path: Path) -> None:
    path.write_text("TEST_NEW=1\nTEST_OWN=file")
    load(str(path))
    assert without(os.environ) == {name: value for name, value in os.environ.items() if name != "TEST_NEW"}

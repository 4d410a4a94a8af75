"""Checks the output and the exit status of the command line."""

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bide import cli
from bide.cli import main, octets
from bide.config import about, options
from tests.support.client import Client
from tests.support.program import APPS, Launch, Program, await_socket, launch, serving
from tests.support.waiting import PATIENCE

__all__ = ["launch"]  # a fixture


def bide(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, arguments, env=env)


def failed(program: Program) -> str:
    """Wait until a program has ended with status 1, and return its one line on standard error."""
    assert program.wait() == 1
    (line,) = program.errors
    assert line.startswith("bide: ")
    assert program.output == []
    return line


def test_version_names_build_loop_and_python() -> None:
    result = bide("--version")
    assert result.exit_code == 0
    assert re.fullmatch(
        r"bide \d+\.\d+\.\d+\S* \((compiled|interpreted), (uvloop \S+|asyncio), CPython 3\.\d+\.\d+\S*\)\n",
        result.output,
    )


def test_help_names_the_commands() -> None:
    for arguments in (["--help"], ["-h"]):
        result = bide(*arguments)
        assert result.exit_code == 0
        assert "serve" in result.output


def test_bide_without_a_command_shows_its_usage() -> None:
    assert "Usage: " in bide().output


def test_help_names_every_option_in_its_group() -> None:
    result = bide("serve", "--help")
    assert result.exit_code == 0
    groups = [about(option).group for option in options()]
    headings = re.findall(r"^([A-Z].*):$", result.output, re.MULTILINE)
    assert [heading for heading in headings if heading in groups] == list(dict.fromkeys(groups))
    section = ""
    found: dict[str, str] = {}
    for line in result.output.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            section = line[:-1]
        elif match := re.match(r"  (--[a-z0-9-]+)", line):
            found[match[1]] = section
    for option in options():
        assert found[f"--{option.name.replace('_', '-')}"] == about(option).group


@pytest.mark.parametrize("width", [80, 120])
def test_help_fits_the_terminal(width: int) -> None:
    for arguments in (["--help"], ["serve", "--help"]):
        result = CliRunner().invoke(main, arguments, terminal_width=width)
        assert [line for line in result.output.splitlines() if len(line) > width] == []


def test_help_ends_with_what_belongs_to_no_group() -> None:
    last = bide("serve", "--help").output.partition("\nOther:\n")[2]
    assert re.findall(r"^  (\S+)", last, re.MULTILINE) == ["APP", "-h,"]


def test_help_says_what_zero_means() -> None:
    text = " ".join(bide("serve", "--help").output.split())
    assert "[default: no limit]" in text
    assert "[default: none]" in text
    assert "(as uvicorn) [default: 8000]" in text


def test_application_instead_of_a_command_is_pointed_to_serve() -> None:
    result = bide("good:app", "--port", "80")
    assert result.exit_code == 2
    assert "Did you mean: bide serve good:app --port 80\n" in result.output
    assert "Did you mean" not in bide("dance").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--http", "h11"], "bide has no --http"),
        (["--no-server-header"], "bide has no --no-server-header"),
    ],
)
def test_flag_that_only_uvicorn_has_is_named(arguments: list[str], message: str) -> None:
    result = bide("serve", "x:y", *arguments)
    assert result.exit_code == 2
    assert result.output == f"{message}; see README, Coming from uvicorn\n"


@pytest.mark.parametrize(
    "flag", ["--limit-concurrency", "--h11-max-incomplete-event-size", "--header-map", "--bind", "-b", "--umask"]
)
def test_flags_that_another_stands_for(flag: str) -> None:
    result = bide("serve", "x:y", flag, "1")
    assert result.exit_code == 2
    assert re.fullmatch(rf"bide has no {flag}; use --\S+.*\n", result.output)


def test_octets_with_a_suffix_are_read() -> None:
    assert [octets(text) for text in ("0", "65536", "64K", "512m", "1G")] == [0, 65536, 65536, 536870912, 1073741824]
    for text in ("", "K", "5X", "1.5G", "many"):
        result = bide("serve", "x:y", "--limit-memory", text)
        assert result.exit_code == 2
        assert f"must be a number of octets, as 65536, 64K or 512M, got {text!r}" in " ".join(result.output.split())


def test_help_shows_defaults_and_other_names() -> None:
    text = " ".join(bide("serve", "--help").output.split())
    assert "[default: 8000]" in text
    assert "--timeout-idle, --timeout-keep-alive" in text
    assert "--access-log / --no-access-log" in text
    assert "BIDE_PORT" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serve"], "APP"),
        (["serve", "x:y", "--port", "many"], "many"),
        (["serve", "x:y", "--loop", "trio"], "trio"),
        (["serve", "x:y", "--no-such-option"], "no-such-option"),
        (["serve", "x:y", "z"], "z"),
        (["dance"], "dance"),
    ],
)
def test_wrong_usage_exits_2_with_the_usage(arguments: list[str], message: str) -> None:
    result = bide(*arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.output
    assert message in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "-1"], "--port must be at least 0, got -1"),
        (["--port", "70000"], "--port must be at most 65535, got 70000"),
        (
            ["--timeout-idle", "0"],
            "--timeout-idle must be at least 0.001, got 0; use --no-keep-alive to close after each response",
        ),
        (["--uds", "/x", "--fd", "3"], "--uds and --fd are mutually exclusive"),
        (["--uds", ""], "--uds must be a path, got ''; leave it out to listen on --host and --port"),
        (
            ["--limit-head", "1000", "--limit-target", "2000"],
            "--limit-head must be at least --limit-target, 2000, got 1000; raise --limit-head or lower --limit-target",
        ),
        (
            ["--root-path", "port"],
            "--root-path must be a path that starts with / and does not end with /, got 'port'",
        ),
        (["--health-path", "health"], "--health-path must be a path that starts with /, got 'health'"),
        (
            ["--close-for", "uds"],
            "--close-for must be agent:PATTERN, path:PATTERN or peer:NETWORK, got 'uds'",
        ),
        (
            ["--close-for", "peer:host"],
            "--close-for must be peer:NETWORK with an IP address or network, as peer:192.0.2.0/24, got 'peer:host'",
        ),
        (
            ["--uds-mode", "660"],
            "--uds-mode must be given with --uds, got '660' without; set --uds, or leave it out",
        ),
        (
            ["--uds", "/x", "--uds-mode", "888"],
            "--uds-mode must be three octal digits, got '888'; use 660 for owner and group only",
        ),
        (
            ["--uds", "/no/x", "--uds-owner", "no-such-user"],
            "--uds-owner must be a user of this machine, got 'no-such-user'; give another name, or a number",
        ),
    ],
)
def test_invalid_value_ends_the_start_with_one_line(launch: Launch, arguments: list[str], message: str) -> None:
    line = failed(launch("serve", "apps:hello", "--app-dir", str(APPS), "--port", "0", *arguments))
    assert line == f"bide: {message}"


@pytest.mark.parametrize(
    ("app", "message"),
    [
        ("no_such_module:app", "no module named 'no_such_module'"),
        ("apps:no_such_app", "no attribute 'no_such_app'"),
        ("apps:not_callable", "cannot be called"),
        ("apps", "no attribute 'app'"),
    ],
)
def test_application_that_cannot_be_loaded_exits_1_with_one_line(launch: Launch, app: str, message: str) -> None:
    assert message in failed(launch("serve", app, "--app-dir", str(APPS), "--port", "0"))


def test_module_that_fails_exits_1_with_one_line(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('half\\nway')\n")
    line = failed(launch("serve", "broken:app", "--app-dir", str(tmp_path), "--port", "0"))
    assert "RuntimeError" in line


def test_factory_makes_the_application(launch: Launch) -> None:
    program = launch(*serving("auto", "apps:make_hello"), "--factory")
    with program.client() as client:
        assert client.get().content == b"hello\n"
    assert "no disk" in failed(launch(*serving("auto", "apps:failing_factory"), "--factory"))


def test_bide_as_module_and_as_script_runs(launch: Launch) -> None:
    for command in ([sys.executable, "-m", "bide"], [str(Path(sys.executable).parent / "bide")]):
        done = subprocess.run([*command, "--version"], check=True, capture_output=True, text=True)
        assert done.stdout.startswith("bide ")
    done = subprocess.run([sys.executable, "-m", "bide", "serve", "-h"], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("Usage: bide serve"), "not __main__.py"


def test_environment_sets_options(launch: Launch) -> None:
    env = {
        "BIDE_APP": "apps:target",
        "BIDE_APP_DIR": str(APPS),
        "BIDE_PORT": "0",
        "BIDE_LIFESPAN": "off",
        "BIDE_ACCESS_LOG": "false",
        "BIDE_ROOT_PATH": "/below",
        "BIDE_LIMIT_REQUESTS": "2",
    }
    program = launch("serve", env=env)
    with program.client() as client:
        response = client.get("/x")
        assert response.content == b"/below/x"
        assert not response.says_close
        assert client.get("/x").says_close
    program.signal()
    assert program.wait() == 0
    assert program.output == []


def test_option_on_the_command_line_wins_over_the_environment(launch: Launch) -> None:
    program = launch(*serving("asyncio"), env={"BIDE_PORT": "1", "BIDE_LOOP": "nonsense", "BIDE_LIFESPAN": "on"})
    with program.client() as client:
        assert client.get().status == 200


@pytest.mark.parametrize(
    ("arguments", "variables", "workers"),
    [
        ([], {}, 1),
        ([], {"WEB_CONCURRENCY": "3"}, 3),
        ([], {"WEB_CONCURRENCY": "3", "BIDE_WORKERS": "2"}, 2),
        (["--workers", "4"], {"BIDE_WORKERS": "2"}, 4),
        (["--workers", "auto"], {}, "auto"),
        (["--workers", "AUTO"], {}, "auto"),
        (["--workers", "-1"], {}, -1),
    ],
)
def test_number_of_workers_comes_from_flag_or_environment(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], variables: dict[str, str], workers: int | str
) -> None:
    for name in ("WEB_CONCURRENCY", "BIDE_WORKERS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    seen: list[Any] = []
    monkeypatch.setattr(cli, "configured", lambda given: seen.append(given["workers"]))
    monkeypatch.setattr(cli, "run_configured", lambda *_: None)
    monkeypatch.setattr(cli, "leave_within", lambda *_: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert bide("serve", "x:y", *arguments).exit_code == 0
    assert seen == [workers]


def test_file_of_the_environment_that_is_wrong_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("wrong")
    result = bide("serve", "x:y", "--env-file", str(tmp_path / "env"))
    assert result.exit_code == 2
    assert result.output.startswith("bide: --env-file must have lines NAME=VALUE, got 'wrong' in line 1 of ")


def test_second_name_in_the_environment_sets_its_option(launch: Launch) -> None:
    program = launch(*serving("auto"), env={"BIDE_TIMEOUT_KEEP_ALIVE": "0.3"})
    with program.client() as client:
        client.get()
        assert client.ending().how == "fin"
    assert not [line for line in program.errors if "unknown option" in line]


def test_name_of_other_servers_in_the_environment_sets_its_option(launch: Launch) -> None:
    program = launch(*serving("auto"), env={"FORWARDED_ALLOW_IPS": "front.example"})
    assert program.wait() == 1
    assert program.errors[-1].startswith("bide: --forwarded-allow-ips must be IP addresses, networks, unix or *, ")


def test_blind_trust_is_said_at_the_start(launch: Launch) -> None:
    program = launch(*serving("auto"), "--forwarded-allow-ips", "*", "--forwarded-hops", "2")
    program.line(r"forwarded fields of every peer are believed .*: entry 2 from the right is the client")


def test_unknown_name_in_the_environment_is_named_and_ignored(launch: Launch) -> None:
    """They are named, and nothing else happens: another program may use the prefix."""
    program = launch(*serving("auto"), env={"BIDE_PROT": "1", "BIDE_COLOR": "4", "BIDE_EXAMPLE_DB": "x"})
    with program.client() as client:
        assert client.get().status == 200
    assert program.errors[1] == "bide: unknown option BIDE_PROT in the environment; did you mean BIDE_PORT?"
    assert program.errors[0] == "bide: unknown option BIDE_COLOR in the environment"
    assert "serving" in program.errors[2]


def test_wrong_value_in_the_environment_exits_2(launch: Launch) -> None:
    program = launch("serve", "apps:hello", env={"BIDE_PORT": "many"})
    assert program.wait() == 2
    assert any("many" in line for line in program.errors)


def test_root_path_precedes_the_path(launch: Launch) -> None:
    program = launch(*serving("auto", "apps:target"), "--root-path", "/api")
    with program.client() as client:
        assert client.get("/x?y").content == b"/api/x?y"


def test_option_given_twice_has_both_values(launch: Launch) -> None:
    program = launch(*serving("auto"), "--close-for", "path:/a*", "--close-for", "path:/b*")
    with program.client() as client:
        assert not client.get("/c").says_close
        assert client.get("/b").says_close


def test_program_at_level_warning_without_access_log_is_silent(launch: Launch, tmp_path: Path) -> None:
    program = launch(*serving("auto"), "--uds", str(tmp_path / "x"), "--log-level", "WARNING", "--no-access-log")
    await_socket(program.process, tmp_path / "x")
    program.signal()
    assert program.wait() == 0
    assert program.output == []
    assert program.errors == []


def test_second_name_of_an_option_sets_it(launch: Launch) -> None:
    program = launch(*serving("auto"), "--timeout-keep-alive", "0.3", "--timeout-graceful-shutdown", "3")
    with program.client() as client:
        client.get()
        assert client.ending().how == "fin"
    assert program.process.poll() is None


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_program_with_closed_standard_streams_serves(tmp_path: Path, closed: str) -> None:
    """A service manager may start a process like this. It serves, logs nowhere, and ends with status 0."""
    where = tmp_path / "x.sock"
    command = f"exec {sys.executable} -m bide serve tests.support.apps:hello --uds {where} {closed}"
    process = subprocess.Popen(["sh", "-c", command])
    try:
        await_socket(process, where)
        with Client(str(where)) as client:
            assert client.get().status == 200
        process.terminate()
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()

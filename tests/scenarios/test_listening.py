"""Where a server listens: TCP of both IP versions, Unix sockets, sockets that it inherits; and what it says where it cannot.

1. A server is started on each kind of socket, and answers there.
2. It tells its addresses, at start and to the application.
3. It cannot listen: one line says why and what to do, the status is 1, and there is no traceback.
4. What it made is gone after it.
"""

import os
import signal
import socket
import stat
from pathlib import Path

import pytest

from bide.errors import ListenError
from tests.support.apps import Message, Receive, Send, answer, hello
from tests.support.client import Client
from tests.support.program import Launch, Program, serving
from tests.support.server import Serve, ipv6
from tests.support.waiting import PATIENCE


async def addresses(scope: Message, receive: Receive, send: Send) -> None:
    await answer(send, repr((scope["client"], scope["server"])).encode())


def fails(program: Program, *parts: str) -> None:
    assert program.wait() == 1
    assert program.output == []
    (line,) = program.errors
    assert line.startswith("bide: ")
    for part in parts:
        assert part in line


def test_ipv4_is_listened_on(serve: Serve) -> None:
    server = serve(addresses)
    with server.client() as client:
        assert client.get().content.decode() == repr((client.address, server.where))
    assert server.url.startswith("http://127.0.0.1:")


@ipv6
def test_ipv6_is_listened_on(serve: Serve) -> None:
    server = serve(addresses, host="::1")
    assert server.url.startswith("http://[::1]:")
    with server.client() as client:
        assert client.get().content.decode() == repr((client.address, server.where))


@ipv6
def test_host_empty_listens_on_both_ip_versions(serve: Serve) -> None:
    server = serve(addresses, host="")
    ports = {url.rpartition(":")[2] for url in server.server.urls}
    assert len(server.server.urls) == 2
    assert len(ports) == 1, "the same port for both"
    for host in ("127.0.0.1", "::1"):
        with Client((host, int(ports.copy().pop()))) as client:
            assert host in client.get().content.decode()


def test_host_by_name_is_listened_on(serve: Serve) -> None:
    server = serve(hello, host="localhost")
    assert server.server.urls
    for url in server.server.urls:
        assert url.startswith(("http://127.0.0.1:", "http://[::1]:"))
    with server.client() as client:
        assert client.get().status == 200


def test_unix_socket_is_listened_on_and_removed(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "bide.sock"
    server = serve(addresses, uds=str(path))
    assert server.url == f"unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    with server.client() as client:
        for _ in range(3):
            assert client.get().content.decode() == repr((None, (str(path), None)))
    assert server.ends() == {"client_eof_idle": 1}
    server.stop()
    assert not path.exists()


def test_unix_socket_of_a_dead_server_is_replaced(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "bide.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    server = serve(hello, uds=str(path))
    with server.client() as client:
        assert client.get().status == 200


def test_unix_socket_of_a_living_server_is_kept(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "bide.sock"
    server = serve(hello, uds=str(path))
    with pytest.raises(ListenError, match=r"bide\.sock: Address already in use; .*choose another"):
        serve(hello, uds=str(path))
    with server.client() as client:
        assert client.get().status == 200


def test_unix_socket_over_a_file_raises(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(ListenError, match="not a socket"):
        serve(hello, uds=str(path))
    assert path.read_text() == "precious"


def test_program_on_a_unix_socket_serves_and_removes_it(launch: Launch, loop: str, tmp_path: Path) -> None:
    path = tmp_path / "bide.sock"
    program = launch(*serving(loop), "--uds", str(path))
    with program.client() as client:
        assert client.get().content == b"hello\n"
    program.signal()
    assert program.wait() == 0
    assert not path.exists()
    assert '"GET / HTTP/1.1" 200' in program.output[0]


def test_program_on_a_unix_socket_with_a_mode_and_a_group(launch: Launch, loop: str, tmp_path: Path) -> None:
    path = tmp_path / "bide.sock"
    program = launch(*serving(loop), "--uds", str(path), "--uds-group", str(os.getegid()), env={"BIDE_UDS_MODE": "660"})
    with program.client() as client:
        assert client.get().content == b"hello\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    program.signal()
    assert program.wait() == 0
    assert not path.exists()


def test_dead_unix_socket_that_is_replaced_keeps_its_mode(launch: Launch, loop: str, tmp_path: Path) -> None:
    """After a crash it is the next server's."""
    path = tmp_path / "bide.sock"
    for mode in (["--uds-mode", "600"], []):
        program = launch(*serving(loop), "--uds", str(path), *mode)
        with program.client() as client:
            assert client.get().content == b"hello\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        program.signal(signal.SIGKILL)
        assert program.wait() == -signal.SIGKILL


def test_inherited_socket(launch: Launch, loop: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        where = listener.getsockname()
        program = launch(*serving(loop), "--fd", str(listener.fileno()), pass_fds=[listener.fileno()])
        assert program.url == f"http://127.0.0.1:{where[1]}"
        with Client(where) as client:
            assert client.get().content == b"hello\n"
        program.signal()
        assert program.wait() == 0
        # It was only borrowed: the process that opened it still listens.
        with Client(where), listener.accept()[0]:
            pass


def test_inherited_unix_socket_is_listened_on_and_kept(launch: Launch, loop: str, tmp_path: Path) -> None:
    path = tmp_path / "ours.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        program = launch(*serving(loop), "--fd", str(listener.fileno()), pass_fds=[listener.fileno()])
        with program.client() as client:
            assert client.get().content == b"hello\n"
        program.signal()
        assert program.wait() == 0
        assert path.exists(), "the process that made it removes it"


def test_sockets_given_are_listened_on_and_closed(serve: Serve) -> None:
    """The program that embeds the server has bound several."""
    from bide import Server

    bound = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    wheres = [sock.getsockname() for sock in bound]
    server = serve(hello)

    async def both() -> list[str]:
        async with Server(hello, sockets=bound, access_log=False, lifespan="off", drain_idle=0) as other:
            return other.urls

    import asyncio

    urls = asyncio.run_coroutine_threadsafe(both(), server.loop).result(PATIENCE)
    assert urls == [f"http://127.0.0.1:{where[1]}" for where in wheres]
    assert [sock.fileno() for sock in bound] == [-1, -1]


# -- Where it cannot --------------------------------------------------------------------------------------------------------


def test_program_on_a_port_in_use_exits_1(launch: Launch, loop: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        fails(launch(*serving(loop), "--port", port), f"cannot listen on 127.0.0.1:{port}", "in use", "stop")


def test_program_on_a_foreign_address_exits_1(launch: Launch, loop: str) -> None:
    fails(launch(*serving(loop), "--host", "192.0.2.1"), "cannot listen on 192.0.2.1", "address of this machine")


def test_program_on_an_unknown_host_exits_1(launch: Launch, loop: str) -> None:
    fails(launch(*serving(loop), "--host", "no-such-host.invalid"), "no-such-host.invalid", "--host")


def test_program_on_a_path_without_folder_exits_1(launch: Launch, loop: str, tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "bide.sock"
    fails(launch(*serving(loop), "--uds", str(path)), str(path), "folder")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_program_on_a_path_without_permission_exits_1(launch: Launch, loop: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    fails(launch(*serving(loop), "--uds", str(tmp_path / "bide.sock")), "ermission")


def test_program_on_a_path_too_long_exits_1(launch: Launch, loop: str, tmp_path: Path) -> None:
    fails(launch(*serving(loop), "--uds", str(tmp_path / ("x" * 200))), "xxx")


def test_program_on_the_path_of_a_file_exits_1(launch: Launch, loop: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    fails(launch(*serving(loop), "--uds", str(path)), str(path), "not a socket")


def test_program_on_a_descriptor_of_something_else_exits_1(launch: Launch, loop: str, tmp_path: Path) -> None:
    fails(launch(*serving(loop), "--fd", "99"), "file descriptor 99", "--fd")
    with (tmp_path / "file").open("w") as file:
        fails(
            launch(*serving(loop), "--fd", str(file.fileno()), pass_fds=[file.fileno()]),
            f"file descriptor {file.fileno()}",
            "--fd",
        )
    with socket.socket() as sock:
        fails(
            launch(*serving(loop), "--fd", str(sock.fileno()), pass_fds=[sock.fileno()]),
            "not listening; call listen()",
            "--fd",
        )

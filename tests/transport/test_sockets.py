"""Opens sockets to listen on, or says why it cannot."""

import errno
import grp
import os
import pwd
import socket
import stat
from pathlib import Path

import pytest

from bide.errors import ListenError
from bide.transport import sockets


def test_tcp_socket_is_bound_and_not_inheritable() -> None:
    (sock,) = sockets.tcp("127.0.0.1", 0)
    with sock:
        assert sock.getsockname()[0] == "127.0.0.1"
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert not sock.get_inheritable()


def test_tcp_without_a_host_has_one_port_for_both_ip_versions() -> None:
    socks = sockets.tcp("", 0)
    try:
        assert len({sock.getsockname()[1] for sock in socks}) == 1
        for sock in socks:
            if sock.family == socket.AF_INET6:
                assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    finally:
        for sock in socks:
            sock.close()


def test_tcp_port_in_use_raises_with_a_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ListenError, match=rf"^cannot listen on 127\.0\.0\.1:{port}: .*; stop the server"):
            sockets.tcp("127.0.0.1", port)


def test_tcp_host_unknown_raises_with_a_remedy() -> None:
    with pytest.raises(
        ListenError, match=r"^--host must be an address .*, got 'no-such-host\.invalid': .*; choose another"
    ):
        sockets.tcp("no-such-host.invalid", 0)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_unix_path_in_use_raises(tmp_path: Path, kind: socket.SocketKind) -> None:
    """The kind of socket does not matter, nor whether its queue is full."""
    path = str(tmp_path / "x.sock")
    with socket.socket(socket.AF_UNIX, kind) as theirs, socket.socket(socket.AF_UNIX, kind) as client:
        theirs.bind(path)
        if kind != socket.SOCK_DGRAM:
            theirs.listen(0)
            client.connect(path)
        with pytest.raises(ListenError, match="in use"):
            sockets.unix(path)
        client.close()
        assert Path(path).exists()


def test_unix_path_of_a_dead_server_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with sockets.unix(str(path)) as sock:
        assert sock.getsockname() == str(path)
        assert stat.S_ISSOCK(path.stat().st_mode)
    with sockets.unix(str(path)):  # the dead one is replaced
        pass


@pytest.mark.parametrize("what", ["file", "folder", "link to a file", "link to a stale socket", "link to nothing"])
def test_unix_over_something_else(tmp_path: Path, what: str) -> None:
    path = tmp_path / "x"
    if what == "file":
        path.write_text("precious")
    elif what == "folder":
        path.mkdir()
    else:
        if what == "link to a file":
            (tmp_path / "there").touch()
        elif what == "link to a stale socket":
            stale(tmp_path / "there")
        path.symlink_to(tmp_path / "there")
    before = files(tmp_path)
    with pytest.raises(ListenError, match="exists and is not a socket"):
        sockets.unix(str(path))
    assert files(tmp_path) == before


# -- Who may connect ----------------------------------------------------------------------------------------------------------

# Ids of nobody on a usual machine: only a privileged user can give something to them.
OWNER = 4_100_001
GROUP = 4_100_002

privileged = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")


def stale(path: Path, mode: int = 0o777, owner: int = -1, group: int = -1) -> None:
    """Leave a socket as a dead server does."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    os.chown(path, owner, group)
    path.chmod(mode)


def files(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return inode, type with mode, and owner of everything in a folder."""
    return {path.name: (s.st_ino, s.st_mode, s.st_uid) for path in folder.iterdir() for s in [path.lstat()]}


def access(path: Path) -> tuple[int, int, int]:
    """Return permissions, owner and group."""
    status = path.stat()
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid


def test_unix_fresh_may_be_used_by_everybody(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with sockets.unix(str(path)):
        assert access(path) == (0o666, os.geteuid(), os.getegid())


@pytest.mark.parametrize(
    ("mode", "permissions"), [("660", 0o660), ("0660", 0o660), ("0o660", 0o660), ("222", 0o222), ("000", 0)]
)
@pytest.mark.parametrize("umask", [0, 0o777])
def test_unix_with_a_mode_has_exactly_that(tmp_path: Path, mode: str, permissions: int, umask: int) -> None:
    path = tmp_path / "x.sock"
    before = os.umask(umask)
    try:
        with sockets.unix(str(path), mode):
            assert access(path)[0] == permissions
    finally:
        os.umask(before)


def test_unix_cannot_be_connected_to_before_it_listens(tmp_path: Path) -> None:
    """So its mode holds for whoever comes, however wide it was when it was bound."""
    path = tmp_path / "x.sock"
    with sockets.unix(str(path), "600"), socket.socket(socket.AF_UNIX) as client:
        with pytest.raises(ConnectionRefusedError):
            client.connect(str(path))
        assert access(path)[0] == 0o600


@pytest.mark.parametrize("mode", [0o660, 0o600, 0o000, 0o777])
def test_unix_that_replaces_a_stale_socket_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "x.sock"
    stale(path, mode)
    with sockets.unix(str(path)):
        assert access(path)[0] == mode
    assert list(files(tmp_path)) == ["x.sock"]


@privileged
def test_unix_that_replaces_a_stale_socket_keeps_its_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    stale(path, 0o660, OWNER, GROUP)
    with sockets.unix(str(path)):
        assert access(path) == (0o660, OWNER, GROUP)


@privileged
def test_unix_that_everybody_may_use_belongs_to_who_made_it(tmp_path: Path) -> None:
    """It could not be kept by everybody, and need not be."""
    path = tmp_path / "x.sock"
    stale(path, 0o666, OWNER, GROUP)
    with sockets.unix(str(path)):
        assert access(path) == (0o666, os.geteuid(), os.getegid())


@privileged
def test_unix_options_go_before_what_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    stale(path, 0o660, OWNER, GROUP)
    with sockets.unix(str(path), "600", str(OWNER + 5), "0"):
        assert access(path) == (0o600, OWNER + 5, 0)
    with sockets.unix(str(path), "640"):
        assert access(path) == (0o640, OWNER + 5, 0)


@privileged
def test_unix_with_names_belongs_to_them(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    user, group = pwd.getpwall()[-1], grp.getgrall()[-1]
    with sockets.unix(str(path), "660", user.pw_name, group.gr_name):
        assert access(path) == (0o660, user.pw_uid, group.gr_gid)


@pytest.mark.parametrize(
    ("owner", "group", "message"),
    [
        ("no-such-user", None, "^--uds-owner must be a user of this machine, got 'no-such-user'; "),
        ("4294967295", None, "^--uds-owner must be a user of this machine, got '4294967295'; "),
        (None, "no-such-group", "^--uds-group must be a group of this machine, got 'no-such-group'; "),
        (None, "99999999999", "^--uds-group must be a group of this machine, got '99999999999'; "),
    ],
)
def test_unix_with_names_of_nobody_is_refused_before_it_is_bound(
    tmp_path: Path, owner: str | None, group: str | None, message: str
) -> None:
    path = tmp_path / "x.sock"
    stale(path)
    before = files(tmp_path)
    with pytest.raises(ListenError, match=message):
        sockets.unix(str(path), None, owner, group)
    assert files(tmp_path) == before


def _not_permitted(*_: object, **__: object) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


@privileged
def test_unix_whose_owner_cannot_be_kept_is_refused_and_the_stale_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it was: a second try, by a service manager, does not find room for a socket that everybody may use."""
    path = tmp_path / "x.sock"
    stale(path, 0o660, OWNER, GROUP)
    before = files(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "chown", _not_permitted)
        for _ in range(2):
            with pytest.raises(ListenError, match=r"owner \d+ and group \d+ .*not permitted.*--uds-owner"):
                sockets.unix(str(path))
    assert files(tmp_path) == before


def test_unix_whose_owner_cannot_be_set_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "chown", _not_permitted)
    with pytest.raises(ListenError, match=r"not permitted.*--uds-owner"):
        sockets.unix(str(tmp_path / "x.sock"), None, str(OWNER))
    assert files(tmp_path) == {}


def test_unix_that_another_user_guards_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a server uses it, we may not find out; that it does is not said."""
    path = tmp_path / "x.sock"
    stale(path)
    before = files(tmp_path)
    monkeypatch.setattr(socket.socket, "connect_ex", lambda *_: errno.EACCES)
    with pytest.raises(ListenError, match="Permission denied; choose a path that you may write to"):
        sockets.unix(str(path))
    assert files(tmp_path) == before


def test_unix_that_belongs_to_us_needs_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.sock"
    stale(path, 0o660)
    monkeypatch.setattr(os, "chown", _not_permitted)
    with sockets.unix(str(path), None, str(os.geteuid()), str(os.getegid())):
        assert access(path) == (0o660, os.geteuid(), os.getegid())


def test_inherited_listening_socket_is_returned() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = sockets.inherited(os.dup(listener.fileno()))
        with sock:
            assert sock.getsockname() == listener.getsockname()


def test_inherited_descriptor_of_something_else_raises(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match=r"^--fd must be a listening socket, got file descriptor 999: "):
        sockets.inherited(999)
    with (tmp_path / "x").open("w") as file:
        with pytest.raises(
            ListenError, match=r"^--fd must be a listening socket, got file descriptor .* on non-socket; "
        ):
            sockets.inherited(file.fileno())
        assert not file.closed
        file.write("still ours")
    with socket.socket() as sock:
        with pytest.raises(ListenError, match=r"^--fd must be a listening socket, got .* not listening; "):
            sockets.inherited(sock.fileno())
        assert sock.fileno() >= 0
        sock.bind(("127.0.0.1", 0))


def test_descriptor_wins_over_path_and_path_over_address(tmp_path: Path) -> None:
    where = sockets.Listening("127.0.0.1", 0, None, None, None, None, None, 10)
    (tcp,) = sockets.opened(where)
    tcp.listen()
    path = str(tmp_path / "socket")
    (unix,) = sockets.opened(where._replace(uds=path, uds_mode="600"))
    (inherited,) = sockets.opened(where._replace(uds=path, fd=os.dup(tcp.fileno())))
    with tcp, unix, inherited:
        assert unix.getsockname() == path
        assert inherited.getsockname() == tcp.getsockname()

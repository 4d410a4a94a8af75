"""A server within a program of its own, and `bide.run`."""

import asyncio
import logging
import signal
import ssl
import subprocess
import sys
import textwrap
import urllib.request
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest

import bide
from bide import env_file
from bide.errors import ApplicationError, ConfigError, LifespanError, ListenError
from bide.server.server import loop_factory
from tests.support.apps import Lifespan, hello
from tests.support.client import Client
from tests.support.program import await_socket
from tests.support.server import Log, log, sockets
from tests.support.waiting import PATIENCE

__all__ = ["log"]  # a fixture


def read(url: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=PATIENCE) as response:
        content: bytes = response.read()
    return content


def test_server_within_a_program_serves_and_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    before = sockets()

    async def program() -> None:
        async with bide.Server(hello, port=0) as server:
            assert server.url == server.urls[0]
            assert await asyncio.to_thread(read, server.url) == b"hello\n"
            assert server.worker.snapshot()["opened"] == 1

    asyncio.run(program())
    assert '"GET / HTTP/1.1" 200 6' in capsys.readouterr().out
    assert sockets() - before == set()


def test_server_asked_before_the_start_raises_and_after_the_stop_answers() -> None:
    server = bide.Server(hello, port=0, access_log=False)
    questions: list[Callable[[], object]] = [lambda: server.url, lambda: server.urls, server.worker.snapshot]

    def answers() -> list[object]:
        return [ask() for ask in questions]

    for ask in questions:
        with pytest.raises(RuntimeError, match="the server has not started"):
            ask()

    async def program() -> list[object]:
        async with server:
            assert await asyncio.to_thread(read, server.url) == b"hello\n"
            return answers()

    url, urls, _ = asyncio.run(program())
    assert answers()[:2] == [url, urls]
    assert server.worker.snapshot()["opened"] == 1
    assert sum(server.worker.snapshot()["closed"].values()) == 1


def test_server_asked_after_a_failed_start_raises() -> None:
    async def program() -> None:
        for server, error in (
            (bide.Server(Lifespan("startup"), port=0), LifespanError),
            (bide.Server(hello, host="192.0.2.1", port=0), ListenError),
        ):
            with pytest.raises(error):
                await server.worker.start()
            with pytest.raises(RuntimeError, match="the server has not started"):
                _ = server.url

    asyncio.run(program())


def test_servers_in_one_program_serve_beside_each_other() -> None:
    async def program() -> None:
        async with (
            bide.Server(hello, port=0, access_log=False) as one,
            bide.Server(hello, port=0, access_log=False) as two,
        ):
            assert one.url != two.url
            for server in (one, two):
                assert await asyncio.to_thread(read, server.url) == b"hello\n"

    asyncio.run(program())


def test_servers_in_turn_on_one_port_serve() -> None:
    async def program() -> None:
        port = 0
        for _ in range(3):
            async with bide.Server(hello, port=port, access_log=False) as server:
                port = int(server.url.rpartition(":")[2])
                assert await asyncio.to_thread(read, server.url) == b"hello\n"

    asyncio.run(program())


def test_error_within_the_program_goes_through_and_stops_the_server() -> None:
    """The error of the program goes through, and the server is stopped."""
    app = Lifespan()
    before = sockets()

    async def program() -> None:
        async with bide.Server(app, port=0, access_log=False):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(program())
    assert app.seen == ["startup", "shutdown"]
    assert sockets() - before == set()


def test_server_that_cannot_start_raises_and_leaves_nothing() -> None:
    before = sockets()

    async def program(server: bide.Server) -> None:
        async with server:
            raise AssertionError("it has started")

    with pytest.raises(LifespanError, match="no luck today"):
        asyncio.run(program(bide.Server(Lifespan("startup"), port=0)))
    with pytest.raises(ListenError):
        asyncio.run(program(bide.Server(hello, host="192.0.2.1", port=0)))
    with pytest.raises(ConfigError):
        bide.Server(hello, port=-1)
    with pytest.raises(ConfigError):
        bide.Server(hello, close_for=("nonsense",))
    with pytest.raises(ConfigError):
        bide.Server(hello, color="red")
    assert sockets() - before == set()


def test_cancelled_program_stops_its_server() -> None:
    app = Lifespan()

    async def program() -> None:
        started = asyncio.Event()

        async def within() -> None:
            async with bide.Server(app, port=0, access_log=False):
                started.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(within())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(program())
    assert app.seen == ["startup", "shutdown"]


def test_cancelled_again_and_again_server_stops_whole() -> None:
    """Anyio cancels in each pass of the event loop, not only once more. The server stops at once, and leaves nothing."""
    app = Lifespan()
    answered = []
    begun = asyncio.Event()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            answered.append("cancelled")
            raise

    async def program() -> None:
        with anyio.CancelScope() as scope:
            async with bide.Server(endless, port=0, access_log=False) as server:
                url = urlsplit(server.url)
                _, writer = await asyncio.open_connection(url.hostname, url.port)
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await begun.wait()
                scope.cancel()
                await asyncio.Event().wait()
        assert scope.cancelled_caught
        writer.close()
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert left == []
        assert server.worker.snapshot()["states"] == dict.fromkeys(server.worker.snapshot()["states"], 0)

    asyncio.run(program())
    assert app.seen == ["startup", "shutdown"]
    assert answered == ["cancelled"]


class Starting:
    """An application whose startup takes until `may_start`. `seen`: what it got to."""

    def __init__(self) -> None:
        self.may_start = asyncio.Event()
        self.seen: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        self.seen.append("starting")
        try:
            await self.may_start.wait()
            self.seen.append("started")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await asyncio.sleep(0)
            self.seen.append("stopped")
            await send({"type": "lifespan.shutdown.complete"})
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            self.seen.append("cancelled")
            raise


async def entered(server: bide.Server) -> None:
    async with server:
        raise AssertionError("it has started")


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # what comes to hold is the application's
        await asyncio.sleep(0.001)


def left() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


def test_entry_cancelled_before_startup_completes_in_time_cleans_up(log: Log) -> None:
    app = Starting()
    before = sockets()

    async def program() -> None:
        entering = asyncio.create_task(entered(bide.Server(app, port=0)))
        await until(lambda: app.seen)
        entering.cancel()
        await asyncio.sleep(0)
        app.may_start.set()
        with pytest.raises(asyncio.CancelledError):
            await entering
        assert left() == []

    asyncio.run(program())
    assert app.seen == ["starting", "started", "stopped"]
    assert sockets() - before == set()
    assert log.messages() == ["startup completed after the stop had begun: the application cleans up"]


def test_entry_cancelled_startup_that_takes_longer_is_cancelled(log: Log) -> None:
    log.expect("^startup cancelled: not complete 1 s after the stop had begun$")
    app = Starting()

    async def program() -> None:
        entering = asyncio.create_task(entered(bide.Server(app, port=0)))
        await until(lambda: app.seen)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        assert left() == []

    asyncio.run(program())
    assert app.seen == ["starting", "cancelled"]
    assert len(log.messages()) == 1


def test_entry_cancelled_again_and_again_cancels_startup_at_once(log: Log) -> None:
    """As anyio does, in each pass of the event loop: nothing of the application is left running."""
    log.expect("^startup cancelled: not complete when the stop was forced$")
    app = Starting()

    async def program() -> None:
        with anyio.CancelScope() as scope:
            asyncio.get_running_loop().call_later(0.1, scope.cancel)
            await entered(bide.Server(app, port=0))
        assert scope.cancelled_caught
        assert left() == []

    asyncio.run(program())
    assert app.seen == ["starting", "cancelled"]


@pytest.mark.parametrize("passes", range(12))
def test_entry_cancelled_just_as_startup_completes_leaves_nothing(log: Log, passes: int) -> None:
    """In whichever pass of the event loop: the server has started and is left, or it is stopped."""
    app = Starting()
    before = sockets()

    async def program() -> bool:
        async def within() -> None:
            async with bide.Server(app, port=0, access_log=False):
                await asyncio.sleep(60)

        entering = asyncio.create_task(within())
        await until(lambda: app.seen)
        app.may_start.set()
        for _ in range(passes):
            await asyncio.sleep(0)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        assert left() == []
        return True

    assert asyncio.run(program())
    assert app.seen == ["starting", "started", "stopped"]
    assert sockets() - before == set()


# -- bide.run ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["app", '"program:app"'])
def test_run_serves_until_a_signal_and_returns(tmp_path: Path, name: str) -> None:
    (tmp_path / "program.py").write_text(
        textwrap.dedent(f"""
            import bide

            async def app(scope, receive, send):
                assert scope["type"] == "http"
                await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}})
                await send({{"type": "http.response.body", "body": b"ok"}})

            if __name__ == "__main__":
                bide.run({name}, uds={str(tmp_path / "x.sock")!r}, access_log=False)
                print("after")
        """)
    )
    process = subprocess.Popen([sys.executable, "program.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        await_socket(process, tmp_path / "x.sock")
        with Client(str(tmp_path / "x.sock")) as client:
            assert client.get().content == b"ok"
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE)
        assert out == "after\n"
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_run_puts_signal_handlers_back(tmp_path: Path, loop: str) -> None:
    """A signal stops the program after the server as it did before."""
    (tmp_path / "program.py").write_text(
        textwrap.dedent(f"""
            import signal
            import bide

            async def app(scope, receive, send):
                raise RuntimeError

            def handler(number, frame):
                print("mine")

            signal.signal(signal.SIGTERM, handler)
            before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
            bide.run(app, uds={str(tmp_path / "x.sock")!r}, access_log=False, loop={loop!r})
            assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
            signal.raise_signal(signal.SIGTERM)
        """)
    )
    process = subprocess.Popen([sys.executable, "program.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        await_socket(process, tmp_path / "x.sock")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE)
        assert (out, process.returncode) == ("mine\n", 0)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_run_in_a_thread_serves(tmp_path: Path, loop: str) -> None:
    """Signals are for the main thread only; everything else works."""
    path = str(tmp_path / "x.sock")
    program = textwrap.dedent(f"""
        import os, threading
        import bide
        from tests.support.apps import hello
        from tests.support.client import Client

        threading.Thread(target=bide.run, args=(hello,), kwargs=dict(uds={path!r}, loop={loop!r}, access_log=False), daemon=True).start()
        while not os.path.exists({path!r}):
            pass
        while True:
            try:
                with Client({path!r}) as client:
                    print(client.get().status)
                    break
            except ConnectionRefusedError:  # bound, and not listening yet
                pass
    """)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.stdout == "200\n", done.stderr


@pytest.mark.parametrize("wrong", ["program:app", 42, len])
def test_no_application(wrong: Any) -> None:
    """The same as on the command line, and at once, not with each request."""
    with pytest.raises(ApplicationError, match=r"must be an application|must take the three arguments"):
        bide.Server(wrong)
    if wrong != "program:app":
        with pytest.raises(ApplicationError, match=r"must be an application|must take the three arguments"):
            bide.run(wrong)


def test_run_within_a_running_loop_raises() -> None:
    async def program() -> None:
        with pytest.raises(RuntimeError, match="running event loop"):
            bide.run(hello, port=0)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(program())


def test_run_that_cannot_start_raises() -> None:
    with pytest.raises(ApplicationError):
        bide.run("no_such_module_here:app")
    with pytest.raises(ConfigError):
        bide.run(hello, port=-1)
    with pytest.raises(ListenError):
        bide.run(hello, host="192.0.2.1", lifespan="off")


# -- Loops ------------------------------------------------------------------------------------------------------------------


def test_loop_factory_takes_the_loop_by_name() -> None:
    uvloop = pytest.importorskip("uvloop")
    assert loop_factory("asyncio") is None
    assert loop_factory("auto") is uvloop.new_event_loop
    assert loop_factory("uvloop") is uvloop.new_event_loop


def test_loop_factory_without_uvloop_falls_back_or_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory("auto") is None
    with pytest.raises(ApplicationError, match="must be auto or asyncio without uvloop"):
        loop_factory("uvloop")


def test_server_within_a_program_logs_to_its_own_loggers_and_leaves_the_program_s_handlers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As any library: ends of connections are news for `bide.connection` at debug, and for nobody above it."""
    root = logging.getLogger()
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    keep = Keep()
    monkeypatch.setattr(root, "handlers", [keep])
    before = root.level, [*logging.getLogger("bide").handlers]

    async def abort() -> None:
        async with bide.Server(hello, port=0, access_log=False) as server:
            for _ in range(5):
                _, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
                writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                writer.transport.abort()
            while sum(server.worker.snapshot()["closed"].values()) < 5:
                await asyncio.sleep(0.01)  # the kernel reports the resets in its own time

    monkeypatch.setattr(root, "level", logging.INFO)
    logging.getLogger("bide").setLevel(logging.NOTSET)
    asyncio.run(abort())
    assert [record.getMessage() for record in records if record.name != "bide"] == []
    assert (logging.INFO, [*logging.getLogger("bide").handlers]) == (root.level, before[1])
    assert root.handlers == [keep]


# -- Several workers ----------------------------------------------------------------------------------------------------------


def test_server_within_a_program_has_one_worker() -> None:
    with pytest.raises(ConfigError, match=r"^workers must be 1 without limits in a Server, got 3; use bide.run"):
        bide.Server(hello, workers=3)


def test_several_workers_need_the_name_of_the_application() -> None:
    with pytest.raises(
        ApplicationError, match=r"^the application must be given as 'module:attribute' to several workers"
    ):
        bide.run(hello, workers=2, port=0)


def test_front_ends_may_be_named_in_the_environment_of_a_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found: list[bide.Config] = []
    monkeypatch.setattr("bide.server.server.run_configured", lambda app, config, *_: found.append(config))
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "192.0.2.1")
    bide.run(hello)
    monkeypatch.delenv("FORWARDED_ALLOW_IPS")
    (tmp_path / "env").write_text("FORWARDED_ALLOW_IPS=192.0.2.2")
    try:
        bide.run(hello, env_file=str(tmp_path / "env"))
    finally:
        (tmp_path / "env").write_text("")
        env_file.load(str(tmp_path / "env"))
    assert [config.forwarded_allow_ips for config in found] == ["192.0.2.1", "192.0.2.2"]


def test_several_workers_cannot_be_handed_a_function_that_makes_their_context() -> None:
    with pytest.raises(ConfigError, match=r"^ssl_context_factory must be left out for several workers"):
        bide.run(
            "module:app", workers=2, port=0, ssl_context_factory=lambda *_: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        )


def test_several_workers_from_a_script_serve(tmp_path: Path) -> None:
    """The script that runs them may hold the application, if it guards the call."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import bide

            async def app(scope, receive, send):
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"from a script"})

            if __name__ == "__main__":
                bide.run("script:app", workers=2, uds="socket", lifespan="off")
            """
        )
    )
    process = subprocess.Popen([sys.executable, "script.py"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "serving on" not in (line := process.stderr.readline()):
        assert line
    with Client(str(tmp_path / "socket")) as client:
        assert client.get().content == b"from a script"
    process.terminate()
    assert process.wait(PATIENCE) == 0
    process.stderr.close()

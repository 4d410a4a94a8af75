"""Asking a server that runs: which one, and how its status is shown. What it answers: `test_control.py`."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from bide.errors import StartError
from bide.supervisor.remote import ask, described, only


def test_only_server_that_runs_is_found(tmp_path: Path) -> None:
    dead, one, other = (str(tmp_path / name) for name in ("dead", "one", "other"))
    with socket.socket(socket.AF_UNIX) as gone, socket.socket(socket.AF_UNIX) as first:
        gone.bind(dead)
        first.bind(one)
        first.listen()
        assert only([dead, one]) == one
        with socket.socket(socket.AF_UNIX) as second:
            second.bind(other)
            second.listen()
            with pytest.raises(StartError, match=f"^--control must name one of 2 servers: {one}, {other}$"):
                only([dead, one, other])
    with pytest.raises(StartError, match=r"^no control socket of a server found; name it: --control PATH$"):
        only([dead])


def test_answer_that_is_no_json_raises(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()

        def answer() -> None:
            accepted, _ = listening.accept()
            with accepted:
                accepted.recv(1000)
                accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(StartError, match="--control must be the socket of a server that runs"):
            ask(path, "GET", "/status")
        thread.join()


def test_status_is_a_line_and_a_table() -> None:
    worker = {
        "worker": 1,
        "process": 4242,
        "state": "ready",
        "generation": 2,
        "age": 5.0,
        "connections": 3,
        "requests": 70,
        "memory": 1 << 20,
    }
    status = {
        "state": "serving",
        "urls": ["http://127.0.0.1:8000"],
        "process": 4000,
        "generation": 2,
        "wanted": 2,
        "version": "1.0",
        "reload_failed": "no such module",
        "workers": [worker],
    }
    assert described(status).splitlines() == [
        "serving on http://127.0.0.1:8000, process 4000, generation 2, 2 workers wanted, bide 1.0",
        "the last reload failed: no such module",
        "worker  process  state  generation  age  connections  requests   memory",
        "     1     4242  ready           2  5.0            3        70  1048576",
    ]
    assert "failed" not in described(status | {"reload_failed": None})

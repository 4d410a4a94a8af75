"""Relays between client and server, and holds octets, ends and resets back for a while, as a network does."""

from __future__ import annotations

import select
import socket
import struct
import threading
from types import TracebackType
from typing import Self

from tests.support.client import Where
from tests.support.waiting import PATIENCE, pause

RESET = struct.pack("ii", 1, 0)


class Relay:
    """Listens, and carries each connection to `to`, every read `delay` seconds late, with small buffers."""

    def __init__(self, to: Where, *, delay: float) -> None:
        """Listen."""
        assert not isinstance(to, str)
        self._to = to
        self._delay = delay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._stopping = False
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    @property
    def where(self) -> Where:
        """Where it listens."""
        host, port = self._listener.getsockname()
        return host, port

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        self._acceptor.join(PATIENCE)
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while not self._stopping:
            if not select.select([self._listener], [], [], 0.05)[0]:
                continue
            down, _ = self._listener.accept()
            up = socket.create_connection(self._to)
            thread = threading.Thread(target=self._carry_both, args=(down, up), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _carry_both(self, down: socket.socket, up: socket.socket) -> None:
        with down, up:
            for sock in (down, up):
                sock.settimeout(PATIENCE)
            there = threading.Thread(target=self._carry, args=(down, up), daemon=True)
            there.start()
            self._carry(up, down)
            there.join()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while True:
                octets = source.recv(1 << 20)
                pause(self._delay)
                if not octets:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(octets)
        except OSError:  # what resets one side resets the other
            for sock in (source, sink):
                try:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    sock.shutdown(socket.SHUT_RD)
                except OSError:
                    pass

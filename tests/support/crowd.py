"""Plays clients that ask again and again, and notices every request that gets no answer."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import TracebackType
from typing import Self

from tests.support.client import Client, Where
from tests.support.waiting import PATIENCE, until

#: A body that the answer must repeat.
BODY = b"a body that comes back" * 10


class Crowd:
    """Clients on persistent connections that send POST requests, and clients with a connection for each request.

    answers: number of requests answered.
    lost: what happened to each request that was sent and not answered.
    refused: connections that were refused.
    closes: responses on persistent connections that announced close.
    by_content: answers, by the content of those to clients with a connection for each request.
    """

    def __init__(
        self, where: Where, *, persistent: int = 24, single: int = 4, pace: float = 0.0, until_refused: bool = False
    ) -> None:
        """Begin.

        pace: seconds from an answer to the next request of the same client.
        until_refused: whether a client ends once it is refused; otherwise being refused is a loss.
        """
        self.where = where
        self.answers = 0
        self.closes = 0
        self.refused = 0
        self.lost: list[str] = []
        self.by_content: Counter[bytes] = Counter()
        self._pace = pace
        self._until_refused = until_refused
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._persist, daemon=True) for _ in range(persistent)]
        self._threads += [threading.Thread(target=self._ask_once, daemon=True) for _ in range(single)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Let every client end after its present request."""
        self._is_over.set()
        self.join()

    def join(self) -> None:
        """Wait until every client has ended."""
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def go_on(self, answers: int = 200) -> None:
        """Wait for some more answers."""
        goal = self.answers + answers
        until(lambda: self.answers >= goal or self.lost, message=lambda: (self.answers, self.lost))

    def _connect(self) -> Client | None:
        try:
            return Client(self.where)
        except (ConnectionRefusedError, FileNotFoundError) as error:
            with self._lock:
                self.refused += 1
                if not self._until_refused and not self._is_over.is_set():
                    self.lost.append(repr(error))
            return None

    def _persist(self) -> None:
        while not self._is_over.is_set():
            client = self._connect()
            if client is None:
                return
            with client:
                says_close = False
                while not says_close and not self._is_over.is_set():
                    try:
                        response = client.get("/echo", method="POST", body=BODY)
                        assert response.content == BODY, response
                    except Exception as error:
                        self._lose(error)
                        break
                    says_close = response.says_close
                    with self._lock:
                        self.answers += 1
                        self.closes += says_close
                    self._rest()

    def _ask_once(self) -> None:
        while not self._is_over.is_set():
            client = self._connect()
            if client is None:
                return
            with client:
                try:
                    response = client.get("/", "Connection: close")
                except Exception as error:
                    self._lose(error)
                    continue
                with self._lock:
                    self.answers += 1
                    self.by_content[response.content] += 1
            self._rest()

    def _rest(self) -> None:
        if self._pace:
            self._is_over.wait(self._pace)

    def _lose(self, error: Exception) -> None:
        with self._lock:
            self.lost.append(f"{error!r} at {time.monotonic():.3f}")

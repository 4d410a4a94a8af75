"""A connection as a worker sees it, played by a test."""

from typing import Final

from bide.managed import ManagedConnection
from bide.terms import CloseReason, State
from tests.support.builds import require_interpreted

require_interpreted()

NOBODY: Final = ("192.0.2.1", 4000)


class StubConnection(ManagedConnection):
    """Is what a test says it is, and keeps the orders it gets.

    calls: orders, in sequence.
    asked: the arguments of each call of `may_be_shed`.
    is_idle: whether it may be shed, until it is.
    fails: whether looks at it raise.
    sheds: what `shed` returns.
    wait: seconds of the last `shorten_wait`; infinity before.
    """

    def __init__(
        self,
        deadline: float = float("inf"),
        *,
        host: str = "192.0.2.1",
        state: State = State.IDLE,
        since: float = 0.0,
        idle: bool = True,
        sheds: bool = True,
        fails: bool = False,
    ) -> None:
        self.deadline = deadline
        self.place = 0
        self.calls: list[str] = []
        self.asked: list[tuple[float, float]] = []
        self.fails = fails
        self.sheds = sheds
        self.is_shed = False
        self.wait = float("inf")
        self._host = host
        self._state = state
        self._since = since
        self.is_idle = idle

    def _called(self, order: str) -> None:
        self.calls.append(order)
        if self.fails:
            raise RuntimeError("a bug of ours")

    def octets_received(self, data: bytes) -> None:
        raise NotImplementedError

    def ready(self) -> None:
        pass

    def introduced(self) -> None:
        pass

    def rejected(self, reason: CloseReason, detail: str, is_plain: bool) -> None:
        pass

    def go_on(self) -> None:
        pass

    def eof_received(self) -> None:
        raise NotImplementedError

    def write_paused(self) -> None:
        raise NotImplementedError

    def write_resumed(self) -> None:
        raise NotImplementedError

    def flushed(self) -> None:
        raise NotImplementedError

    def lost(self) -> None:
        raise NotImplementedError

    @property
    def state(self) -> State:
        return self._state

    @property
    def requests(self) -> int:
        return 1

    @property
    def host(self) -> str:
        return self._host

    @property
    def waiting_since(self) -> float:
        return self._since

    @property
    def is_unfinished(self) -> bool:
        return self._state is State.EXCHANGE

    def may_be_shed(self, now: float, newcomer: float) -> bool:
        self.asked.append((now, newcomer))
        return self.is_idle and not self.is_shed

    def deadline_reached(self, now: float) -> None:
        self._called("deadline")

    def watch_output(self, now: float) -> None:
        self._called("output")

    def watch_peer(self, now: float) -> None:
        self._called("peer")

    def shed(self) -> bool:
        self._called("shed")
        self.is_shed = self.sheds
        return self.sheds

    def refuse(self) -> None:
        self._called("refuse")

    def announce_drain(self) -> None:
        self._called("announce_drain")

    def drain_tunnel(self) -> None:
        self._called("drain_tunnel")

    def end_stream(self) -> None:
        self._called("end_stream")

    def shorten_wait(self, seconds: float) -> None:
        self.wait = seconds

    def stop(self) -> None:
        self._called("stop")

    def fail_internal(self) -> None:
        self.calls.append("fail_internal")

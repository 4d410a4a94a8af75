"""An event loop with a time of its own, so that no test waits for real time."""

import asyncio
import selectors
from typing import Final

#: Loop time at which every test begins, seconds.
START: Final = 1000.0

#: Loop time that a pass of the event loop takes, seconds: as little as its timers can tell apart. If it took none, code that
#: waits for the rest of a time, and is woken a rounding error too early, would wait for ever.
PASS: Final = 1e-9

#: Passes in a row, each with a descriptor that is ready, after which nobody is taken to read it.
MANY_READY: Final = 100_000


class _Selector(selectors.SelectSelector):
    """Looks at descriptors without waiting; what the loop would have waited is added to `now`.

    now: loop time, seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self._ready = 0  # passes in a row

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        self._ready = self._ready + 1 if ready else 0
        if self._ready > MANY_READY:
            raise RuntimeError("a descriptor stays ready, so time does not jump: read it, or run single passes")
        if ready:
            self.now += PASS
        elif timeout is None:
            raise RuntimeError("the test waits for something that no timer and no descriptor will bring about")
        else:
            self.now += max(PASS, timeout)
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """Runs as asyncio's loop does. Its time stands still while callbacks run, and jumps to the next timer when none is ready.

    Compare times with a tolerance: each pass takes `PASS`.

    A wait that would never end raises RuntimeError, as do descriptors that stay ready: time does not jump beside them.
    """

    def __init__(self) -> None:
        self._clock: Final = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now

    @property
    def elapsed(self) -> float:
        """Seconds since the loop was made."""
        return self._clock.now - START

    def block(self, seconds: float) -> None:
        """Let `seconds` pass in which the loop does not turn."""
        self._clock.now += seconds

    def run_for(self, seconds: float) -> None:
        """Run for `seconds` of loop time."""
        self.run_until_complete(asyncio.sleep(seconds))

    def run_pass(self) -> None:
        """Run a pass, with what is ready before it."""
        self.call_soon(self.stop)
        self.run_forever()

    def close(self) -> None:
        """Cancel what still runs, then close."""
        if not self.is_closed():
            left = asyncio.all_tasks(self)
            for task in left:
                task.cancel()
            if left:
                self.run_until_complete(asyncio.wait(left))
        super().close()

"""Thousands of idle connections take little memory each, and others are served beside them.

1. As many connections as the descriptor limit allows, 20,000 at most, each with one request answered, from several addresses.
2. Each costs less than 600 octets of memory.
3. A busy client among them is served.
4. They time out together while other clients are served, and everything is as before.

What this takes of the processor, and what the busy client notices, `python -m bench.idle` prints; `python -m bench.limits` holds it to
its limits.
"""

import pytest

from tests.support.abuse import Child, crowd, ended, room

WANTED = 20_000
#: The idle timeout where all of them are to end, seconds.
IDLE = 5.0
#: Fewer prove nothing.
ENOUGH = 2_000
#: Octets for each: less than a page.
MOST = 600


@pytest.mark.timeout(300)
def test_idle_connections_by_the_thousand_are_small(loop: str) -> None:
    connections = room(WANTED)
    if connections < ENOUGH:
        pytest.skip(f"the descriptor limit allows only {connections} connections: raise it (ulimit -n)")
    with Child(loop, backlog=4096, timeout_idle_least=75.0) as server:
        with crowd(server.where, 200):
            pass
        before = server.empty()
        with crowd(server.where, connections):
            server.until(lambda now: now["states"]["idle"] == connections)
            after = server.ask()
            assert (after["memory"] - before["memory"]) / connections < MOST
            with server.client() as busy:
                for _ in range(200):
                    assert busy.get().status == 200
        after = server.empty()
        assert ended(after) == {"client_eof_idle": connections + 201}
        assert after["descriptors"] == before["descriptors"]


@pytest.mark.timeout(300)
def test_idle_connections_that_time_out_together_end(loop: str) -> None:
    """All of them time out in the same moment, as after a deployment in front of the server."""
    connections = min(4_000, room(4_000))
    if connections < ENOUGH:
        pytest.skip(f"the descriptor limit allows only {connections} connections: raise it (ulimit -n)")
    with Child(loop, backlog=4096, timeout_idle=IDLE, timeout_idle_least=IDLE) as server:
        others = 0
        with crowd(server.where, connections):
            while ended(server.ask()).get("idle_timeout") != connections:
                with server.client() as other:  # a new one each time: on a busy machine it, too, could time out
                    assert other.get().status == 200
                others += 1
        after = server.empty()
        ends = ended(after)
        assert ends["idle_timeout"] == connections
        # On a busy machine the loop may lag, so that close is announced to a new one.
        assert ends.get("client_eof_idle", 0) + ends.get("pressure", 0) == others
        assert sum(ends.values()) == connections + others
        assert after["race_lost"] == 0


def test_memory_of_ended_connections_is_used_again(loop: str) -> None:
    """Memory that was given back inside the process may stay with it, but it is used again."""
    with Child(loop, backlog=4096) as server:
        held = []
        for _ in range(5):
            with crowd(server.where, 1_000):
                pass
            held.append(server.empty()["memory"])
        assert held[-1] - held[1] < 1_000_000

"""Connections retire by age or by requests served: announced, so that nothing is lost, and spread, so that they do not all go at once.

1. 40 clients connect together and ask regularly. At an age of 1 s, jitter of a tenth to either side, each is told to close on a
   response, between 0.9 and 1.1 s, and not all in the same moment.
2. The same after 40 requests: between 36 and 44.
"""

import contextlib
import time

from tests.support.abuse import balanced
from tests.support.apps import hello
from tests.support.client import request
from tests.support.server import NOISE, Serve
from tests.support.waiting import pause

CLIENTS = 40


def test_connections_at_their_age_are_told_to_close_spread_out(serve: Serve) -> None:
    server = serve(hello, limit_age=1.0)
    with contextlib.ExitStack() as stack:
        born = []
        clients = []
        for _ in range(CLIENTS):
            born.append(time.monotonic())
            clients.append(stack.enter_context(server.client()))
        ages = []
        waiting = dict(zip(clients, born, strict=True))
        while waiting:
            for client, since in list(waiting.items()):
                asked = time.monotonic()
                if client.get().says_close:
                    ages.append((asked - since, time.monotonic() - since))
                    assert client.ending().how == "fin"
                    del waiting[client]
            pause(0.005)
        assert min(until for _, until in ages) >= 0.9
        assert max(asked for asked, _ in ages) <= 1.1 + NOISE
        assert len({round(asked, 2) for asked, _ in ages}) > 5, "spread"
        balanced(server)
    assert server.ends() == {"age_limit": CLIENTS}


def test_connections_at_their_request_limit_are_told_to_close_spread_out(serve: Serve) -> None:
    server = serve(hello, limit_requests=40)
    served = []
    for _ in range(CLIENTS):
        with server.client() as client:
            client.send(request() * 50)
            count = 1
            while not client.response().says_close:
                count += 1
            assert client.ending().rest == b""
            served.append(count)
    assert min(served) >= 36
    assert max(served) <= 44
    assert len(set(served)) > 3, "spread"
    assert server.ends() == {"request_limit": CLIENTS}

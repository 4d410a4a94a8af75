"""Many clients at once send bodies in any pieces: the application gets each body whole.

1. Each client sends requests, pipelined or not, whose bodies have a length or are chunked, cut into pieces of any size.
2. The application reads each body slowly, quickly or not until it is in, and answers with what it has read.
"""

import asyncio
import hashlib
import random

import pytest

from tests.support.apps import Message, Receive, Send, answer
from tests.support.client import Client, chunked, request
from tests.support.server import Serve, visited_by_many

CONNECTIONS = 50
SIZES = [0, 1, 100, 8191, 8192, 20_000, 70_000, 300_000]


async def app(scope: Message, receive: Receive, send: Send) -> None:
    chance = random.Random(scope["path"])
    digest = hashlib.sha256()
    pause = chance.choice([None, None, 0.0, 0.002])
    more = True
    while more:
        if pause is not None:
            await asyncio.sleep(pause)
        message = await receive()
        digest.update(message.get("body", b""))
        more = message.get("more_body", False)
    await answer(send, digest.hexdigest().encode())


def visit(client: Client, chance: random.Random) -> None:
    """Send some requests, in pieces that have nothing to do with where they end, and read what the application has read."""
    octets = b""
    digests = []
    for _ in range(chance.choice([1, 2, 4])):
        number, size = chance.randrange(1_000_000), chance.choice(SIZES)
        body = (b"%d;" % number * (size // 2 + 1))[:size]
        digests.append(hashlib.sha256(body).hexdigest().encode())
        if chance.random() < 0.5:
            octets += request(f"/{number}", method="POST", body=body)
        else:
            step = chance.choice([1000, 8192, 100_000])
            pieces = [body[start : start + step] for start in range(0, size, step)]
            octets += request(f"/{number}", "Transfer-Encoding: chunked", method="POST") + chunked(*pieces)
    while octets:
        size = chance.choice([1, 50, 1000, 65_536, 1_000_000])
        client.send(octets[:size])
        octets = octets[size:]
    if chance.random() < 0.3:
        client.half_close()
    for digest in digests:
        found = client.response("POST")
        assert (found.status, found.content) == (200, digest)


@pytest.mark.parametrize("seed", [1, 2])
def test_bodies_in_any_pieces_reach_the_application_whole(serve: Serve, seed: int) -> None:
    server = serve(app)

    visited_by_many(server, visit, seed, CONNECTIONS)

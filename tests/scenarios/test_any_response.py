"""Responses in any pieces, to any mixture of clients: each gets all of its own, and nothing else.

1. The number in the target decides on a response: its content, the size of its pieces, whether it has a length, and whether the
   application lets others have their turn.
2. Eight clients pipeline requests with such numbers, on connections that persist, close or are half-closed.
3. Every octet is compared with the one expected.
"""

import asyncio
import random

import pytest

from tests.support.apps import Message, Receive, Send
from tests.support.client import Client, request
from tests.support.server import Serve, visited_by_many

CONNECTIONS = 50
SIZES = [0, 0, 1, 100, 8191, 8192, 20_000, 70_000, 300_000]


def pieces(number: int) -> list[bytes]:
    """The content of a response, event by event: like that of no other response."""
    chance = random.Random(number)
    sizes = [chance.choice(SIZES) for _ in range(chance.randrange(1, 6))]
    return [(b"%d:%d;" % (number, index) * (size // 4 + 1))[:size] for index, size in enumerate(sizes)]


async def app(scope: Message, receive: Receive, send: Send) -> None:
    number = int(scope["path"][1:])
    chance = random.Random(-number)
    content = pieces(number)
    length = [(b"content-length", b"%d" % sum(map(len, content)))] if chance.random() < 0.5 else []
    await send({"type": "http.response.start", "status": 200, "headers": length})
    for index, piece in enumerate(content):
        if chance.random() < 0.2:
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": piece, "more_body": index < len(content) - 1})


def visit(client: Client, chance: random.Random) -> None:
    """Ask some questions at once, and look at every octet of the answers."""
    version = chance.choice(["1.1", "1.1", "1.0"])
    numbers = [chance.randrange(1_000_000) for _ in range(1 if version == "1.0" else chance.choice([1, 2, 5]))]
    methods = [chance.choice(["GET"] * 6 + ["HEAD"]) for _ in numbers]
    lines = ["Connection: close"] if chance.random() < 0.5 else []
    octets = b""
    for index, (number, method) in enumerate(zip(numbers, methods, strict=True)):
        last = index == len(numbers) - 1
        octets += request(f"/{number}", *(lines if last else []), method=method, version=version)
    client.send(octets)
    ends = bool(lines) or version == "1.0"
    if chance.random() < 0.3:
        client.half_close()
        ends = True
    for number, method in zip(numbers, methods, strict=True):
        found = client.response(method)
        assert found.status == 200
        assert found.content == (b"" if method == "HEAD" else b"".join(pieces(number))), number
    if ends:
        ending = client.ending()
        assert (ending.how, ending.rest) == ("fin", b"")


@pytest.mark.parametrize("seed", [1, 2])
def test_responses_in_any_pieces_reach_their_client_whole(serve: Serve, seed: int) -> None:
    server = serve(app)

    visited_by_many(server, visit, seed, CONNECTIONS)

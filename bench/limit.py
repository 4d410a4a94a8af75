"""Serves the limit: a uvloop protocol that parses nothing, and writes a fixed reply per blank line.

No server in Python is faster.
"""

import argparse
import asyncio
from typing import cast

import uvloop

from bench.apps import HELLO


class Limit(asyncio.Protocol):
    """Answers each end of a head, and knows nothing of HTTP."""

    __slots__ = ("transport",)
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(HELLO) + HELLO

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Write a reply for each end of a head."""
        self.transport.write(self.reply * data.count(b"\r\n\r\n"))


class LimitOnce(Limit):
    """Answers once, then closes."""

    __slots__ = ()
    reply = Limit.reply.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        """Write the reply, and close."""
        self.transport.write(self.reply)
        self.transport.close()


async def serve(port: int, protocol: type[Limit]) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--close", action="store_true", help="answer once per connection")
    options = parser.parse_args()
    uvloop.run(serve(options.port, LimitOnce if options.close else Limit))

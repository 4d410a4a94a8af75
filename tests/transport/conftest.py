"""Wires are tried over real sockets, on each event loop."""

from tests.support.server import log, loop

__all__ = ["log", "loop"]

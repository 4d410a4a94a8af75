"""Scenarios talk to servers over real sockets; see `tests.support`."""

from tests.support.program import launch
from tests.support.server import log, loop, serve

__all__ = ["launch", "log", "loop", "serve"]

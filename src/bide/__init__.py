"""bide: an HTTP/1.1 server for Python applications that knows when to keep a connection, when to end it, and can tell why."""

from bide.config import Config, ConfigError
from bide.gateway.lifespan import LifespanError
from bide.server.loading import ApplicationError
from bide.server.server import Server, run
from bide.transport.sockets import ListenError

__all__ = ["ApplicationError", "Config", "ConfigError", "LifespanError", "ListenError", "Server", "run"]

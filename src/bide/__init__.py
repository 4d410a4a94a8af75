"""bide: an HTTP/1.1 server for Python applications.

It knows when to keep a connection and when to end it, and it can tell why.
"""

from bide.config import Config
from bide.errors import ApplicationError, ConfigError, LifespanError, ListenError, StartError
from bide.server.server import Server, run

__all__ = ["ApplicationError", "Config", "ConfigError", "LifespanError", "ListenError", "Server", "StartError", "run"]

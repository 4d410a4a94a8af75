"""Applications are served over real sockets; see `tests.support`."""

from tests.support.program import launch as launch
from tests.support.server import log as log, loop as loop, serve as serve

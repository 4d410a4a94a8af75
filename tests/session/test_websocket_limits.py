"""The bounds of a WebSocket are those of the configuration."""

from bide.config import Config
from bide.session.websocket_limits import WebSocketLimits
from bide.worker.settings import WorkerSettings


def test_limits_are_the_options() -> None:
    settings = WorkerSettings(Config(ws_max_size=1000, ws_max_queue=5, limit_buffer=2048))
    limits: WebSocketLimits = settings.websocket_limits
    assert (limits.max_size, limits.max_queue, limits.buffer) == (1000, 5, 2048)

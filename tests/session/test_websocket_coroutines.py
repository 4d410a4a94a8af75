"""What waits for a WebSocket; `test_websocket.py` has the waits themselves, with what ends them."""

import pytest

from bide.errors import DisconnectedError
from bide.session.websocket import ServedWebSocket
from bide.session.websocket_coroutines import flowing
from bide.websocket.handshake import Handshake
from tests.support.carrier import StubCarrier
from tests.support.loops import JumpingLoop
from tests.support.stage import Stage


def served(loop: JumpingLoop) -> tuple[ServedWebSocket, StubCarrier]:
    carrier = StubCarrier()
    return ServedWebSocket(carrier, Stage(loop).context, Handshake(b"", [], b"", None)), carrier


def test_flowing_lets_others_go_first_and_raises_at_the_end(loop: JumpingLoop) -> None:
    websocket, carrier = served(loop)
    loop.run_until_complete(flowing(websocket))
    carrier.is_write_paused = True
    loop.call_later(1.0, websocket.closed)
    with pytest.raises(DisconnectedError):
        loop.run_until_complete(flowing(websocket))
    assert loop.elapsed == pytest.approx(1.0)

"""What ASGI's `websocket` scope awaits. Runs, waits and sends in vain: `test_asgi_websocket.py` has them, with the calls."""

import asyncio

import pytest

from bide.errors import DisconnectedError
from bide.gateway import asgi_websocket_coroutines
from bide.gateway.asgi_websocket import AsgiWebSocket
from bide.websocket.handshake import Handshake
from tests.support.exchanges import StubExchange, request_of
from tests.support.loops import JumpingLoop


def called() -> AsgiWebSocket:
    return AsgiWebSocket(StubExchange(request_of()), Handshake(b"", [], b"", None), 0)


def test_sends_in_vain_are_ignored_only_while_a_task_listens(
    loop: JumpingLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi_websocket_coroutines, "monotonic", loop.time)
    call = called()
    ignored = [asgi_websocket_coroutines.may_send_in_vain(call)]
    call.receivers_waiting = 1
    ignored.append(asgi_websocket_coroutines.may_send_in_vain(call))
    loop.run_for(6.0)
    ignored.append(asgi_websocket_coroutines.may_send_in_vain(call))
    assert ignored == [False, True, False]


def test_client_that_leaves_while_a_send_waits_raises_where_nobody_listens(loop: JumpingLoop) -> None:
    async def gone() -> None:
        await asyncio.sleep(0)
        raise DisconnectedError("the client is gone")

    call = called()
    with pytest.raises(DisconnectedError):
        loop.run_until_complete(asgi_websocket_coroutines.flowing(call, gone()))
    call.receivers_waiting = 1
    loop.run_until_complete(asgi_websocket_coroutines.flowing(call, gone()))

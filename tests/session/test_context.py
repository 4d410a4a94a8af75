"""What the sessions of one worker have in common."""

import logging
import time
from typing import Final

from bide import Config
from bide.http1.lifetime import IDLE
from bide.observe.counters import Counters
from bide.policy.clocks import FOREVER
from bide.session.clients import ClientFacts
from bide.session.context import SessionContext
from bide.session.rules import CloseRules
from bide.session.websocket_limits import WebSocketLimits
from bide.terms import DRAIN, KEEP_ALIVE_OFF
from bide.worker.settings import WorkerSettings, draw_limits, durations, limits
from tests.support.exchanges import request_of
from tests.support.loops import JumpingLoop
from tests.support.server import logged
from tests.support.stage import Stage, StubGateway, StubManager

#: Seconds between warnings about dropped content.
WARN_EVERY: Final = 60.0


def test_facts_of_a_context_add_up(stage: Stage) -> None:
    context = stage.context
    assert context.facts == 0
    context.add_facts(KEEP_ALIVE_OFF)
    context.add_facts(DRAIN)
    assert context.facts == KEEP_ALIVE_OFF | DRAIN


def test_octets_wait_unread_only_while_the_loop_is_blocked(stage: Stage) -> None:
    context = stage.context
    assert context.unread_since == FOREVER
    context.loop_looked_at(1000.0)
    assert context.unread_since == 1000.0


def test_connections_of_a_context_write_its_common_fields(stage: Stage) -> None:
    connection = stage.context.pool.take(0, 1)
    assert connection.state is IDLE
    connection.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    connection.respond(204, [])
    connection.send(b"", False)
    assert b"\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n" in connection.take_output()


def test_content_dropped_is_a_warning_now_and_then(stage: Stage) -> None:
    request = request_of("GET", b"/path?query")
    with logged() as log:
        stage.context.content_dropped(request, 204)
        stage.now += WARN_EVERY - 1.0
        stage.context.content_dropped(request, 204)
        stage.now += 1.0
        stage.context.content_dropped(request, 304)
    statuses = [message.partition(" was dropped")[0] for message in log.messages(logging.WARNING)]
    assert statuses == ["GET /path: content given with status 204", "GET /path: content given with status 304"]


def test_context_keeps_what_it_is_given(loop: JumpingLoop) -> None:
    config = Config()
    gateway, manager = StubGateway(), StubManager()
    bounds, clocks, idle = limits(config), durations(config), WorkerSettings(config).idle_timeout()
    draw, clients, counters = draw_limits(config), ClientFacts(CloseRules(())), Counters()
    before = time.monotonic()
    context = SessionContext(
        loop,
        gateway,
        manager,
        limits=bounds,
        durations=clocks,
        idle=idle,
        draw_limits=draw,
        clients=clients,
        counters=counters,
        access_log=None,
        websocket_limits=WebSocketLimits(1 << 20, 32, 1 << 16),
        facts=KEEP_ALIVE_OFF,
    )
    assert (context.loop, context.gateway, context.manager) == (loop, gateway, manager)
    assert (context.durations, context.idle) == (clocks, idle)
    assert (context.draw_limits, context.clients, context.counters) == (draw, clients, counters)
    assert context.access_log is None
    assert context.websocket_limits.max_size == 1 << 20
    assert context.heads.given == []
    assert context.facts == KEEP_ALIVE_OFF
    assert before <= context.clock() <= time.monotonic(), "event loops use the monotonic clock"

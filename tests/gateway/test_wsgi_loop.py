"""A call on the event loop's thread gives each piece to the exchange at once."""

from typing import Any

import pytest

from bide.errors import DisconnectedError, Misuse
from bide.exchange import DONE
from bide.gateway.wsgi_loop import LoopCall
from tests.support.exchanges import StubExchange
from tests.support.server import logged


def test_content_is_given_at_once_after_the_head() -> None:
    exchange = StubExchange()
    seen: list[object] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [("A", "b")])
        seen.append(exchange.status)
        write(b"a")
        seen.extend((exchange.status, list(exchange.fields), list(exchange.content)))
        return [b"b"]

    assert LoopCall(app, exchange, {}).run() is DONE
    assert seen == [0, 200, [(b"A", b"b")], [b"a"]]
    assert exchange.content == [b"a", b"b"]


def test_head_that_http_does_not_allow_is_refused_to_the_application() -> None:
    class Strict(StubExchange):
        def respond(self, *arguments: Any) -> None:
            raise Misuse("field name must be a token")

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [("a b", "c")])
        with pytest.raises(Misuse, match="token"):
            write(b"a")
        with pytest.raises(Misuse, match="token"):
            write(b"a")
        raise RuntimeError("no")

    with logged() as log:
        LoopCall(app, Strict(), {}).run()
    assert len(log.messages(name="bide.error")) == 1


def test_nothing_is_given_once_the_connection_is_lost() -> None:
    exchange = StubExchange()
    exchange.lose()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        with pytest.raises(DisconnectedError):
            start_response("200 OK", [])(b"a")
        return []

    with logged():
        LoopCall(app, exchange, {}).run()
    assert exchange.content == []

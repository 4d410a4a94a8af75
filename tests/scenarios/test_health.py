"""A health check that the server answers itself, so that load balancers know first (9.3).

1. While it serves, the path is answered 200; every other path goes to the application.
2. From the signal on it is answered 503 with close; requests are served on.
"""

from bide.terms import DRAIN
from tests.support.apps import Message, Receive, Send, hello
from tests.support.server import Serve


def test_health_check_is_200_and_503_with_close_during_a_drain(serve: Serve) -> None:
    asked: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        asked.append(scope["path"])
        await hello(scope, receive, send)

    server = serve(app, health_path="/healthz", drain_delay=2.0)
    with server.client() as client:
        response = client.get("/healthz")
        assert (response.status, response.says_close) == (200, False)
        assert client.get("/healthz", method="HEAD").status == 200
        assert client.get("/healthz?verbose").status == 200
        assert client.get("/healthz/").content == b"hello\n"
        assert client.get("/healthz", method="DELETE").content == b"hello\n", "no health check"
        assert asked == ["/healthz/", "/healthz"]
        server.drain()
        server.until(lambda: server.server.worker.context.facts & DRAIN)
        with server.client() as probe:
            response = probe.get("/healthz")
            assert (response.status, response.says_close) == (503, True)
        with server.client() as newcomer:
            response = newcomer.get("/")
            assert (response.status, response.says_close) == (200, True)
    server.stop()

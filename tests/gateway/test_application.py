"""What the gateways of HTTP and WebSocket share."""

from bide.gateway.application import target


def test_target_in_the_log_is_as_it_was_sent() -> None:
    assert target({"raw_path": b"/a%0Ab"}) == "/a%0Ab"

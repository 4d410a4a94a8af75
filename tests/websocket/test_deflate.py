"""Which offer of permessage-deflate is agreed to (RFC 7692, 5 and 7)."""

import pytest

from bide.websocket.deflate import negotiated


@pytest.mark.parametrize(
    ("offers", "answer"),
    [
        (b"permessage-deflate", b"permessage-deflate; server_max_window_bits=12"),
        (
            b"permessage-deflate; client_max_window_bits",
            b"permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
        ),
        (
            b"permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            b"permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12",
        ),
        (b"permessage-deflate; server_max_window_bits=10", b"permessage-deflate; server_max_window_bits=10"),
        (b"other, permessage-deflate", b"permessage-deflate; server_max_window_bits=12"),
        (b"permessage-deflate; unknown, permessage-deflate", b"permessage-deflate; server_max_window_bits=12"),
        (b"other", None),
        (b"permessage-deflate; unknown=1", None),
    ],
)
def test_first_good_offer_is_agreed_to(offers: bytes, answer: bytes | None) -> None:
    agreed = negotiated(offers)
    assert (None if agreed is None else agreed[1]) == answer


@pytest.mark.parametrize("offers", [b";", b"a;;b", b'a="', b"a b", b"\xff"])
def test_malformed_offer_raises(offers: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        negotiated(offers)

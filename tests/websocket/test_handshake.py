"""Which requests ask for a WebSocket, which are good, and what the answer holds (RFC 6455, 4)."""

from typing import Any, Final

import pytest

from bide.errors import Misuse
from bide.message import Request
from bide.websocket.handshake import Handshake, Refusal, answer_fields, examine, is_asked_for

KEY: Final = (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")  # of section 1.3
VERSION: Final = (b"sec-websocket-version", b"13")
ACCEPT: Final = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def asked(*fields: tuple[bytes, bytes], method: str = "GET", length: int = 0, upgrade: bytes = b"websocket") -> Request:
    return Request(method, b"/", b"/", b"", list(fields), 1, length, 0, False, None, upgrade)


@pytest.mark.parametrize(
    ("method", "upgrade", "asks"),
    [
        ("GET", b"websocket", True),
        ("GET", b"WebSocket", True),
        ("GET", b"h2c, websocket", True),
        ("GET", b"h2c", False),
        ("GET", b"", False),
        ("GET", b"websockets", False),
        ("POST", b"websocket", False),
    ],
)
def test_websocket_is_asked_for_by_get_and_its_token(method: str, upgrade: bytes, asks: bool) -> None:
    assert is_asked_for(asked(method=method, upgrade=upgrade)) is asks


def test_good_handshake_is_accepted_as_the_rfc_computes_it() -> None:
    handshake = examine(asked(KEY, VERSION), deflates=True)
    assert handshake == Handshake(ACCEPT, [], b"", None)


def test_subprotocols_of_all_lines_are_offered_in_order() -> None:
    offers = [(b"sec-websocket-protocol", b"chat, superchat"), (b"sec-websocket-protocol", b"third ,")]
    handshake = examine(asked(KEY, VERSION, *offers), deflates=True)
    assert isinstance(handshake, Handshake)
    assert handshake.subprotocols == ["chat", "superchat", "third"]


@pytest.mark.parametrize(
    ("fields", "length", "status"),
    [
        ([KEY], 0, 426),
        ([KEY, (b"sec-websocket-version", b"8")], 0, 426),
        ([KEY, (b"sec-websocket-version", b"13, 8")], 0, 426),
        ([KEY, VERSION, VERSION], 0, 426),
        ([VERSION], 0, 400),
        ([KEY, KEY, VERSION], 0, 400),
        ([(KEY[0], b"abc"), VERSION], 0, 400),
        ([(KEY[0], b"dGhlIHNhbXBsZSBub25j"), VERSION], 0, 400),
        ([(KEY[0], b"dGhlIHNhbXBsZSBub25jZQ"), VERSION], 0, 400),
        ([KEY, VERSION], 4, 400),
        ([KEY, VERSION], -1, 400),
        ([KEY, VERSION, (b"sec-websocket-extensions", b"a;;b")], 0, 400),
    ],
)
def test_bad_handshake_is_refused(fields: list[tuple[bytes, bytes]], length: int, status: int) -> None:
    refusal = examine(asked(*fields, length=length), deflates=True)
    assert isinstance(refusal, Refusal)
    assert refusal.status == status
    assert refusal.detail
    assert refusal.fields == ([(b"sec-websocket-version", b"13")] if status == 426 else [])


def test_extensions_are_not_read_where_none_is_agreed_to() -> None:
    handshake = examine(asked(KEY, VERSION, (b"sec-websocket-extensions", b"permessage-deflate")), deflates=False)
    assert handshake == Handshake(ACCEPT, [], b"", None)


def test_answer_has_what_was_agreed_on() -> None:
    offers = (b"sec-websocket-protocol", b"chat")
    deflate = (b"sec-websocket-extensions", b"permessage-deflate")
    handshake = examine(asked(KEY, VERSION, offers, deflate), deflates=True)
    assert isinstance(handshake, Handshake)
    assert answer_fields(handshake, "chat", [(b"x-test", b"1")]) == [
        (b"sec-websocket-accept", ACCEPT),
        (b"sec-websocket-protocol", b"chat"),
        (b"sec-websocket-extensions", b"permessage-deflate; server_max_window_bits=12"),
        (b"x-test", b"1"),
    ]


@pytest.mark.parametrize(
    ("subprotocol", "fields"),
    [
        ("other", []),
        ("", []),
        (None, [(b"Connection", b"close")]),
        (None, [(b"upgrade", b"h2c")]),
        (None, [(b"content-length", b"0")]),
        (None, [(b"transfer-encoding", b"chunked")]),
        (None, [(b"Sec-WebSocket-Extensions", b"x")]),
        (None, [(b"sec-websocket-protocol", b"chat")]),
    ],
)
def test_answer_that_the_client_did_not_ask_for_is_misuse(subprotocol: str | None, fields: Any) -> None:
    handshake = examine(asked(KEY, VERSION, (b"sec-websocket-protocol", b"chat")), deflates=False)
    assert isinstance(handshake, Handshake)
    with pytest.raises(Misuse):
        answer_fields(handshake, subprotocol, fields)

"""Judges requests for a WebSocket, and says what the answer holds: RFC 6455, section 4.2."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from bide.errors import Misuse
from bide.message import Field, Request

if TYPE_CHECKING:
    from websockets.extensions import Extension

_VERSION: Final = b"13"
_KEY_OCTETS: Final = 16  # of the key, decoded (4.1)
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # (1.3)

# Fields of the answer that the handshake itself writes.
_OWN: Final = frozenset({b"connection", b"content-length", b"transfer-encoding", b"upgrade"})
_OWN_PREFIX: Final = b"sec-websocket-"


class Handshake(NamedTuple):
    """Holds what a valid request asks for.

    accept: value of Sec-WebSocket-Accept.
    subprotocols: those that the client offers, in its order.
    extensions: value of Sec-WebSocket-Extensions in the answer; b"" for none.
    deflate: the extension that is agreed on; None for none.
    """

    accept: bytes
    subprotocols: list[str]
    extensions: bytes
    deflate: Extension | None


class Refusal(NamedTuple):
    """Holds the answer to a request that is no valid handshake.

    status: 400, or 426 for another version.
    fields: of the response.
    detail: what is wrong, for the response's content.
    """

    status: int
    fields: list[Field]
    detail: bytes


def is_asked_for(request: Request) -> bool:
    """Return whether the request asks for a WebSocket, validly or not.

    Any other request is served as if it had not asked to switch (RFC 9110, 7.8).
    """
    if not request.upgrade or request.method != "GET":
        return False
    return b"websocket" in _members([request.upgrade.lower()])


def examine(request: Request, deflates: bool) -> Handshake | Refusal:
    """Return what the request asks for, or why it is refused.

    deflates: whether permessage-deflate (RFC 7692) is agreed to.
    """
    keys, versions, offers, extensions = [], [], [], []
    for name, value in request.fields:
        if name == b"sec-websocket-key":
            keys.append(value)
        elif name == b"sec-websocket-version":
            versions.append(value)
        elif name == b"sec-websocket-protocol":
            offers.append(value)
        elif name == b"sec-websocket-extensions":
            extensions.append(value)
    if versions != [_VERSION]:
        return Refusal(426, [(b"sec-websocket-version", _VERSION)], b"the WebSocket version must be 13")
    if len(keys) != 1 or not _is_key(keys[0]):
        return Refusal(400, [], b"Sec-WebSocket-Key must be 16 octets in base64, once")
    if request.length:
        return Refusal(400, [], b"a request for a WebSocket has no content")
    agreed: tuple[Extension, bytes] | None = None
    if extensions and deflates:
        from bide.websocket.deflate import negotiated  # imports `websockets`, at the first handshake that needs it

        try:
            agreed = negotiated(b", ".join(extensions))
        except ValueError:
            return Refusal(400, [], b"Sec-WebSocket-Extensions is malformed")
    accept = base64.b64encode(hashlib.sha1(keys[0] + _GUID, usedforsecurity=False).digest())
    subprotocols = [member.decode("latin-1") for member in _members(offers)]
    if agreed is None:
        return Handshake(accept, subprotocols, b"", None)
    return Handshake(accept, subprotocols, agreed[1], agreed[0])


def answer_fields(
    handshake: Handshake, subprotocol: str | None, fields: Iterable[Iterable[bytes]]
) -> list[Iterable[bytes]]:
    """Return the fields of 101, without those of the switch itself.

    subprotocol: the one chosen; None for none.
    fields: those that the application adds.

    Raises Misuse if the client did not offer the subprotocol, or if the application sets a field
    that the handshake owns.
    """
    if subprotocol is not None and subprotocol not in handshake.subprotocols:
        raise Misuse(f"the client did not offer the subprotocol {subprotocol!r}")
    answer: list[Iterable[bytes]] = [(b"sec-websocket-accept", handshake.accept)]
    if subprotocol is not None:
        answer.append((b"sec-websocket-protocol", subprotocol.encode("latin-1")))
    if handshake.extensions:
        answer.append((b"sec-websocket-extensions", handshake.extensions))
    for field in fields:
        name, value = field
        lowered = bytes(name).lower()
        if lowered in _OWN or lowered.startswith(_OWN_PREFIX):
            raise Misuse(f"the handshake itself sets {lowered!r}")
        answer.append((name, value))
    return answer


def _members(values: list[bytes]) -> list[bytes]:
    """Return the members of a list-based field (RFC 9110, 5.6.1)."""
    return [member for value in values for part in value.split(b",") if (member := part.strip(b" \t"))]


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == _KEY_OCTETS
    except binascii.Error:
        return False

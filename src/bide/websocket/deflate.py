"""Agrees on permessage-deflate (RFC 7692), which the `websockets` library implements."""

from __future__ import annotations

from typing import Final

from websockets.exceptions import InvalidHeader, NegotiationError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.headers import build_extension, parse_extension

# As the library's own server: a window of 4 KiB holds most messages, and costs a connection a fifth
# of the memory that zlib would take.
_WINDOW_BITS: Final = 12
_FACTORY: Final = ServerPerMessageDeflateFactory(
    server_max_window_bits=_WINDOW_BITS, client_max_window_bits=_WINDOW_BITS, compress_settings={"memLevel": 5}
)


def negotiated(offers: bytes) -> tuple[Extension, bytes] | None:
    """Return the first offer that is agreed to, with the value of Sec-WebSocket-Extensions; None
    if there is none.

    offers: value of the request's Sec-WebSocket-Extensions. Raises ValueError if it is malformed.
    """
    try:
        parsed = parse_extension(offers.decode("latin-1"))
    except InvalidHeader as error:
        raise ValueError(str(error)) from error
    for name, parameters in parsed:
        if name == _FACTORY.name:
            try:
                answer, extension = _FACTORY.process_request_params(parameters, [])
            except NegotiationError:
                continue
            return extension, build_extension([(name, answer)]).encode("ascii")
    return None

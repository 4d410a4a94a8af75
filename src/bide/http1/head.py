"""Reads a request head: RFC 9112, sections 3, 5 and 6.

Invalid and ambiguous heads are refused. Nothing is repaired and nothing is guessed: if two readers
of the same octets can come to two results, a request can be smuggled past one of them (11.2).
"""

from __future__ import annotations

from typing import Final

from bide.errors import Rejected
from bide.http1.fields import TOKEN_OCTETS, field_line, is_token, members, only
from bide.http1.known import FORWARDED, HOST, ORDINARY, REPEATING, START, known_lines, remember
from bide.http1.limits import Limits
from bide.message import CHUNKED, Field, Request
from bide.semantics.authority import is_authority
from bide.semantics.forwarded import NAMES
from bide.terms import CLIENT_CLOSE_OPTION, CLIENT_KEEP_ALIVE, EXPECTATION_UNMET, HTTP_1_0

# Methods of the registry (RFC 9110, 9.3; RFC 5789), decoded once.
_METHODS: Final[dict[bytes, str]] = {
    name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH")
}

# VCHAR without `#`: a fragment is never part of a request target (3.2).
_TARGET: Final = only(bytes(set(range(0x21, 0x7F)) - {0x23}))
# Digits of a content length: 2**63 - 1 has 19.
_MAX_LENGTH_DIGITS: Final = 19

# Octets of a method; the longest one of the registry has 17.
_MAX_METHOD_OCTETS: Final = 40
# Octets that a request line may have besides its target before it counts as too long.
_LINE_OVERHEAD_OCTETS: Final = _MAX_METHOD_OCTETS + len(b"  HTTP/1.1\r\n")

_SLASH: Final = 0x2F

# Request lines of HTTP/1.1 in origin-form that were valid before. Lines with a query are left out:
# they are likely to be new each time, and may hold secrets.
_MAX_LINES: Final = 256
_MAX_LINE_OCTETS: Final = 128
_request_lines: Final[dict[bytes, tuple[str, bytes]]] = {}  # line -> (method, target)

# Names of fields that may decide on framing, persistence or routing, and the empty name that
# `field_line` gives to a dropped field.
_DECISIVE_NAMES: Final = frozenset(
    {b"", b"connection", b"content-length", b"expect", b"host", b"te", b"transfer-encoding", b"upgrade", *NAMES}
)


def read_head(head: bytes, limits: Limits) -> Request:
    """Return the request in `head`: request line and field lines, without the final empty line.

    Raises Rejected with the exact status: 400, 414, 417, 431, 501 or 505.
    """
    lines = head.split(b"\r\n")
    request_line = lines[0]
    del lines[0]
    if len(head) >= limits.small:
        _require_bounds(head, request_line, limits)
    if len(lines) > limits.fields:
        raise Rejected(431, "too many field lines")

    repeated = _request_lines.get(request_line)
    if repeated is not None:
        method, target = repeated
        path, query = target, b""
        minor = 1
    else:
        method, target, path, query, minor = _read_request_line(request_line)

    fields: list[Field] = []
    hosts = 0
    length = b""
    coding: bytes | None = None
    facts = 0
    accepts_trailers = False
    dropped: list[bytes] | None = None
    upgrade = b""
    may_upgrade = False
    is_forwarded = False
    previous = START
    for line in lines:
        known = previous.following  # nearly always: what a client sends keeps its order
        if known is None or known.octets != line:
            known = known_lines.get(line)
            if known is None:
                field = field_line(line, limits.underscores)
                name, value = field
                if name not in _DECISIVE_NAMES:
                    fields.append(field)
                    if name in REPEATING:
                        remember(line, field)
                elif name == b"host":
                    hosts += 1
                    if value:
                        if not is_authority(value):
                            raise Rejected(400, "malformed Host field")
                        remember(line, field, HOST)
                    fields.append(field)
                elif name == b"content-length":
                    if length:  # even an equal one: a reader may take either
                        raise Rejected(400, "more than one Content-Length field")
                    length = value
                    if not (value.isdigit() and len(value) <= _MAX_LENGTH_DIGITS):
                        raise Rejected(400, "malformed Content-Length")
                    fields.append(field)
                elif name == b"connection":
                    options = members(value)
                    if b"close" in options:
                        facts |= CLIENT_CLOSE_OPTION
                    if b"upgrade" in options:
                        may_upgrade = True
                        options = [option for option in options if option != b"upgrade"]
                        if not options:
                            continue
                        field = (name, b", ".join(options))
                    elif b"close" not in options:  # no meaning in HTTP/1.1 (9.3)
                        remember(line, field)
                    fields.append(field)
                elif name == b"transfer-encoding":
                    coding = value if coding is None else coding + b"," + value
                    fields.append(field)
                elif name == b"expect":
                    for expectation in members(value):
                        if expectation != b"100-continue":
                            raise Rejected(417, "unknown expectation")
                        if minor:  # RFC 9110, 10.1.1: an HTTP/1.0 expectation is ignored
                            facts |= EXPECTATION_UNMET
                    fields.append(field)
                elif name == b"upgrade":
                    upgrade = value if not upgrade else upgrade + b", " + value
                elif not name:  # a dropped field; its value is its name
                    if dropped is None:
                        dropped = []
                    dropped.append(value)
                elif name in NAMES:
                    is_forwarded = True
                    if name in REPEATING:
                        remember(line, field, FORWARDED)
                    fields.append(field)
                else:  # te
                    accepts_trailers = accepts_trailers or b"trailers" in members(value)
                    fields.append(field)
                continue
            previous.following = known
        previous = known
        fields.append(known.field)
        if known.role != ORDINARY:
            if known.role == HOST:
                hosts += 1
            else:
                is_forwarded = True

    if hosts > 1:  # RFC 9112, 3.2
        raise Rejected(400, "more than one Host field")
    if not minor:
        facts |= HTTP_1_0 | _keep_alive(fields)
    elif not hosts:
        raise Rejected(400, "no Host field")
    if upgrade and not (may_upgrade and minor):  # RFC 9110, 7.8: ignored in HTTP/1.0, and without its option
        upgrade = b""
    octets = 0
    if length:
        octets = int(length)
    if coding is not None:
        _require_chunked(coding, minor, bool(length))
        octets = CHUNKED
    if not octets and facts:
        facts &= ~EXPECTATION_UNMET  # without a body, the client cannot wait
    if repeated is None and target[0] != _SLASH:  # rare: nearly all targets are in origin-form (3.2.1)
        path = _other_form(method, target, path, fields)
    return Request(
        method, target, path, query, fields, minor, octets, facts, accepts_trailers, dropped, upgrade, is_forwarded
    )


def _read_request_line(line: bytes) -> tuple[str, bytes, bytes, bytes, int]:
    """Return (method, target, path, query, minor version)."""
    parts = line.split(b" ")
    if len(parts) != 3:
        raise Rejected(400, "malformed request line")
    name, target, version = parts
    minor = 1 if version == b"HTTP/1.1" else _minor_version(version)
    method = _METHODS.get(name)
    if method is None:
        method = _uncommon_method(name)
    if not target or target.translate(_TARGET) != target:
        raise Rejected(400, "malformed request target")
    path, _, query = target.partition(b"?")
    if len(path) == len(target) and minor and target[0] == _SLASH and len(line) <= _MAX_LINE_OCTETS:
        if len(_request_lines) >= _MAX_LINES:
            _request_lines.clear()
        _request_lines[line] = (method, target)
    return method, target, path, query, minor


def _require_bounds(head: bytes, request_line: bytes, limits: Limits) -> None:
    """Raise Rejected if `head`, which is not below `limits.small`, is too large."""
    method, _, rest = request_line.partition(b" ")
    if len(method) > _MAX_METHOD_OCTETS:
        raise Rejected(501, "unknown method")
    target = rest.partition(b" ")[0]
    if len(request_line) + 2 > limits.target + _LINE_OVERHEAD_OCTETS or len(target) > limits.target:
        raise Rejected(414, "request target too long")
    if len(head) + 4 > limits.head:
        raise Rejected(431, "request head too large")


def _minor_version(version: bytes) -> int:
    """Return the minor version to speak: 1 for later ones, too (RFC 9110, 2.5)."""
    if len(version) == 8 and version.startswith(b"HTTP/") and version[6:7] == b".":
        major, minor = version[5:6], version[7:8]
        if major.isdigit() and minor.isdigit():
            if major == b"1":
                return 1 if minor != b"0" else 0
            raise Rejected(505, "HTTP version not supported")
    raise Rejected(400, "malformed request line")


def _uncommon_method(octets: bytes) -> str:
    if not is_token(octets):
        raise Rejected(400, "malformed method")
    if len(octets) > _MAX_METHOD_OCTETS or octets.upper() in _METHODS:
        raise Rejected(501, "unknown method")  # 3; methods are case-sensitive (RFC 9110, 9.1)
    if octets.upper() == b"CONNECT":
        raise Rejected(501, "CONNECT is not supported")  # RFC 9110, 9.3.6: it is for proxies
    return octets.decode("ascii")


def _keep_alive(fields: list[Field]) -> int:
    """Return CLIENT_KEEP_ALIVE if a Connection field of an HTTP/1.0 request has it, or 0 (9.3)."""
    for name, value in fields:
        if name == b"connection" and b"keep-alive" in members(value):
            return CLIENT_KEEP_ALIVE
    return 0


def _require_chunked(coding: bytes, minor: int, has_length: bool) -> None:
    """Raise Rejected unless chunked, once and alone, frames the body (6.1, 6.3)."""
    if has_length:
        raise Rejected(400, "both Transfer-Encoding and Content-Length")
    if not minor:
        raise Rejected(400, "Transfer-Encoding in an HTTP/1.0 request")
    codings = coding.lower().split(b",")  # empty members are refused: some readers keep them
    last = codings.pop().strip(b" \t")
    if last != b"chunked":
        raise Rejected(400, "the last transfer coding is not chunked")
    for other in codings:
        name = other.strip(b" \t")
        if name == b"chunked" or not is_token(name.partition(b";")[0].strip(b" \t")):
            raise Rejected(400, "malformed Transfer-Encoding")
    if codings:
        raise Rejected(501, "transfer coding not supported")


def _other_form(method: str, target: bytes, path: bytes, fields: list[Field]) -> bytes:
    """Return the path of a target that is not in origin-form.

    The authority of an absolute target replaces Host (3.2.2).
    """
    if target == b"*":
        if method != "OPTIONS":
            raise Rejected(400, "`*` is a target of OPTIONS only")  # 3.2.4
        return target
    scheme, separator, rest = path.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        raise Rejected(400, "malformed request target")
    authority, _, _ = rest.partition(b"/")
    if not is_authority(authority):
        raise Rejected(400, "malformed authority in the request target")
    for index, field in enumerate(fields):
        if field[0] == b"host":
            fields[index] = (b"host", authority)
            break
    else:
        fields.append((b"host", authority))
    return rest[len(authority) :] or b"/"


def rejected_early(octets: bytearray, limits: Limits, scanned: int) -> Rejected | None:
    """Return why an incomplete head can no longer become valid, or None.

    octets: the beginning of the head.
    scanned: number of octets that an earlier call has checked. Only later ones are read, so that a
        head in many pieces costs no more.
    """
    if not scanned and octets[0] not in TOKEN_OCTETS:
        return Rejected(400, "not HTTP")  # for example a TLS greeting: waiting for more is no use
    position = octets.find(b"\n", scanned)
    while position >= 0:
        if octets[position - 1] != 0x0D:
            return Rejected(400, "bare LF")  # 2.2
        if octets.find(b"\n", 0, position) < 0:
            try:
                _read_request_line(bytes(octets[: position - 1]))
            except Rejected as rejected:
                return rejected
        position = octets.find(b"\n", position + 1)
    if len(octets) > _MAX_METHOD_OCTETS and octets.find(b" ", 0, _MAX_METHOD_OCTETS + 1) < 0:
        return Rejected(501, "unknown method")
    line = limits.target + _LINE_OVERHEAD_OCTETS
    if len(octets) > line and octets.find(b"\r\n", 0, line) < 0:
        return Rejected(414, "request target too long")
    if len(octets) > limits.head:
        return Rejected(431, "request head too large")
    return None
